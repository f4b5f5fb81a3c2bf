"""A sink that notes, besides a trace, what the checks ask about: scores as they came, progress."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gzsl_bench.engine.audit.observe import TracingSink
from gzsl_bench.errors import PluginError, in_one_line
from gzsl_bench.hooks.run import Latents, ScoreFunction, Scorer
from gzsl_bench.scoring.predict import TestSet

if TYPE_CHECKING:
    import torch

    from gzsl_bench.engine.handed import Tests


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
        offered: whether a scorer offered latents.
        latents: what was wrong with them, in words, or None.
    """

    kind: str | None = None
    shape: str | None = None
    values: str | None = None
    rows_changed: bool = False
    progress: list[tuple[int, int]] = field(default_factory=list)
    logs: int = 0
    offered: bool = False
    latents: str | None = None


class Probe(TracingSink):
    """Takes notes on the way; the rules are those of :class:`TracingSink`."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seen = Seen()
        self._asked: Latents | None = None
        self._expected = (
            self._setup.test_features.shape[0],
            self._setup.task.num_classes,
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
        before: Any = self._rows().clone()
        super().checkpoint(number, watched)
        if isinstance(scorer, Scorer) and scorer.latents is not None:
            self._ask_for(scorer.latents)
        if not before.equal(self._rows()):
            self.seen.rows_changed = True  # behind torch's back: through numpy, say

    def _ask_for(self, offered: Latents) -> None:
        """Latents of all rows and of every class, twice; each object once."""
        if offered is self._asked or self.seen.latents:
            return
        self.seen.offered, self._asked = True, offered
        rows = self._setup.test_features
        labels = np.arange(len(rows)) % self._setup.task.num_classes
        tests = TestSet(rows, labels, self._tests.seen, self._tests.unseen, self._order)
        shown: Any = tests._features.clone()
        try:
            one, two = tests.latents(offered), tests.latents(offered)
        except PluginError as error:
            self.seen.latents = str(error)
        except Exception as error:
            self.seen.latents = f"asked for latents it fails: {in_one_line(error)}"
        else:
            if not all(map(np.array_equal, one, two)):
                self.seen.latents = (
                    "asked twice for the same latents it gives others; make the run.generator(...)"
                    " inside the call"
                )
            elif not shown.equal(tests._features):
                self.seen.latents = "the visual latents changed what they were shown; copy it first"

    def _rows(self) -> Tests:
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
