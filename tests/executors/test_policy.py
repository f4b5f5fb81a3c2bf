"""The one policy of all executors: what is tried again, what has failed, what ends a run.

Most of it is tried on a crew that follows a script, with a clock that jumps: no process, no
waiting.  What a real crew must do for that policy to hold is tried on this process, processes of
this machine and, where it is installed, Ray.
"""

from __future__ import annotations

import os
import platform
import signal
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gzsl_bench import Method, MethodSpec
from gzsl_bench.engine.audit.unit import AuditUnit
from gzsl_bench.engine.events import (
    AuditEnded,
    CellElsewhere,
    CellEnded,
    Notice,
    Progress,
    Stopping,
    UnitDivided,
    UnitEnded,
    UnitStarted,
    WorkerSettings,
)
from gzsl_bench.engine.units import Unit, plan
from gzsl_bench.engine.work import Work, sharing
from gzsl_bench.errors import WorkerError
from gzsl_bench.executors.crew import Ended, How, Job, Tell
from gzsl_bench.executors.dispatcher import (
    KILLED_AT_START,
    LOSSES,
    STILLBORN,
    Dispatcher,
    Executor,
)
from gzsl_bench.executors.inline import inline_executor
from gzsl_bench.executors.interrupts import Interrupts
from gzsl_bench.executors.limits import Limits
from gzsl_bench.executors.local import local_executor
from gzsl_bench.executors.resources import Resources
from gzsl_bench.executors.run import hold, run_audits, run_units
from gzsl_bench.hooks.manager import load_plugins
from gzsl_bench.records.audits import AuditStore
from gzsl_bench.records.leases import Leases
from gzsl_bench.records.store import RecordStore


class Plain(Method):
    def fit(self, task, run):
        return lambda v: v.new_zeros(len(v), len(task.attributes))


#: What a process does, step by step: an event, its end, or seconds that pass.
Script = list[Any]


@dataclass
class Scripted:
    """A crew whose processes follow a script; the clock moves when they all are silent.

    Attributes:
        script: gives the steps of a process for a unit, the n-th one for its cells.
        most: processes side by side.
    """

    script: Callable[[Unit, int], Script]
    most: int = 1
    now: float = 0.0
    interrupts: Interrupts = field(default_factory=Interrupts)
    started: list[Unit] = field(default_factory=list)
    running: dict[Job, deque[Any]] = field(default_factory=dict)
    tries: Counter[tuple[str, ...]] = field(default_factory=Counter)
    ended: list[str] = field(default_factory=list)
    stopped: int = 0
    closed: int = 0

    def room(self, wanted: int) -> int:
        assert wanted > 0
        return self.most - len(self.running)

    def start(self, job: Job) -> None:
        self.tries[job.unit.claims] += 1
        script = self.script(job.unit, self.tries[job.unit.claims])
        self.started.append(job.unit)
        if script and isinstance(script[0], OSError):
            raise script[0]
        self.running[job] = deque(script)

    def hear(self, seconds: float, tell: Tell) -> None:
        spoke = False
        for job, steps in list(self.running.items()):
            if steps and isinstance(steps[0], (int, float)) and steps[0] <= self.now:
                steps.popleft()
            while steps and not isinstance(steps[0], (int, float)):
                step = steps.popleft()
                spoke = True
                if callable(step):
                    step()
                    continue
                if isinstance(step, Ended):
                    del self.running[job]
                tell(job, step)
        if not spoke:
            self.now += seconds

    def stop(self) -> None:
        self.stopped += 1

    def end(self, job: Job, verdict: str) -> None:
        self.ended.append(verdict)
        self.running[job] = deque([Ended(How.ENDED, verdict, "where it was")])

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def suite(tmp_path, make_registry, resolve_text):
    """Cells of one method that is never trained, a store, and a way to dispatch them."""
    return Suite(tmp_path, make_registry, resolve_text)


class Suite:
    def __init__(self, folder, make_registry, resolve_text) -> None:
        self.registry = make_registry(MethodSpec("plain", Plain, citation="", fidelity="paper"))
        text = "name: s\ndatasets: [tiny]\nmethods: [plain]\nseeds: 4\nselection: [last]\n"
        self.cells = resolve_text(text, self.registry).cells
        self.store = RecordStore(folder / "out")
        self.settings = WorkerSettings(self.store.layout.out, None, None, "cpu", 1)
        self.events: list[Any] = []

    def units(self, stack: int) -> list[Unit]:
        cells = self.cells
        return [Unit(f"u{at}", tuple(cells[at : at + stack])) for at in range(0, len(cells), stack)]

    def audit(self) -> AuditUnit:
        return AuditUnit("a", tuple(self.cells[:2]), (self.cells[0].key,))

    def run(self, crew: Scripted, units: list[Unit], limits: Limits | None = None, **more) -> bool:
        listen = more.pop("listen", self.events.append)
        work = more.pop("work", None) or Work(units)
        return Dispatcher(
            crew, limits or Limits(), work, self.settings, listen, crew.interrupts,
            clock=lambda: crew.now,
        ).run()  # fmt: skip

    def failed(self) -> dict[int, str]:
        """Cause of failure by seed."""
        return {r.seed: r.cause for r in self.store if not r.final}

    def seeds(self, crew: Scripted) -> list[list[int]]:
        return [[cell.seed for cell in unit.cells] for unit in crew.started]

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


def good(unit: Unit) -> Script:
    """All cells one after the other, and the end."""
    ends = [CellEnded(unit.name, cell.key) for cell in unit.cells]
    return [UnitStarted(unit.name), *ends, UnitEnded(unit.name), Ended()]


def dies(unit: Unit, how: How = How.DIED, cause: str = "it went") -> Script:
    return [UnitStarted(unit.name), Ended(how, cause, "last words")]


def test_all_goes_well_and_listeners_wait_for_new_units(suite):
    crew = Scripted(lambda unit, n: good(unit))
    units = suite.units(1)
    running: list[tuple[str, int]] = []

    def listen(event):
        suite.events.append(event)
        if isinstance(event, UnitEnded):
            running.append((event.unit, len(crew.running)))

    assert suite.run(crew, units, listen=listen)
    assert crew.started == units
    # While a listener hears of an end, the next unit is under way.
    assert running == [("u0", 1), ("u1", 1), ("u2", 1), ("u3", 0)]
    assert suite.kinds() == ["UnitStarted", "CellEnded", "UnitEnded"] * 4
    assert (crew.closed, crew.stopped) == (1, 0)


def test_events_of_a_unit_under_way_are_heard_at_once(suite):
    """In a crew that works in this very process nothing else would let them be heard."""
    heard = []

    def script(unit, n):
        steps = good(unit)
        return [steps[0], Progress(unit.name, "k", 1, 2), lambda: heard.append(len(suite.events))]

    crew = Scripted(lambda unit, n: [*script(unit, n), *good(unit)[1:]])
    assert suite.run(crew, suite.units(4))
    assert heard == [2]


def test_who_dies_alone_is_blamed(suite):
    crew = Scripted(lambda unit, n: dies(unit) if unit.cells[0].seed == 1 else good(unit))
    assert suite.run(crew, suite.units(1))
    assert suite.failed() == {1: "it went while it trained this unit"}
    record = suite.store.read(suite.cells[1].key)
    assert (record.path / "log.txt").read_text() == "last words"
    assert suite.kinds().count("UnitEnded") == 4
    assert CellEnded("u1", suite.cells[1].key) in suite.events


def test_company_is_halved_until_the_culprit_is_alone(suite):
    crew = Scripted(lambda unit, n: dies(unit) if 1 in [c.seed for c in unit.cells] else good(unit))
    assert suite.run(crew, suite.units(4))
    assert suite.seeds(crew) == [[0, 1, 2, 3], [0, 1], [0], [1], [2, 3]]
    assert set(suite.failed()) == {1}
    divided = [event for event in suite.events if isinstance(event, UnitDivided)]
    assert [[len(part.cells) for part in event.parts] for event in divided] == [[2, 2], [1, 1]]


def test_cells_that_had_ended_are_not_blamed(suite):
    def script(unit, n):
        if len(unit.cells) < 4:
            return good(unit)
        first = [CellEnded(unit.name, cell.key) for cell in unit.cells[:2]]
        return [UnitStarted(unit.name), *first, Ended(How.DIED, "it went")]

    crew = Scripted(script)
    assert suite.run(crew, suite.units(4))
    assert suite.seeds(crew) == [[0, 1, 2, 3], [2], [3]]
    assert suite.failed() == {}


@pytest.mark.parametrize("said", [False, True])
def test_a_cell_that_hangs_is_ended(suite, said):
    """The clock starts anew with every cell that ends, and progress does not move it."""

    def script(unit, n):
        if unit.cells[0].seed != 1:
            return good(unit)
        busy = [step for t in range(1, 99) for step in (t, Progress(unit.name, "k", t, 99))]
        return [UnitStarted(unit.name), *(busy if said else [])]

    crew = Scripted(script)
    assert suite.run(crew, suite.units(1), Limits(timeout=10))
    assert crew.ended == [suite.failed()[1]]
    assert suite.failed()[1].endswith("s: --timeout gives a cell 10 s")
    assert 10 < crew.now < 12


def test_an_audit_has_the_time_of_its_trainings(suite):
    """A limit is for one training, of which an audit may need five."""
    for seconds, outcome in ((45, None), (60, "not audited")):
        suite.events.clear()
        crew = Scripted(lambda unit, n, s=seconds: [UnitStarted("a"), s, UnitEnded("a"), Ended()])
        assert suite.run(crew, [suite.audit()], Limits(timeout=10, retries=2))
        assert len(crew.started) == 1
        found = AuditStore(suite.store.layout.out).read(suite.cells[0].key)
        assert (found and found["outcome"]) == outcome
    assert found["reason"].endswith("--timeout gives an audit 50 s")
    assert suite.kinds() == ["UnitStarted", "AuditEnded", "UnitEnded"]


def test_an_audit_is_neither_halved_nor_tried_again_when_its_process_dies(suite):
    crew = Scripted(lambda unit, n: dies(unit))
    assert suite.run(crew, [suite.audit()], Limits(retries=2))
    assert len(crew.started) == 1
    found = AuditStore(suite.store.layout.out).read(suite.cells[0].key)
    assert found["reason"] == "it went while it audited"
    assert list(suite.store) == []
    assert [e.key for e in suite.events if isinstance(e, AuditEnded)] == [suite.cells[0].key]


@pytest.mark.parametrize(
    ("how", "most"), [(How.DIED, STILLBORN), (How.ENDED, STILLBORN), (How.KILLED, KILLED_AT_START)]
)
def test_processes_that_die_before_they_begin_end_the_run(suite, how, most):
    crew = Scripted(lambda unit, n: [Ended(how, "no licence", "a\nb\nc\nd")])
    with pytest.raises(WorkerError, match=r"no worker process comes up: no licence.*b \| c \| d"):
        suite.run(crew, suite.units(2))
    assert len(crew.started) == most
    assert list(suite.store) == []
    assert crew.closed == 1
    # Who was killed for want of memory may fare better a little later.
    assert crew.now >= (most - 1 if how is How.KILLED else 0)


def test_one_that_begins_makes_good_for_those_that_did_not(suite):
    """Only as many in a row end a run, whoever they were for."""
    crew = Scripted(lambda unit, n: good(unit) if n == STILLBORN else [Ended(How.DIED, "no", "")])
    assert suite.run(crew, suite.units(1))
    assert suite.failed() == {}
    assert len(crew.started) == 4 * STILLBORN


def test_a_place_that_does_not_open_counts_as_well(suite):
    """A process that was to make room for a unit dies: no job is to blame, and it ends a run."""

    class Closed(Scripted):
        def room(self, wanted):
            return 0

        def hear(self, seconds, tell):
            tell(None, Ended(How.DIED, "no such library"))

    crew = Closed(lambda unit, n: [])
    with pytest.raises(WorkerError, match="no such library"):
        suite.run(crew, suite.units(1))
    assert crew.started == []


def test_a_process_that_never_comes_up_is_not_waited_for(suite):
    crew = Scripted(lambda unit, n: [])
    with pytest.raises(WorkerError, match="it did not come up within 15 min"):
        suite.run(crew, suite.units(4))
    assert len(crew.started) == STILLBORN


def test_the_system_may_refuse_processes_for_a_while(suite):
    refusal = OSError(11, "Resource temporarily unavailable")
    crew = Scripted(lambda unit, n: [refusal] if n < 3 else good(unit))
    assert suite.run(crew, suite.units(4))
    assert suite.failed() == {}
    assert crew.now >= 2
    crew = Scripted(lambda unit, n: [refusal])
    with pytest.raises(WorkerError, match="Resource temporarily unavailable"):
        suite.run(crew, suite.units(4))


def test_cells_of_a_lost_machine_are_tried_elsewhere_but_not_for_ever(suite):
    """Whether their process had begun or not."""
    lost = Ended(How.LOST, "node 7 was lost")

    def script(unit, n):
        if unit.cells[0].seed:
            return good(unit)
        return [UnitStarted(unit.name), lost] if n % 2 else [lost]

    crew = Scripted(script)
    assert suite.run(crew, suite.units(2))
    assert suite.seeds(crew) == [[0, 1]] * (LOSSES + 1) + [[2, 3]]
    cause = f"node 7 was lost while it trained this unit; so were {LOSSES} machines before it"
    assert suite.failed() == {0: cause, 1: cause}
    assert suite.kinds().count("UnitDivided") == 0


def test_an_audit_on_a_lost_machine_is_tried_elsewhere(suite):
    crew = Scripted(lambda unit, n: [UnitStarted("a"), Ended(How.LOST, "node 7 was lost")])
    assert suite.run(crew, [suite.audit()])
    assert len(crew.started) == LOSSES + 1
    found = AuditStore(suite.store.layout.out).read(suite.cells[0].key)
    assert found["reason"].endswith(f"so were {LOSSES} machines before it")


def test_failed_cells_are_tried_again_each_by_itself(suite):
    """Those whose process died and those that the method failed."""
    crew = Scripted(lambda unit, n: dies(unit) if 1 in [c.seed for c in unit.cells] else good(unit))
    assert suite.run(crew, suite.units(4), Limits(retries=2))
    tries = Counter(seed for seeds in suite.seeds(crew) for seed in seeds if len(seeds) == 1)
    # Nothing was recorded for the others here, so they count as failed, too.
    assert tries[1] == 3
    assert set(suite.failed()) == {1}


def test_nothing_is_tried_again_after_an_interruption(suite):
    crew = Scripted(lambda unit, n: dies(unit))
    crew.script = lambda unit, n: [
        UnitStarted(unit.name), lambda: setattr(crew.interrupts, "count", 1), *dies(unit)[1:],
    ]  # fmt: skip
    assert not suite.run(crew, suite.units(4), Limits(retries=2))
    assert len(crew.started) == 1
    assert crew.stopped == 1


def test_once_waits_for_the_next_report_and_twice_does_not(suite):
    def first(unit):
        return [UnitStarted(unit.name), lambda: setattr(crew.interrupts, "count", 1), 3]

    crew = Scripted(lambda unit, n: [*first(unit), UnitEnded(unit.name, True), Ended()])
    assert not suite.run(crew, suite.units(1))
    assert (len(crew.started), crew.stopped, crew.closed) == (1, 1, 1)
    assert suite.kinds() == ["UnitStarted", "Stopping", "UnitEnded"]

    def again():
        crew.interrupts.count = 2
        raise KeyboardInterrupt

    suite.events.clear()
    crew = Scripted(lambda unit, n: [*first(unit), again])
    assert not suite.run(crew, suite.units(1))
    assert (len(crew.started), crew.stopped, crew.closed) == (1, 1, 1)
    assert Stopping() in suite.events
    assert list(suite.store) == []


def test_a_failure_of_the_listener_ends_the_crew(suite):
    def listen(event):
        raise RuntimeError("no room")

    crew = Scripted(lambda unit, n: good(unit), most=2)
    with pytest.raises(RuntimeError, match="no room"):
        suite.run(crew, suite.units(1), listen=listen)
    assert crew.closed == 1


def test_what_other_runs_hold_is_waited_for(suite, monkeypatch):
    """Their cells are given out once they let go; a process has room all the while."""
    with hold(suite.store.layout.out) as mine, hold(suite.store.layout.out) as theirs:
        leases = Leases(theirs.presence)
        taken = [leases.take(cell.key) for cell in suite.cells[:2]]
        crew = Scripted(lambda unit, n: good(unit))
        units = suite.units(1)

        def wait(seconds):
            crew.now += seconds
            suite.events.append("waited")
            if taken:
                leases.give_back(taken.pop())

        monkeypatch.setattr("gzsl_bench.engine.work.time.sleep", wait)
        monkeypatch.setattr("gzsl_bench.engine.work.time.monotonic", lambda: crew.now)
        share = sharing(
            mine, units, lambda key: mine.layout.cell(key) / "record.json", suite.events.append
        )
        work = Work(units, share)
        assert suite.run(crew, units, work=work)
        work.close()
    assert suite.seeds(crew) == [[2], [3], [1], [0]]
    assert suite.events.count("waited") >= 2
    assert not [event for event in suite.events if isinstance(event, CellElsewhere)]


# Crews that are real -----------------------------------------------------------------------------

PLUGIN = """
import multiprocessing, os, pathlib, time
import numpy as np
from gzsl_bench import Config, Method, MethodSpec, hookimpl

WITNESS = pathlib.Path(__file__).with_name("witness.txt")
if os.environ.get("GZSL_TEST_DEADLY") and multiprocessing.parent_process() is not None:
    print("no licence for this machine", flush=True)
    os._exit(4)

class Mute(Exception):
    def __str__(self):
        raise KeyboardInterrupt
    __repr__ = __str__

class Wordless(Exception):
    def __str__(self):
        return 7

RAISED = {
    "ctrl_c": lambda: KeyboardInterrupt("by the method"),
    "generator": lambda: GeneratorExit("no more"),
    "leaves": lambda: SystemExit(3),
    "odd": lambda: type("Odd", (BaseException,), {})("of no usual kind"),
    "group": lambda: ExceptionGroup("two", [ValueError("one"), TypeError("other")]),
    "base_group": lambda: BaseExceptionGroup("some", [KeyboardInterrupt("x"), ValueError("y")]),
    "mute": Mute,
    "wordless": Wordless,
    "wordy": lambda: ValueError("beginning " + "x" * 3_000_000 + " end"),
}

class Settings(Config):
    fault: str = ""
    witness: str = ""

class Tried(Method):
    Config = Settings

    def fit(self, task, run):
        print("here is", self.config.fault, flush=True)
        if self.config.fault in RAISED:
            raise RAISED[self.config.fault]()
        getattr(self, self.config.fault or "nothing")(task, run)
        run.progress(1, 1)
        return lambda v: v.new_zeros(len(v), len(task.attributes))

    def nothing(self, task, run): ...

    def dies(self, task, run):
        os._exit(3)

    def bulky(self, task, run):
        held = np.ones(50_000_000)
        os._exit(3)

    def scores(self, task, run):
        def score(v):
            raise KeyboardInterrupt("while it scored")
        run.checkpoint(1, score)

    def vandal(self, task, run):
        import json
        json.dump, json.dumps = lambda *a, **k: None, lambda *a, **k: "{}"

    def hangs(self, task, run):
        while True:
            time.sleep(0.1)

    def greedy(self, task, run):
        held = []
        while True:
            held.append(np.ones(1 << 22))
            time.sleep(0.01)

    def naps(self, task, run):
        time.sleep(14)

    def second(self, task, run):
        place = pathlib.Path(self.config.witness)
        if not place.exists():
            place.write_text("x")
            raise RuntimeError("not yet")

    def reports(self, task, run):
        for step in range(1000):
            time.sleep(0.05)
            run.progress(step, 1000)

@hookimpl
def gzsl_bench_methods():
    yield MethodSpec("tried", Tried, citation="", fidelity="approximation")
"""


@pytest.fixture(scope="module")
def ray_here():
    """Ray on this machine alone, for all tests of the module."""
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    options = {"include_dashboard": False, "_node_ip_address": "127.0.0.1", "num_cpus": 2}
    ray.init("local", log_to_driver=False, logging_level="ERROR", **options)
    yield
    ray.shutdown()


#: For Slurm processes of this machine stand in, by submitit; each of them starts Python twice.
ALL = (
    "inline",
    "local",
    pytest.param("ray", marks=pytest.mark.ray),
    pytest.param("slurm", marks=pytest.mark.slow),
)


class Real:
    """A suite on the digits, run by one of the executors."""

    def __init__(self, folder: Path, plugin: Path, executor: str, resolve_text) -> None:
        self.plugin, self.name, self.resolve_text = plugin, executor, resolve_text
        self.plugin.write_text(PLUGIN)
        self.registry = load_plugins(files=[self.plugin])
        self.store = RecordStore(folder / "out")
        self.events: list[Any] = []
        self.settings = WorkerSettings(
            self.store.layout.out, None, None, "cpu", 1, plugins=(self.plugin,)
        )

    def cells(self, *faults: str, **config: str):
        entries = ", ".join(
            f"{{use: tried, label: {fault}, config: {{fault: {fault}, {more}}}}}"
            for more in [", ".join(f"{name}: {value}" for name, value in config.items())]
            for fault in faults
        )
        text = f"name: s\ndatasets: [digits]\nmethods: [{entries}]\nseeds: [0]\nselection: [last]\n"
        return self.resolve_text(text, self.registry).cells

    def executor(self, **limits) -> Executor:
        if self.name == "inline":
            return inline_executor(self.registry, Limits(**limits))
        if self.name == "local":
            return local_executor(2, Limits(**limits))
        if self.name == "slurm":
            from gzsl_bench.executors.slurm.crew import slurm_executor

            return slurm_executor(jobs=2, limits=Limits(**limits), cluster="local")
        from gzsl_bench.executors.ray.crew import ray_executor

        return ray_executor(self.registry, Resources(), jobs=2, limits=Limits(**limits))

    def run(self, cells, listen=lambda event: None, **limits):
        def hear(event):
            if not isinstance(event, Notice):  # on a busy machine a job is long in coming up
                self.events.append(event)
            listen(event)

        units = plan(cells, self.registry, 1)
        return run_units(self.store, cells, units, self.executor(**limits), self.settings, hear)


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    return tmp_path_factory.mktemp("plugins") / "tried.py"


@pytest.fixture
def real(tmp_path, plugin, resolve_text, request):
    def go(executor: str) -> Real:
        if executor == "ray":
            request.getfixturevalue("ray_here")
        if executor == "slurm":
            pytest.importorskip("submitit", reason="submitit is not installed")
        return Real(tmp_path, plugin, executor, resolve_text)

    return go


@pytest.mark.slow
@pytest.mark.parametrize("executor", ALL[1:])
def test_every_crew_ends_what_is_wrong_and_nothing_else(real, executor):
    one = real(executor)
    cells = one.cells("nothing", "dies", "hangs", "greedy")
    assert one.run(cells[:3], timeout=10.0).done == 1
    assert one.run(cells[3:], memory=1500 << 20).done == 0
    found = {record.label: record for record in one.store}
    where = {"local": "", "ray": " on node 127.0.0.1"}.get(executor, f" on node {platform.node()}")
    assert found["dies"].cause == (
        f"the worker process{where} ended with exit code 3 while it trained this unit"
    )
    assert found["hangs"].cause.endswith("s: --timeout gives a cell 10 s")
    assert found["greedy"].cause.endswith("more than the 1.46 GiB of --memory-limit")
    for label in ("dies", "hangs", "greedy"):
        assert f"here is {label}\n" in (found[label].path / "log.txt").read_text()
        assert found[label].provenance.hardware
    assert "in hangs" in found["hangs"].traceback


CAUSES = {
    "ctrl_c": "KeyboardInterrupt: by the method",
    "generator": "GeneratorExit: no more",
    "leaves": "SystemExit: 3",
    "odd": "Odd: of no usual kind",
    "group": "ExceptionGroup: two (2 sub-exceptions): ValueError: one; TypeError: other",
    "base_group": (
        "BaseExceptionGroup: some (2 sub-exceptions): KeyboardInterrupt: x; ValueError: y"
    ),
    "mute": "Mute",
    "wordless": "Wordless",
    "scores": "KeyboardInterrupt: while it scored",
}


@pytest.mark.parametrize("executor", ALL)
def test_whatever_a_method_raises_is_that_cells_cause_and_no_interruption(real, executor):
    one = real(executor)
    # A job takes seconds to come up, and what it does is what a process here does.
    causes = dict(list(CAUSES.items())[:2]) if executor == "slurm" else CAUSES
    outcome = one.run(one.cells(*causes, "wordy", "nothing"))
    assert (outcome.interrupted, outcome.done) == (False, 1)
    found = {record.label: record for record in one.store if not record.complete}
    wordy = found.pop("wordy")
    assert {label: record.cause for label, record in found.items()} == causes
    for label, record in found.items():
        assert "in fit" in record.traceback, label
    assert wordy.cause.startswith("ValueError: beginning xxx")
    assert wordy.cause.endswith("xxx end")
    assert len(wordy.to_json()) < 300_000


@pytest.mark.parametrize("executor", ALL[1:])
def test_what_a_process_cannot_record_the_parent_does(real, executor):
    """One that has spoilt ``json`` for itself; and what one that died had held."""
    one = real(executor)
    done = one.run(one.cells("vandal", "bulky", "nothing")).done
    found = {record.label: record for record in one.store}
    assert done == (2 if executor == "ray" else 1)  # there only the driver writes
    if executor != "ray":
        assert "key: Field required" in found["vandal"].cause
        assert "RecordError" in found["vandal"].traceback
    # numpy's array is in it: 400 MB on top of the libraries, whose builds differ in size.
    held = {label: found[label].provenance.peak_memory for label in ("bulky", "nothing")}
    assert held["nothing"] > 50 << 20
    assert 300_000_000 < held["bulky"] - held["nothing"] < 500_000_000


@pytest.mark.parametrize("executor", ALL)
def test_every_crew_tries_again_what_failed(real, executor, tmp_path):
    one = real(executor)
    outcome = one.run(one.cells("second", witness=str(tmp_path / "witness")), retries=1)
    assert outcome.done == 1
    assert [type(event).__name__ for event in one.events if not isinstance(event, Progress)] == [
        *["UnitStarted", "CellEnded", "UnitEnded", "UnitDivided"],
        *["UnitStarted", "CellEnded", "UnitEnded"],
    ]


@pytest.mark.parametrize("executor", ALL)
def test_every_crew_stops_at_the_next_report(real, executor):
    one = real(executor)

    def interrupt(event):
        if isinstance(event, Progress) and Stopping() not in one.events:
            os.kill(os.getpid(), signal.SIGINT)

    outcome = one.run(one.cells("reports", "hangs")[:1], interrupt)
    assert (outcome.interrupted, outcome.done, outcome.failed) == (True, 0, ())
    assert Stopping() in one.events
    assert one.events[-1] == UnitEnded(one.events[0].unit, interrupted=True)


@pytest.mark.parametrize("executor", ALL[1:])
def test_processes_that_never_begin_end_the_run_of_every_crew(real, executor, monkeypatch):
    one = real(executor)
    cells = one.cells("nothing")
    monkeypatch.setenv("GZSL_TEST_DEADLY", "yes")
    if executor == "ray":  # whose processes have the environment that they were started with
        text = one.plugin.read_text().replace('os.environ.get("GZSL_TEST_DEADLY")', "True")
        one.plugin.write_text(text)
    with pytest.raises(WorkerError, match=r"exit code 4.*printed last: no licence for this mach"):
        one.run(cells)
    assert list(one.store) == []


@pytest.mark.slow
@pytest.mark.parametrize("executor", ALL[1:])
def test_an_audit_under_a_time_limit_means_the_same_in_every_crew(real, executor):
    """A training of 14 s under a limit of 26: two of them are one audit, in time."""
    one = real(executor)
    cells = one.cells("naps")
    assert one.run(cells, timeout=26.0).exit_code == 0
    assert run_audits(one.store, cells, one.executor(timeout=26.0), one.settings, print)
    found = AuditStore(one.store.layout.out).read(cells[0].key)
    assert (found["outcome"], found["reason"]) == ("ok", "")
    assert found["seconds"] > 26
