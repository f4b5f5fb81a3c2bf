"""What can be done with a unit: its cells are trained, or audited."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gzsl_bench.engine.audit import unit as auditing
from gzsl_bench.engine.events import CellEnded, Listener, WorkerSettings
from gzsl_bench.engine.failure import Failure, record_failure
from gzsl_bench.engine.units import Unit

if TYPE_CHECKING:
    from gzsl_bench.engine.worker import Worker
    from gzsl_bench.records.store import RecordStore


@dataclass(frozen=True)
class Kind:
    """One kind of work, for those who give it out and those who do it.

    Attributes:
        noun: what a time limit is for.
        doing: ``while it ...``.
        trainings: how often a cell is trained at most, each with the time of one.
        divisible: whether a unit may be taken apart, to find a culprit or to try one cell again.
        run: does it, in a worker's process.
        unsettled: the claims of a unit that have no final outcome.
        compared: keys of the records whose predictions it compares with.
        fail: writes down that some claims of a unit have failed.
    """

    noun: str
    doing: str
    trainings: int
    divisible: bool
    run: Callable[[Worker, Any], None]
    unsettled: Callable[[Any, RecordStore], Sequence[str]]
    compared: Callable[[Any], Sequence[str]]
    fail: Callable[[Any, Collection[str], Failure, WorkerSettings, Listener], None]


def kind_of(unit: Unit) -> Kind:
    """What is to be done with a unit."""
    return _KINDS[type(unit)]


def _train(worker: Worker, unit: Unit) -> None:
    worker.run(unit)


def _unfinished(unit: Unit, store: RecordStore) -> list[str]:
    return [cell.key for cell in unit.cells if not store.finished(cell.key)]


def _fail(
    unit: Unit,
    claims: Collection[str],
    failure: Failure,
    settings: WorkerSettings,
    listen: Listener,
) -> None:
    for cell in unit.cells:
        if cell.key in claims:
            record_failure(unit, cell, failure, settings)
            listen(CellEnded(unit.name, cell.key))


_KINDS: dict[type[Unit], Kind] = {
    Unit: Kind("a cell", "trained this unit", 1, True, _train, _unfinished, lambda unit: (), _fail),
    auditing.AuditUnit: Kind(
        "an audit",
        "audited",
        auditing.TRAININGS,
        False,
        auditing.audit_unit,
        lambda unit, store: unit.claims,
        lambda unit: unit.targets,
        auditing.fail_audits,
    ),
}
