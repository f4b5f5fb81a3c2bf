"""What happens to a run's reports: checkpoints are scored at once, values kept for the record."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np

from gzsl_bench.hooks.metric import MetricSpec, Predictions
from gzsl_bench.hooks.run import ScoreFunction
from gzsl_bench.records.record import Checkpoint
from gzsl_bench.scoring.evaluate import evaluate
from gzsl_bench.scoring.packed import MOST_EXACT, rounded
from gzsl_bench.scoring.predict import EmbeddingCache, TestSet


class CellSink:
    """Collects one cell's checkpoints and curves.

    Of every checkpoint the predicted classes and the best seen and unseen scores are kept: which
    one a rule chooses is not known yet (``val`` looks at other cells, trained later perhaps), and
    every metric and any bias must stay computable for it.  Where there are very many, scores are
    rounded (:mod:`gzsl_bench.scoring.packed`), and metrics are those of rounded scores.

    Args:
        tests: the test rows.
        metrics: what to compute at every checkpoint.
        on_progress: told how far the run is.
        should_stop: raises if the user wants to stop.

    Attributes:
        rows: what was measured at each checkpoint.
        curves: logged values by name, with their steps.
        not_finite: names of values that have been NaN or infinite since a step.
        most_exact: beyond so many test rows times checkpoints scores are rounded.
    """

    most_exact: ClassVar[int] = MOST_EXACT

    def __init__(
        self,
        tests: TestSet,
        metrics: Mapping[str, MetricSpec],
        on_progress: Callable[[int, int], None],
        should_stop: Callable[[], None],
    ) -> None:
        self.rows: list[Checkpoint] = []
        self.curves: dict[str, list[tuple[int, float]]] = {}
        self.not_finite: dict[str, int] = {}
        self.tests = tests
        self._metrics = metrics
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._embeddings = EmbeddingCache()
        self._classes: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._scores: list[tuple[np.ndarray, np.ndarray]] = []
        self._rounded = False

    def log(self, step: int, values: dict[str, float]) -> None:
        """Keep training values; of what is not finite is noted since when, curves hold numbers."""
        self._should_stop()
        for name, value in values.items():
            if math.isfinite(value):
                self.curves.setdefault(name, []).append((step, value))
                self.not_finite.pop(name, None)
            else:
                self.not_finite.setdefault(name, step)

    def checkpoint(self, number: int, scorer: ScoreFunction) -> None:
        """Score all test rows now and compute every metric."""
        self._should_stop()
        found = self.tests.predict(scorer, self._embeddings)
        if not self._rounded and (len(self.rows) + 1) * len(found.labels) > self.most_exact:
            self._round()
        if self._rounded:
            found = rounded(found)
        self.rows.append(Checkpoint(number, evaluate(found, self._metrics)))
        kind = np.min_scalar_type(int(max(found.seen.max(), found.unseen.max())))
        self._classes.append(
            (
                found.predicted.astype(kind),
                found.predicted_seen.astype(kind),
                found.predicted_unseen.astype(kind),
            )
        )
        assert found.best_seen is not None
        assert found.best_unseen is not None
        self._scores.append((_narrow(found.best_seen), _narrow(found.best_unseen)))

    def _round(self) -> None:
        """Round the scores so far, for there are many, and compute again what needs them."""
        self._rounded = True
        needing = {name: spec for name, spec in self._metrics.items() if spec.needs_scores}
        for index, row in enumerate(self.rows):
            chosen, among_seen, among_unseen = (a.astype(np.int64) for a in self._classes[index])
            seen, unseen = (scores.astype(np.float64) for scores in self._scores[index])
            found = rounded(
                Predictions(
                    self.tests.labels, self.tests.seen, self.tests.unseen,
                    chosen, among_seen, among_unseen, seen, unseen,
                )
            )  # fmt: skip
            self.rows[index] = replace(row, metrics={**row.metrics, **evaluate(found, needing)})
            assert found.best_seen is not None
            assert found.best_unseen is not None
            self._scores[index] = _narrow(found.best_seen), _narrow(found.best_unseen)

    def progress(self, done: int, total: int) -> None:
        """Pass the progress on."""
        self._should_stop()
        self._on_progress(done, total)

    def arrays(self) -> dict[str, np.ndarray]:
        """What ``predictions.npz`` holds; rows are test_seen, then test_unseen.

        ``labels`` [N], ``seen`` [S], ``unseen`` [U], ``checkpoints`` [K]; ``predicted``,
        ``predicted_seen``, ``predicted_unseen`` [K, N]; ``scored`` [J], the checkpoints whose
        scores are kept, with ``best_seen`` and ``best_unseen`` [J, N]; ``rounded``.
        """
        numbers = np.array([row.number for row in self.rows], dtype=np.int64)
        columns = [np.stack(column) for column in zip(*self._classes, strict=True)]
        return {
            "labels": self.tests.labels,
            "seen": self.tests.seen,
            "unseen": self.tests.unseen,
            "checkpoints": numbers,
            "predicted": columns[0],
            "predicted_seen": columns[1],
            "predicted_unseen": columns[2],
            "scored": numbers,
            "best_seen": np.stack([seen for seen, _ in self._scores]),
            "best_unseen": np.stack([unseen for _, unseen in self._scores]),
            "rounded": np.array(self._rounded),
        }


def _narrow(scores: np.ndarray) -> np.ndarray:
    """float32 where that loses nothing (scores computed in float32), float64 otherwise."""
    with np.errstate(over="ignore"):  # what is too large for it is no longer equal
        narrow = scores.astype(np.float32)
    return narrow if np.array_equal(narrow.astype(np.float64), scores) else scores
