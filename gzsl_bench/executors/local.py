"""Processes of this machine."""

from __future__ import annotations

import signal
import time
from multiprocessing import connection

from gzsl_bench.engine.events import UnitEnded, WorkerSettings
from gzsl_bench.engine.outlet import Supplied
from gzsl_bench.executors import processes
from gzsl_bench.executors.crew import Ended, How, Job, Tell
from gzsl_bench.executors.dispatcher import Executor
from gzsl_bench.executors.early import Early
from gzsl_bench.executors.forks import ForkServer, Server
from gzsl_bench.executors.limits import Limits
from gzsl_bench.executors.memory import MemoryWatch
from gzsl_bench.executors.request import Request
from gzsl_bench.executors.supervised import GRACE, Supervised
from gzsl_bench.hooks.manager import Registry


def chosen_device(request: Request) -> str | None:
    """Where to train, unless it is on a device of this machine.

    Raises:
        ValueError: options that do not go together.
    """
    request.refuse_cluster()
    if request.limits.memory is not None and not processes.available():
        raise ValueError("--memory-limit needs a system with /proc, such as Linux")
    return None


def make_executor(request: Request, registry: Registry, workers: int) -> Executor:
    """The executor for so many workers side by side."""
    return local_executor(workers, request.limits, request.early)


def local_executor(jobs: int, limits: Limits | None = None, early: Early | None = None) -> Executor:
    """Up to ``jobs`` processes of this machine side by side; ``early`` has the first server."""
    limits = limits or Limits()
    take = early.take if early else lambda: None
    return Executor(lambda settings, _: LocalCrew(jobs, settings, limits.memory, take()), limits)


class LocalCrew:
    """Processes of this machine; see :class:`~gzsl_bench.executors.crew.Crew`.

    Args:
        most: processes side by side.
        settings: of the processes.
        memory: bytes for each of them and its children; None for no limit.
        waiting: forks them, if it has been started already.

    Attributes:
        server: forks them, and has the tasks for them.
    """

    def __init__(
        self,
        most: int,
        settings: WorkerSettings,
        memory: int | None = None,
        waiting: Server | None = None,
    ) -> None:
        self._most = most
        self.server = ForkServer(settings, waiting)
        self._processes: dict[Job, Supervised] = {}
        self._watch = MemoryWatch(self._processes, memory)

    def room(self, wanted: int) -> int:
        """How many more units can be started now."""
        return self._most - len(self._processes)

    def start(self, job: Job, supplied: Supplied | None = None) -> None:
        """Start a process for a job's unit.

        Args:
            job: the job.
            supplied: what it must know of the results folder; None where it can look there itself.
        """
        self._processes[job] = Supervised.start(self.server, job.unit, supplied)
        self.server.shelf.trim()

    def hear(self, seconds: float, tell: Tell) -> None:
        """Pass on what has been said; waits for something to be said, but no longer."""
        handles: dict[object, Job] = {}
        for job, process in self._processes.items():
            handles |= {process.pipe: job, process.process.sentinel: job}
        ready = connection.wait(list(handles), timeout=seconds)  # type: ignore[arg-type]
        found = dict.fromkeys(handles[handle] for handle in ready)
        # What a dead process forked may keep its pipe and sentinel open.
        found |= {job: None for job, p in self._processes.items() if not p.process.is_alive()}
        for job in found:
            self._hear_one(job, self._processes[job], tell)

    def _hear_one(self, job: Job, process: Supervised, tell: Tell) -> None:
        over = closed = False
        try:
            while not over and process.pipe.poll():
                event = process.pipe.recv()
                over = isinstance(event, UnitEnded)
                tell(job, event)
        except (EOFError, OSError):
            closed = True  # a closed pipe stays readable: only reading it tells
        if over or closed or not process.process.is_alive():
            tell(job, self._bury(job, process, over))

    def _bury(self, job: Job, process: Supervised, over: bool) -> Ended:
        if not over:
            process.process.join(GRACE)
            if process.process.is_alive():
                process.end("the worker process closed its connection")
        del self._processes[job]
        printed = process.close()
        return Ended(_how(process), process.cause(), printed, process.process.peak_memory)

    def stop(self) -> None:
        """Have all processes stop at the next report of their methods."""
        self.server.stop.set()

    def end(self, job: Job, verdict: str) -> None:
        """End a process, whatever it is doing; its end is told with the others."""
        self._processes[job].end(verdict)

    def close(self) -> None:
        """End the processes that still run."""
        self._watch.stop()
        for process in self._processes.values():
            process.process.terminate()
        deadline = time.monotonic() + GRACE
        for process in self._processes.values():
            process.process.join(max(0.0, deadline - time.monotonic()))
            process.close()
        self._processes.clear()
        self.server.close()
        self.server.shelf.clear()


def _how(process: Supervised) -> How:
    if process.verdict is not None:
        return How.ENDED
    killed = process.process.exitcode in (-signal.SIGKILL, -signal.SIGTERM)
    return How.KILLED if killed else How.DIED
