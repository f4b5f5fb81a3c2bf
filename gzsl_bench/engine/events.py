"""What workers tell the parent while they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from gzsl_bench.engine.units import Unit
    from gzsl_bench.records.record import Program, Provenance


@dataclass(frozen=True)
class UnitStarted:
    """A worker has taken up a unit.

    Attributes:
        unit: its name.
        provenance: what a record of its cells will say, should the worker not come to write one.
    """

    unit: str
    provenance: Provenance | None = None


@dataclass(frozen=True)
class Progress:
    """How far one cell is, in the method's own unit of work."""

    unit: str
    key: str
    done: int
    total: int


@dataclass(frozen=True)
class CellEnded:
    """A record was committed: complete or failed."""

    unit: str
    key: str


@dataclass(frozen=True)
class UnitEnded:
    """A worker is done with a unit.

    Attributes:
        unit: its name.
        interrupted: the worker was asked to stop.
    """

    unit: str
    interrupted: bool = False


@dataclass(frozen=True)
class UnitDivided:
    """A unit's worker died without naming a cell; its cells are tried again in smaller units."""

    unit: str
    parts: tuple[Unit, ...]


@dataclass(frozen=True)
class UnitBroke:
    """A unit's process ends early and could not record why.

    The disk is full, say, or a library no longer does what it did before the method came.

    Attributes:
        unit: the unit.
        cause: in one sentence.
        traceback: where.
    """

    unit: str
    cause: str
    traceback: str


@dataclass(frozen=True)
class Stopping:
    """The user asked to stop; what is running goes on to its next report."""


@dataclass(frozen=True)
class Notice:
    """Something that the user may want to know."""

    text: str


@dataclass(frozen=True)
class AuditEnded:
    """The outcome of a cell's audit was written."""

    unit: str
    key: str


@dataclass(frozen=True)
class CellElsewhere:
    """Another run in the same results folder has dealt with a cell, or with an audit.

    Attributes:
        key: the cell's key, with ``audit-`` before it if it is about the audit.
    """

    key: str


@dataclass(frozen=True)
class Waiting:
    """There is nothing to train but what other runs hold.

    Attributes:
        held: keys by the run that holds them, as people call it.
    """

    held: Mapping[str, tuple[str, ...]]


Event: TypeAlias = (
    "UnitStarted | Progress | CellEnded | AuditEnded | UnitEnded | UnitDivided | UnitBroke"
    " | Stopping | CellElsewhere | Waiting | Notice"
)
Listener: TypeAlias = "Callable[[Event], None]"


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker needs to know of the machine and the command.

    Attributes:
        out: the results folder.
        root: the data folder, or None.
        cache: folder of converted data, or None.
        device: ``cpu``, ``cuda`` or ``cuda:1``.
        threads: CPU threads of one worker.
        command: the command line, for the record.
        program: the build of gzsl-bench at work.
        started_in: commit of the folder the command was started in, or None.
        plugins: plugin files, which every worker loads for itself.
        share: part of a GPU's memory that a worker may fill.
        run: id of the run, which names its drafts.
    """

    out: Path
    root: Path | None
    cache: Path | None
    device: str
    threads: int
    command: str = ""
    program: Program | None = None
    started_in: str | None = None
    plugins: tuple[Path, ...] = ()
    share: float = 1.0
    run: str = ""


class Interrupted(BaseException):
    """Raised inside a worker at the next report of a method after Ctrl-C."""
