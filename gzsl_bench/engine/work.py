"""The units of one run that still have to be trained, as executors take them up.

An executor asks for the next unit when it has a worker for it, and says when the unit has ended.
Between the two nobody else trains it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from gzsl_bench.engine.units import Unit


class Work:
    """Units in the suite's order."""

    def __init__(self, units: Iterable[Unit]) -> None:
        self._waiting: deque[Unit] = deque(units)
        self._taken: dict[str, Unit] = {}

    @property
    def left(self) -> bool:
        """Whether :meth:`take` may give a unit, now or later."""
        return bool(self._waiting)

    def take(self) -> Unit | None:
        """The next unit to train, or None where there is none at the moment."""
        if not self._waiting:
            return None
        unit = self._waiting.popleft()
        self._taken[unit.name] = unit
        return unit

    def done(self, unit: Unit) -> None:
        """A unit that was taken has ended: its cells have records, or it was interrupted."""
        self._taken.pop(unit.name, None)

    def put_back(self, units: Iterable[Unit]) -> None:
        """Units to be trained after all, before all others: halves of one that died, say."""
        for unit in reversed(list(units)):
            self._taken.pop(unit.name, None)
            self._waiting.appendleft(unit)

    def clear(self) -> None:
        """Hand out nothing any more: the user wants to stop."""
        self._waiting.clear()
