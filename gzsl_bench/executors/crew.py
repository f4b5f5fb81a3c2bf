"""What the dispatcher asks of those who do the work: processes somewhere, one for each unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, TypeAlias

from gzsl_bench.engine.events import (
    Event,
    UnitBroke,
    UnitEnded,
    UnitStarted,
)
from gzsl_bench.engine.units import Unit


class How(Enum):
    """How a process came to its end."""

    DIED = "by itself, with its unit done or not"
    KILLED = "by a SIGKILL or SIGTERM that none of us sent, or for want of means to start"
    ENDED = "ended by us; the cause is the verdict"
    LOST = "with its machine"


@dataclass(frozen=True)
class Ended:
    """A process has ended, and nothing is left of it.

    Attributes:
        how: by whose doing.
        cause: in words; ``while it trained this unit`` may follow unless we ended it.
        printed: what it printed last.
        peak_memory: bytes that it held at most; None where nobody could tell.
    """

    how: How = How.DIED
    cause: str = ""
    printed: str = ""
    peak_memory: int | None = None


@dataclass(eq=False)
class Job:
    """A unit that a process was started for.

    Attributes:
        unit: the cells.
        since: when the process started, took the unit up, or ended the last cell, in seconds.
        begun: it has said that it took the unit up.
        ended: keys of the unit's cells that have ended.
        over: it has said that the unit has ended.
        broke: it has said why it cannot end the unit.
        condemned: it was told to end, and has not yet.
    """

    unit: Unit
    since: float
    begun: UnitStarted | None = None
    ended: set[str] = field(default_factory=set)
    over: UnitEnded | None = None
    broke: UnitBroke | None = None
    condemned: bool = False


#: Takes in what a job's process says, in order, and at last its end.  Without a job: what concerns
#: no unit, and the end of a process that was to make room for one.
Tell: TypeAlias = "Callable[[Job | None, Event | Ended], None]"


class Crew(Protocol):
    """Processes somewhere, one for each unit."""

    def room(self, wanted: int) -> int:
        """How many more units can be started now; ``wanted`` wait, so room may be made for them."""

    def start(self, job: Job) -> None:
        """Start a process for a job's unit; returns at once.

        Raises:
            OSError: the system does not let us.
        """

    def hear(self, seconds: float, tell: Tell) -> None:
        """Pass on what has been said; waits for something to be said, but no longer."""

    def stop(self) -> None:
        """Have all processes stop at the next report of their methods."""

    def end(self, job: Job, verdict: str) -> None:
        """End a process, whatever it is doing; its end is told with the others."""

    def close(self) -> None:
        """Leave nothing behind; processes that still run are ended."""
