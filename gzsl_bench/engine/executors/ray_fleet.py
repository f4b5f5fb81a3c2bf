"""The workers of a run on a Ray cluster: started, asked, waited for, ended."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

from gzsl_bench import __version__
from gzsl_bench.engine.events import WorkerSettings
from gzsl_bench.engine.executors.ray_cluster import alive, capacity, largest
from gzsl_bench.engine.executors.ray_plugins import PluginFiles
from gzsl_bench.engine.executors.ray_worker import Hello, Message, Order, Trainer, post_mortem
from gzsl_bench.engine.executors.resources import Resources
from gzsl_bench.engine.units import Unit
from gzsl_bench.errors import WorkerError

#: Seconds between two looks at the size of the cluster.
_COUNT = 5.0
#: Seconds for questions to nodes that may be dead, and for workers to clear up.
_ANSWER, _FAREWELL = 60.0, 5.0
#: Calls that a worker answers side by side: hello, give, news, stop, close.
_CALLS = 5


@dataclass(eq=False)
class Remote:
    """A worker somewhere.

    Attributes:
        actor: its handle.
        waiting: what it has been asked and has not answered, and what to do with the answer.
        hello: who it is, once it is up.
        unit: what it was given and has not ended.
        task: name of the task it is on.
        begun: it has said that it took the unit up.
        since: when the unit was given, taken up, or its last cell ended (monotonic seconds).
        used: it has taken up a unit before.
    """

    actor: Any
    waiting: dict[Any, Callable[[Any], None]] = field(default_factory=dict)
    hello: Hello | None = None
    unit: Unit | None = None
    task: str = ""
    begun: bool = False
    since: float = 0.0
    used: bool = False

    @property
    def place(self) -> str:
        """The address of its node."""
        return self.hello.address if self.hello else "unknown"

    def give(self, order: Order, task: str, data: Any) -> None:
        """Hand a unit over, with a reference to the arrays of its task."""
        self.unit, self.task, self.begun = order.unit, task, False
        self.since = time.monotonic()
        # It answers nothing, but the arrays may be lost on their way.
        self.waiting[self.actor.give.remote(order, data)] = lambda _: None


#: A worker, and what it answered or why it did not.
Answer: TypeAlias = "tuple[Remote, Callable[[], None] | None, BaseException | None]"


class Fleet:
    """As many workers as the cluster holds and the work needs.

    Args:
        ray: the module, connected.
        resources: of one worker.
        jobs: most workers; asked for even if the cluster cannot hold so many yet.
        settings: of the driver.
        plugins: plugin files.
        timeout: of a cell.
        take_in: hears a worker's news.
    """

    def __init__(
        self,
        ray: Any,
        resources: Resources,
        jobs: int | None,
        settings: WorkerSettings,
        plugins: tuple[PluginFiles, ...],
        timeout: float | None,
        take_in: Callable[[Remote, Sequence[Message]], None],
    ) -> None:
        """Look whether the cluster can hold a worker at all.

        Raises:
            WorkerError: it cannot.
        """
        self.ray, self.resources = ray, resources
        self.workers: list[Remote] = []
        self._jobs, self._take_in = jobs, take_in
        self._counted = (time.monotonic(), capacity(ray, resources))
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
        actor = ray.remote(Trainer).options(**options)
        self._begin: Callable[[], Any] = lambda: actor.remote(
            settings, plugins, resources.gpu, timeout
        )

    @property
    def idle(self) -> Remote | None:
        """A worker that is up and has nothing to do."""
        return next((worker for worker in self.workers if worker.hello and not worker.unit), None)

    @property
    def busy(self) -> list[Remote]:
        """Workers that are on a unit."""
        return [worker for worker in self.workers if worker.unit is not None]

    @property
    def starting(self) -> int:
        """Workers that are not up yet."""
        return sum(worker.hello is None for worker in self.workers)

    def grow(self, units: int) -> None:
        """Start as many workers as there is room for and ``units`` wait for."""
        for _ in range(min(self._room() - len(self.workers), units - self.starting)):
            worker = Remote(self._begin())
            self._ask(worker, worker.actor.hello.remote(), self._welcome)
            self.workers.append(worker)

    def ask_for_news(self, worker: Remote) -> None:
        """Listen to a worker once more."""
        self._ask(worker, worker.actor.news.remote(), self._take_in)

    def answers(self, seconds: float) -> Iterator[Answer]:
        """Wait for an answer of any worker, or the death of one."""
        asked = {ref: worker for worker in self.workers for ref in worker.waiting}
        if not asked:
            return
        ready, _ = self.ray.wait(list(asked), timeout=seconds)
        if ready:  # whoever else has answered by now
            ready, _ = self.ray.wait(list(asked), num_returns=len(asked), timeout=0)
        for ref in ready:
            worker = asked[ref]
            if worker not in self.workers:
                continue  # it is gone since
            then = worker.waiting.pop(ref)
            try:
                answer = self.ray.get(ref)
            except self.ray.exceptions.RayError as error:
                yield worker, None, error
                continue
            yield worker, partial(then, answer), None

    def end(self, worker: Remote) -> None:
        """End a worker, alive or not, whatever it is doing."""
        self.workers.remove(worker)
        with contextlib.suppress(Exception):
            self.ray.kill(worker.actor)

    def examine(self, hello: Hello) -> str | None:
        """What a dead worker printed last; None if its node is dead, too."""
        if not alive(self.ray, hello.node):
            return None
        pinned = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        look = self.ray.remote(post_mortem).options(
            num_cpus=0, max_retries=0, scheduling_strategy=pinned(hello.node, soft=False)
        )
        try:
            found: str = self.ray.get(look.remote(hello), timeout=_ANSWER)
        except self.ray.exceptions.RayError:
            return None
        return found

    def stop(self) -> None:
        """Have all workers stop at the next report of their methods."""
        for worker in self.busy:
            worker.actor.stop.remote()

    def dismiss(self) -> None:
        """Let all workers go; those that answer leave nothing behind."""
        idle = [w.actor.close.remote() for w in self.workers if w.hello and w.unit is None]
        with contextlib.suppress(Exception):
            self.ray.wait(idle, num_returns=len(idle), timeout=_FAREWELL)
        for worker in list(self.workers):
            self.end(worker)

    def _ask(self, worker: Remote, ref: Any, then: Callable[[Remote, Any], None]) -> None:
        worker.waiting[ref] = lambda answer: then(worker, answer)

    def _welcome(self, worker: Remote, hello: Hello) -> None:
        if hello.version != __version__:
            raise WorkerError(
                f"node {hello.address} of the Ray cluster has gzsl-bench {hello.version}, this is"
                f" {__version__}; install the same version there"
            )
        worker.hello = hello
        self.ask_for_news(worker)

    def _room(self) -> int:
        if self._jobs:
            return self._jobs
        when, room = self._counted
        if time.monotonic() - when > _COUNT:  # nodes come and go
            room = capacity(self.ray, self.resources)
            self._counted = (time.monotonic(), room)
        return max(1, room)
