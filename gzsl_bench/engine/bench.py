"""Data and method of a cell made ready, and whether the data still are what they were."""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from gzsl_bench.engine.audit.watch import data_files, opened_files
from gzsl_bench.engine.handed import hand_over
from gzsl_bench.engine.sealed import Sealed
from gzsl_bench.engine.taskdata import load_task, task_name
from gzsl_bench.errors import DataError, PluginError
from gzsl_bench.hooks.images import Images
from gzsl_bench.hooks.task import unlabelled_order
from gzsl_bench.scoring.predict import TestSet, shown_order
from gzsl_bench.suite.cells import code_numbers

if TYPE_CHECKING:
    import torch

    from gzsl_bench.engine.events import WorkerSettings
    from gzsl_bench.hooks.manager import Registry
    from gzsl_bench.hooks.method import Method
    from gzsl_bench.suite.cells import Cell

#: Bytes that are compared at once: tensors of a GPU are fetched piece by piece.
_CHUNK = 1 << 26
_memcmp = ctypes.CDLL(None).memcmp
_memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]


#: Gives the prepared arrays of the task that a cell trains on.
Tasks: TypeAlias = "Callable[[Cell], Sealed]"


@dataclass
class OwnTasks:
    """Prepares tasks in this process, from the data files of this machine; keeps the last one."""

    registry: Registry
    settings: WorkerSettings
    _name: str = ""
    _last: Sealed | None = None

    def __call__(self, cell: Cell) -> Sealed:
        """Load, check and preprocess, unless the last cell had the same task.

        Raises:
            DataError: the data are not those that the cell's key was made from.
        """
        name = task_name(cell)
        if self._last is None or self._name != name:
            if self._last is not None:
                self._last.close()  # one at a time: they are large
                self._last = None
            self._name, self._last = name, prepare(cell, self.registry, self.settings)
        return self._last


def prepare(cell: Cell, registry: Registry, settings: WorkerSettings) -> Sealed:
    """Load, check and preprocess the data of a cell's task.

    Raises:
        DataError: the data are not those that the cell's key was made from.
    """
    with opened_files() as opened:
        data = load_task(cell, registry, settings)
    return Sealed.of(data, data_files(opened))


class Bench:
    """One task of a data set variant on the device, ready to train on and to score with.

    Its tensors are its own: nothing that is done to them is seen by another one.

    Args:
        sealed: the task's arrays.
        device: where to train.
        setting: ``transductive`` adds unlabelled test rows.
        given: what the method gets besides features and class embedding.

    Attributes:
        task: the task.
        test_labels: [m] int64 labels of the test rows.
        files: real paths of what the data were read from.
    """

    def __init__(
        self, sealed: Sealed, device: torch.device, setting: str, given: Collection[str] = ()
    ) -> None:
        import torch

        self.files = sealed.files
        self._sealed = sealed
        self._pristine = sealed.pristine()
        data = sealed.private() if device.type == "cpu" else self._pristine

        def tensor(array: np.ndarray) -> torch.Tensor:
            with warnings.catch_warnings():
                # Of arrays that cannot be written: they are copied to the device.
                warnings.filterwarnings("ignore", "The given NumPy array is not writ", UserWarning)
                return torch.from_numpy(array).to(device)

        maps = self._pristine.regions
        self.task, self.test_features = hand_over(data, given, setting, tensor, maps)
        self.test_labels = self._pristine.test_labels
        self._order = unlabelled_order(len(self.test_features))

    def tests(self, seed: int) -> TestSet:
        """The test rows in the order in which a run of ``seed`` is shown them."""
        order, data = shown_order(seed, len(self.test_labels)), self._pristine
        seen, unseen = np.array(data.seen), np.array(data.unseen)
        return TestSet(self.test_features, self.test_labels, seen, unseen, order)

    def changed(self) -> str | None:
        """What of the task is not what it was, or None.

        Raises:
            DataError: a file of region maps is not what it was.
        """
        task, data = self.task, self._pristine
        found = {
            "features": same(task.features, data.train_features),
            "labels": same(task.labels, data.train_labels),
            "attributes": same(task.attributes, data.attributes),
            "seen": same(task.seen, data.seen),
            "unseen": same(task.unseen, data.unseen),
            "unlabelled": task.unlabelled is None
            or same(task.unlabelled, data.test_features, self._order.numpy()),
        }
        for name, array in (
            ("second", data.train_second),
            ("words", data.words),
            ("groups", data.groups),
        ):
            found[name] = getattr(task, name) is None or same(getattr(task, name), array)
        for name, equal in found.items():
            if not equal:
                return f"task.{name}"
        if (moved := self._sealed.moved()) is not None:
            raise DataError(f"{moved} changed while a run was using it; start the run again")
        shared = task.shared_changed()
        return None if shared is None else f"what task.shared({shared}) gave"

    def tests_changed(self, tests: TestSet) -> bool:
        """Whether the rows that scorers are shown are not what they were."""
        shown, data = tests.shown, self._pristine
        if not isinstance(shown, Images):
            return not same(shown, data.test_features, tests.order)
        sound = same(shown.features, data.test_features, tests.order)
        if shown.second is not None:
            sound = sound and same(shown.second, data.test_second, tests.order)
        return not sound


def same(tensor: object, array: np.ndarray | None, rows: np.ndarray | None = None) -> bool:
    """Whether a tensor holds, bit by bit, an array or ``rows`` of it in that order."""
    import torch

    assert array is not None

    shape = array.shape if rows is None else (len(rows), *array.shape[1:])
    if not isinstance(tensor, torch.Tensor) or tuple(tensor.shape) != shape:
        return False
    step = max(1, _CHUNK // max(1, array[:1].nbytes))
    with torch.no_grad():
        for start in range(0, shape[0], step):
            part = slice(start, start + step)
            held = np.ascontiguousarray(tensor[part].detach().cpu().numpy())
            wanted = np.ascontiguousarray(array[part] if rows is None else array[rows[part]])
            if held.dtype != wanted.dtype:
                return False
            if _memcmp(held.ctypes.data, wanted.ctypes.data, wanted.nbytes):
                return False
    return True


def ready_method(registry: Registry, cell: Cell) -> type[Method]:
    """The method of a cell, as the cell's key has it.

    Raises:
        PluginError: it is not there, or its source or the program's own code changed since the
            key was made, or is another one on this machine.
    """
    identity = cell.identity
    described = identity["method"]
    if cell.method not in registry.methods:
        causes = "".join(f"; {broken}" for broken in registry.broken)
        raise PluginError(
            f"no plugin here offers the method {cell.method!r} of {cell.title}{causes}; install the"
            " one that does, or name its file with --plugin"
        )
    version, source = registry.version_of(cell.method), registry.source_of(cell.method)
    if (version, source.digest) != (described["version"], described["source"]):
        raise PluginError(
            f"the method {cell.method!r} is not the one of the cell's key: its version is"
            f" {version}, source {source.digest} instead of {described['version']}, source"
            f" {described['source']}; a run during which it changed has to be started again"
        )
    code = code_numbers(identity["preprocessing"], identity["precision"], toolkit=source.toolkit)
    if code != identity["code"]:
        raise PluginError(
            f"the code of gzsl-bench here is not that of the cell's key: {_numbers(code)}"
            f" instead of {_numbers(identity['code'])}; a run needs one version everywhere"
        )
    return registry.methods[cell.method].factory


def _numbers(code: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(code.items()))
