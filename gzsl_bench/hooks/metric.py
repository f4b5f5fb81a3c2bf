"""The contract of a metric plugin, and the predictions it is computed from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

#: What stands beside metrics in rows of tables and in MLflow; a metric of that name would be lost.
RESERVED = frozenset({
    "dataset", "features", "attributes", "fingerprint", "images", "method", "label", "selection",
    "seeds", "extra", "keys", "preprocessing", "setting", "precision", "fidelity", "version",
    "source", "checkpoint", "checkpoints", "gamma", "support", "selection_gap", "unavailable",
    "lost", "audit", "sweep_of", "sweep_field", "sweep_value", "published", "seconds", "exposure",
    "notes", "at",
})  # fmt: skip


@dataclass(frozen=True, eq=False)
class Predictions:
    """What one checkpoint said about every test row; seen and unseen test rows in one array.

    Attributes:
        labels: [N] true class ids.
        seen: [S] ids of the seen classes.
        unseen: [U] ids of the unseen classes.
        predicted: [N] best class among all of them (ties: the first id).
        predicted_seen: [N] best class among the seen ones.
        predicted_unseen: [N] best class among the unseen ones.
        best_seen: [N] score of ``predicted_seen``, or None where scores were not kept.
        best_unseen: [N] score of ``predicted_unseen``, or None where scores were not kept.
        rounded: of a training with very many checkpoints ``best_seen`` is the rounded difference of
            the two, and ``best_unseen`` 0 (:mod:`gzsl_bench.scoring.packed`).
    """

    labels: IntArray
    seen: IntArray
    unseen: IntArray
    predicted: IntArray
    predicted_seen: IntArray
    predicted_unseen: IntArray
    best_seen: FloatArray | None = None
    best_unseen: FloatArray | None = None
    rounded: bool = False

    @property
    def from_unseen(self) -> NDArray[np.bool_]:
        """[N] which test rows belong to unseen classes."""
        return np.isin(self.labels, self.unseen)


@dataclass(frozen=True)
class MetricSpec:
    """What a plugin says about a metric it offers.

    Attributes:
        name: the column's name: lower case, letters, digits and underscores; none of
            :data:`RESERVED`.
        compute: predictions -> a finite number; a share lies in [0, 1].
        percent: the number is a share and is recorded and shown times 100.
        higher_is_better: the direction selection and ranking go by.
        needs_scores: uses ``best_seen`` and ``best_unseen``, not only the predicted classes.
        summary: one sentence with the formula or its source.
        unit: what a number that is no share is counted in; a share is shown in percent.
        in_table: stands in every table; otherwise only where ``table --metrics`` asks for it.
        version: recorded beside the numbers in place of the distribution's version: raise it when
            the same predictions give another number.
    """

    name: str
    compute: Callable[[Predictions], float]
    percent: bool = True
    higher_is_better: bool = True
    needs_scores: bool = False
    summary: str = ""
    unit: str = ""
    in_table: bool = True
    version: str | None = None

    def about(self) -> dict[str, bool | str]:
        """How to read the recorded values once the plugin may be gone."""
        return {
            "percent": self.percent,
            "higher_is_better": self.higher_is_better,
            "unit": "%" if self.percent else self.unit,
            "summary": self.summary,
            "in_table": self.in_table,
        }
