"""How far a suite is and how long it still takes, from what its workers have said so far.

Cells of one data set and method take about as long as one another, those of different methods may
not: what is left is added up from each kind's own pace, and shared by the units that run side by
side, those of other runs in the folder among them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gzsl_bench.engine.units import Unit
from gzsl_bench.suite.cells import Cell

#: Share of a unit from which on its first report alone tells how long it takes.
_TELLING = 0.2


@dataclass
class Job:
    """A unit at work.

    Attributes:
        unit: which one.
        began: on the clock of :class:`Pace`.
        shares: by key, how much of a cell is done: 0 to 1; empty until a first report.
        first: time and share of the first report: what came before was mostly loading.
    """

    unit: Unit
    began: float
    shares: dict[str, float] = field(default_factory=dict)
    first: tuple[float, float] | None = None

    @property
    def share(self) -> float | None:
        """How much of the unit is done; None until a first report."""
        return sum(self.shares.values()) / len(self.unit.cells) if self.shares else None

    def whole(self, now: float) -> float | None:
        """Seconds that the unit takes altogether, loading included; None while unknown."""
        share = self.share
        if not share or self.first is None:
            return None
        at, before = self.first
        if share > before:
            return at - self.began + (now - at) * (1 - before) / (share - before)
        # Loading, spread over one epoch of a hundred, would make hours of it.
        return (now - self.began) / share if share >= _TELLING else None


class Pace:
    """Listens to units and estimates.

    Args:
        now: a clock that counts seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self.began = now()
        self.jobs: dict[str, Job] = {}
        self._side_by_side = 1
        self._spent: dict[tuple[str, ...], tuple[float, int]] = {}
        self._elsewhere: list[tuple[str, ...]] = []

    def started(self, unit: Unit) -> None:
        """A worker has taken up a unit."""
        self.jobs[unit.name] = Job(unit, self.now())
        self._side_by_side = max(self._side_by_side, len(self.jobs))

    def reported(self, name: str, key: str, done: int, total: int) -> None:
        """A cell of a unit is so far; methods count in units of their own."""
        if total > 0:
            self._heard(name, key, min(1.0, max(0.0, done / total)))

    def finished(self, name: str, key: str) -> None:
        """A cell of a unit has a record."""
        self._heard(name, key, 1.0)

    def ended(self, name: str) -> None:
        """A worker is done with a unit."""
        job = self.jobs.pop(name, None)
        cells = sum(share == 1.0 for share in job.shares.values()) if job else 0
        if job is not None and cells:
            kind = job.unit.cells[0].place
            seconds, count = self._spent.get(kind, (0.0, 0))
            self._spent[kind] = (seconds + self.now() - job.began, count + cells)

    def elsewhere(self, cell: Cell) -> None:
        """Another run has finished a cell since this one began."""
        self._elsewhere.append(cell.place)

    def left_of(self, job: Job) -> float | None:
        """Seconds until a unit ends; None while there is nothing to tell from."""
        return self._left_of(job, self._paces())

    def left(self, waiting: Sequence[Cell]) -> float | None:
        """Seconds until all is done; None while there is nothing to tell from.

        Args:
            waiting: cells that are neither finished nor at work.
        """
        paces = self._paces()
        running = [self._left_of(job, paces) for job in list(self.jobs.values())]
        known = [seconds for seconds in running if seconds is not None]
        if not paces or len(known) < len(running) or not (running or waiting):
            return None
        mean = sum(paces.values()) / len(paces)
        work = sum(known) + sum(paces.get(cell.place, mean) for cell in waiting)
        # Seconds of training that others do in a second.
        others = sum(paces.get(place, mean) for place in self._elsewhere)
        others /= max(1.0, self.now() - self.began)
        return max([work / (self._side_by_side + others), *known])

    def _heard(self, name: str, key: str, share: float) -> None:
        job = self.jobs.get(name)
        if job is not None:
            job.shares[key] = share
            if job.first is None:
                job.first = (self.now(), job.share or 0.0)

    def _left_of(self, job: Job, paces: Mapping[tuple[str, ...], float]) -> float | None:
        spent, whole = self.now() - job.began, job.whole(self.now())
        if whole is None and paces:
            usual = paces.get(job.unit.cells[0].place, sum(paces.values()) / len(paces))
            whole = usual * len(job.unit.cells)
        return None if whole is None else max(0.0, whole - spent)

    def _paces(self) -> dict[tuple[str, ...], float]:
        """Seconds of a cell by kind: of those that have ended, or else of those at work."""
        found = {k: seconds / count for k, (seconds, count) in self._spent.items()}
        for job in list(self.jobs.values()):
            whole = job.whole(self.now())
            if whole is not None and job.unit.cells[0].place not in self._spent:
                found[job.unit.cells[0].place] = whole / len(job.unit.cells)
        return found


def clock(seconds: float) -> str:
    """``0:07``, ``12:30``, ``1:02:10``."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
