"""The worker: loads data once, trains units, commits a record for every cell."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from gzsl_bench.engine import environment, stacks
from gzsl_bench.engine.bench import Bench, OwnTasks, Tasks, ready_method
from gzsl_bench.engine.events import (
    CellEnded,
    Interrupted,
    Listener,
    Progress,
    UnitEnded,
    UnitStarted,
    WorkerSettings,
)
from gzsl_bench.engine.fit import fit_runs
from gzsl_bench.engine.outlet import FolderOutlet, Outlet
from gzsl_bench.engine.sink import CellSink
from gzsl_bench.engine.units import Unit
from gzsl_bench.errors import NotApplicable, PluginError, in_one_line, traced
from gzsl_bench.hooks.images import EXTRAS
from gzsl_bench.hooks.method import BatchedMethod
from gzsl_bench.hooks.run import Run
from gzsl_bench.records.record import COMPLETE, FAILED, NOT_APPLICABLE, Provenance, Record
from gzsl_bench.scoring.axes import Axes, axes_of, fault
from gzsl_bench.scoring.evaluate import about_metrics
from gzsl_bench.suite.cells import Cell

if TYPE_CHECKING:
    from gzsl_bench.hooks.manager import Registry

#: Characters of a cell's log that its record keeps; the tail is what explains a failure.
LOG_TAIL = 200_000


@dataclass
class Worker:
    """Trains units one after the other.

    Attributes:
        registry: the plugins.
        settings: paths and device.
        tell: receives events.
        should_stop: whether the user asked to stop.
        read_log: text printed since the unit began, for the records.
        tasks: gives the data; by default from the files of this machine.
        outlet: where records go; by default to the results folder.
    """

    registry: Registry
    settings: WorkerSettings
    tell: Listener
    should_stop: Callable[[], bool] = lambda: False
    read_log: Callable[[], str] = lambda: ""
    tasks: Tasks | None = None
    outlet: Outlet | None = None

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
        except BaseException as error:
            if self.interrupted(error):
                raise
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
            factory = ready_method(self.registry, first)
            config = factory.Config.model_validate(first.identity["method"]["config"])
            with arithmetic(precision):
                composition = stacks.compose(
                    unit,
                    lambda: cast("BatchedMethod", factory(config)),
                    self.bench(first).task,
                    lambda sink: Run(first.seed, device, config, sink, precision=precision),
                )
        except BaseException as error:
            if self.interrupted(error):
                raise
            # Whatever is wrong will show, and be recorded, when the stack is trained.
            return (unit.cells,)
        self.kept.compose(unit, composition)
        return composition.stacks

    def interrupted(self, error: BaseException) -> bool:
        """Whether it is the user who stops us: a plugin may raise KeyboardInterrupt as well."""
        return isinstance(error, Interrupted | KeyboardInterrupt) and self.should_stop()

    def provenance(self, unit: str, cells: Sequence[Cell]) -> Provenance:
        """What is known of a training of some cells as it begins."""
        return environment.provenance(self.settings, unit, [cell.key for cell in cells])

    @property
    def kept(self) -> Outlet:
        """Where records go."""
        if self.outlet is None:
            self.outlet = FolderOutlet(self.settings)
        return self.outlet

    def bench(self, cell: Cell) -> Bench:
        """The data of a cell, untouched by what was trained before."""
        import torch

        if self.tasks is None:
            self.tasks = OwnTasks(self.registry, self.settings)
        device = torch.device(self.settings.device)
        given = [name for name in EXTRAS if name in cell.identity["dataset"]]
        return Bench(self.tasks(cell), device, cell.identity["setting"], given)


class _Training:
    """One unit under way: a run and a sink for each cell, and what became of them."""

    def __init__(self, worker: Worker, unit: Unit, cells: list[Cell]) -> None:
        self.worker = worker
        self.unit = unit
        self.cells = cells
        self.runs: list[Run] = []
        self.sinks: list[CellSink] = []
        self.axes: list[Axes] = []
        self.failures: dict[str, tuple[str, str]] = {}
        self.inapplicable: str | None = None
        self.started = time.monotonic()
        self.provenance = worker.provenance(unit.name, cells)

    def train(self) -> None:
        """Make the runs and call the method."""
        import torch

        worker = self.worker
        device = torch.device(worker.settings.device)
        first = self.cells[0]
        bench = worker.bench(first)
        factory = ready_method(worker.registry, first)
        for cell in self.cells:
            config = factory.Config.model_validate(cell.identity["method"]["config"])
            sink = CellSink(
                bench.tests(cell.seed),
                worker.registry.metrics,
                lambda done, total, key=cell.key: worker.tell(  # type: ignore[misc]
                    Progress(self.unit.name, key, done, total)
                ),
                self._stop_if_asked,
            )
            self.sinks.append(sink)
            self.axes.append(axes_of(factory.axes(config)))
            alone = len(self.cells) == 1
            precision = cell.identity["precision"]
            self.runs.append(Run(cell.seed, device, config, sink, alone=alone, precision=precision))
        environment.forget_peak_memory(device)
        settled = first.key, worker.settings.threads
        errors = fit_runs(factory, bench.task, self.runs, settled, bench.changed)
        for cell, sink, axes, error in zip(self.cells, self.sinks, self.axes, errors, strict=True):
            if error is None and bench.tests_changed(sink.tests):
                error = PluginError("the scorer changed the features it was shown; copy them first")
            if error is None and (why := fault(axes, (row.number for row in sink.rows))):
                error = PluginError(why)
            if error is not None:
                self.failures[cell.key] = (in_one_line(error), traced(error))
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
        for cell in self.cells:
            self.failures.setdefault(cell.key, (in_one_line(error), traced(error)))

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
                    axes=self.axes[index],
                    curves=sink.curves,
                    not_finite=sink.not_finite,
                    metrics=about,
                )
                yield record, sink.arrays()
