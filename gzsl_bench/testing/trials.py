"""The trainings a report needs, each made once and looked at by several checks."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gzsl_bench.engine.audit.judge import AuditReport, audit_runs
from gzsl_bench.engine.audit.leftovers import GlobalRandomStates, changed, module_variables
from gzsl_bench.engine.audit.observe import RunSpec, Setup, Trace, observe
from gzsl_bench.engine.audit.watch import data_files, opened_files
from gzsl_bench.engine.fit import TaskChanged
from gzsl_bench.errors import NotApplicable, SuiteError
from gzsl_bench.hooks.method import MethodSpec
from gzsl_bench.testing import tasks
from gzsl_bench.testing.caller import failed_in
from gzsl_bench.testing.probe import Probe, Seen
from gzsl_bench.testing.report import Broken, Skipped, ends_in

if TYPE_CHECKING:
    from gzsl_bench.hooks.config import Config


#: Seconds between two attempts to stop a training that reports nothing.
LATE = 5.0


class OverBudget(Exception):
    """A training was stopped because it took too long."""


@dataclass(frozen=True)
class Budget:
    """What one training on a tiny task may take.

    Attributes:
        seconds: wall-clock time; a training that reports anything is stopped when they are over,
            one that reports nothing soon after twice as many.
        megabytes: growth of the process's peak memory (on a GPU, of the memory torch takes there).
    """

    seconds: float = 60.0
    megabytes: float = 1024.0


@dataclass(frozen=True)
class Trial:
    """One run of one training.

    Attributes:
        shape: the task's shape.
        trace: what it reported.
        seen: what it did on the way.
        seconds: of the training.
        moved: global random states that it moved.
        opened: files it opened that are neither code nor the system's.
        task_changed: how it changed the task's tensors, in words, or None.
        line: of the plugin where it failed, as ``method.py, line 12``; "" where that is unknown.
    """

    shape: str
    trace: Trace
    seen: Seen
    seconds: float = 0.0
    moved: Sequence[str] = ()
    opened: Sequence[str] = ()
    task_changed: str | None = None
    line: str = ""

    @property
    def sound(self) -> bool:
        """Whether it got through."""
        return self.blame is None and not self.not_applicable

    @property
    def not_applicable(self) -> str | None:
        """The method's own sentence why it cannot work on this task."""
        error = self.trace.error
        return str(error) if isinstance(error, NotApplicable) else None

    @property
    def blame(self) -> str | None:
        """The check that says why it did not get through."""
        if self.trace.failure is None and not self.seen.rows_changed and not self.task_changed:
            return None
        found = (
            ("task_unchanged", self.task_changed),
            ("shown_rows_unchanged", self.seen.rows_changed),
            ("score_shape", self.seen.shape),
            ("score_dtype", self.seen.kind),
            ("scores_finite", self.seen.values),
            ("time_budget", isinstance(self.trace.error, OverBudget)),
            ("device", _names_a_gpu(self.trace.failure or "")),
        )
        return next((name for name, fault in found if fault), "trains")

    @property
    def why(self) -> str:
        """What went wrong, in words."""
        if self.not_applicable or isinstance(self.trace.error, OverBudget):
            return str(self.trace.error)
        if self.trace.failure:
            return f"{self.trace.failure} ({self.line})" if self.line else self.trace.failure
        return self.task_changed or "its scorer changes the rows it is shown"

    def accuracy(self, labels: np.ndarray, among: np.ndarray) -> float:
        """Mean per-class accuracy on the rows of the classes ``among``, chosen among these."""
        from gzsl_bench.scoring.metrics import mean_class_accuracy

        assert self.trace.scores is not None
        scores = self.trace.scores.double().cpu().numpy()
        predicted = among[scores[:, among].argmax(1)]
        return mean_class_accuracy(labels, predicted, among)


def _names_a_gpu(text: str) -> bool:
    return any(word in text.lower() for word in ("cuda", "nvidia", "hip gpu"))


@dataclass
class Trials:
    """All trainings of one method with one configuration.

    Every training begins with the same global random states and gets copies of its own of the
    task's tensors, so that a fault shows in the check it belongs to and nowhere else.

    Attributes:
        spec: the method.
        values: of the configuration to check, where they differ from the defaults.
        device: where to train.
        budget: what one training may take.
        installed: the name by which a fresh process finds the method among the installed plugins;
            None for a spec that is handed over.
        variables: those of the plugin's modules that changed while it trained.
        fresh: what a training in a fresh process gave, once it was asked for.
    """

    spec: MethodSpec
    values: Mapping[str, Any] = field(default_factory=dict)
    device: str = "cpu"
    budget: Budget = field(default_factory=Budget)
    installed: str | None = None
    variables: list[str] = field(default_factory=list)
    fresh: Any = None
    _trials: dict[tuple[str, int, str], Trial] = field(default_factory=dict)
    _audit: AuditReport | None = None
    _stacks: dict[tuple[int, ...], list[Trial]] = field(default_factory=dict)
    _start: GlobalRandomStates | None = None

    @property
    def config(self) -> Config:
        """The configuration that is checked.

        Raises:
            Skipped: it cannot be made; the check ``configuration_has_defaults`` says why.
        """
        with ends_in(Skipped, "there is no configuration: see configuration_has_defaults"):
            return self.spec.factory.Config.model_validate(dict(self.values))

    def setup(self, shape: str, seed: int = 0) -> Setup:
        """What the method is trained on and scored with; new tensors at every call."""
        data = tasks.make(shape)
        unknown = "there is no such preprocessing: see citation_and_fidelity"
        with ends_in(Skipped, unknown, SuiteError):
            return Setup.of_data(self.spec, data, seed, self.device)

    def on(self, shape: str, seed: int = 0, again: str = "") -> Trial:
        """Train on ``shape``, once for all who ask; ``again`` names a repetition."""
        wanted = (shape, seed, again)
        if wanted not in self._trials:
            (self._trials[wanted],) = self.train(shape, [RunSpec(seed, self.config)])
        return self._trials[wanted]

    def train(self, shape: str, specs: Sequence[RunSpec], *, again: bool = False) -> list[Trial]:
        """Train some runs together; ``again`` after a training that imported libraries."""
        probes: list[Probe] = []

        def sink(*arguments: Any) -> Probe:
            probes.append(Probe(*arguments))
            return probes[-1]

        setup = self.setup(shape, specs[0].seed)
        kept = {
            name: value.clone()
            for name in _TENSORS
            if (value := getattr(setup.task, name)) is not None
        }
        owner = self.spec.factory
        variables, imported = module_variables(owner), len(sys.modules)
        began = time.monotonic()
        with self.alike() as start, opened_files() as opened:
            with self._clock():
                stop = functools.partial(self._stop, began)
                traces = observe(owner, setup, specs, sink=sink, should_stop=stop)
            seconds = time.monotonic() - began
            moved = start.moved(GlobalRandomStates.now())
        names = {*self.variables, *changed(variables, module_variables(owner))}
        self.variables = sorted(names)
        files = _foreign(opened, owner)
        if len(sys.modules) > imported and (moved or files) and not again:
            # A library that is imported where it is first needed opens files and draws numbers.
            return self.train(shape, specs, again=True)
        first = Trial(
            shape,
            traces[0],
            probes[0].seen,
            seconds,
            moved,
            files,
            _change(setup, kept, traces[0]),
        )
        return [
            replace(
                first, trace=trace, seen=probe.seen, line=failed_in(owner.__module__, trace.error)
            )
            for trace, probe in zip(traces, probes, strict=True)
        ]

    @contextlib.contextmanager
    def alike(self) -> Iterator[GlobalRandomStates]:
        """Every training begins like this one and leaves nothing behind in the process."""
        import torch

        found, threads = GlobalRandomStates.now(), torch.get_num_threads()
        self._start = self._start or found
        self._start.restore()
        torch.set_num_threads(1)  # tiny tensors: a second thread costs more than it brings
        try:
            yield self._start
        finally:
            torch.set_num_threads(threads)
            found.restore()

    def _stop(self, began: float) -> None:
        taken = time.monotonic() - began
        if taken > self.budget.seconds:
            raise OverBudget(
                f"it is stopped after {taken:.2g} s, and the budget is {self.budget.seconds:g} s"
            )

    @contextlib.contextmanager
    def _clock(self) -> Iterator[None]:
        """Stops a training that reports nothing, too, where a signal can: an endless loop.

        It rings a while after the budget, so that one which is merely slow gets to its end.
        """
        free = signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)  # pytest-timeout uses it
        if not free or threading.current_thread() is not threading.main_thread():
            yield
            return
        began = time.monotonic()
        before = signal.signal(signal.SIGALRM, lambda *_: self._stop(began))
        # Again and again: a method may take the first one for an error of its own.
        signal.setitimer(signal.ITIMER_REAL, 2 * self.budget.seconds + LATE, LATE)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    # What checks start from ----------------------------------------------------------------------

    def first(self) -> Trial:
        """The training on the first shape that the method applies to, sound or not.

        Raises:
            NotApplicable: it applies to none.
        """
        reasons = {}
        for shape in tasks.SHAPES:
            trial = self.on(shape)
            if trial.not_applicable is None:
                return trial
            reasons[trial.not_applicable] = shape
        raise NotApplicable("; ".join(reasons))

    def base(self) -> Trial:
        """The same, where it got through.

        Raises:
            Skipped: it did not, and another check says why.
        """
        trial = self.first()
        if trial.blame is not None:
            raise Skipped(f"there is nothing to look at: see {trial.blame}")
        return trial

    def steady(self) -> Trial:
        """The same, where equal trainings give equal results.

        Raises:
            Skipped: they do not, or it did not get through.
        """
        base = self.base()
        if not base.trace.equals(self.repeated().trace, self.restless()):
            blame = "no_state_between_runs" if self.variables else "same_seed_same_result"
            raise Skipped(f"equal trainings differ: see {blame}")
        return base

    def repeated(self) -> Trial:
        """The base training once more, as it is where the audit's original came to the same."""
        base, original = self.base(), self.audited().original
        if original is not None and base.trace.equals(original):
            return base
        return self.on(base.shape, again="repeated")

    def restless(self) -> set[str]:
        """Curves that differ between equal trainings though the scores agree: times, say."""
        one, other = self.base().trace, self.repeated().trace
        return one.other_curves(other) if one.scores_digest == other.scores_digest else set()

    def other(self, what: str, shape: str, seed: int = 0) -> Trial:
        """A training that must get through because the base training did."""
        trial = self.on(shape, seed)
        if not trial.sound:
            raise Broken(f"{what} it fails: {trial.why}")
        return trial

    def audited(self) -> AuditReport:
        """The blind twin on the base shape, right after a training on another task."""
        base = self.base()
        if self._audit is None:
            self.relabelled()
            specs = [RunSpec(0, self.config)]
            with self.alike():
                (self._audit,) = audit_runs(self.spec, self.setup(base.shape), specs)
        return self._audit

    def relabelled(self, again: str = "") -> Trial:
        """The base task with other training labels."""
        return self.on(f"{self.base().shape}/other labels", again=again)

    def as_on_a_gpu(self, *seeds: int) -> list[Trial]:
        """A batched method's runs in the same products on a CPU, too; once for all who ask."""
        from gzsl_bench.stacked.backend import pretending
        from gzsl_bench.testing.graphs import rerun

        if seeds not in self._stacks:
            specs = [RunSpec(seed, self.config) for seed in seeds]
            with pretending(rerun()) if self.device == "cpu" else contextlib.nullcontext():
                self._stacks[seeds] = self.train(self.base().shape, specs)
        return self._stacks[seeds]


_TENSORS = ("features", "labels", "attributes", "seen", "unseen", "second", "words", "groups")


def _change(setup: Setup, kept: Mapping[str, Any], trace: Trace) -> str | None:
    names = [name for name in kept if not getattr(setup.task, name).equal(kept[name])]
    if names:
        return f"it changes the task's {' and '.join(names)} in place"
    if (shared := setup.task.shared_changed()) is not None:
        return f"it changes what task.shared({shared}) gave in place"
    return "it writes to the task's tensors" if isinstance(trace.error, TaskChanged) else None


def _foreign(opened: set[str], owner: type) -> list[str]:
    """Files that belong neither to Python, its packages, nor to the plugin's own package.

    Files that are not there any more do not count: libraries try folders out with a passing file.
    """
    package = sys.modules.get(owner.__module__.partition(".")[0])
    own = [os.path.realpath(folder) for folder in getattr(package, "__path__", ())]
    homes = {sys.prefix, sys.base_prefix, sys.exec_prefix, *own}
    homes |= {path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")}
    below = tuple(os.path.realpath(home) + os.sep for home in homes)
    return sorted(
        path for path in data_files(opened) if not path.startswith(below) and Path(path).exists()
    )


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder for a moment."""
    return tempfile.TemporaryDirectory(prefix="gzsl-bench-check-")
