"""Jobs of Slurm as a crew: submitted as arrays, listened to, ended, given up where they vanish."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gzsl_bench.engine.events import Notice, WorkerSettings
from gzsl_bench.errors import GzslBenchError, WorkerError, in_one_line
from gzsl_bench.executors.crew import Ended, How, Job, Tell
from gzsl_bench.executors.dispatcher import Executor
from gzsl_bench.executors.limits import Limits
from gzsl_bench.executors.request import Request
from gzsl_bench.executors.resources import Resources
from gzsl_bench.executors.slurm.host import Bye, Hello, Host
from gzsl_bench.executors.slurm.mail import PULSE, Box, Reader
from gzsl_bench.executors.slurm.wishes import Wishes, parse_wishes
from gzsl_bench.hooks.manager import Registry
from gzsl_bench.records.layout import Layout
from gzsl_bench.version import __version__

#: Jobs in the queue or at work, unless --jobs says otherwise.
MOST = 64
#: Seconds between two looks at Slurm's list of jobs.
_LIST = 5.0
#: So often in a row a job has to be missing there: a list may be taken while it is requeued.
_MISSED = 2
#: Seconds that a job gets to end by itself once it is told to.
_GRACE = 30.0
#: Seconds that files get to appear on another node.
_LAG = 0.25
#: Seconds without any job at work before the user hears that they wait.
_QUIET = 60.0
#: Letters of what a job printed.
_PRINTED = 4000
_ENDED = {"COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "BOOT_FAIL", "DEADLINE",
          "OUT_OF_MEMORY", "PREEMPTED", "REVOKED"}  # fmt: skip


def chosen_device(request: Request) -> str | None:
    """Where to train: as jobs ask for it.

    Raises:
        ValueError: options that do not go together.
    """
    if request.threads is not None:
        raise ValueError(
            "--threads is for workers of this machine; a job of Slurm computes with as many threads"
            " as it asks for cores: --slurm cpu=N"
        )
    if request.address is not None:
        raise ValueError("--ray-address needs --executor ray")
    if request.device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"--device {request.device}: Slurm chooses the GPU; use auto, cpu or cuda")
    wanted = _wishes(request)[""].resources
    if request.device not in ("auto", wanted.device):
        raise ValueError(f"--device {request.device} and {wanted} contradict each other")
    return wanted.device


def make_executor(request: Request, registry: Registry, workers: int) -> Executor:
    """The executor.

    Raises:
        GzslBenchError: submitit, or Slurm, is not there.
    """
    if shutil.which("sbatch") is None:
        raise GzslBenchError(
            "there is no sbatch here: --executor slurm needs a node of the cluster"
        )
    return slurm_executor(_wishes(request), jobs=request.jobs, limits=request.limits)


def slurm_executor(
    wishes: Mapping[str, Wishes] | None = None,
    *,
    jobs: int | None = None,
    limits: Limits | None = None,
    cluster: str = "slurm",
) -> Executor:
    """A job for each unit.

    Args:
        wishes: what jobs ask for, by label of the method; "" is for all others.
        jobs: most of them in the queue or at work.
        limits: of a cell.
        cluster: as submitit calls it; ``local`` is this machine, for tests.

    Raises:
        GzslBenchError: submitit is not installed.
    """
    try:
        import submitit
    except ImportError:
        raise GzslBenchError(
            "--executor slurm needs submitit; install it with: pip install 'gzsl-bench[slurm]'"
        ) from None
    limits = limits or Limits()
    asked = wishes or {"": Wishes()}
    return Executor(
        lambda settings, _: SlurmCrew(submitit, cluster, asked, jobs or MOST, settings, limits),
        limits,
    )


def _wishes(request: Request) -> dict[str, Wishes]:
    basis = request.resources or Resources(gpu=1.0 if request.device == "cuda" else 0.0)
    return parse_wishes(request.slurm, basis)


@dataclass(eq=False)
class _Submitted:
    """A job as the run sees it.

    Attributes:
        job: the unit's.
        name: of its messages.
        reader: reads them.
        handle: submitit's; None before it was submitted.
        hello: who it is, once it has begun.
        ended: how its process ended; told once it is known that the job did not end with it.
        missed: how often in a row it was not among the living.
        condemned: since when it has been told to end.
        verdict: why.
    """

    job: Job
    name: str
    reader: Reader
    handle: Any = None
    hello: Hello | None = None
    ended: Ended | None = None
    missed: int = 0
    condemned: float | None = None
    verdict: str = ""


class SlurmCrew:
    """Jobs of Slurm; see :class:`~gzsl_bench.executors.crew.Crew`.

    Args:
        submitit: the module.
        cluster: as it calls it.
        wishes: what jobs ask for, by label.
        most: jobs in the queue or at work.
        settings: of the run.
        limits: of a cell.
    """

    def __init__(
        self,
        submitit: Any,
        cluster: str,
        wishes: Mapping[str, Wishes],
        most: int,
        settings: WorkerSettings,
        limits: Limits,
    ) -> None:
        self._submitit, self._cluster, self._wishes = submitit, cluster, wishes
        self._most, self._settings, self._limits = most, settings, limits
        self._folder = Layout(settings.out.resolve()).draft(settings.run, "slurm")
        self._folder.mkdir(parents=True, mode=0o700)
        self._box = Box(self._folder)
        self._jobs: dict[Job, _Submitted] = {}
        self._waiting: list[_Submitted] = []
        self._listed = self._pulsed = float("-inf")
        self._alone_since: float | None = time.monotonic()

    def room(self, wanted: int) -> int:
        """How many more jobs may be submitted."""
        return self._most - len(self._jobs)

    def start(self, job: Job) -> None:
        """Note a job; those that come together are submitted as one array."""
        name = uuid.uuid4().hex[:12]
        found = _Submitted(job, name, Reader(self._box, name))
        self._jobs[job] = found
        self._waiting.append(found)

    def hear(self, seconds: float, tell: Tell) -> None:
        """Submit what waits, pass on what jobs say, and look for those that are gone."""
        self._beat()
        if self._waiting:
            self._submit(tell)
        deadline = time.monotonic() + seconds
        while True:
            heard = [self._hear_one(found, tell) for found in list(self._jobs.values())]
            if any(heard) or time.monotonic() >= deadline:
                break
            time.sleep(_LAG)
        if time.monotonic() - self._listed >= _LIST:
            self._look_for_all(tell)

    def stop(self) -> None:
        """Have all jobs stop at the next report of their methods; those in the queue go."""
        self._box.halt.touch()
        for found in self._jobs.values():
            if found.hello is None:
                self.end(found.job, "cancelled")

    def end(self, job: Job, verdict: str) -> None:
        """End a job, whatever it is doing; its end is told with the others."""
        found = self._jobs[job]
        found.verdict, found.condemned = verdict, time.monotonic()
        if found.hello is None:
            self._cancel(found)
            found.condemned -= _GRACE
        else:
            self._box.condemn(found.name, verdict)

    def close(self) -> None:
        """Cancel what is left, and leave no messages behind."""
        for found in self._jobs.values():
            self._cancel(found)
            found.reader.close()
        self._jobs.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _submit(self, tell: Tell) -> None:
        """Those that ask for the same as one array each."""
        waiting, self._waiting = self._waiting, []
        groups: dict[str, list[_Submitted]] = {}
        for found in waiting:
            label = found.job.unit.cells[0].label
            groups.setdefault(label if label in self._wishes else "", []).append(found)
        for label, group in groups.items():
            wished = self._wishes[label]
            executor = self._submitit.AutoExecutor(self._folder / "jobs", cluster=self._cluster)
            executor.update_parameters(name="gzsl-bench", **wished.parameters())
            settings = replace(
                self._settings,
                out=self._settings.out.resolve(),
                device=wished.resources.device,
                threads=wished.resources.threads,
            )
            hosts = [
                Host(self._box, found.name, settings, found.job.unit, self._limits.memory)
                for found in group
            ]
            try:
                with executor.batch():
                    handles = [executor.submit(host) for host in hosts]
            # Whatever sbatch says; as a process that the system does not let us start.
            except Exception as error:
                for found in group:
                    self._over(found, Ended(How.KILLED, _in_sbatch_words(error)), tell)
                continue
            for found, handle in zip(group, handles, strict=True):
                found.handle = handle

    def _hear_one(self, found: _Submitted, tell: Tell) -> bool:
        """Pass on what a job has said; whether it said anything."""
        spoke = False
        for message in found.reader.new():
            spoke = True
            if isinstance(message, Hello):
                if message.version != __version__:
                    raise WorkerError(
                        f"node {message.node} has gzsl-bench {message.version}, this is"
                        f" {__version__}; install the same version there"
                    )
                found.hello, found.ended, found.missed = message, None, 0
                # One that was requeued has the time of a new process.
                found.job.since, found.job.begun = time.monotonic(), None
            elif isinstance(message, Ended):
                found.ended = message
            elif isinstance(message, Bye):
                assert found.ended is not None
                self._over(found, found.ended, tell)
                return True
            else:
                tell(found.job, message)
        if found.hello is None and found.condemned is None:
            found.job.since = time.monotonic()  # a queue is no hurry
        if found.condemned is not None and time.monotonic() - found.condemned > _GRACE:
            self._cancel(found)
            self._over(found, Ended(How.ENDED, found.verdict, self._printed(found)), tell)
        return spoke

    def _look_for_all(self, tell: Tell) -> None:
        """Give up jobs that Slurm knows no more, or that have ended without a word."""
        living = self._living()
        self._listed = time.monotonic()
        if living is None:
            return  # Slurm did not answer; it may be restarted
        for found in list(self._jobs.values()):
            if found.handle is None or found.handle.job_id in living:
                found.missed = 0
                continue
            found.missed += 1
            if found.missed < _MISSED or self._hear_one(found, tell) or found.job not in self._jobs:
                continue
            number = found.handle.job_id
            if found.hello is None:
                cause = f"job {number} ended before it began"
                self._over(found, Ended(How.DIED, cause, self._printed(found)), tell)
            else:
                cause = f"job {number} on node {found.hello.node} was lost"
                self._over(found, Ended(How.LOST, cause, self._printed(found)), tell)
        if not self._jobs or any(found.hello for found in self._jobs.values()):
            self._alone_since = time.monotonic()
        elif self._alone_since is not None and time.monotonic() - self._alone_since > _QUIET:
            self._alone_since = None
            tell(None, Notice(f"{len(self._jobs)} jobs wait in Slurm's queue"))

    def _living(self) -> set[str] | None:
        """Ids of the jobs that are in the queue or at work; None where nobody knows."""
        if self._cluster != "slurm":
            handles = (found.handle for found in self._jobs.values() if found.handle is not None)
            return {handle.job_id for handle in handles if not handle.done()}
        # sacct, which submitit asks, needs a data base of jobs that many clusters lack.
        command = ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T",
                   f"--user={os.getuid()}"]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            return None
        if done.returncode:
            return None
        lines = (line.strip().split("|") for line in done.stdout.splitlines() if "|" in line)
        return {number for number, state in lines if state not in _ENDED}

    def _over(self, found: _Submitted, ended: Ended, tell: Tell) -> None:
        found.reader.close()
        del self._jobs[found.job]
        tell(found.job, ended)

    def _cancel(self, found: _Submitted) -> None:
        if found in self._waiting:
            self._waiting.remove(found)
        if found.handle is not None:
            with contextlib.suppress(Exception):
                found.handle.cancel(check=False)

    def _printed(self, found: _Submitted) -> str:
        """The end of what a job's own process printed."""
        texts = []
        with contextlib.suppress(Exception):
            texts = [found.handle.stdout() or "", found.handle.stderr() or ""]
        return "\n".join(text.strip() for text in texts)[-_PRINTED:]

    def _beat(self) -> None:
        if time.monotonic() - self._pulsed > PULSE:
            self._pulsed = time.monotonic()
            self._box.pulse.touch()


def _in_sbatch_words(error: BaseException) -> str:
    """The line in which sbatch says what is wrong."""
    found = re.findall(r"sbatch: error: (.+)", str(error))
    return f"sbatch: {found[-1]}" if found else in_one_line(error)
