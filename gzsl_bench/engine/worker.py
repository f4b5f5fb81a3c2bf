"""The worker: loads data once, trains units, commits a record for every cell."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from gzsl_bench.engine import environment, stacks
from gzsl_bench.engine.events import (
    CellEnded,
    Interrupted,
    Listener,
    Progress,
    UnitEnded,
    UnitStarted,
    WorkerSettings,
)
from gzsl_bench.engine.fit import TaskChanged, fit_runs
from gzsl_bench.engine.results import FolderResults, Results
from gzsl_bench.engine.sink import CellSink
from gzsl_bench.engine.taskdata import DiskSource, Source, TaskData, task_name
from gzsl_bench.engine.units import Unit
from gzsl_bench.errors import NotApplicable, PluginError, in_one_line
from gzsl_bench.hooks.method import BatchedMethod, Method
from gzsl_bench.hooks.run import Run
from gzsl_bench.hooks.task import Task, unlabelled_order
from gzsl_bench.records.record import COMPLETE, FAILED, NOT_APPLICABLE, Provenance, Record
from gzsl_bench.scoring.evaluate import about_metrics
from gzsl_bench.scoring.predict import TestSet, shown_order
from gzsl_bench.suite.cells import Cell, code_numbers

if TYPE_CHECKING:
    import torch

    from gzsl_bench.hooks.manager import Registry

#: Characters of a cell's log that its record keeps; the tail is what explains a failure.
LOG_TAIL = 200_000


@dataclass(frozen=True, eq=False)
class Bench:
    """One task of a data set variant on the device, ready to train on and to score with."""

    task: Task
    test_features: torch.Tensor
    test_labels: np.ndarray


@dataclass
class Worker:
    """Trains units one after the other; keeps the last data set on the device between them.

    Attributes:
        registry: the plugins.
        settings: paths and device.
        tell: receives events.
        should_stop: whether the user asked to stop.
        read_log: text printed since the unit began, for the records.
        source: gives the data; by default from the files of this machine.
        results: where records go; by default to the results folder.
    """

    registry: Registry
    settings: WorkerSettings
    tell: Listener
    should_stop: Callable[[], bool] = lambda: False
    read_log: Callable[[], str] = lambda: ""
    source: Source | None = None
    results: Results | None = None
    _benches: dict[str, Bench] = field(default_factory=dict)

    def run(self, unit: Unit) -> None:
        """Train a unit and commit a record, complete or failed, for each of its cells."""
        self.tell(UnitStarted(unit.name, self.provenance(unit.name, unit.cells)))
        interrupted = False
        try:
            self._train_all(unit)
        except Interrupted:
            interrupted = True
        self.tell(UnitEnded(unit.name, interrupted))

    def _train_all(self, unit: Unit) -> None:
        """Train the stacks of a unit one after the other; one that does not fit is halved."""
        ended: list[stacks.Stack] = []
        waiting = list(self._stacks(unit))
        while waiting:
            stack = waiting.pop(0)
            if self._train_stack(unit, stack):
                ended.append(stack)
                continue
            stacks.release()
            waiting[:0] = stacks.cut(stack, -(-len(stack) // 2))
            whole = stacks.Composition((*ended, *waiting), {"halved": "out of memory"})
            self.kept.compose(unit, whole)

    def _train_stack(self, unit: Unit, stack: stacks.Stack) -> bool:
        """Train some cells as one; False if they did not fit and fewer could be tried."""
        cells = [cell for cell in stack if not self.kept.finished(cell.key)]
        if not cells:
            return True
        training = _Training(self, unit, cells)
        try:
            training.train()
        # A plugin may fail in any way; each of its cells then tells how.
        except (Exception, SystemExit) as error:
            if len(cells) > 1 and stacks.is_out_of_memory(error):
                return False
            training.fail_rest(error)
        for record, arrays in training.records():
            self.kept.commit(record, arrays, self.read_log()[-LOG_TAIL:])
            self.tell(CellEnded(unit.name, record.key))
        return True

    def _stacks(self, unit: Unit) -> tuple[stacks.Stack, ...]:
        """How the unit is divided: as an earlier run did, or as the device's memory allows."""
        if len(unit.cells) < 2:
            return (unit.cells,)
        import torch

        from gzsl_bench.stacked.precision import arithmetic

        known = self.kept.composition(unit)
        if known is not None:
            return known.stacks
        first = unit.cells[0]
        device, precision = torch.device(self.settings.device), first.identity["precision"]
        try:
            factory = self.factory(first)
            config = factory.Config.model_validate(first.identity["method"]["config"])
            with arithmetic(precision):
                composition = stacks.compose(
                    unit,
                    lambda: cast("BatchedMethod", factory(config)),
                    self.bench(first).task,
                    lambda sink: Run(first.seed, device, config, sink, precision=precision),
                )
        except Exception:
            # Whatever is wrong will show, and be recorded, when the stack is trained.
            return (unit.cells,)
        self.kept.compose(unit, composition)
        return composition.stacks

    def factory(self, cell: Cell) -> type[Method]:
        """The method of a cell, as the cell's key has it.

        Raises:
            PluginError: it is not there, or its source or the program's own code changed since the
                key was made, or is another one on this machine.
        """
        registry, identity = self.registry, cell.identity
        described = identity["method"]
        if cell.method not in registry.methods:
            causes = "".join(f"; {broken}" for broken in registry.broken)
            raise PluginError(f"the worker process finds no method {cell.method!r}{causes}")
        version, source = registry.version_of(cell.method), registry.source_of(cell.method)
        if (version, source.digest) != (described["version"], described["source"]):
            raise PluginError(
                f"the method {cell.method!r} is not the one of the cell's key: its version is"
                f" {version}, source {source.digest} instead of {described['version']}, source"
                f" {described['source']}; a run during which it changed has to be started again"
            )
        code = code_numbers(
            identity["preprocessing"], identity["precision"], toolkit=source.toolkit
        )
        if code != identity["code"]:
            raise PluginError(
                f"the code of gzsl-bench here is not that of the cell's key: {_numbers(code)}"
                f" instead of {_numbers(identity['code'])}; a run needs one version everywhere"
            )
        return registry.methods[cell.method].factory

    def provenance(self, unit: str, cells: Sequence[Cell]) -> Provenance:
        """What is known of a training of some cells as it begins."""
        return environment.provenance(self.settings, unit, [cell.key for cell in cells])

    @property
    def kept(self) -> Results:
        """Where records go."""
        if self.results is None:
            self.results = FolderResults(self.settings)
        return self.results

    def forget(self) -> None:
        """Drop the data, to be loaded afresh by the next unit."""
        self._benches.clear()

    def bench(self, cell: Cell) -> Bench:
        """The data of a cell, from memory if the last unit used them too."""
        import torch

        name = task_name(cell)
        if name not in self._benches:
            self.forget()  # one data set at a time: they are large
            source = self.source or DiskSource(self.registry, self.settings)
            device = torch.device(self.settings.device)
            self._benches[name] = _on_device(source(cell), device, cell.identity["setting"])
        return self._benches[name]


def _numbers(code: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(code.items()))


def _on_device(data: TaskData, device: torch.device, setting: str) -> Bench:
    """Tensors of a task; on the CPU they share the memory of the arrays."""
    import torch

    def tensor(array: np.ndarray) -> torch.Tensor:
        with warnings.catch_warnings():
            # Arrays that processes share are read-only, and no method may change its task anyway.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
            return torch.from_numpy(array).to(device)

    tests, unlabelled = tensor(data.test_features), None
    if setting == "transductive":
        unlabelled = tests[unlabelled_order(len(tests)).to(device)]
    return Bench(
        task=Task(
            features=tensor(data.train_features),
            labels=tensor(data.train_labels),
            attributes=tensor(data.attributes),
            seen=tensor(data.seen),
            unseen=tensor(data.unseen),
            unlabelled=unlabelled,
        ),
        test_features=tests,
        test_labels=data.test_labels,
    )


class _Training:
    """One unit under way: a run and a sink for each cell, and what became of them."""

    def __init__(self, worker: Worker, unit: Unit, cells: list[Cell]) -> None:
        self.worker = worker
        self.unit = unit
        self.cells = cells
        self.runs: list[Run] = []
        self.sinks: list[CellSink] = []
        self.failures: dict[str, tuple[str, str]] = {}
        self.inapplicable: str | None = None
        self.started = time.monotonic()
        self.provenance = worker.provenance(unit.name, cells)

    def train(self) -> None:
        """Make the runs and call the method."""
        import torch

        worker = self.worker
        device = torch.device(worker.settings.device)
        torch.set_num_threads(worker.settings.threads)
        first = self.cells[0]
        bench = worker.bench(first)
        factory = worker.factory(first)
        for cell in self.cells:
            config = factory.Config.model_validate(cell.identity["method"]["config"])
            sink = CellSink(
                TestSet(
                    bench.test_features,
                    bench.test_labels,
                    bench.task.seen.cpu().numpy(),
                    bench.task.unseen.cpu().numpy(),
                    shown_order(cell.seed, len(bench.test_labels)),
                ),
                worker.registry.metrics,
                lambda done, total, key=cell.key: worker.tell(  # type: ignore[misc]
                    Progress(self.unit.name, key, done, total)
                ),
                self._stop_if_asked,
            )
            self.sinks.append(sink)
            alone = len(self.cells) == 1
            precision = cell.identity["precision"]
            self.runs.append(Run(cell.seed, device, config, sink, alone=alone, precision=precision))
        try:
            errors = fit_runs(factory, bench.task, self.runs)
        except TaskChanged:
            worker.forget()  # what follows must not train on what this method left
            raise
        for cell, error in zip(self.cells, errors, strict=True):
            if error is not None:
                text = "".join(traceback.format_exception(error))
                self.failures[cell.key] = (in_one_line(error), text)
        self._note_failures()

    def _note_failures(self) -> None:
        """Runs that were given up one by one."""
        for cell, run in zip(self.cells, self.runs, strict=False):
            if run.failure is not None:
                self.failures.setdefault(cell.key, (run.failure, ""))

    def _stop_if_asked(self) -> None:
        if self.worker.should_stop():
            raise Interrupted

    def fail_rest(self, error: BaseException) -> None:
        """The whole unit broke: every cell without a fate of its own failed of that."""
        self._note_failures()
        if isinstance(error, NotApplicable) and not any(sink.rows for sink in self.sinks):
            self.inapplicable = in_one_line(error)
            return
        text = "".join(traceback.format_exception(error))
        for cell in self.cells:
            self.failures.setdefault(cell.key, (in_one_line(error), text))

    def records(self) -> Iterator[tuple[Record, dict[str, np.ndarray] | None]]:
        """What to commit for each cell."""
        import torch

        provenance = replace(
            self.provenance,
            seconds=round(time.monotonic() - self.started, 3),
            peak_memory=environment.peak_memory(torch.device(self.worker.settings.device)),
        )
        about = about_metrics(self.worker.registry)
        for index, cell in enumerate(self.cells):
            if cell.key in self.failures:
                cause, text = self.failures[cell.key]
                yield Record.of(cell, FAILED, provenance, cause=cause, traceback=text), None
            elif self.inapplicable is not None:
                yield Record.of(cell, NOT_APPLICABLE, provenance, cause=self.inapplicable), None
            else:
                sink = self.sinks[index]
                record = Record.of(
                    cell,
                    COMPLETE,
                    provenance,
                    checkpoints=sink.rows,
                    curves=sink.curves,
                    metrics=about,
                )
                yield record, sink.arrays()
