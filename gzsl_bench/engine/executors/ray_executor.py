"""Units on a Ray cluster.  The driver hands out units and data, and is the only one to write.

A worker or a node that dies takes no other one with it.  The cells it was on are tried elsewhere, a
bounded number of times; what kills every worker it is given to gets a failed record.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from gzsl_bench.engine import stacks
from gzsl_bench.engine.audit.unit import AuditUnit
from gzsl_bench.engine.events import (
    AuditEnded,
    CellEnded,
    Listener,
    Notice,
    Stopping,
    UnitEnded,
    UnitStarted,
    WorkerSettings,
)
from gzsl_bench.engine.executors.dispatcher import Crew, Executor
from gzsl_bench.engine.executors.interrupts import Interrupts
from gzsl_bench.engine.executors.limits import Limits, in_words
from gzsl_bench.engine.executors.ray_cluster import Shelf, connected, require
from gzsl_bench.engine.executors.ray_fleet import Fleet, Remote
from gzsl_bench.engine.executors.ray_losses import Losses
from gzsl_bench.engine.executors.ray_plugins import pack
from gzsl_bench.engine.executors.ray_worker import Audited, Composed, Message, Order, Recorded
from gzsl_bench.engine.executors.resources import Resources
from gzsl_bench.engine.results import Arrays, FolderResults
from gzsl_bench.engine.taskdata import load_task, task_name
from gzsl_bench.engine.units import Unit
from gzsl_bench.engine.work import Work
from gzsl_bench.errors import RecordError, WorkerError, in_one_line
from gzsl_bench.hooks.manager import Registry

#: So many workers in a row that do not come up, and we give up.
STILLBORN = 3
#: Seconds between two looks at clocks, and without any worker before the user hears of it.
_LOOK, _QUIET = 0.5, 20.0
#: What a worker prints at last when it touches memory that is not its own.


class RayExecutor(Executor):
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
        super().__init__(limits)
        self._limits = self.limits

    def crew(self, settings: WorkerSettings, interrupts: Interrupts) -> Crew:
        """Not yet."""
        raise NotImplementedError

    def run(self, work: Work, settings: WorkerSettings, listen: Listener) -> bool:
        """Run all of the work; False if the user interrupted.

        Raises:
            WorkerError: no cluster, no room in it, or workers that do not come up.
        """
        settings = replace(settings, device=self._resources.device, threads=self._resources.threads)
        plugins = pack(settings.plugins)
        source = partial(load_task, registry=self._registry, settings=settings)
        with connected(self._address) as ray:
            shift = _Shift(Shelf(ray, source), work, settings, listen, self._limits)
            fleet = Fleet(
                ray,
                self._resources,
                self._jobs,
                settings,
                plugins,
                self._limits.timeout,
                shift.take_in,
            )
            return shift.run(fleet)


class _Shift:
    """One call of the executor."""

    _fleet: Fleet

    def __init__(
        self, shelf: Shelf, work: Work, settings: WorkerSettings, listen: Listener, limits: Limits
    ) -> None:
        self._shelf, self._work, self._listen, self._limits = shelf, work, listen, limits
        self._results = FolderResults(settings)
        #: Messages and what is to be done after them: a worker gets its next unit first.
        self._told: deque[Message | Callable[[], None]] = deque()
        self._losses = Losses(work, settings, limits.retries, self._told.append)
        self._stopping = False
        self._stillborn = 0
        self._alone_since, self._noticed = time.monotonic(), False

    def run(self, fleet: Fleet) -> bool:
        self._fleet = fleet
        try:
            with Interrupts() as interrupts:
                return self._loop(interrupts)
        except WorkerError:
            self._flush()
            raise
        finally:
            fleet.dismiss()

    def _loop(self, interrupts: Interrupts) -> bool:
        fleet = self._fleet
        while True:
            try:
                if interrupts.count and not self._stopping:
                    raise KeyboardInterrupt
                self._assign()
                # Only now: records are written, and MLflow hears of them, while workers train.
                self._flush()
                if not fleet.busy:
                    if self._stopping or not self._work.left:
                        return not self._stopping
                    if not fleet.starting:
                        self._work.wait()
                for worker, then, error in fleet.answers(_LOOK):
                    if then is None:
                        self._lost(worker, _in_ray_words(error))
                    else:
                        then()
                for worker in fleet.busy:
                    self._look_at_the_clock(worker)
                self._complain()
            except KeyboardInterrupt:
                if self._stopping:  # the second time: at once
                    return False
                self._stopping = True
                self._work.clear()
                fleet.stop()
                self._told.append(Stopping())

    def _assign(self) -> None:
        """Give units to idle workers, and have as many more as there are units and room for."""
        while self._work.left and not self._stopping:
            idle = self._fleet.idle
            if idle is None:
                self._fleet.grow(self._work.ahead)
                return
            unit = self._work.take()
            if unit is None:
                return
            if idle.used and unit.name in self._losses.fresh:
                self._part_with(idle, "a failed cell is tried again in a fresh one")
                self._work.put_back([unit])
            else:
                self._give(idle, unit)

    def _give(self, worker: Remote, unit: Unit) -> None:
        first = unit.cells[0]
        try:
            data = self._shelf.reference(first, {other.task for other in self._fleet.busy})
        # Data that are gone or changed fail their cells, as they do in a worker on this machine.
        except Exception as error:
            self._losses.no_data(unit, error)
            self._told.append(lambda: self._work.done(unit))
            return
        predictions: dict[str, Arrays] = {}
        for key in unit.targets if isinstance(unit, AuditUnit) else ():
            try:
                found = self._results.predictions(key)
            except RecordError:
                continue
            if found is not None:
                predictions[key] = found
        composition: stacks.Composition | None = None
        if len(unit.cells) > 1:
            composition = self._results.composition(unit)
        worker.give(Order(unit, composition, predictions), task_name(first), data)

    def _part_with(self, worker: Remote, why: str) -> None:
        """Let an idle worker go."""
        self._losses.note("worker replaced", node=worker.place, cause=why)
        self._fleet.end(worker)

    # What workers say ---------------------------------------------------------------------------

    def take_in(self, worker: Remote, news: Sequence[Message]) -> None:
        """Listen to a worker, and see to its unit if that has ended."""
        ended: UnitEnded | None = None
        self._stillborn = 0
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
        self._fleet.ask_for_news(worker)

    def _flush(self) -> None:
        """Write what workers sent, and pass events on."""
        while self._told:
            message = self._told.popleft()
            if isinstance(message, Recorded):
                self._results.commit(message.record, message.arrays, message.log)
            elif isinstance(message, Audited):
                self._results.audited(message.key, message.content)
            elif isinstance(message, Composed):
                self._results.compose(message.unit, message.composition)
            elif callable(message):
                message()
            else:
                self._listen(message)

    def _unit_ended(self, unit: Unit, event: UnitEnded) -> None:
        if not event.interrupted and not self._stopping and not isinstance(unit, AuditUnit):
            self._losses.failed(unit, unit.cells)
        self._work.done(unit)

    # What goes wrong ----------------------------------------------------------------------------

    def _look_at_the_clock(self, worker: Remote) -> None:
        limit, spent = self._limits.timeout, time.monotonic() - worker.since
        if worker.begun and limit is not None and spent > limit:
            verdict = f"stopped after {in_words(spent)}: --timeout gives a cell {in_words(limit)}"
            self._lost(worker, verdict, ended_by_us=True)

    def _complain(self) -> None:
        """Say once if the cluster gives us nothing."""
        now = time.monotonic()
        if self._fleet.starting < len(self._fleet.workers) or not self._fleet.workers:
            self._alone_since, self._noticed = now, False
        elif now - self._alone_since > _QUIET and not self._noticed:
            self._noticed = True
            wanted = self._fleet.resources
            self._told.append(
                Notice(f"waiting for the Ray cluster to start a worker with {wanted}")
            )

    def _lost(self, worker: Remote, why: str, *, ended_by_us: bool = False) -> None:
        """A worker died, takes too long, or cannot be reached any more."""
        self._fleet.end(worker)  # should it live after all, it must not train any more
        if worker.hello is None:
            self._losses.note("worker did not come up", cause=why)
            self._stillborn += 1
            if self._stillborn >= STILLBORN:
                raise WorkerError(
                    f"no worker comes up on the Ray cluster: {why}; every node needs the same"
                    " gzsl-bench and plugins as this machine"
                )
            return
        printed, unit = self._fleet.examine(worker.hello), worker.unit
        self._losses.note(
            "worker lost",
            node=worker.place,
            worker=worker.hello.pid,
            cause=why,
            node_lost=printed is None,
        )
        if unit is None:
            return
        self._flush()  # the records it could still send
        seconds = time.monotonic() - worker.since
        if self._stopping:
            pass
        elif ended_by_us:
            self._losses.blame(unit, why, printed or "", seconds, sure=True)
        elif worker.begun and printed is not None:
            cause = f"the worker process on node {worker.place} died while it trained this unit"
            self._losses.blame(unit, f"{cause}: {why}", printed, seconds, sure=False)
        else:
            cause = f"node {worker.place} was lost while it trained this unit"
            self._losses.spare(unit, cause)
        self._told.append(UnitEnded(unit.name))
        self._told.append(lambda: self._work.done(unit))


def _in_ray_words(error: BaseException | None) -> str:
    """The part of Ray's page-long explanation that explains."""
    for pattern in (
        r"Worker exit detail: (.+?)(?: Some common causes include.*)?$",
        r"^(\w+(?:Error|Exception)\b.*)$",
    ):
        found: list[str] = re.findall(pattern, str(error), re.MULTILINE)
        if found:
            return " ".join(found[-1].split()).rstrip(".")
    return in_one_line(error) if error is not None else ""
