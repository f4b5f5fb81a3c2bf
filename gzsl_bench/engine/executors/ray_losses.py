"""What becomes of the cells of a worker, or of a node, that was lost."""

from __future__ import annotations

import contextlib
import traceback
from collections import Counter
from collections.abc import Callable, Sequence

from gzsl_bench.engine.audit.unit import AuditUnit
from gzsl_bench.engine.events import Event, UnitDivided, WorkerSettings
from gzsl_bench.engine.executors.dispatcher import halves
from gzsl_bench.engine.failure import Failure
from gzsl_bench.engine.kinds import kind_of
from gzsl_bench.engine.units import Unit
from gzsl_bench.engine.work import Work
from gzsl_bench.errors import in_one_line
from gzsl_bench.records import journal
from gzsl_bench.records.store import RecordStore
from gzsl_bench.suite.cells import Cell

#: How often a cell is tried again without being asked to after its node was lost, and after its
#: worker died on a node that lives: that may be the cell's own doing.
NODE_LOSSES, DEATHS = 3, 1


class Losses:
    """Decides what is tried again and what has failed.

    Args:
        work: where units to try again go.
        settings: of the driver.
        retries: how often a failed cell is tried again.
        tell: hears of records and of divided units.

    Attributes:
        fresh: names of units for a worker that has trained nothing yet.
    """

    def __init__(
        self, work: Work, settings: WorkerSettings, retries: int, tell: Callable[[Event], None]
    ) -> None:
        self.fresh: set[str] = set()
        self._work, self._settings, self._tell = work, settings, tell
        self._retries = retries
        self._store = RecordStore(settings.out, settings.run)
        self._losses: Counter[str] = Counter()
        self._deaths: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()

    def spare(self, unit: Unit, cause: str) -> None:
        """Try the cells of a lost node elsewhere, unless nodes keep dying under them."""
        times = f"; so were {NODE_LOSSES} nodes before it"
        if isinstance(unit, AuditUnit):
            self._losses[unit.name] += 1
            if self._losses[unit.name] <= NODE_LOSSES:
                self._work.put_back([unit])
            else:
                self._fail(unit, unit.claims, Failure(cause + times))
            return
        again = []
        for cell in self._rest(unit):
            self._losses[cell.key] += 1
            if self._losses[cell.key] <= NODE_LOSSES:
                again.append(cell)
            else:
                self._fail(unit, [cell.key], Failure(cause + times))
        if again:
            self._work.put_back([unit.part({cell.key for cell in again})])

    def blame(self, unit: Unit, cause: str, printed: str, seconds: float, *, sure: bool) -> None:
        """Halve what may have killed a worker, or record the culprit if it is alone.

        Args:
            unit: what the worker was on.
            cause: how it died.
            printed: what it printed last.
            seconds: how long it was on the cell.
            sure: that it is the cell's doing; otherwise it is tried once more.
        """
        if isinstance(unit, AuditUnit):
            self._fail(unit, unit.claims, Failure(cause))
            return
        rest = self._rest(unit)
        spoken_for = [cell for cell in unit.cells if cell not in rest]
        if len(rest) > 1:
            parts = halves(unit, [cell.key for cell in rest])
            self._again(unit, parts)
            self.note("unit divided", unit=unit.name, cells=len(rest), cause=cause)
        elif rest:
            self._deaths[rest[0].key] += 1
            if not sure and self._deaths[rest[0].key] <= DEATHS:
                self._again(unit, [unit.alone([cell.key for cell in rest])], fresh=True)
                return
            self._fail(unit, [rest[0].key], Failure(cause, printed, seconds))
            spoken_for = list(unit.cells)
        self.failed(unit, spoken_for)

    def failed(self, unit: Unit, cells: Sequence[Cell]) -> None:
        """Put failed cells back as long as they have retries left, each by itself."""
        again = []
        for cell in cells if self._retries else ():
            if not self._store.finished(cell.key):
                self._failures[cell.key] += 1
                if self._failures[cell.key] <= self._retries:
                    again.append(unit.alone([cell.key]))
        if again:
            self._again(unit, again, fresh=True)

    def no_data(self, unit: Unit, error: Exception) -> None:
        """The driver could not read a unit's data: its cells fail, as they do in a local worker."""
        text = "".join(traceback.format_exception(error))
        if isinstance(unit, AuditUnit):
            self._fail(unit, unit.claims, Failure(in_one_line(error)))
            return
        for cell in self._rest(unit):
            self._fail(unit, [cell.key], Failure(in_one_line(error), text))

    def note(self, event: str, **details: object) -> None:
        """Leave a line in the journal."""
        with contextlib.suppress(OSError):  # a journal that cannot be written loses nothing
            journal.append(self._store.layout.journal, event, **details)

    def _fail(self, unit: Unit, claims: Sequence[str], failure: Failure) -> None:
        kind_of(unit).fail(unit, claims, failure, self._settings, self._tell)

    def _again(self, unit: Unit, parts: Sequence[Unit], *, fresh: bool = False) -> None:
        self._work.put_back(parts)
        self._tell(UnitDivided(unit.name, tuple(parts)))
        if fresh:
            self.fresh.update(part.name for part in parts)

    def _rest(self, unit: Unit) -> list[Cell]:
        return [cell for cell in unit.cells if not self._store.finished(cell.key)]
