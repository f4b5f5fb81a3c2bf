"""The nodes of a Ray cluster as a crew: hosts on them are started, given units, listened to."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gzsl_bench.engine.events import Notice, WorkerSettings
from gzsl_bench.engine.kinds import kind_of
from gzsl_bench.engine.outlet import FolderOutlet, Kept
from gzsl_bench.engine.taskdata import load_task, task_name
from gzsl_bench.errors import WorkerError, in_one_line
from gzsl_bench.executors.crew import Crew, Ended, How, Job, Tell
from gzsl_bench.executors.dispatcher import Executor
from gzsl_bench.executors.interrupts import Interrupts
from gzsl_bench.executors.limits import Limits
from gzsl_bench.executors.ray.cluster import (
    TaskStore,
    alive,
    capacity,
    connected,
    largest,
    require,
)
from gzsl_bench.executors.ray.host import Hello, Host, Message, Placed
from gzsl_bench.executors.ray.plugins import pack
from gzsl_bench.executors.request import Request
from gzsl_bench.executors.resources import Resources
from gzsl_bench.hooks.manager import Registry
from gzsl_bench.version import __version__

#: Seconds between two looks at the size of the cluster, and without any host before the user hears
#: of it, and for hosts to clear up.
_COUNT, _QUIET, _FAREWELL = 5.0, 20.0, 15.0
#: Calls that a host answers side by side.
_CALLS = 6


def chosen_device(request: Request) -> str | None:
    """Where to train: as the resources say.

    Raises:
        ValueError: options that do not go together.
    """
    request.refuse_slurm()
    if request.threads is not None:
        raise ValueError(
            "--threads is for workers of this machine; on Ray a worker computes with as many"
            " threads as it asks for cores: --resources cpu=N"
        )
    if request.device not in ("auto", "cpu", "cuda"):
        raise ValueError(
            f"--device {request.device}: on Ray the scheduler chooses the GPU; use auto, cpu or"
            " cuda"
        )
    wanted = _resources(request)
    if request.device not in ("auto", wanted.device):
        raise ValueError(
            f"--device {request.device} and --resources {wanted} contradict each other"
        )
    return wanted.device


def make_executor(request: Request, registry: Registry, workers: int) -> Executor:
    """The executor; how many workers there are is a matter of the cluster, unless the user says.

    Raises:
        GzslBenchError: Ray is not installed.
    """
    return ray_executor(
        registry,
        _resources(request),
        address=request.address,
        jobs=request.jobs,
        limits=request.limits,
    )


def _resources(request: Request) -> Resources:
    return request.resources or Resources(gpu=1.0 if request.device == "cuda" else 0.0)


def ray_executor(
    registry: Registry,
    resources: Resources,
    *,
    address: str | None = None,
    jobs: int | None = None,
    limits: Limits | None = None,
) -> Executor:
    """Processes on the nodes of a cluster, as many as it holds.

    It looks whether Ray is there; the cluster is connected to when there is something to run.

    Args:
        registry: the plugins of this machine, which reads the data.
        resources: of one process.
        address: of the cluster; see :func:`connected`.
        jobs: most processes; asked for even if the cluster cannot hold so many yet.
        limits: of a cell.

    Raises:
        GzslBenchError: Ray is not installed.
    """
    require(address)
    limits = limits or Limits()

    def make(settings: WorkerSettings, interrupts: Interrupts) -> Crew:
        settings = replace(
            settings,
            device=resources.device,
            threads=resources.threads,
            share=resources.gpu or 1.0,
        )
        with contextlib.ExitStack() as connection:
            ray = connection.enter_context(connected(address))
            store = TaskStore(ray, lambda cell: load_task(cell, registry, settings))
            crew = RayCrew(ray, resources, jobs, settings, limits.memory, store)
            crew.connection = connection.pop_all()
        return crew

    return Executor(make, limits)


@dataclass(eq=False)
class _Remote:
    """A host as the driver sees it.

    Attributes:
        actor: its handle.
        waiting: what it has been asked and has not answered, and what to do with the answer.
        hello: who it is, once it is up.
        job: what it is on.
        task: name of the task of that.
    """

    actor: Any
    waiting: dict[Any, Callable[[Any, Tell], None]] = field(default_factory=dict)
    hello: Hello | None = None
    job: Job | None = None
    task: str = ""


class RayCrew:
    """Hosts on the nodes; see :class:`~gzsl_bench.executors.crew.Crew`.

    Args:
        ray: the module, connected.
        resources: of one process.
        jobs: most processes; None for as many as the nodes hold.
        settings: of the driver.
        memory: bytes for each process and its children; None for no limit.
        store: the tasks' arrays in the object store.

    Attributes:
        connection: closed at the end.
    """

    def __init__(
        self,
        ray: Any,
        resources: Resources,
        jobs: int | None,
        settings: WorkerSettings,
        memory: int | None,
        store: TaskStore,
    ) -> None:
        """Look whether the cluster can hold a process at all.

        Raises:
            WorkerError: it cannot.
        """
        self.connection = contextlib.ExitStack()
        self._ray, self._resources, self._jobs, self._store = ray, resources, jobs, store
        self._outlet = FolderOutlet(settings)
        self._hosts: list[_Remote] = []
        self._placed: dict[tuple[str, str], Placed] = {}  # by node and name of a task
        self._counted = (time.monotonic(), capacity(ray, resources))
        self._alone_since: float | None = time.monotonic()
        if not self._counted[1] and not jobs:
            raise WorkerError(
                f"no node of the Ray cluster holds a worker with {resources}: nodes have"
                f" {largest(ray)}; ask for less with --resources, or give --jobs to wait for"
                " nodes that come later"
            )
        options: dict[str, Any] = {
            "num_cpus": resources.cpu,
            "num_gpus": resources.gpu,
            "max_restarts": 0,
            "max_concurrency": _CALLS,
            "scheduling_strategy": "SPREAD",
        }
        if resources.memory:
            options["memory"] = resources.memory
        actor = ray.remote(Host).options(**options)
        plugins = pack(settings.plugins)
        self._begin: Callable[[], Any] = lambda: actor.remote(settings, plugins, memory)

    def room(self, wanted: int) -> int:
        """How many hosts have nothing to do; as many as wanted, and held, are started."""
        idle = sum(host.hello is not None and host.job is None for host in self._hosts)
        starting = sum(host.hello is None for host in self._hosts)
        for _ in range(min(self._most() - len(self._hosts), wanted - idle - starting)):
            host = _Remote(self._begin())
            self._ask(host, host.actor.hello, self._welcome)
            self._hosts.append(host)
        return idle

    def start(self, job: Job) -> None:
        """Have a host start a process for a job's unit."""
        host = next(host for host in self._hosts if host.hello and host.job is None)
        assert host.hello is not None
        first = job.unit.cells[0]
        host.job, host.task = job, task_name(first)
        compared = kind_of(job.unit).compared(job.unit)
        supplied = self._outlet.supply(job.unit, compared)
        data = None
        try:
            in_use = {other.task for other in self._hosts if other.job is not None}
            data = self._store.reference(first, in_use)
        # Data that are gone or changed fail their cells, as they do on this machine.
        except Exception as error:
            supplied = replace(supplied, fault=in_one_line(error))
        placed = self._placed.get((host.hello.node, host.task))
        self._ask(host, host.actor.start, None, job.unit, supplied, host.task, data, placed)

    def hear(self, seconds: float, tell: Tell) -> None:
        """Pass on what hosts say; waits for something to be said, but no longer."""
        self._complain(tell)
        asked = {ref: host for host in self._hosts for ref in host.waiting}
        if not asked:
            time.sleep(seconds)
            return
        ready, _ = self._ray.wait(list(asked), timeout=seconds)
        if ready:  # whoever else has answered by now
            ready, _ = self._ray.wait(list(asked), num_returns=len(asked), timeout=0)
        for ref in ready:
            host = asked[ref]
            if host not in self._hosts:
                continue  # it is gone since
            then = host.waiting.pop(ref)
            try:
                answer = self._ray.get(ref)
            except self._ray.exceptions.RayError as error:
                self._lost(host, error, tell)
            else:
                then(answer, tell)

    def stop(self) -> None:
        """Have all processes stop at the next report of their methods."""
        for host in self._hosts:
            host.actor.stop.remote()

    def end(self, job: Job, verdict: str) -> None:
        """End a process, whatever it is doing; its end is told with the others."""
        host = next(host for host in self._hosts if host.job is job)
        host.actor.end.remote(verdict)

    def close(self) -> None:
        """Let all hosts go; those that answer leave nothing behind."""
        with contextlib.suppress(Exception):
            up = [host.actor.close.remote() for host in self._hosts if host.hello]
            self._ray.wait(up, num_returns=len(up), timeout=_FAREWELL)
        for host in self._hosts:
            with contextlib.suppress(Exception):
                self._ray.kill(host.actor)
        self._hosts.clear()
        self.connection.close()

    def _ask(self, host: _Remote, method: Any, then: Any, *arguments: Any) -> None:
        """Call a host; ``then`` takes its answer, if it gives any."""
        ref = method.remote(*arguments)
        host.waiting[ref] = lambda answer, tell: then(host, answer, tell) if then else None

    def _welcome(self, host: _Remote, hello: Hello, tell: Tell) -> None:
        if hello.version != __version__:
            raise WorkerError(
                f"node {hello.address} of the Ray cluster has gzsl-bench {hello.version}, this is"
                f" {__version__}; install the same version there"
            )
        host.hello = hello
        self._ask(host, host.actor.news, self._news)

    def _news(self, host: _Remote, messages: Sequence[Message], tell: Tell) -> None:
        assert host.hello is not None
        for message in messages:
            if isinstance(message, Kept):
                self._outlet.keep(message)
            elif isinstance(message, Placed):
                self._placed[host.hello.node, message.name] = message
            elif isinstance(message, Ended):
                job, host.job = host.job, None
                tell(job, message)
            else:
                tell(host.job, message)
        self._ask(host, host.actor.news, self._news)

    def _lost(self, host: _Remote, error: BaseException, tell: Tell) -> None:
        """A host died, or cannot be reached any more; its process ends with it."""
        self._hosts.remove(host)
        with contextlib.suppress(Exception):  # should it live after all, it must not go on
            self._ray.kill(host.actor)
        why = _in_ray_words(error)
        if host.hello is None:
            tell(None, Ended(How.ENDED, f"a worker on the Ray cluster ended as it began ({why})"))
        elif host.job is not None:
            what = f"node {host.hello.address} was lost"
            if alive(self._ray, host.hello.node):
                what = f"the host of the worker process on node {host.hello.address} died ({why})"
            tell(host.job, Ended(How.LOST, what))

    def _complain(self, tell: Tell) -> None:
        """Say once if the cluster gives us nothing."""
        if not self._hosts or any(host.hello for host in self._hosts):
            self._alone_since = time.monotonic()
        elif self._alone_since is not None and time.monotonic() - self._alone_since > _QUIET:
            self._alone_since = None
            text = f"waiting for the Ray cluster to start a worker with {self._resources}"
            tell(None, Notice(text))

    def _most(self) -> int:
        if self._jobs:
            return self._jobs
        when, room = self._counted
        if time.monotonic() - when > _COUNT:  # nodes come and go
            room = capacity(self._ray, self._resources)
            self._counted = (time.monotonic(), room)
        return max(1, room)


def _in_ray_words(error: BaseException) -> str:
    """The part of Ray's page-long explanation that explains."""
    for pattern in (
        r"Worker exit detail: (.+?)(?: Some common causes include.*)?$",
        r"^(\w+(?:Error|Exception)\b.*)$",
    ):
        found: list[str] = re.findall(pattern, str(error), re.MULTILINE)
        if found:
            return " ".join(found[-1].split()).rstrip(".")
    return in_one_line(error)
