"""Gives units out, hears what becomes of them, decides what is tried again and what has failed.

The one policy of all executors.  A :class:`Crew` under it starts processes somewhere, passes on
what they say and how they end, and judges nothing.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gzsl_bench.engine.events import (
    AuditEnded,
    CellEnded,
    Event,
    Listener,
    Stopping,
    UnitBroke,
    UnitDivided,
    UnitEnded,
    UnitStarted,
    WorkerSettings,
)
from gzsl_bench.engine.failure import Failure
from gzsl_bench.engine.kinds import kind_of
from gzsl_bench.engine.units import Unit
from gzsl_bench.engine.work import Work
from gzsl_bench.errors import WorkerError, in_one_line
from gzsl_bench.executors.crew import Crew, Ended, How, Job
from gzsl_bench.executors.interrupts import Interrupts
from gzsl_bench.executors.limits import Limits
from gzsl_bench.records import journal
from gzsl_bench.records.store import RecordStore
from gzsl_bench.wording import duration

#: Seconds a process gets to import libraries and plugins, from however slow a disk.
START_LIMIT = 900.0
#: So many in a row that die before they take up their unit, and we give up.
STILLBORN = 3
#: As many that somebody kills: the system, say, while it is short of memory, which may pass.
KILLED_AT_START = 10
#: Seconds until another one is started after that.
RECOVERY = 1.0
#: How often cells are tried again without being asked to after their machine was lost.
LOSSES = 3
#: Seconds between two looks at clocks.
LOOK = 0.5


@dataclass(frozen=True)
class Executor:
    """Runs units, each in a process of its own.

    Attributes:
        crew: gives those who do the work, for settings of this machine and command.  Interrupts
            count what asks us to stop: only of use to a crew in this process, others are told.
            Raises WorkerError where there is nowhere to work.
        limits: what a cell may take, and how often it is tried.
    """

    crew: Callable[[WorkerSettings, Interrupts], Crew]
    limits: Limits = field(default_factory=Limits)

    def run(self, work: Work, settings: WorkerSettings, listen: Listener) -> bool:
        """Run all of the work; False if the user interrupted.

        Raises:
            WorkerError: processes die before they take up a unit.
        """
        with Interrupts() as interrupts:
            crew = self.crew(settings, interrupts)
            return Dispatcher(crew, self.limits, work, settings, listen, interrupts).run()


class Dispatcher:
    """One call of an executor.

    Args:
        crew: does the work.
        limits: what a cell may take, and how often it is tried.
        work: the units.
        settings: of the processes.
        listen: hears every event, after new units were given out: it may take its time (MLflow).
        interrupts: counts what asks us to stop.
        clock: seconds, from anywhere on.
    """

    def __init__(
        self,
        crew: Crew,
        limits: Limits,
        work: Work,
        settings: WorkerSettings,
        listen: Listener,
        interrupts: Interrupts,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._crew, self._limits, self._work = crew, limits, work
        self._settings, self._listen = settings, listen
        self._interrupts, self._clock = interrupts, clock
        self._store = RecordStore(settings.out, settings.run)
        self._jobs: list[Job] = []
        self._told: deque[Event] = deque()
        self._stopping = False
        self._freed = False  # a process is about to make room: new units first, then listeners
        self._held = False  # what is left is held by other runs
        self._stillborn: Counter[How] = Counter()  # in a row
        self._not_before = float("-inf")  # when the next process may start
        self._losses: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()

    def run(self) -> bool:
        """Run all of the work; False if the user interrupted.

        Raises:
            WorkerError: processes die before they take up a unit.
        """
        try:
            return self._loop()
        finally:
            self._crew.close()

    def _loop(self) -> bool:
        while True:
            try:
                self._heed_interrupts()
                self._assign()
                self._pass_on()
                if not self._jobs and (self._stopping or not self._work.left):
                    return not self._stopping
                if self._held and not self._jobs:
                    self._work.wait(LOOK)
                else:
                    self._crew.hear(LOOK, self._take_in)
                for job in list(self._jobs):
                    self._look_at_the_clock(job)
            except WorkerError:
                self._pass_on()
                raise
            except KeyboardInterrupt:
                if self._stopping or self._interrupts.count > 1:  # the second time: at once
                    return False
                self._stop()

    def _assign(self) -> None:
        """Give out as many units as there is room for."""
        self._freed = self._held = False
        while self._work.left and not self._stopping and self._clock() >= self._not_before:
            if self._crew.room(self._work.ahead) < 1:
                return
            unit = self._work.take()
            if unit is None:
                self._held = True
                return
            job = Job(unit, self._clock())
            try:
                self._crew.start(job)
            except OSError as error:
                self._work.put_back([unit])
                self._not_born(Ended(How.KILLED, in_one_line(error)))
            else:
                self._jobs.append(job)

    def _pass_on(self) -> None:
        """Let the listener hear what has happened."""
        while self._told:
            self._listen(self._told.popleft())

    def _heed_interrupts(self) -> None:
        if self._interrupts.count and not self._stopping:
            self._stop()

    def _stop(self) -> None:
        self._stopping = True
        self._work.clear()
        self._crew.stop()
        self._told.append(Stopping())

    # What processes say --------------------------------------------------------------------------

    def _take_in(self, job: Job | None, report: Event | Ended) -> None:
        self._heed_interrupts()
        if isinstance(report, Ended):
            self._freed = True
            if job is None:
                self._not_born(report)
            else:
                self._jobs.remove(job)
                self._job_ended(job, report)
        else:
            if job is not None:
                self._note_progress(job, report)
            self._told.append(report)
        if not self._freed:
            self._pass_on()

    def _note_progress(self, job: Job, event: Event) -> None:
        if isinstance(event, UnitStarted):
            job.begun = event
            self._stillborn.clear()
        elif isinstance(event, CellEnded):
            job.ended.add(event.key)
        elif isinstance(event, UnitEnded):
            job.over = event
            self._freed = True
        elif isinstance(event, UnitBroke):
            job.broke = event
        if isinstance(event, UnitStarted | CellEnded | AuditEnded | UnitEnded):
            job.since = self._clock()

    def _job_ended(self, job: Job, ended: Ended) -> None:
        unit = job.unit
        if job.over is not None:
            if not job.over.interrupted:
                self._try_again(unit, unit.claims)
            self._work.done(unit)
            return
        if ended.how is How.LOST:
            self._spare(unit, ended)
        elif job.begun is None:
            # No cell can have done it: the unit was not even taken up.
            self._work.put_back([unit])
            self._not_born(ended)
            return
        else:
            self._blame(job, ended)
        self._told.append(UnitEnded(unit.name))
        self._work.done(unit)

    def _look_at_the_clock(self, job: Job) -> None:
        """End what takes too long."""
        spent, limit, kind = self._clock() - job.since, self._limits.timeout, kind_of(job.unit)
        if job.begun is None:
            limit, verdict = START_LIMIT, f"it did not come up within {duration(START_LIMIT)}"
        elif job.over is None and limit is not None:
            limit *= kind.trainings
            after, given = duration(spent, exact=True), duration(limit, exact=True)
            verdict = f"stopped after {after}: --timeout gives {kind.noun} {given}"
        else:
            return
        if spent > limit and not job.condemned:
            job.condemned = True
            self._crew.end(job, verdict)

    # What goes wrong -----------------------------------------------------------------------------

    def _not_born(self, ended: Ended) -> None:
        """A process died before it took up a unit: another one may fare better, up to a point."""
        if self._stopping:
            return
        self._stillborn[ended.how] += 1
        count = self._stillborn[ended.how]
        killed = ended.how is How.KILLED
        if count >= (KILLED_AT_START if killed else STILLBORN):
            raise _no_process(ended, count)
        if killed:
            self._not_before = self._clock() + RECOVERY

    def _spare(self, unit: Unit, ended: Ended) -> None:
        """Try the cells of a lost machine elsewhere, unless machines keep dying under them."""
        kind = kind_of(unit)
        cause = f"{ended.cause} while it {kind.doing}"
        self._note("machine lost", unit=unit.name, cause=cause)
        if self._stopping:
            return
        again: list[str] = []
        over: list[str] = []
        for claim in kind.unsettled(unit, self._store):
            self._losses[claim] += 1
            (again if self._losses[claim] <= LOSSES else over).append(claim)
        if over:
            failure = Failure(f"{cause}; so were {LOSSES} machines before it")
            kind.fail(unit, over, failure, self._settings, self._told.append)
        if again:
            self._work.put_back([unit.part(again)])

    def _blame(self, job: Job, ended: Ended) -> None:
        """Halve what may have killed a process, or record the culprit if it is alone."""
        unit, kind = job.unit, kind_of(job.unit)
        cause = ended.cause + f" while it {kind.doing}" * (ended.how is not How.ENDED)
        where = ""
        if job.broke is not None and ended.how is How.DIED:
            cause, where = job.broke.cause, job.broke.traceback
        self._note("process died", unit=unit.name, cause=cause)
        rest = [c for c in kind.unsettled(unit, self._store) if c not in job.ended]
        spoken_for = [claim for claim in unit.claims if claim not in rest]
        if kind.divisible and len(rest) > 1:
            self._divide(unit, halves(unit, rest))
        else:
            spent = self._clock() - job.since
            failure = Failure(cause, ended.printed, spent, job.begun, where, ended.peak_memory)
            kind.fail(unit, rest, failure, self._settings, self._told.append)
            spoken_for = list(unit.claims)
        self._try_again(unit, spoken_for)

    def _try_again(self, unit: Unit, claims: Sequence[str]) -> None:
        """Put failed cells back as long as they have retries left, each by itself."""
        kind = kind_of(unit)
        if not kind.divisible or not self._limits.retries or self._stopping:
            return
        again = []
        for claim in kind.unsettled(unit, self._store):
            if claim in claims:
                self._failures[claim] += 1
                if self._failures[claim] <= self._limits.retries:
                    again.append(unit.alone([claim]))
        if again:
            self._divide(unit, again)

    def _divide(self, unit: Unit, parts: Sequence[Unit]) -> None:
        self._work.put_back(parts)
        self._told.append(UnitDivided(unit.name, tuple(parts)))
        self._note("unit divided", unit=unit.name, parts=[list(part.claims) for part in parts])

    def _note(self, event: str, **details: object) -> None:
        journal.append(self._store.layout.journal, event, **details)


def halves(unit: Unit, claims: Sequence[str]) -> list[Unit]:
    """Two units of the cells that may have killed a process: one of them has the culprit."""
    middle = -(-len(claims) // 2)
    return [unit.alone(claims[:middle]), unit.alone(claims[middle:])]


def _no_process(ended: Ended, count: int) -> WorkerError:
    last = " | ".join(line.strip() for line in ended.printed.splitlines()[-3:] if line.strip())
    doing = " while it started" * (ended.how is How.DIED)
    return WorkerError(
        f"no worker process comes up: {ended.cause}{doing}, as did the {count - 1} before it"
        + (f"; it printed last: {last}" if last else "")
        + "; --inline runs the suite in one process and shows where"
    )
