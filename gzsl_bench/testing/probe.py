"""A sink that notes, besides a trace, what the checks ask about: scores as they came, progress."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gzsl_bench.engine.twin import TracingSink
from gzsl_bench.hooks.run import ScoreFunction, Scorer

if TYPE_CHECKING:
    import torch


@dataclass
class Seen:
    """What one run did.

    Attributes:
        kind: what was wrong with the kind of its scores, in words, or None.
        shape: wrong shape, in words, or None.
        values: values that are not finite, in words, or None.
        rows_changed: a scorer changed the rows it was shown.
        progress: every report, (done, total).
        logs: how often it logged.
    """

    kind: str | None = None
    shape: str | None = None
    values: str | None = None
    rows_changed: bool = False
    progress: list[tuple[int, int]] = field(default_factory=list)
    logs: int = 0


class Probe(TracingSink):
    """Takes notes on the way; the rules are those of :class:`TracingSink`."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seen = Seen()
        self._expected = (
            self._exam.test_features.shape[0],
            self._exam.task.num_classes,
        )

    def log(self, step: int, values: dict[str, float]) -> None:
        """Count."""
        self.seen.logs += 1
        super().log(step, values)

    def progress(self, done: int, total: int) -> None:
        """Keep."""
        self.seen.progress.append((done, total))
        super().progress(done, total)

    def checkpoint(self, number: int, scorer: ScoreFunction) -> None:
        """Look at the scores before the harness does, at the rows after."""
        if isinstance(scorer, Scorer):
            watched: ScoreFunction = Scorer(scorer.embed, self._watch(scorer.score))
        else:
            watched = self._watch(scorer)
        before = self._rows().clone()
        super().checkpoint(number, watched)
        if not before.equal(self._rows()):
            self.seen.rows_changed = True  # behind torch's back: through numpy, say

    def _rows(self) -> torch.Tensor:
        return self._tests._features

    def _watch(self, score: ScoreFunction) -> ScoreFunction:
        def call(rows: torch.Tensor) -> torch.Tensor:
            before = getattr(rows, "_version", 0)
            scores = score(rows)
            self.seen.rows_changed |= getattr(rows, "_version", 0) != before
            self._look(scores)
            return scores

        return call

    def _look(self, scores: Any) -> None:
        import torch

        if not isinstance(scores, torch.Tensor):
            self.seen.kind = f"a {type(scores).__name__}"
        elif tuple(scores.shape) != self._expected:
            self.seen.shape = f"{list(scores.shape)} instead of {list(self._expected)}"
        elif not scores.is_floating_point():
            self.seen.kind = f"a tensor of {str(scores.dtype).removeprefix('torch.')}"
        elif not bool(torch.isfinite(scores).all()):
            bad = scores[~torch.isfinite(scores)]
            what = "NaN" if bool(bad.isnan().any()) else "infinite"
            self.seen.values = f"{bad.numel()} of {scores.numel()} scores are {what}"
