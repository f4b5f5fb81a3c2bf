"""A training under observation: what it reported, with scorers that are shown what we choose.

In a *blind* training every checkpoint but the last is shown noise.  The last one is shown noise
first and the true rows then; a method whose scorers only score cannot tell the difference, nor can
its numbers.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from gzsl_bench.engine.fit import fit_runs
from gzsl_bench.engine.handed import hand_over
from gzsl_bench.errors import in_one_line
from gzsl_bench.hooks.images import Images
from gzsl_bench.hooks.method import Method
from gzsl_bench.hooks.run import Run, ScoreFunction, Scorer
from gzsl_bench.hooks.streams import generator
from gzsl_bench.hooks.task import Task
from gzsl_bench.scoring.predict import EmbeddingCache, TestSet, shown_order

if TYPE_CHECKING:
    import torch

    from gzsl_bench.data.gzsl import GZSLData
    from gzsl_bench.engine.handed import Tests
    from gzsl_bench.hooks.config import Config
    from gzsl_bench.hooks.method import MethodSpec


class Shown(Enum):
    """What the scorers of a training are shown."""

    TRUTH = "the test rows, as in any run"
    NOISE = "noise, until the last checkpoint"
    TRUTH_ANEW = "the test rows, embedded anew for the last checkpoint"


@dataclass(frozen=True, eq=False)
class Setup:
    """What a method is trained on, and the rows its scorers get.

    Attributes:
        task: the task.
        test_features: [N, D] test rows on the task's device, or images.
        noise: as many without any information, in the range of the training rows; region maps are
            those of training rows drawn at random.
    """

    task: Task
    test_features: Tests
    noise: Tests

    @classmethod
    def of(cls, task: Task, test_features: Tests, seed: int) -> Setup:
        """With noise uniform between each dimension's least and greatest training value."""
        import torch

        stream = generator(seed, "audit/noise")

        def uniform(train: torch.Tensor) -> torch.Tensor:
            low, high = train.amin(0), train.amax(0)
            draw = torch.rand((len(test_features), train.shape[1]), generator=stream)
            return draw.to(train).mul_(high - low).add_(low)

        noise = uniform(task.features)
        if isinstance(test_features, Images):
            second = None if task.second is None else uniform(task.second)
            regions = None
            if task.regions is not None:
                drawn = torch.randint(len(task.regions), (len(test_features),), generator=stream)
                regions = task.regions.of(drawn)
            return cls(task, test_features, Images(noise, regions, second))
        return cls(task, test_features, noise)

    @classmethod
    def of_data(cls, spec: MethodSpec, data: GZSLData, seed: int, device: str = "cpu") -> Setup:
        """The real task of a data set as ``spec`` asks for it; test rows: seen, then unseen."""
        import torch

        from gzsl_bench.data.identity import extras
        from gzsl_bench.data.tasks import prepare

        ready = prepare(data, spec.preprocessing)
        given = extras(data).keys() & {*spec.needs, *spec.wants}
        task, tests = hand_over(
            ready, given, spec.setting, lambda array: torch.from_numpy(array).to(device)
        )
        return cls.of(task, tests, seed)


@dataclass(frozen=True)
class RunSpec:
    """One run of the training: its seed, configuration and arithmetic."""

    seed: int
    config: Config
    precision: str = "float32"


@dataclass
class Trace:
    """What one run reported.

    Attributes:
        numbers: its checkpoints.
        scores: [N, C] of the last checkpoint that was shown the test rows, in their order.
        curves: logged values by name, (step, value as hexadecimal text).
        failure: why it failed, or None.
        error: what was raised, where an exception is behind the failure.
        alone: how far, relative to their spread, the last scores move when half of the rows are
            shown by themselves, infinite if it could not score them; None where not tried.
        two_parts: whether the last scorer came in two parts.
    """

    numbers: list[int] = field(default_factory=list)
    scores: torch.Tensor | None = None
    curves: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    failure: str | None = None
    error: BaseException | None = None
    alone: float | None = None
    two_parts: bool = False

    @property
    def scores_digest(self) -> str:
        """Hash of the last scores, bit by bit."""
        if self.scores is None:
            return ""
        plain = self.scores.cpu().contiguous()
        hasher = hashlib.sha256(f"{plain.dtype} {tuple(plain.shape)}".encode())
        hasher.update(_raw(plain))
        return hasher.hexdigest()[:24]

    @property
    def curves_digest(self) -> str:
        """Hash of all logged values."""
        return hashlib.sha256(repr(sorted(self.curves.items())).encode()).hexdigest()[:24]

    def equals(self, other: Trace, ignore: Collection[str] = ()) -> bool:
        """Whether two trainings reported the same, bit for bit; ``ignore`` names curves."""
        return (
            self.numbers == other.numbers
            and self.failure == other.failure
            and self.scores_digest == other.scores_digest
            and self.other_curves(other) <= set(ignore)
        )

    def other_curves(self, other: Trace) -> set[str]:
        """Names of the curves that differ."""
        names = self.curves.keys() | other.curves.keys()
        return {name for name in names if self.curves.get(name) != other.curves.get(name)}

    def summary(self) -> dict[str, Any]:
        """For the report."""
        return {
            "checkpoints": len(self.numbers),
            "last": self.numbers[-1] if self.numbers else None,
            "scores": self.scores_digest,
            "curves": self.curves_digest,
            "failure": self.failure,
            "alone": "infinite" if self.alone == math.inf else self.alone,
        }


class TracingSink:
    """Takes a run's reports as the engine's sink does, and shows its scorers what we choose.

    Args:
        setup: the rows.
        seed: of the run: it fixes the order of the rows, as in the engine.
        shown: what the scorers see.
        final: number of the last checkpoint, where an earlier training has told it.
        on_progress: told how far the run is.
        should_stop: raises if the user wants to stop.
    """

    def __init__(
        self,
        setup: Setup,
        seed: int,
        shown: Shown,
        final: int | None,
        on_progress: Callable[[int, int], None],
        should_stop: Callable[[], None],
    ) -> None:
        import torch

        self.trace = Trace()
        self._setup = setup
        self._shown = shown
        self._final = final
        self._on_progress = on_progress
        self._should_stop = should_stop
        rows = setup.test_features.shape[0]
        self._order = shown_order(seed, rows)
        self._half = torch.randperm(rows, generator=generator(seed, "audit/half"))[: rows // 2]
        self._tests = TestSet(
            setup.test_features,
            np.zeros(rows, dtype=np.int64),  # nothing is scored against the labels here
            setup.task.seen.cpu().numpy(),
            setup.task.unseen.cpu().numpy(),
            self._order,
        )
        self._embeddings, self._of_noise = EmbeddingCache(), EmbeddingCache()

    def log(self, step: int, values: dict[str, float]) -> None:
        """Keep the values exactly, those that are not finite too."""
        self._should_stop()
        for name, value in values.items():
            self.trace.curves.setdefault(name, []).append((step, float(value).hex()))

    def progress(self, done: int, total: int) -> None:
        """Pass the progress on."""
        self._should_stop()
        self._on_progress(done, total)

    def checkpoint(self, number: int, scorer: ScoreFunction) -> None:
        """Show the scorer what it is to see; keep the scores of the test rows."""
        self._should_stop()
        self.trace.numbers.append(number)
        blind = self._shown is Shown.NOISE
        if blind:
            self._show_noise(scorer)
            if number != self._final:
                return
        if number == self._final:
            self._embeddings = EmbeddingCache()  # rows embedded before must not serve now
        scores = self._score(scorer)
        back = self._order.argsort().to(scores.device)
        self.trace.scores = scores[back]
        self.trace.two_parts = isinstance(scorer, Scorer)
        if blind:
            self.trace.alone = self._half_alone(scorer, scores)

    def _show_noise(self, scorer: ScoreFunction) -> None:
        """What comes back means nothing; only what the scorer does with the rows could matter."""
        import torch

        with torch.no_grad():
            if isinstance(scorer, Scorer):
                scorer.score(self._of_noise.get(scorer.embed, self._setup.noise))
            else:
                scorer(self._setup.noise)

    def _score(self, scorer: ScoreFunction) -> torch.Tensor:
        """The scores of the test rows, checked as the engine checks them, in shuffled order."""
        kept: list[torch.Tensor] = []

        def keep(score: ScoreFunction) -> ScoreFunction:
            def call(rows: torch.Tensor) -> torch.Tensor:
                kept.append(score(rows))
                return kept[-1]

            return call

        if isinstance(scorer, Scorer):
            self._tests.predict(Scorer(scorer.embed, keep(scorer.score)), self._embeddings)
        else:
            self._tests.predict(keep(scorer), self._embeddings)
        return kept[0].detach().clone()

    def _half_alone(self, scorer: ScoreFunction, scores: torch.Tensor) -> float | None:
        """Change of the scores of half of the rows without the others, relative to their spread.

        Scores count up to a number per row, which decides nothing.  Root mean squares are compared:
        a product of other shape rounds otherwise, here and there by much.
        """
        import torch

        if not len(self._half) or scores.shape[1] < 2:
            return None
        rows = self._setup.test_features[self._order[self._half].to(scores.device)]
        beside = scores[self._half.to(scores.device)].double()
        try:
            with torch.no_grad():
                alone = scorer(rows)
        except Exception:
            return math.inf  # it can only score what it expects
        if not isinstance(alone, torch.Tensor) or alone.shape != beside.shape:
            return math.inf
        alone, beside = (x - x.mean(1, keepdim=True) for x in (alone.double(), beside))
        spread = float(beside.square().mean().sqrt())
        moved = float((alone - beside).square().mean().sqrt())
        return moved / spread if spread > 0 else float(moved > 0)


def observe(
    factory: type[Method],
    setup: Setup,
    specs: Sequence[RunSpec],
    *,
    shown: Shown = Shown.TRUTH,
    finals: Sequence[int | None] | None = None,
    on_progress: Callable[[int, int, int], None] = lambda run, done, total: None,
    should_stop: Callable[[], None] = lambda: None,
    sink: Callable[..., TracingSink] = TracingSink,
) -> list[Trace]:
    """Train ``specs`` together, as the engine would, and tell what each of them reported.

    Args:
        factory: the method.
        setup: what to train on and to show.
        specs: the runs; several for a batched method only.
        shown: what scorers are shown.
        finals: number of each run's last checkpoint; needed unless ``shown`` is the plain truth.
        on_progress: told the run's position and how far it is.
        should_stop: raises if the user wants to stop.
        sink: makes each run's sink: a subclass that notes more than its trace, say.
    """
    finals = finals or [None] * len(specs)
    sinks = [
        sink(
            setup,
            one.seed,
            shown,
            final,
            lambda done, total, position=position: on_progress(position, done, total),
            should_stop,
        )
        for position, (one, final) in enumerate(zip(specs, finals, strict=True))
    ]
    alone, device = len(specs) == 1, setup.task.device
    runs = [
        Run(one.seed, device, one.config, sink, alone=alone, precision=one.precision)
        for one, sink in zip(specs, sinks, strict=True)
    ]
    errors: Sequence[BaseException | None]
    try:
        errors = fit_runs(factory, setup.task, runs)
    except (Exception, SystemExit) as error:
        errors = [error] * len(runs)
    traces = [each.trace for each in sinks]
    for trace, run, found in zip(traces, runs, errors, strict=True):
        trace.error = found
        trace.failure = run.failure or (None if found is None else in_one_line(found))
    return traces


def _raw(tensor: torch.Tensor) -> bytes:
    import torch

    return tensor.view(torch.uint8).numpy().tobytes()
