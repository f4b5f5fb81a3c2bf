"""The record of a cell whose process died without a word."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from gzsl_bench.engine import environment
from gzsl_bench.engine.events import UnitStarted, WorkerSettings
from gzsl_bench.engine.units import Unit
from gzsl_bench.records.record import FAILED, Record
from gzsl_bench.records.store import RecordStore
from gzsl_bench.suite.cells import Cell

#: Where the report of ``faulthandler`` begins.
_CRASH = re.compile(r"^(?:Fatal Python error: |(?:Current t|T)hread 0x[0-9a-f]+ )", re.MULTILINE)
#: Characters of such a report that are looked for and kept.
_CRASH_LENGTH = 20_000


@dataclass(frozen=True)
class Failure:
    """How a process that was on a unit died.

    Attributes:
        cause: in one sentence.
        printed: what it printed last, with the traceback where a signal ended it.
        seconds: how long it was on the cell.
        begun: what it said as it took the unit up; None where it did not come to that.
        traceback: where, if it could say so itself.
        peak_memory: bytes that it held at most; None where nobody could tell.
    """

    cause: str
    printed: str = ""
    seconds: float = 0.0
    begun: UnitStarted | None = None
    traceback: str = ""
    peak_memory: int | None = None


def record_failure(unit: Unit, cell: Cell, failure: Failure, settings: WorkerSettings) -> None:
    """Write the record of a cell that a process died of.

    Args:
        unit: what it was on.
        cell: the cell.
        failure: how it died.
        settings: of the process.
    """
    begun = failure.begun.provenance if failure.begun is not None else None
    if begun is None:  # on hardware that nobody has told us of
        begun = replace(environment.provenance(settings, unit.name, ()), hardware={})
    about = replace(begun, trained=(cell.key,), seconds=round(failure.seconds, 3))
    if settings.device == "cpu":  # a GPU's memory is what counts elsewhere
        about = replace(about, peak_memory=failure.peak_memory)
    traceback = failure.traceback or crash_report(failure.printed)
    record = Record.of(cell, FAILED, about, cause=failure.cause, traceback=traceback)
    RecordStore(settings.out, settings.run).commit(record, log=failure.printed)


def crash_report(printed: str) -> str:
    """Where all threads were when a signal ended the process; "" if it does not say."""
    tail = printed[-_CRASH_LENGTH:]
    found = _CRASH.search(tail)
    return tail[found.start() :] if found else ""
