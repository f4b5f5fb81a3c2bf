"""What becomes of the cells of a worker that died without a word."""

from __future__ import annotations

from collections.abc import Sequence

from gzsl_bench.engine import environment
from gzsl_bench.engine.events import CellEnded, Listener, WorkerSettings
from gzsl_bench.engine.executors.supervised import crash_report
from gzsl_bench.engine.units import Unit
from gzsl_bench.records.store import FAILED, RecordStore
from gzsl_bench.suite.cells import Cell, digest


def alone(unit: Unit, cells: Sequence[Cell]) -> Unit:
    """A part of a unit as a unit of its own."""
    return Unit(digest({"part of": unit.name, "cells": [c.key for c in cells]})[:12], tuple(cells))


def halves(unit: Unit, cells: Sequence[Cell]) -> list[Unit]:
    """Two units of the cells that may have killed a worker: one of them has the culprit."""
    middle = -(-len(cells) // 2)
    return [alone(unit, cells[:middle]), alone(unit, cells[middle:])]


def bury(
    unit: Unit,
    cell: Cell,
    cause: str,
    printed: str,
    seconds: float,
    settings: WorkerSettings,
    listen: Listener,
) -> None:
    """Write the record of the cell that a worker died of.

    Args:
        unit: what the worker was on.
        cell: the only cell of it that can have done it.
        cause: how the worker died.
        printed: what it printed last, with the traceback where a signal ended it.
        seconds: how long it was on the cell.
        settings: of the worker.
        listen: hears of the record.
    """
    RecordStore(settings.out, settings.run).commit(
        cell.key,
        {
            "status": FAILED,
            "cause": cause,
            "traceback": crash_report(printed),
            "identity": dict(cell.identity),
            "dataset": cell.dataset,
            "request": dict(cell.request),
            "method": cell.method,
            "label": cell.label,
            "seed": cell.seed,
            "about": dict(cell.about),
            "unit": {"name": unit.name, "cells": [c.key for c in unit.cells]},
            "seconds": round(seconds, 3),
            "versions": environment.versions(),
            "command": settings.command,
            "git_commit": settings.git_commit,
        },
        log=printed,
    )
    listen(CellEnded(unit.name, cell.key))
