"""The blind twin: does a method learn from what its scorers are shown?

The same run is trained twice in one process.  The twin's scorers are shown noise until the last
checkpoint; its last scores and its logged values must equal the original's bit for bit.  Where they
do not, repeats tell the causes apart, because a method that is not deterministic differs as well.
See docs/audit.md for what this catches and what it cannot.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gzsl_bench.engine.audit.leftovers import GlobalRandomStates, changed, module_variables
from gzsl_bench.engine.audit.observe import RunSpec, Setup, Shown, Trace, observe
from gzsl_bench.engine.audit.watch import Guard, opened_files
from gzsl_bench.records.audits import FAILED, NOT_AUDITED, OK

if TYPE_CHECKING:
    from gzsl_bench.data.gzsl import GZSLData
    from gzsl_bench.hooks.config import Config
    from gzsl_bench.hooks.method import MethodSpec

#: Names of findings: each of them fails an audit.
LEARNS = "learns from what it is shown"
STALE = "stale embedding"
RANDOM = "global random state"
STATE = "state between runs"
CHANCE = "not deterministic"
PEEKS = "looks at other rows"
FILES = "opens data files"

#: Scores that move by more than this share of their spread when half of the rows are shown alone
#: depend on their company.  Rounding moves float32 scores by about a millionth, TF32 by a
#: thousandth at most; statistics of a few thousand rows move them by a hundredth.
ALONE = 1e-3


@dataclass(frozen=True)
class Finding:
    """Something a method must not do.

    Attributes:
        name: one of the names above.
        text: one sentence.
    """

    name: str
    text: str


@dataclass(frozen=True)
class AuditReport:
    """What an audit found out about one run.

    Attributes:
        findings: what it must not do; none means that it passed.
        not_audited: why the method could not be audited, or None.
        notes: worth knowing, wrong in no way.
        trainings: by role (``original``, ``twin``, ...): checkpoints, hashes, failure.
        seconds: what the audit took, all runs of the company together.
        original: what the original reported, or None.
    """

    findings: tuple[Finding, ...] = ()
    not_audited: str | None = None
    notes: tuple[str, ...] = ()
    trainings: Mapping[str, Mapping[str, Any]] | None = None
    seconds: float = 0.0
    original: Trace | None = None

    @property
    def outcome(self) -> str:
        """``ok``, ``failed`` or ``not audited``."""
        if self.findings:
            return FAILED
        return OK if self.not_audited is None else NOT_AUDITED

    @property
    def reason(self) -> str:
        """Why it failed or was not audited; empty if it passed."""
        return "; ".join(finding.text for finding in self.findings) or self.not_audited or ""

    def to_json(self) -> dict[str, Any]:
        """Plain data, as stored beside the records."""
        return {
            "outcome": self.outcome,
            "reason": self.reason,
            "findings": [vars(finding) for finding in self.findings],
            "notes": list(self.notes),
            "trainings": {name: dict(found) for name, found in (self.trainings or {}).items()},
            "seconds": round(self.seconds, 3),
        }


def audit(
    spec: MethodSpec,
    config: Config | Mapping[str, Any],
    data: GZSLData,
    seed: int = 0,
    *,
    device: str = "cpu",
    precision: str = "float32",
    guard: Guard | None = None,
) -> AuditReport:
    """Audit one run of a method on a data set.

    Args:
        spec: the method.
        config: its configuration, or the values that differ from the defaults.
        data: the data set; preprocessed as the spec asks.
        seed: the run's seed.
        device: where to train.
        precision: arithmetic of the training.
        guard: files and folders the method must not open.
    """
    chosen = config if isinstance(config, spec.factory.Config) else None
    chosen = chosen or spec.factory.Config.model_validate(dict(config))
    one = RunSpec(seed, chosen, precision)
    return audit_runs(spec, Setup.of_data(spec, data, seed, device), [one], guard=guard)[0]


def audit_runs(
    spec: MethodSpec,
    setup: Setup,
    specs: Sequence[RunSpec],
    *,
    guard: Guard | None = None,
    on_progress: Callable[[int, int, int], None] = lambda run, done, total: None,
    should_stop: Callable[[], None] = lambda: None,
) -> list[AuditReport]:
    """Audit runs that are trained together, each as it would be alone.

    Args:
        spec: the method.
        setup: what to train on and to show.
        specs: the runs; several for a batched method only.
        guard: files and folders the method must not open.
        on_progress: told the run's position and how far it is within one training.
        should_stop: raises if the user wants to stop.
    """
    return _Audit(spec, setup, specs, guard or Guard(), on_progress, should_stop).reports()


class _Audit:
    """Trainings of one company, as many as it takes to know."""

    def __init__(
        self,
        spec: MethodSpec,
        setup: Setup,
        specs: Sequence[RunSpec],
        guard: Guard,
        on_progress: Callable[[int, int, int], None],
        should_stop: Callable[[], None],
    ) -> None:
        self.spec, self.setup, self.specs, self.guard = spec, setup, list(specs), guard
        self.on_progress, self.should_stop = on_progress, should_stop
        self.traces: dict[str, list[Trace]] = {}
        self.opened: set[str] = set()
        self.before: GlobalRandomStates | None = None
        self.advanced: list[str] = []
        self.variables: list[str] = []

    def reports(self) -> list[AuditReport]:
        """Train and judge."""
        began = time.monotonic()
        self._original()
        if any(trace.failure is None for trace in self.traces["original"]):
            self._train("twin", Shown.NOISE)
            self._tell_causes_apart()
        seconds = time.monotonic() - began
        return [self._report(position, seconds) for position in range(len(self.specs))]

    def _original(self) -> None:
        owner = self.spec.factory
        variables = module_variables(owner)
        self.before = GlobalRandomStates.now()
        self._train("original", Shown.TRUTH)
        self.advanced = self.before.moved(GlobalRandomStates.now())
        self.variables = changed(variables, module_variables(owner))

    def _train(self, role: str, shown: Shown) -> None:
        finals: list[int | None] | None = None
        if shown is not Shown.TRUTH:
            finals = [t.numbers[-1] if t.numbers else None for t in self.traces["original"]]
        with opened_files() as opened:
            self.traces[role] = observe(
                self.spec.factory,
                self.setup,
                self.specs,
                shown=shown,
                finals=finals,
                on_progress=self.on_progress,
                should_stop=self.should_stop,
            )
        self.opened |= opened

    def _tell_causes_apart(self) -> None:
        """More trainings, only where the twin differs."""
        if all(self._same("original", "twin", i) for i in self._sound()):
            return
        self._train("repeat", Shown.TRUTH)
        self._train("second twin", Shown.NOISE)
        if any(not self._steady(i) for i in self._sound()):
            assert self.before is not None
            self.before.restore()
            self._train("repeat from the same global random state", Shown.TRUTH)
        elif any(self.traces["original"][i].two_parts for i in self._sound()):
            self._train("embedded anew", Shown.TRUTH_ANEW)

    def _sound(self) -> list[int]:
        """Runs whose original did not fail."""
        return [i for i, trace in enumerate(self.traces["original"]) if trace.failure is None]

    def _same(self, one: str, other: str, i: int) -> bool:
        return self.traces[one][i].equals(self.traces[other][i], self._restless(i))

    def _restless(self, i: int) -> set[str]:
        """Curves that differ between equal trainings: times, say.  They tell nothing."""
        pairs = (("original", "repeat"), ("twin", "second twin"))
        return {
            name
            for one, other in pairs
            if other in self.traces
            for name in self.traces[one][i].other_curves(self.traces[other][i])
        }

    def _steady(self, i: int) -> bool:
        """Whether equal trainings gave equal results."""
        return self._same("original", "repeat", i) and self._same("twin", "second twin", i)

    def _report(self, i: int, seconds: float) -> AuditReport:
        original = self.traces["original"][i]
        failed = original.failure
        findings = [f for f in (self._files(),) if f]
        notes = []
        if failed is None:
            # A scorer that changes as it scores gives other scores for half of the rows as well.
            findings += [f for f in (self._difference(i) or self._company(i),) if f]
            if self.advanced and RANDOM not in {finding.name for finding in findings}:
                notes.append(
                    f"it moves the global random state of {_listed(self.advanced)}, though nothing"
                    " depends on it here"
                )
            if restless := sorted(self._restless(i)):
                notes.append(f"two identical runs log other values of {_listed(restless)}")
            if len(original.numbers) == 1:
                notes.append("it offers a single checkpoint")
        return AuditReport(
            findings=tuple(findings),
            not_audited=None if failed is None else f"trained once more, it fails: {failed}",
            notes=tuple(notes),
            trainings={role: traces[i].summary() for role, traces in self.traces.items()},
            seconds=seconds,
            original=original,
        )

    def _files(self) -> Finding | None:
        hits = self.guard.hits(self.opened)
        if not hits:
            return None
        more = f" and {len(hits) - 1} more" if len(hits) > 1 else ""
        return Finding(FILES, f"while it trains it opens {hits[0]}{more}, where test data lie")

    def _difference(self, i: int) -> Finding | None:
        """Why the twin differs, if it does."""
        if self._same("original", "twin", i):
            return None
        if not self._steady(i):
            return self._unsteady(i)
        original, twin = self.traces["original"][i], self.traces["twin"][i]
        anew = self.traces.get("embedded anew")
        if anew is not None and anew[i].equals(twin):
            return Finding(
                STALE,
                "its checkpoints share one embed function whose results change during the training,"
                " so that later checkpoints are scored on an outdated embedding; give each encoder"
                " a function of its own",
            )
        names = sorted(original.other_curves(twin) - self._restless(i))
        return Finding(LEARNS, _how_it_differs(original, twin, names))

    def _unsteady(self, i: int) -> Finding:
        """Two identical runs differ: because of what?"""
        start = f"two identical runs of seed {self.specs[i].seed} differ"
        if self._same("original", "repeat from the same global random state", i):
            return Finding(
                RANDOM,
                f"{start}: it draws from the global random state of {_listed(self.advanced)}"
                " instead of run.generator(...)",
            )
        if self.variables:
            return Finding(
                STATE,
                f"{start}: it keeps something between runs, since training changes"
                f" {_listed(self.variables[:3])}",
            )
        return Finding(
            CHANCE,
            f"{start}, with the same global random state too: it keeps something between runs, or"
            " draws from an unseeded generator, or its arithmetic is not deterministic",
        )

    def _company(self, i: int) -> Finding | None:
        """Scores that depend on the other rows of the call."""
        moved = self.traces["twin"][i].alone
        if moved is None or moved <= ALONE or self.spec.setting == "transductive":
            return None
        if moved == float("inf"):
            return Finding(
                PEEKS, "its scorer cannot score half of the test rows without the others"
            )
        return Finding(
            PEEKS,
            "its scores of a row depend on the other rows of the call: with half of the test rows"
            f" shown alone they move by {100 * moved:.2g} % of their spread",
        )


def _how_it_differs(original: Trace, twin: Trace, curves: Sequence[str]) -> str:
    """What noise at earlier checkpoints changed."""
    what = "what its scorers are shown"
    if twin.failure is not None:
        return f"{what} changes the training: shown noise, it fails: {twin.failure}"
    if twin.numbers != original.numbers:
        return (
            f"{what} changes its checkpoints: {len(twin.numbers)} instead of"
            f" {len(original.numbers)} when shown noise"
        )
    if twin.scores_digest != original.scores_digest:
        assert original.scores is not None
        assert twin.scores is not None
        told = int((original.scores.argmax(1) != twin.scores.argmax(1)).sum())
        return (
            f"{what} before the last checkpoint changes its last scores"
            f" ({told} of {original.scores.shape[0]} predictions)"
        )
    return f"{what} changes its logged values of {_listed(curves)}"


def _listed(names: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
