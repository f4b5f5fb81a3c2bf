"""Units in this very process: for debuggers and tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from gzsl_bench.engine.events import Event, UnitEnded, WorkerSettings
from gzsl_bench.engine.kinds import kind_of
from gzsl_bench.engine.worker import Worker
from gzsl_bench.executors.crew import Ended, Job, Tell
from gzsl_bench.executors.dispatcher import Executor
from gzsl_bench.executors.interrupts import Interrupts
from gzsl_bench.executors.limits import Limits
from gzsl_bench.executors.request import Request
from gzsl_bench.hooks.manager import Registry


def chosen_device(request: Request) -> str | None:
    """Where to train, unless it is on a device of this machine.

    Raises:
        ValueError: options that do not go together.
    """
    request.refuse_cluster()
    if request.limits != Limits():
        raise ValueError(
            "--timeout, --memory-limit and --retries need worker processes; leave --inline out"
        )
    return None


def make_executor(request: Request, registry: Registry, workers: int) -> Executor:
    """The executor; there is one worker, this process."""
    return inline_executor(registry)


def inline_executor(registry: Registry, limits: Limits | None = None) -> Executor:
    """One unit after the other, no isolation: nothing here can end a cell that takes too long."""
    return Executor(partial(InlineCrew, registry), limits or Limits())


class InlineCrew:
    """This process; see :class:`~gzsl_bench.executors.crew.Crew`."""

    def __init__(
        self, registry: Registry, settings: WorkerSettings, interrupts: Interrupts
    ) -> None:
        self._job: Job | None = None
        self._hear: Callable[[Event], None]
        self._worker = Worker(
            registry,
            settings,
            lambda event: self._hear(event),
            should_stop=lambda: interrupts.count > 0,
        )

    def room(self, wanted: int) -> int:
        """One at a time."""
        return int(self._job is None)

    def start(self, job: Job) -> None:
        """Take a job up; it is done while we are listened to."""
        self._job = job

    def hear(self, seconds: float, tell: Tell) -> None:
        """Do what there is to do."""
        job, self._job = self._job, None
        if job is None:
            time.sleep(seconds)
            return
        self._hear = lambda event: tell(job, event)
        try:
            kind_of(job.unit).run(self._worker, job.unit)
        except KeyboardInterrupt:
            tell(job, UnitEnded(job.unit.name, interrupted=True))
            tell(job, Ended())
            raise
        tell(job, Ended())

    def stop(self) -> None:
        """Whoever works here sees for himself."""

    def end(self, job: Job, verdict: str) -> None:
        """Nobody can look at a clock while this process is at work."""

    def close(self) -> None:
        """Nothing is left."""
