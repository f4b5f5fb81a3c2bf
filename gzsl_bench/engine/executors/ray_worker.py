"""What runs on the nodes of a cluster: a worker that is handed data and hands results back.

It is an actor rather than a task, because it stays warm: plugins are loaded, the data are on the
device and, on a GPU, kernels are compiled when the next unit comes; and because a worker that hangs
can be ended by name.  It reads no data file, writes no record and needs no MLflow.

The unit is trained in a thread that lives as long as the actor; others answer the driver meanwhile.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import queue
import shutil
import sys
import tempfile
import threading
import time
import traceback
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from gzsl_bench.engine.events import (
    CellEnded,
    Event,
    Progress,
    UnitEnded,
    UnitStarted,
    WorkerSettings,
)
from gzsl_bench.engine.executors.ray_plugins import PluginFiles, unpack
from gzsl_bench.engine.sealed import Sealed
from gzsl_bench.engine.stacks import Composition
from gzsl_bench.engine.taskdata import TaskData
from gzsl_bench.engine.units import Unit
from gzsl_bench.records.record import Record

#: Bytes of output that are kept on the node; a record gets the end of it.
KEPT, MOST = 190_000, 4_000_000
#: Seconds that reports of progress are collected before the driver hears them.
PACE = 0.2
#: Seconds after which the driver hears that there is nothing to hear.
SILENCE = 30.0

Arrays: TypeAlias = "Mapping[str, np.ndarray]"


@dataclass(frozen=True)
class Hello:
    """A worker is up.

    Attributes:
        version: of gzsl-bench on its node.
        node: the node's id.
        address: the node's address, for people.
        pid: the worker's process id.
        tag: marks all processes that come from it.
        log: the file with what it prints.
    """

    version: str
    node: str
    address: str
    pid: int
    tag: str
    log: str


@dataclass(frozen=True)
class Order:
    """A unit to train.

    Attributes:
        unit: the cells that have no final record.
        composition: how an earlier run divided the unit.
        predictions: of the records of cells to audit.
    """

    unit: Unit
    composition: Composition | None
    predictions: Mapping[str, Arrays]


@dataclass(frozen=True)
class Recorded:
    """The record of a cell, for the driver to commit."""

    record: Record
    arrays: Arrays | None
    log: str


@dataclass(frozen=True)
class Composed:
    """How a unit is divided, for the driver to write down."""

    unit: Unit
    composition: Composition


@dataclass(frozen=True)
class Audited:
    """The outcome of an audit, for the driver to write."""

    key: str
    content: Mapping[str, Any]


Message: TypeAlias = "Event | Recorded | Composed | Audited"


class Outbox:
    """Messages for the driver; of reports of progress only the last of each cell."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._progress: dict[str, Progress] = {}
        self._changed = threading.Condition()

    def put(self, message: Message) -> None:
        """Leave a message."""
        with self._changed:
            if isinstance(message, Progress):
                self._progress[message.key] = message
            else:
                self._messages += [*self._progress.values(), message]
                self._progress.clear()
            self._changed.notify_all()

    def take(self) -> list[Message]:
        """What there is, in order; waits for something, but not for ever."""
        with self._changed:
            self._changed.wait_for(lambda: self._messages or self._progress, SILENCE)
            # What matters is told at once; progress of a method that reports every step is not.
            self._changed.wait_for(lambda: self._messages, PACE if self._progress else 0)
            found = [*self._messages, *self._progress.values()]
            self._messages.clear()
            self._progress.clear()
            return found


class RemoteResults:
    """Results that somebody else writes down; see :class:`gzsl_bench.engine.results.Results`."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self.order: Order | None = None

    def finished(self, key: str) -> bool:
        """No: the driver sends what is left to do."""
        return False

    def commit(self, record: Record, arrays: Arrays | None, log: str) -> None:
        """Send a record."""
        self._outbox.put(Recorded(record, arrays, log))

    def composition(self, unit: Unit) -> Composition | None:
        """As the driver found it written down."""
        return self.order.composition if self.order else None

    def compose(self, unit: Unit, composition: Composition) -> None:
        """Send how a unit is divided."""
        self._outbox.put(Composed(unit, composition))

    def predictions(self, key: str) -> Arrays | None:
        """As the driver sent them along."""
        return self.order.predictions.get(key) if self.order else None

    def audited(self, key: str, content: Mapping[str, Any]) -> None:
        """Send the outcome of an audit."""
        self._outbox.put(Audited(key, content))


class Log:
    """A file with what the process prints, C libraries and child processes included.

    It is cut as it grows: a flood of output fills no disk.  It lies on the node's disk so that
    somebody can read it after the worker has died.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "log.txt"
        # Append mode: after it was cut, writing goes on at the new end.
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        self.capture()
        faulthandler.enable(self._file, all_threads=True)
        threading.Thread(target=self._cut, name="gzsl-bench log", daemon=True).start()

    @property
    def descriptor(self) -> int:
        """The open file."""
        return self._file

    def capture(self) -> None:
        """Send all output there from now on."""
        _flush()
        os.dup2(self._file, 1)
        os.dup2(self._file, 2)

    def clear(self) -> None:
        """Forget what was printed up to now."""
        _flush()
        os.ftruncate(self._file, 0)

    def tail(self) -> str:
        """What was printed last."""
        _flush()
        return read_tail(self._file)

    def _cut(self) -> None:
        while True:
            time.sleep(0.5)
            size = os.fstat(self._file).st_size
            if size > MOST:
                kept = os.pread(self._file, KEPT, size - KEPT)
                os.ftruncate(self._file, 0)
                note = f"[{size - KEPT} bytes of output before this were dropped]\n"
                os.write(self._file, note.encode() + kept)


def read_tail(file: int) -> str:
    """The last characters of an open file."""
    size = os.fstat(file).st_size
    return os.pread(file, KEPT, max(0, size - KEPT)).decode("utf-8", errors="replace")


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(
            AttributeError, OSError, ValueError
        ):  # a plugin may have closed it
            stream.flush()


class Trainer:
    """The actor.  Its methods are called by the driver and return at once, ``take`` aside."""

    def __init__(
        self,
        settings: WorkerSettings,
        plugins: tuple[PluginFiles, ...],
        share: float,
        timeout: float | None,
    ) -> None:
        """Begin to load plugins.

        Args:
            settings: of the driver; paths there mean nothing here.
            plugins: plugin files.
            share: the part of a GPU that is ours.
            timeout: seconds after which the driver ends us; where we were is printed before.
        """
        from gzsl_bench.engine.executors.processes import TAG

        self._folder = Path(tempfile.mkdtemp(prefix="gzsl-bench-"))
        self._tag = os.environ[TAG] = uuid.uuid4().hex
        self._log = Log(self._folder)
        places = unpack(plugins, self._folder / "plugins")
        self._settings = replace(settings, root=None, cache=None, plugins=places)
        self._share, self._timeout = share, timeout
        self._outbox = Outbox()
        self._orders: queue.SimpleQueue[tuple[Order, TaskData]] = queue.SimpleQueue()
        self._stop, self._up = threading.Event(), threading.Event()
        threading.Thread(target=self._live, name="gzsl-bench worker", daemon=True).start()

    def hello(self) -> Hello:
        """Say who we are, once plugins are loaded."""
        self._up.wait()
        import ray

        from gzsl_bench import __version__

        context = ray.get_runtime_context()
        address = ray.util.get_node_ip_address()
        return Hello(
            __version__,
            context.get_node_id(),
            address,
            os.getpid(),
            self._tag,
            str(self._log.path),
        )

    def give(self, order: Order, data: TaskData) -> None:
        """Take a unit on; ``data`` lies in the node's object store and is not copied."""
        self._orders.put((order, data))

    def news(self) -> list[Message]:
        """What has happened since the last call."""
        return self._outbox.take()

    def stop(self) -> None:
        """Stop at the next report of the method."""
        self._stop.set()

    def close(self) -> None:
        """Leave nothing behind on the node."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _live(self) -> None:
        try:
            self._serve()
        except BaseException:
            # As in a process of its own: whoever waits for us learns that we died, and of what.
            traceback.print_exc()
            _flush()
            os._exit(1)

    def _serve(self) -> None:
        import torch

        from gzsl_bench.engine.executors.processes import kill_tree
        from gzsl_bench.engine.executors.state import GlobalState
        from gzsl_bench.engine.kinds import kind_of
        from gzsl_bench.engine.worker import Worker
        from gzsl_bench.hooks.manager import load_plugins

        torch.set_num_threads(self._settings.threads)
        if self._settings.device != "cpu" and self._share < 1:
            torch.cuda.set_per_process_memory_fraction(self._share)
        state = GlobalState.now()
        registry = load_plugins(strict=False, files=self._settings.plugins)
        state.keep("module search path")
        if state.restore():
            state = GlobalState.now()
        state.threads = threading.enumerate()
        results = RemoteResults(self._outbox)
        ended: list[UnitEnded] = []
        current: list[TaskData] = []

        def tell(event: Event) -> None:
            self._arm(event)
            if isinstance(event, UnitEnded):
                ended.append(event)  # told once the worker is ready for another unit
            else:
                self._outbox.put(event)

        worker = Worker(
            registry,
            self._settings,
            tell,
            should_stop=self._stop.is_set,
            read_log=self._log.tail,
            tasks=lambda cell: Sealed.of(current[0]),
            results=results,
        )
        self._up.set()
        while True:
            results.order, data = self._orders.get()
            current[:] = [data]
            self._log.clear()
            kind_of(results.order.unit).run(worker, results.order.unit)
            spent = state.restore()
            self._log.capture()
            left = kill_tree(os.getpid(), self._tag, spare_root=True)
            if left:
                spent.append(f"it left {left} child processes behind")
            self._outbox.put(replace(ended.pop(), spent="; ".join(spent)))

    def _arm(self, event: Event) -> None:
        """Have it printed where all threads are when the time of a cell is over."""
        if self._timeout is None:
            return
        if isinstance(event, UnitStarted | CellEnded):
            faulthandler.dump_traceback_later(self._timeout, file=self._log.descriptor)
        elif isinstance(event, UnitEnded):
            faulthandler.cancel_dump_traceback_later()


def post_mortem(hello: Hello) -> str:
    """Run on the node of a dead worker: end what it started, read what it printed last."""
    from gzsl_bench.engine.executors.processes import kill_tree

    kill_tree(hello.pid, hello.tag)
    path = Path(hello.log)
    try:
        file = os.open(path, os.O_RDONLY)
        try:
            return read_tail(file)
        finally:
            os.close(file)
            shutil.rmtree(path.parent, ignore_errors=True)
    except OSError:
        return ""
