"""Units in child processes of this machine, spawned afresh and reused while they stay healthy."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
from collections import Counter, deque
from collections.abc import Sequence
from multiprocessing import connection
from multiprocessing.context import SpawnContext
from multiprocessing.synchronize import Event as EventFlag

from gzsl_bench.engine.auditing import AuditUnit, bury_audits
from gzsl_bench.engine.events import (
    AuditEnded,
    CellEnded,
    Event,
    Listener,
    Stopping,
    UnitDivided,
    UnitEnded,
    UnitStarted,
    WorkerSettings,
)
from gzsl_bench.engine.executors.burial import alone, bury, halves
from gzsl_bench.engine.executors.interrupts import Interrupts
from gzsl_bench.engine.executors.limits import Limits, in_words
from gzsl_bench.engine.executors.memory import MemoryWatch
from gzsl_bench.engine.executors.supervised import GRACE, Supervised
from gzsl_bench.engine.units import Unit
from gzsl_bench.engine.work import Work
from gzsl_bench.errors import WorkerError
from gzsl_bench.records import journal
from gzsl_bench.records.store import RecordStore
from gzsl_bench.suite.cells import Cell

#: Seconds a worker gets to import libraries and plugins, from however slow a disk.
START_LIMIT = 900.0
#: So many workers in a row that die before they take up a unit, and we give up.
STILLBORN = 3
#: As many that somebody kills: the system, say, while it is short of memory, which may pass.
KILLED_AT_START = 10
#: Seconds until another one is started after that.
_RECOVERY = 1.0
#: How often an audit trains a cell at most.
AUDIT_TRAININGS = 5
#: Seconds between two looks at clocks.
_LOOK = 0.5


class LocalExecutor:
    """Up to ``jobs`` worker processes side by side.

    A worker that dies takes no other one with it.  A unit of several cells is then halved and tried
    again until the cell that did it is alone; that one gets a failed record.
    """

    def __init__(self, jobs: int, limits: Limits | None = None) -> None:
        self._jobs = jobs
        self._limits = limits or Limits()
        self._context: SpawnContext = multiprocessing.get_context("spawn")

    def run(self, work: Work, settings: WorkerSettings, listen: Listener) -> bool:
        """Run all of the work; False if the user interrupted.

        Raises:
            WorkerError: worker processes die before they take up a unit.
        """
        return _Shift(self._context, self._jobs, self._limits, work, settings, listen).run()


class _Shift:
    """One call of the executor."""

    def __init__(
        self,
        context: SpawnContext,
        jobs: int,
        limits: Limits,
        work: Work,
        settings: WorkerSettings,
        listen: Listener,
    ) -> None:
        self._context, self._jobs, self._limits = context, jobs, limits
        self._work, self._settings, self._listen = work, settings, listen
        self._store = RecordStore(settings.out, settings.run)
        self._stop: EventFlag = context.Event()
        self._workers: list[Supervised] = []
        self._told: deque[Event] = deque()
        self._failures: Counter[str] = Counter()
        self._fresh: set[str] = set()  # units for a worker that has trained nothing yet
        self._stillborn: Counter[bool] = Counter()  # in a row, by whether they were killed

    def run(self) -> bool:
        try:
            with Interrupts() as interrupts, MemoryWatch(self._workers, self._limits.memory):
                return self._loop(interrupts)
        except WorkerError:
            while self._told:
                self._listen(self._told.popleft())
            raise
        finally:
            self._dismiss()

    def _loop(self, interrupts: Interrupts) -> bool:
        while True:
            try:
                if interrupts.count and not self._stop.is_set():
                    raise KeyboardInterrupt
                self._assign()
                # Only now: the listener (MLflow, say) may take longer than a worker's next unit.
                while self._told:
                    self._listen(self._told.popleft())
                busy = [worker for worker in self._workers if worker.unit is not None]
                if not busy:
                    if self._stop.is_set() or not self._work.left:
                        return not self._stop.is_set()
                    self._work.wait(_LOOK)
                    continue
                for worker in self._ready(busy):
                    self._hear(worker)
                for worker in busy:
                    self._look_at_the_clock(worker)
            except KeyboardInterrupt:
                if self._stop.is_set():  # the second time: at once
                    for worker in self._workers:
                        worker.process.terminate()
                    return False
                self._stop.set()
                self._work.clear()
                self._told.append(Stopping())

    def _dismiss(self) -> None:
        """Let the workers go; whoever does not is made to."""
        for worker in self._workers:
            worker.send_home()
        deadline = time.monotonic() + GRACE
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            worker.close()

    def _assign(self) -> None:
        while self._work.left and not self._stop.is_set():
            idle = next((worker for worker in self._workers if worker.unit is None), None)
            if idle is None and len(self._workers) >= self._jobs:
                return
            unit = self._work.take()
            if unit is None:
                return
            if idle is not None and idle.used and unit.name in self._fresh:
                self._replace(idle, "a failed cell is tried again in a fresh one")
                idle = None
            if idle is None:
                idle = Supervised.start(self._context, self._settings, self._stop)
                self._workers.append(idle)
            idle.give(unit)

    @staticmethod
    def _ready(busy: Sequence[Supervised]) -> list[Supervised]:
        """Workers that said something or died."""
        handles = {worker.pipe: worker for worker in busy} | {
            worker.process.sentinel: worker for worker in busy
        }
        found = [handles[h] for h in connection.wait(list(handles), timeout=_LOOK)]  # type: ignore[index]
        # What a dead worker forked may keep its pipe and sentinel open.
        found += [worker for worker in busy if not worker.process.is_alive()]
        return list({id(worker): worker for worker in found}.values())

    def _hear(self, worker: Supervised) -> None:
        """Listen to a worker, and see to its unit if that has ended or the worker has."""
        ended: UnitEnded | None = None
        closed = False
        try:
            while ended is None and worker.pipe.poll():
                event: Event = worker.pipe.recv()
                if isinstance(event, UnitStarted):
                    worker.begun = worker.used = True
                    self._stillborn.clear()
                if isinstance(event, UnitStarted | CellEnded | AuditEnded):
                    worker.since = time.monotonic()
                if isinstance(event, CellEnded):
                    worker.ended.add(event.key)
                if isinstance(event, UnitEnded):
                    ended = event
                self._told.append(event)
        except (EOFError, OSError):
            closed = True  # a closed pipe stays readable: only reading it tells
        if ended is not None:
            self._unit_ended(worker, ended)
        elif closed or not worker.process.is_alive():
            self._worker_died(worker)

    def _look_at_the_clock(self, worker: Supervised) -> None:
        if worker.unit is None:
            return
        spent = time.monotonic() - worker.since
        limit = self._limits.timeout if worker.begun else START_LIMIT
        if limit is not None and worker.begun and isinstance(worker.unit, AuditUnit):
            limit *= AUDIT_TRAININGS
        if limit is None or spent <= limit:
            return
        if worker.begun:
            verdict = f"stopped after {in_words(spent)}: --timeout gives a cell {in_words(limit)}"
        else:
            verdict = f"it did not come up within {in_words(limit)}"
        worker.end(verdict)
        self._hear(worker)  # it may have reported a cell at the last moment

    def _unit_ended(self, worker: Supervised, event: UnitEnded) -> None:
        unit = worker.unit
        assert unit is not None
        worker.unit = None
        left = worker.tidy()
        if not event.interrupted and not isinstance(unit, AuditUnit):
            self._try_again(unit, unit.cells)
        self._work.done(unit)
        if worker.verdict or not worker.process.is_alive():
            self._replace(worker, worker.cause("was idle"))
        elif event.spent or left:
            # What a library makes of children that vanished is anybody's guess.
            processes = f"it left {left} child processes behind" if left else ""
            self._replace(worker, "; ".join(filter(None, [event.spent, processes])))

    def _worker_died(self, worker: Supervised) -> None:
        unit = worker.unit
        assert unit is not None
        begun, seconds = worker.begun, time.monotonic() - worker.since
        worker.process.join(GRACE)
        if worker.process.is_alive():
            worker.end("the worker process closed its connection")
        worker.unit = None
        printed = self._replace(worker, "it died")
        if not begun:
            # No cell can have done it: the unit was not even taken up.
            self._work.put_back([unit])
            self._not_born(worker, printed)
            return
        cause = worker.cause("audited" if isinstance(unit, AuditUnit) else "trained this unit")
        if isinstance(unit, AuditUnit):
            bury_audits(unit, self._settings, cause, self._told.append)
        else:
            self._blame(unit, worker.ended, cause, printed, seconds)
        self._told.append(UnitEnded(unit.name))
        self._work.done(unit)

    def _not_born(self, worker: Supervised, printed: str) -> None:
        """A worker died before it took up a unit: another one may fare better, up to a point."""
        code = worker.process.exitcode
        killed = worker.verdict is None and code in (-signal.SIGKILL, -signal.SIGTERM)
        self._stillborn[killed] += 1
        count = self._stillborn[killed]
        if count >= (KILLED_AT_START if killed else STILLBORN):
            raise _no_worker(worker.cause("started"), count, printed)
        if killed:
            time.sleep(_RECOVERY)

    def _blame(self, unit: Unit, ended: set[str], cause: str, printed: str, seconds: float) -> None:
        """Halve what may have killed a worker, or record the culprit if it is alone."""
        rest = [
            cell
            for cell in unit.cells
            if cell.key not in ended and not self._store.finished(cell.key)
        ]
        spoken_for = [cell for cell in unit.cells if cell not in rest]
        if len(rest) == 1:
            bury(unit, rest[0], cause, printed, seconds, self._settings, self._told.append)
            spoken_for = list(unit.cells)
        elif rest:
            parts = halves(unit, rest)
            self._work.put_back(parts)
            self._told.append(UnitDivided(unit.name, tuple(parts)))
            self._note("unit divided", unit=unit.name, cells=len(rest), cause=cause)
        self._try_again(unit, spoken_for)

    def _try_again(self, unit: Unit, cells: Sequence[Cell]) -> None:
        """Put failed cells back as long as they have retries left, each by itself."""
        if not self._limits.retries or self._stop.is_set():
            return
        again = []
        for cell in cells:
            record = self._store.read(cell.key)
            if record is not None and record.final:
                continue
            self._failures[cell.key] += 1
            if self._failures[cell.key] <= self._limits.retries:
                again.append(alone(unit, [cell]))
        if again:
            self._work.put_back(again)
            self._fresh.update(part.name for part in again)
            self._told.append(UnitDivided(unit.name, tuple(again)))

    def _replace(self, worker: Supervised, why: str) -> str:
        """Part with a worker: the next unit gets another one.  Returns what it printed last."""
        self._workers.remove(worker)
        pid = worker.pid
        printed = worker.close()
        self._note("worker replaced", worker=pid, cause=why)
        return printed

    def _note(self, event: str, **details: object) -> None:
        with contextlib.suppress(OSError):  # a journal that cannot be written loses nothing
            journal.append(self._store.layout.journal, event, **details)


def _no_worker(cause: str, count: int, printed: str) -> WorkerError:
    last = " | ".join(line.strip() for line in printed.splitlines()[-3:] if line.strip())
    return WorkerError(
        f"no worker process comes up: {cause}, as did the {count - 1} before it"
        + (f"; it printed last: {last}" if last else "")
        + "; --inline runs the suite in one process and shows where"
    )
