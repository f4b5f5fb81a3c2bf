"""What happens to a run's reports: checkpoints are scored at once, values kept for the record."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from gzsl_bench.hooks.metric import MetricSpec
from gzsl_bench.hooks.run import ScoreFunction
from gzsl_bench.records.record import Checkpoint
from gzsl_bench.scoring.evaluate import evaluate
from gzsl_bench.scoring.predict import EmbeddingCache, TestSet


class CellSink:
    """Collects one cell's checkpoints and curves.

    Of every checkpoint the predicted classes and the best seen and unseen scores are kept: which
    one a rule chooses is not known yet (``val`` looks at other cells, trained later perhaps), and
    every metric and any bias must stay computable for it.

    Args:
        tests: the test rows.
        metrics: what to compute at every checkpoint.
        on_progress: told how far the run is.
        should_stop: raises if the user wants to stop.
    """

    def __init__(
        self,
        tests: TestSet,
        metrics: Mapping[str, MetricSpec],
        on_progress: Callable[[int, int], None],
        should_stop: Callable[[], None],
    ) -> None:
        self.rows: list[Checkpoint] = []
        self.curves: dict[str, list[tuple[int, float]]] = {}
        self.tests = tests
        self._metrics = metrics
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._embeddings = EmbeddingCache()
        self._classes: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._scores: list[tuple[np.ndarray, np.ndarray]] = []

    def log(self, step: int, values: dict[str, float]) -> None:
        """Keep training values; one that is not finite is left out, curves hold numbers."""
        self._should_stop()
        for name, value in values.items():
            if math.isfinite(value):
                self.curves.setdefault(name, []).append((step, value))

    def checkpoint(self, number: int, scorer: ScoreFunction) -> None:
        """Score all test rows now and compute every metric."""
        self._should_stop()
        found = self.tests.predict(scorer, self._embeddings)
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

    def progress(self, done: int, total: int) -> None:
        """Pass the progress on."""
        self._should_stop()
        self._on_progress(done, total)

    def arrays(self) -> dict[str, np.ndarray]:
        """What ``predictions.npz`` holds; rows are test_seen, then test_unseen.

        ``labels`` [N], ``seen`` [S], ``unseen`` [U], ``checkpoints`` [K]; ``predicted``,
        ``predicted_seen``, ``predicted_unseen`` [K, N]; ``scored`` [J], the checkpoints whose
        scores are kept, with ``best_seen`` and ``best_unseen`` [J, N].
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
        }


def _narrow(scores: np.ndarray) -> np.ndarray:
    """float32 where that loses nothing (scores computed in float32), float64 otherwise."""
    narrow = scores.astype(np.float32)
    return narrow if np.array_equal(narrow.astype(np.float64), scores) else scores
