"""Units on a Ray cluster.  The driver hands out units and data, and is the only one to write.

A worker or a node that dies takes no other one with it.  The cells it was on are tried elsewhere, a
bounded number of times; what kills every worker it is given to gets a failed record.
"""

from __future__ import annotations

import contextlib
import re
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gzsl_bench import __version__
from gzsl_bench.engine import stacks
from gzsl_bench.engine.auditing import AuditUnit, bury_audits
from gzsl_bench.engine.events import (
    AuditEnded,
    CellEnded,
    Listener,
    Notice,
    Stopping,
    UnitDivided,
    UnitEnded,
    UnitStarted,
    WorkerSettings,
)
from gzsl_bench.engine.executors.burial import alone, bury, halves
from gzsl_bench.engine.executors.interrupts import Interrupts
from gzsl_bench.engine.executors.limits import Limits, in_words
from gzsl_bench.engine.executors.ray_cluster import (
    Shelf,
    alive,
    capacity,
    connected,
    largest,
    require,
)
from gzsl_bench.engine.executors.ray_plugins import PluginFiles, pack
from gzsl_bench.engine.executors.ray_worker import (
    Audited,
    Composed,
    Hello,
    Message,
    Order,
    Recorded,
    Trainer,
    post_mortem,
)
from gzsl_bench.engine.executors.resources import Resources
from gzsl_bench.engine.results import Arrays, FolderResults
from gzsl_bench.engine.taskdata import DiskSource, task_name
from gzsl_bench.engine.units import Unit
from gzsl_bench.engine.work import Work
from gzsl_bench.errors import WorkerError, in_one_line
from gzsl_bench.hooks.manager import Registry
from gzsl_bench.records import journal
from gzsl_bench.records.store import RecordStore
from gzsl_bench.suite.cells import Cell

#: How often a cell is tried again without being asked to after its node was lost, and after its
#: worker died on a node that lives: that may be the cell's own doing.
NODE_LOSSES, DEATHS = 3, 1
#: So many workers in a row that do not come up, and we give up.
STILLBORN = 3
#: Seconds between two looks at clocks, and at the size of the cluster.
_LOOK, _COUNT = 0.5, 5.0
#: Seconds without any worker before the user hears of it.
_QUIET = 20.0
#: Seconds for questions to nodes that may be dead, and for workers to clear up.
_ANSWER, _FAREWELL = 60.0, 5.0
#: What a worker prints at last when it touches memory that is not its own.
_SEGFAULT = "Fatal Python error: Segmentation fault"
#: Calls that a worker answers side by side: news, give, stop, close.
_CALLS = 5


class RayExecutor:
    """Workers on the nodes of a cluster, as many as it holds."""

    def __init__(
        self,
        registry: Registry,
        resources: Resources,
        *,
        address: str | None = None,
        jobs: int | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Look whether Ray is there; the cluster is connected to when there is something to run.

        Args:
            registry: the plugins of this machine, which reads the data.
            resources: of one worker.
            address: of the cluster; see :func:`connected`.
            jobs: most workers; asked for even if the cluster cannot hold so many yet.
            limits: of a cell.

        Raises:
            GzslBenchError: Ray is not installed.
        """
        require(address)
        self._registry, self._resources = registry, resources
        self._address, self._jobs = address, jobs
        self._limits = limits or Limits()

    def run(self, work: Work, settings: WorkerSettings, listen: Listener) -> bool:
        """Run all of the work; False if the user interrupted.

        Raises:
            WorkerError: no cluster, no room in it, or workers that do not come up.
        """
        settings = replace(
            settings,
            device=self._resources.device,
            threads=self._resources.threads,
        )
        plugins = pack(settings.plugins)
        source = DiskSource(self._registry, settings)
        with connected(self._address) as ray:
            shift = _Shift(ray, Shelf(ray, source), work, settings, listen, plugins, self._limits)
            return shift.run(self._resources, self._jobs)


@dataclass(eq=False)
class _Remote:
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
        """Where it is, in words."""
        return f"the worker process on node {self.hello.address}" if self.hello else "a worker"


class _Shift:
    """One call of the executor."""

    def __init__(
        self,
        ray: Any,
        shelf: Shelf,
        work: Work,
        settings: WorkerSettings,
        listen: Listener,
        plugins: tuple[PluginFiles, ...],
        limits: Limits,
    ) -> None:
        self._ray, self._shelf, self._work = ray, shelf, work
        self._settings, self._listen, self._limits = settings, listen, limits
        self._plugins = plugins
        self._store = RecordStore(settings.out, settings.run)
        self._results = FolderResults(settings)
        self._workers: list[_Remote] = []
        #: Messages and what is to be done after them: a worker gets its next unit first.
        self._told: deque[Message | Callable[[], None]] = deque()
        self._stopping = False
        self._losses: Counter[str] = Counter()
        self._deaths: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._fresh: set[str] = set()  # units for a worker that has trained nothing yet
        self._stillborn = 0
        self._counted = (-_COUNT, 0)
        self._alone_since, self._noticed = time.monotonic(), False

    def run(self, resources: Resources, jobs: int | None) -> bool:
        room = capacity(self._ray, resources)
        if not room and not jobs:
            raise WorkerError(
                f"no node of the Ray cluster holds a worker with {resources}: nodes have"
                f" {largest(self._ray)}; ask for less with --resources, or give --jobs to wait for"
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
        self._actor = self._ray.remote(Trainer).options(**options)
        self._share = resources.gpu
        try:
            with Interrupts() as interrupts:
                return self._loop(interrupts, resources, jobs)
        finally:
            self._dismiss()

    def _loop(self, interrupts: Interrupts, resources: Resources, jobs: int | None) -> bool:
        while True:
            try:
                if interrupts.count and not self._stopping:
                    raise KeyboardInterrupt
                self._assign(resources, jobs)
                # Only now: records are written, and MLflow hears of them, while workers train.
                self._flush()
                busy = [worker for worker in self._workers if worker.unit is not None]
                if not busy and (self._stopping or not self._work.left):
                    return not self._stopping
                starting = any(worker.hello is None for worker in self._workers)
                if not busy and not starting and self._work.left:
                    self._work.wait()
                self._hear(_LOOK)
                for worker in list(self._workers):
                    self._look_at_the_clock(worker)
                self._complain(resources)
            except KeyboardInterrupt:
                if self._stopping:  # the second time: at once
                    return False
                self._stopping = True
                self._work.clear()
                for worker in self._workers:
                    if worker.unit is not None:
                        worker.actor.stop.remote()
                self._told.append(Stopping())

    # Workers ------------------------------------------------------------------------------------

    def _assign(self, resources: Resources, jobs: int | None) -> None:
        """Give units to idle workers, and start as many more as there are units and room for."""
        while self._work.left and not self._stopping:
            idle = next((w for w in self._workers if w.hello and w.unit is None), None)
            if idle is None:
                break
            unit = self._work.take()
            if unit is None:
                return
            if idle.used and unit.name in self._fresh:
                self._part_with(idle, "a failed cell is tried again in a fresh one")
                self._work.put_back([unit])
                break
            self._give(idle, unit)
        if self._stopping or not self._work.left:
            return
        starting = sum(worker.hello is None for worker in self._workers)
        room = min(self._room(resources, jobs) - len(self._workers), self._work.ahead - starting)
        for _ in range(room):
            self._start()

    def _room(self, resources: Resources, jobs: int | None) -> int:
        if jobs:
            return jobs
        when, room = self._counted
        if time.monotonic() - when > _COUNT:  # nodes come and go
            room = capacity(self._ray, resources)
            self._counted = (time.monotonic(), room)
        return max(1, room)

    def _start(self) -> None:
        actor = self._actor.remote(self._settings, self._plugins, self._share, self._limits.timeout)
        worker = _Remote(actor)
        worker.waiting[actor.hello.remote()] = lambda hello: self._welcome(worker, hello)
        self._workers.append(worker)

    def _welcome(self, worker: _Remote, hello: Hello) -> None:
        if hello.version != __version__:
            raise WorkerError(
                f"node {hello.address} of the Ray cluster has gzsl-bench {hello.version}, this is"
                f" {__version__}; install the same version there"
            )
        worker.hello = hello
        self._stillborn = 0
        self._ask_for_news(worker)

    def _ask_for_news(self, worker: _Remote) -> None:
        worker.waiting[worker.actor.news.remote()] = lambda news: self._take_in(worker, news)

    def _give(self, worker: _Remote, unit: Unit) -> None:
        first = unit.cells[0]
        in_use = {other.task for other in self._workers if other.unit is not None}
        try:
            data = self._shelf.reference(first, in_use)
        # Data that are gone or changed fail their cells, as they do in a worker on this machine.
        except Exception as error:
            self._no_data(unit, error)
            return
        predictions: dict[str, Arrays] = {}
        if isinstance(unit, AuditUnit):
            found = {key: self._results.predictions(key) for key in unit.targets}
            predictions = {key: arrays for key, arrays in found.items() if arrays is not None}
        composition = stacks.remembered(self._store.layout, unit) if len(unit.cells) > 1 else None
        worker.unit, worker.task, worker.begun = unit, task_name(first), False
        worker.since = time.monotonic()
        given = worker.actor.give.remote(Order(unit, composition, predictions), data)
        worker.waiting[given] = lambda _: None

    def _part_with(self, worker: _Remote, why: str) -> None:
        """Let a worker go that is alive and idle, or that must end at once."""
        self._workers.remove(worker)
        self._note("worker replaced", node=worker.hello and worker.hello.address, cause=why)
        self._ray.kill(worker.actor)

    def _dismiss(self) -> None:
        """Let all workers go; those that answer leave nothing behind."""
        idle = [w.actor.close.remote() for w in self._workers if w.hello and w.unit is None]
        with contextlib.suppress(Exception):
            self._ray.wait(idle, num_returns=len(idle), timeout=_FAREWELL)
        for worker in self._workers:
            with contextlib.suppress(Exception):
                self._ray.kill(worker.actor)
        self._workers.clear()

    # What they say ------------------------------------------------------------------------------

    def _hear(self, seconds: float) -> None:
        """Wait for an answer of any worker, or the death of one, and deal with it."""
        asked = {ref: worker for worker in self._workers for ref in worker.waiting}
        if not asked:
            time.sleep(seconds if self._work.left else 0)
            return
        ready, _ = self._ray.wait(list(asked), timeout=seconds)
        if ready:  # whoever else has answered by now
            ready, _ = self._ray.wait(list(asked), num_returns=len(asked), timeout=0)
        for ref in ready:
            worker = asked[ref]
            if worker not in self._workers:
                continue  # it is gone since
            then = worker.waiting.pop(ref)
            try:
                answer = self._ray.get(ref)
            except self._ray.exceptions.RayError as error:
                self._lost(worker, error)
                continue
            then(answer)

    def _take_in(self, worker: _Remote, news: Sequence[Message]) -> None:
        ended: UnitEnded | None = None
        for message in news:
            if isinstance(message, UnitStarted):
                worker.begun = worker.used = True
            if isinstance(message, UnitStarted | CellEnded | AuditEnded):
                worker.since = time.monotonic()
            if isinstance(message, UnitEnded):
                ended = message
            self._told.append(message)
        if ended is not None:
            unit, worker.unit = worker.unit, None
            assert unit is not None
            self._told.append(lambda: self._unit_ended(unit, ended))
            if ended.spent:
                self._part_with(worker, ended.spent)
                return
        self._ask_for_news(worker)

    def _flush(self) -> None:
        """Write what workers sent, and pass events on."""
        while self._told:
            message = self._told.popleft()
            if isinstance(message, Recorded):
                self._results.commit(message.key, message.content, message.arrays, message.log)
            elif isinstance(message, Audited):
                self._results.audited(message.key, message.content)
            elif isinstance(message, Composed):
                self._results.compose(message.unit, message.composition)
            elif callable(message):
                message()
            else:
                self._listen(message)

    def _unit_ended(self, unit: Unit, event: UnitEnded) -> None:
        if not event.interrupted and not isinstance(unit, AuditUnit):
            self._try_again(unit, unit.cells)
        self._work.done(unit)

    def _look_at_the_clock(self, worker: _Remote) -> None:
        limit, spent = self._limits.timeout, time.monotonic() - worker.since
        if worker.unit is None or not worker.begun or limit is None or spent <= limit:
            return
        verdict = f"stopped after {in_words(spent)}: --timeout gives a cell {in_words(limit)}"
        self._ray.kill(worker.actor)
        self._lost(worker, None, verdict)

    def _complain(self, resources: Resources) -> None:
        """Say once if the cluster gives us nothing."""
        now = time.monotonic()
        if any(worker.hello for worker in self._workers) or not self._workers:
            self._alone_since, self._noticed = now, False
        elif now - self._alone_since > _QUIET and not self._noticed:
            self._noticed = True
            self._told.append(
                Notice(f"waiting for the Ray cluster to start a worker with {resources}")
            )

    # What goes wrong ----------------------------------------------------------------------------

    def _lost(self, worker: _Remote, error: BaseException | None, verdict: str = "") -> None:
        """A worker died, was ended, or cannot be reached any more."""
        self._workers.remove(worker)
        with contextlib.suppress(Exception):
            self._ray.kill(worker.actor)  # should it live after all, it must not train any more
        why = verdict or _in_ray_words(error)
        if worker.hello is None:
            self._note("worker did not come up", cause=why)
            self._stillborn += 1
            if self._stillborn >= STILLBORN:
                raise WorkerError(
                    f"no worker comes up on the Ray cluster: {why}; every node needs the same"
                    " gzsl-bench and plugins as this machine"
                )
            return
        printed = self._examine(worker.hello)
        self._note(
            "worker lost",
            node=worker.hello.address,
            worker=worker.hello.pid,
            cause=why,
            node_lost=printed is None,
        )
        unit, seconds = worker.unit, time.monotonic() - worker.since
        if unit is None:
            return
        self._flush()  # the records it could still send
        if self._stopping:
            pass
        elif verdict or (worker.begun and printed is not None):
            cause = verdict or f"{worker.place} died while it trained this unit: {why}"
            if not verdict and _SEGFAULT in (printed or ""):
                cause += "; a method that writes to its task's tensors dies so on a cluster"
            self._blame(unit, cause, printed or "", seconds, certain=bool(verdict))
        else:
            self._spare(unit, f"node {worker.hello.address} was lost while it trained this unit")
        self._told.append(UnitEnded(unit.name))
        self._told.append(lambda: self._work.done(unit))

    def _examine(self, hello: Hello) -> str | None:
        """What a dead worker printed last; None if its node is dead, too."""
        if not alive(self._ray, hello.node):
            return None
        pinned = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        look = self._ray.remote(post_mortem).options(
            num_cpus=0, max_retries=0, scheduling_strategy=pinned(hello.node, soft=False)
        )
        try:
            found: str = self._ray.get(look.remote(hello), timeout=_ANSWER)
        except self._ray.exceptions.RayError:
            return None
        return found

    def _spare(self, unit: Unit, cause: str) -> None:
        """Try the cells of a lost node elsewhere, unless nodes keep dying under them."""
        if isinstance(unit, AuditUnit):
            self._losses[unit.name] += 1
            if self._losses[unit.name] <= NODE_LOSSES:
                self._work.put_back([unit])
            else:
                bury_audits(unit, self._settings, cause, self._told.append)
            return
        again = []
        for cell in self._rest(unit):
            self._losses[cell.key] += 1
            if self._losses[cell.key] <= NODE_LOSSES:
                again.append(cell)
            else:
                times = f"; so were {NODE_LOSSES} nodes before it"
                bury(unit, cell, cause + times, "", 0.0, self._settings, self._told.append)
        if again:
            self._work.put_back([unit.part({cell.key for cell in again})])

    def _blame(
        self, unit: Unit, cause: str, printed: str, seconds: float, *, certain: bool
    ) -> None:
        """Halve what may have killed a worker, or record the culprit if it is alone."""
        if isinstance(unit, AuditUnit):
            bury_audits(unit, self._settings, cause, self._told.append)
            return
        rest = self._rest(unit)
        spoken_for = [cell for cell in unit.cells if cell not in rest]
        if len(rest) > 1:
            self._again(unit, halves(unit, rest), fresh=False)
        elif rest:
            self._deaths[rest[0].key] += 1
            if not certain and self._deaths[rest[0].key] <= DEATHS:
                self._again(unit, [alone(unit, rest)], fresh=True)
                return
            bury(unit, rest[0], cause, printed, seconds, self._settings, self._told.append)
            spoken_for = list(unit.cells)
        self._try_again(unit, spoken_for)

    def _try_again(self, unit: Unit, cells: Sequence[Cell]) -> None:
        """Put failed cells back as long as they have retries left, each by itself."""
        if not self._limits.retries or self._stopping:
            return
        again = []
        for cell in cells:
            if not self._store.finished(cell.key):
                self._failures[cell.key] += 1
                if self._failures[cell.key] <= self._limits.retries:
                    again.append(alone(unit, [cell]))
        self._again(unit, again, fresh=True)

    def _again(self, unit: Unit, parts: Sequence[Unit], *, fresh: bool) -> None:
        if parts:
            self._work.put_back(parts)
            self._told.append(UnitDivided(unit.name, tuple(parts)))
        if fresh:
            self._fresh.update(part.name for part in parts)

    def _rest(self, unit: Unit) -> list[Cell]:
        return [cell for cell in unit.cells if not self._store.finished(cell.key)]

    def _no_data(self, unit: Unit, error: Exception) -> None:
        text = "".join(traceback.format_exception(error))
        if isinstance(unit, AuditUnit):
            bury_audits(unit, self._settings, in_one_line(error), self._told.append)
        else:
            for cell in self._rest(unit):
                bury(unit, cell, in_one_line(error), text, 0.0, self._settings, self._told.append)
        self._work.done(unit)

    def _note(self, event: str, **details: object) -> None:
        with contextlib.suppress(OSError):  # a journal that cannot be written loses nothing
            journal.append(self._store.layout.journal, event, **details)


def _in_ray_words(error: BaseException | None) -> str:
    """The part of Ray's page-long explanation that explains."""
    text = str(error)
    for pattern in (r"Worker exit detail: (.+)", r"cause: (.+)", r"^(\w*(?:Error|Exception)\b.*)$"):
        found: list[str] = re.findall(pattern, text, re.MULTILINE)
        if found:
            return " ".join(found[-1].split())
    return in_one_line(error) if error is not None else ""
