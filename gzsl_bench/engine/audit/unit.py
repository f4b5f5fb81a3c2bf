"""Cells to audit, and what a worker does with them.

An audit trains a cell anew, in the company it was trained in, and writes its outcome beside the
records.  Nothing that is recorded changes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gzsl_bench.engine import environment
from gzsl_bench.engine.audit.judge import AuditReport, audit_runs
from gzsl_bench.engine.audit.observe import RunSpec, Setup
from gzsl_bench.engine.audit.watch import Guard, data_folders
from gzsl_bench.engine.events import (
    AuditEnded,
    Interrupted,
    Listener,
    Progress,
    UnitEnded,
    UnitStarted,
    WorkerSettings,
)
from gzsl_bench.engine.failure import Failure
from gzsl_bench.engine.fit import settle
from gzsl_bench.engine.outlet import FolderOutlet, Outlet
from gzsl_bench.engine.units import Unit
from gzsl_bench.errors import RecordError, in_one_line
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.leases import AUDIT
from gzsl_bench.scoring.packed import difference

if TYPE_CHECKING:
    from gzsl_bench.engine.bench import Bench
    from gzsl_bench.engine.worker import Worker

#: How often an audit trains a cell at most.
TRAININGS = 5


@dataclass(frozen=True)
class AuditUnit(Unit):
    """Cells to train together once more.

    Attributes:
        targets: keys of those whose audit is wanted; the others are their company.
    """

    targets: tuple[str, ...] = ()

    @property
    def claims(self) -> tuple[str, ...]:
        """The audits of the targets; their company may be trained by anybody."""
        return tuple(AUDIT + key for key in self.targets)

    def part(self, claims: Collection[str]) -> AuditUnit:
        """The unit with some of its claims, in the company it had."""
        return replace(self, targets=tuple(key for key in self.targets if AUDIT + key in claims))


def audit_unit(worker: Worker, unit: AuditUnit) -> None:
    """Audit a unit's targets and write the outcomes; nothing is written after Ctrl-C."""
    worker.tell(UnitStarted(unit.name, worker.provenance(unit.name, unit.cells)))
    interrupted = False
    try:
        reports = _reports(worker, unit)
    except Interrupted:
        interrupted = True
    # Whatever breaks outside the method's own training says nothing about the method.
    except BaseException as error:
        if worker.interrupted(error):
            raise
        failed = AuditReport(not_audited=in_one_line(error))
        reports = dict.fromkeys(unit.targets, failed)
    if not interrupted:
        for key, report in reports.items():
            _write(unit, key, report, worker.settings, worker.kept, worker.tell)
    worker.tell(UnitEnded(unit.name, interrupted))


def fail_audits(
    unit: AuditUnit,
    claims: Collection[str],
    failure: Failure,
    settings: WorkerSettings,
    listen: Listener,
) -> None:
    """Write down what became of a unit whose process died."""
    report = AuditReport(not_audited=failure.cause)
    for key in unit.part(claims).targets:
        _write(unit, key, report, settings, FolderOutlet(settings), listen)


def _reports(worker: Worker, unit: AuditUnit) -> dict[str, AuditReport]:
    settings = worker.settings
    first = unit.cells[0]
    bench = worker.bench(first)
    layout = Layout(settings.out)
    folders = [*data_folders(settings.root), layout.cells, layout.failed]
    if settings.cache is not None:
        folders.append(settings.cache)
    spec = worker.registry.methods[first.method]
    specs = [
        RunSpec(
            cell.seed,
            spec.factory.Config.model_validate(cell.identity["method"]["config"]),
            cell.identity["precision"],
        )
        for cell in unit.cells
    ]

    def stop_if_asked() -> None:
        if worker.should_stop():
            raise Interrupted

    setup = Setup.of(bench.task, bench.test_features, first.seed)
    settle(first.key, settings.threads)  # before the first training, as when it was recorded
    reports = audit_runs(
        spec,
        setup,
        specs,
        guard=Guard.of(folders, bench.files),
        on_progress=lambda run, done, total: worker.tell(
            Progress(unit.name, unit.cells[run].key, done, total)
        ),
        should_stop=stop_if_asked,
    )
    return {
        cell.key: _beside_the_record(report, bench, worker.kept, cell.key)
        for cell, report in zip(unit.cells, reports, strict=True)
        if cell.key in unit.targets
    }


def _beside_the_record(report: AuditReport, bench: Bench, outlet: Outlet, key: str) -> AuditReport:
    """Say so if the new training does not give the recorded scores.

    No finding: the record may come from another machine, and libraries may round by where in memory
    an array happens to lie.
    """
    import torch

    told = None if report.original is None else report.original.scores
    if told is None or report.not_audited:
        return report
    try:
        arrays = outlet.predictions(key)
    except RecordError as error:
        return replace(report, notes=(*report.notes, f"nothing to compare with: {error}"))
    if arrays is None:
        return report
    position = np.flatnonzero(arrays["scored"] == arrays["checkpoints"][-1])[0]
    scores = told.double()
    best = [scores[:, ids].amax(1).cpu().numpy() for ids in (bench.task.seen, bench.task.unseen)]
    if arrays.get("rounded", False):
        found = difference(*best)
        best = [found, np.zeros_like(found)]
    kept = [arrays[name][position].astype(np.float64) for name in ("best_seen", "best_unseen")]
    predicted = torch.argmax(told, 1).cpu().numpy()
    changed = int((predicted != arrays["predicted"][-1]).sum())
    if not changed and all(map(np.array_equal, best, kept)):
        return report
    note = (
        "trained once more, it does not give the recorded scores bit for bit"
        f" ({changed} of {len(predicted)} predictions differ)"
    )
    return replace(report, notes=(*report.notes, note))


def _write(
    unit: AuditUnit,
    key: str,
    report: AuditReport,
    settings: WorkerSettings,
    outlet: Outlet,
    listen: Callable[[Any], None],
) -> None:
    cell = next(cell for cell in unit.cells if cell.key == key)
    content = report.to_json() | {
        "dataset": cell.dataset,
        "label": cell.label,
        "method": cell.method,
        "seed": cell.seed,
        "company": [c.key for c in unit.cells],
        "versions": environment.versions(),
        "device": settings.device,
        "threads": settings.threads,
    }
    outlet.audited(key, content)
    listen(AuditEnded(unit.name, key))
