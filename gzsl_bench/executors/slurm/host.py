"""What runs in a job: host to the process of one unit, a crew of one as on any machine."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import time
from dataclasses import dataclass, replace

from gzsl_bench.engine.events import Event, UnitEnded, WorkerSettings
from gzsl_bench.engine.units import Unit
from gzsl_bench.executors.crew import Ended, How, Job
from gzsl_bench.executors.early import early
from gzsl_bench.executors.local import LocalCrew
from gzsl_bench.executors.slurm.mail import Box, Pulse, Writer
from gzsl_bench.version import __version__

#: Seconds between two looks at what the run wants.
_LOOK = 0.2
#: How often the job was started before, where Slurm says so.
_RESTARTS = "SLURM_RESTART_COUNT"
#: Seconds in which whoever killed the unit's process comes to us, if it is Slurm.
_SETTLE = 1.0


@dataclass(frozen=True)
class Hello:
    """A job has begun.

    Attributes:
        version: of gzsl-bench on its node.
        node: the node's name.
    """

    version: str
    node: str


@dataclass(frozen=True)
class Bye:
    """The unit's process ended by itself, and not because Slurm is ending the whole job."""


@dataclass(frozen=True)
class Host:
    """The function of a job.

    Attributes:
        box: where messages lie.
        name: the job's.
        settings: of the run; the results folder and the data are where they are for the run.
        unit: to train.
        memory: bytes for the unit's process and its children; None for no limit.
    """

    box: Box
    name: str
    settings: WorkerSettings
    unit: Unit
    memory: int | None

    def __call__(self) -> None:
        """Train the unit, tell what happens, do what the run wants."""
        writer = Writer(self.box.said(self.name, int(os.environ.get(_RESTARTS, "0") or 0)))
        node = platform.node()
        writer.send(Hello(__version__, node))
        with early() as ahead:
            crew = LocalCrew(1, self.settings, self.memory, ahead.take())
        pulse = Pulse(self.box)
        done = ended = leaving = suspicious = False

        def leave(number: int, frame: object) -> None:
            nonlocal leaving
            leaving = True

        # Slurm's way to say that the job has to go: the unit is not to be blamed for its end.
        signal.signal(signal.SIGTERM, leave)

        def tell(job: Job | None, message: Event | Ended) -> None:
            nonlocal done, ended, suspicious
            done = done or isinstance(message, UnitEnded)
            if isinstance(message, Ended):
                ended, suspicious = True, not done and message.how is not How.ENDED
                there = f"the worker process on node {node}"
                message = replace(
                    message, cause=message.cause.replace("the worker process", there, 1)
                )
            writer.send(message)

        job, stopping = Job(self.unit, time.monotonic()), False
        try:
            crew.start(job)
            while not (ended or leaving or pulse.gone()):
                if not stopping and self.box.halt.exists():
                    stopping = True
                    crew.stop()
                if not job.condemned:
                    with contextlib.suppress(OSError):
                        verdict = self.box.verdict(self.name).read_text(encoding="utf-8")
                        job.condemned = True
                        crew.end(job, verdict)
                crew.hear(_LOOK, tell)
            deadline = time.monotonic() + (_SETTLE if suspicious else 0.0)
            while not leaving and time.monotonic() < deadline:
                time.sleep(_SETTLE / 10)
            if ended and not leaving:
                writer.send(Bye())
        finally:
            crew.close()

    def checkpoint(self) -> object:
        """Begin again when Slurm takes the node away: what has a record is not trained again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)
