"""The units of one run that still have to be trained, as executors take them up.

An executor asks for the next unit when it has a worker for it, and says when the unit has ended.
Between the two nobody else trains it: not this run, and not another one that works in the same
results folder, for the unit's cells are leased.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from gzsl_bench.engine.events import CellElsewhere, Listener, Waiting
from gzsl_bench.engine.units import Unit
from gzsl_bench.records.leases import Lease, Leases
from gzsl_bench.records.store import RecordStore

#: Seconds between two looks at what other runs hold.
LOOK = 0.5


@dataclass(frozen=True)
class Sharing:
    """What a run needs to share work with others.

    Attributes:
        leases: of this run.
        settled: whether somebody has dealt with a claim since this run began: then we need not.
        tell: hears of it.
    """

    leases: Leases
    settled: Callable[[str], bool]
    tell: Listener


class Work:
    """Units in the suite's order, those that other runs hold passed over until they are free."""

    def __init__(self, units: Iterable[Unit], sharing: Sharing | None = None) -> None:
        self._waiting: deque[Unit] = deque(units)
        self._sharing = sharing
        self._leases: dict[str, Lease] = {}
        self._again: set[str] = set()
        self._told: object = None
        self._look_again = 0.0

    @property
    def left(self) -> bool:
        """Whether :meth:`take` may give a unit, now or later: then :meth:`wait` and ask again."""
        return bool(self._waiting)

    @property
    def ahead(self) -> int:
        """How many units are left to be taken."""
        return len(self._waiting)

    def take(self) -> Unit | None:
        """The next unit to train, or None where there is none at the moment.

        A unit of which others hold a part is given without that part.
        """
        if self._sharing is None:
            return self._waiting.popleft() if self._waiting else None
        if time.monotonic() < self._look_again:
            return None  # executors ask whenever anything happens; other runs are not that fast
        # Runs of one suite have the same units: whoever has a unit's first claim gets the rest.
        for any_part in (False, True):
            for unit in list(self._waiting):
                got = self._claim(unit, any_part, self._sharing)
                if got is not None:
                    self._told = None
                    return got
        self._look_again = time.monotonic() + LOOK
        return None

    def wait(self, seconds: float = LOOK) -> None:
        """Nothing to train but what other runs hold: say so once, and let some time pass."""
        if self._sharing is not None and self._waiting:
            held: dict[str, list[str]] = {}
            for unit in self._waiting:
                for claim in unit.claims:
                    holder = self._sharing.leases.holder(claim)
                    if holder is not None:
                        held.setdefault(holder.who, []).append(claim)
            if held and sorted(held) != self._told:
                self._told = sorted(held)
                self._sharing.tell(Waiting({who: tuple(claims) for who, claims in held.items()}))
        time.sleep(seconds)

    def done(self, unit: Unit) -> None:
        """A unit that was taken has ended: its cells have records, or it was interrupted."""
        waiting = {claim for other in self._waiting for claim in other.claims}
        self._give_back(claim for claim in unit.claims if claim not in waiting)

    def put_back(self, units: Iterable[Unit]) -> None:
        """Units to be trained after all, before all others: halves of one that died, say.

        What becomes of them counts whatever record they have left, unlike that of other runs.
        """
        self._look_again = 0.0
        for unit in reversed(list(units)):
            self._waiting.appendleft(unit)
            self._again.update(unit.claims)

    def clear(self) -> None:
        """Hand out nothing any more: the user wants to stop."""
        waiting = {claim for unit in self._waiting for claim in unit.claims}
        self._waiting.clear()
        self._give_back(waiting)

    def close(self) -> None:
        """The run ends, however: other runs may train what is left."""
        self._waiting.clear()
        self._give_back(list(self._leases))

    def _give_back(self, claims: Iterable[str]) -> None:
        for claim in claims:
            lease = self._leases.pop(claim, None)
            if lease is not None and self._sharing is not None:
                self._sharing.leases.give_back(lease)

    def _settled(self, claim: str, sharing: Sharing) -> bool:
        return claim not in self._again and sharing.settled(claim)

    def _claim(self, unit: Unit, any_part: bool, sharing: Sharing) -> Unit | None:
        """What can be had of a waiting unit; the rest goes on waiting, what is settled does not."""
        mine: list[str] = []
        rest: list[str] = []
        for claim in unit.claims:
            if claim in self._leases:
                mine.append(claim)
            elif self._settled(claim, sharing):
                sharing.tell(CellElsewhere(claim))
            elif rest and not mine and not any_part:
                rest.append(claim)
            else:
                lease = sharing.leases.take(claim)
                if lease is None:
                    rest.append(claim)
                # Whoever had it until now has left a record, before the lease came free.
                elif self._settled(claim, sharing):
                    sharing.leases.give_back(lease)
                    sharing.tell(CellElsewhere(claim))
                else:
                    self._leases[claim] = lease
                    mine.append(claim)
        if len(rest) < len(unit.claims):
            place = self._waiting.index(unit)
            del self._waiting[place]
            if rest:
                self._waiting.insert(place, unit.part(rest))
        return unit.part(mine) if mine else None


def sharing(
    store: RecordStore,
    units: Iterable[Unit],
    place: Callable[[str], Path],
    tell: Listener,
) -> Sharing | None:
    """How the run that writes ``store`` shares these units; None where it is nobody's run.

    Args:
        store: the results folder, held by the caller.
        units: what there is to do.
        place: the file that appears, or changes, once a claim has been dealt with.
        tell: hears what other runs do.
    """
    if store.presence is None:
        return None
    # A failed cell is tried again by a run that found it failed, not by one that sees it fail.
    before = {claim: _mark(place(claim)) for unit in units for claim in unit.claims}

    def settled(claim: str) -> bool:
        now = _mark(place(claim))
        return now is not None and now != before.get(claim)

    return Sharing(Leases(store.presence), settled, tell)


def _mark(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
