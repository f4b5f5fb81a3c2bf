"""The Ray cluster as the driver sees it: connected to, counted, and given each task's data once."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from gzsl_bench.data.tasks import TaskData
from gzsl_bench.engine.taskdata import task_name
from gzsl_bench.errors import GzslBenchError, WorkerError, in_one_line
from gzsl_bench.executors.resources import Resources
from gzsl_bench.suite.cells import Cell

#: Starts a cluster of this machine alone, which ends with the run.
LOCAL = "local"
#: Part of the driver's object store that tasks no worker uses may keep.
_SHARE = 0.5
_ADDRESS = "RAY_ADDRESS"
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def require(address: str | None = None) -> Any:
    """The module ``ray``, silenced where it would speak to people.

    Args:
        address: of the cluster, if the user named one.

    Raises:
        GzslBenchError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray hides GPUs from workers that ask for none, as we want it; its note about a change to come
    # would stand between our lines.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
    if (address or os.environ.get(_ADDRESS, "")).rpartition(":")[0] in _LOOPBACK:
        # Ray reads the machine's outer address into it, where such a cluster does not listen.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ImportError:
        raise GzslBenchError(
            "--executor ray needs Ray, which is not installed: pip install 'gzsl-bench[ray]'"
        ) from None
    return ray


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Be a driver of a cluster until the block ends; gives the module ``ray``.

    Args:
        address: ``auto`` for a cluster that this machine is part of, ``HOST:PORT``, ``local``; None
            for what RAY_ADDRESS says, or ``local``.

    Raises:
        WorkerError: there is no such cluster.
    """
    ray = require(address)
    if ray.is_initialized():  # by the program that calls us: its cluster, its options
        yield ray
        return
    place = address or os.environ.get(_ADDRESS) or LOCAL
    if place.startswith("ray://"):
        raise WorkerError(
            f"--ray-address {place}: Ray's client protocol is not supported; start the run on a"
            " machine of the cluster with --ray-address auto, or hand it in with `ray job submit`"
        )
    options: dict[str, Any] = {}
    if place == LOCAL:
        options = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    with _signals_kept():
        try:
            ray.init(place, logging_level=logging.ERROR, log_to_driver=False, **options)
        # Whatever Ray raises: there are many kinds.
        except Exception as error:
            raise WorkerError(
                f"no Ray cluster can be reached at {place!r} ({in_one_line(error)}); start one with"
                " `ray start --head`, or leave --ray-address out to use this machine alone"
            ) from None
    try:
        yield ray
    finally:
        with _signals_kept():
            ray.shutdown()


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself; ours means what Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def capacity(ray: Any, resources: Resources) -> int:
    """How many workers the living nodes hold, going by all they have, free or not."""
    return sum(resources.fit(node["Resources"]) for node in ray.nodes() if node["Alive"])


def largest(ray: Any) -> str:
    """What the nodes have, for an error message."""
    found = {
        str(Resources(n.get("CPU", 0), n.get("GPU", 0), int(n.get("memory", 0))))
        for n in (node["Resources"] for node in ray.nodes() if node["Alive"])
    }
    return "; ".join(sorted(found))


def alive(ray: Any, node: str) -> bool:
    """Whether a node is one of the cluster, as far as the cluster has noticed."""
    return any(known["NodeID"] == node and known["Alive"] for known in ray.nodes())


class TaskStore:
    """The tasks' arrays in the object store: each is placed there once, whoever reads it.

    What no worker uses may stay, up to a part of the store; tasks come back, since methods take
    turns.  Ray moves objects that do not fit to disk.
    """

    def __init__(self, ray: Any, source: Callable[[Cell], TaskData]) -> None:
        self._ray = ray
        self._source = source
        self._placed: OrderedDict[str, tuple[Any, int]] = OrderedDict()
        self._most = int(_SHARE * self._store_size())
        self.puts = 0

    def reference(self, cell: Cell, in_use: set[str]) -> Any:
        """A reference to the arrays that a cell trains on.

        Args:
            cell: any cell of the task.
            in_use: names of the tasks that workers are on.

        Raises:
            Exception: whatever reading the data raises.
        """
        name = task_name(cell)
        if name not in self._placed:
            data = self._source(cell).whole()
            self._make_room(data.size, in_use)
            self._placed[name] = (self._ray.put(data), data.size)
            self.puts += 1
        self._placed.move_to_end(name)
        return self._placed[name][0]

    def _make_room(self, size: int, in_use: set[str]) -> None:
        held = size + sum(taken for _, taken in self._placed.values())
        for name in [name for name in self._placed if name not in in_use]:
            if held <= self._most:
                return
            held -= self._placed.pop(name)[1]  # Ray frees what nobody refers to

    def _store_size(self) -> float:
        mine = self._ray.get_runtime_context().get_node_id()
        nodes = {node["NodeID"]: node["Resources"] for node in self._ray.nodes()}
        return float(nodes.get(mine, {}).get("object_store_memory", 0.0))
