"""Accuracies of one method by seed and class, and metrics of weighted classes and seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gzsl_bench.hooks.metric import FloatArray, IntArray

#: Numbers must come out again: whatever draws begins here.
SEED = 20220222


@dataclass(frozen=True, eq=False)
class Sample:
    """Accuracies of one method on one data set, in percent, by seed and class.

    Attributes:
        unseen: [n, U] any class may be predicted.
        seen: [n, S] any class may be predicted.
        zsl: [n, U] only unseen classes may be predicted.
        unseen_ids: [U] ids of the unseen classes.
        seen_ids: [S] ids of the seen classes.
    """

    unseen: FloatArray
    seen: FloatArray
    zsl: FloatArray
    unseen_ids: IntArray
    seen_ids: IntArray

    @property
    def seeds(self) -> int:
        """The number of seeds, n."""
        return len(self.unseen)


@dataclass(frozen=True, eq=False)
class Weights:
    """How often each seed and class counts, one row per case; rows add up to 1."""

    seeds: FloatArray
    unseen: FloatArray
    seen: FloatArray


#: The metrics made of per-class accuracies, by their recorded names.
CLASS_METRICS = ("acc_unseen", "acc_seen", "harmonic_mean", "zsl_acc")


def harmonic_rows(unseen: FloatArray, seen: FloatArray) -> FloatArray:
    """H = 2US / (U + S) element by element, 0 where both are 0."""
    total = unseen + seen
    return np.asarray(2 * unseen * seen / np.where(total > 0, total, 1.0))


def weighted(sample: Sample, weights: Weights) -> dict[str, FloatArray]:
    """Each of :data:`CLASS_METRICS` for every row of weights: [rows], in percent."""
    unseen = weights.unseen @ sample.unseen.T
    seen = weights.seen @ sample.seen.T
    by_seed = {
        "acc_unseen": unseen,
        "acc_seen": seen,
        "harmonic_mean": harmonic_rows(unseen, seen),
        "zsl_acc": weights.unseen @ sample.zsl.T,
    }
    return {name: (weights.seeds * values).sum(1) for name, values in by_seed.items()}


def means(sample: Sample) -> dict[str, float]:
    """The metrics themselves: what the table shows."""
    found = weighted(sample, _equal(sample))
    return {name: float(values[0]) for name, values in found.items()}


def one_class_changed(sample: Sample, amount: float) -> tuple[Weights, Weights]:
    """Weights with one class changed per row: first each unseen class in turn, then each seen one.

    Args:
        sample: gives the sizes.
        amount: added to the class's count of 1: -1 leaves it out, 1 counts it twice.
    """
    equal = _equal(sample)

    def turns(size: int) -> FloatArray:
        counts = 1 + amount * np.eye(size)
        total = counts.sum(1, keepdims=True)
        return np.asarray(counts / np.where(total > 0, total, 1.0))

    unseen, seen = turns(sample.unseen.shape[1]), turns(sample.seen.shape[1])
    return (
        Weights(
            np.repeat(equal.seeds, len(unseen), 0), unseen, np.repeat(equal.seen, len(unseen), 0)
        ),
        Weights(np.repeat(equal.seeds, len(seen), 0), np.repeat(equal.unseen, len(seen), 0), seen),
    )


def _equal(sample: Sample) -> Weights:
    def row(size: int) -> FloatArray:
        return np.full((1, size), 1 / size)

    return Weights(row(sample.seeds), row(sample.unseen.shape[1]), row(sample.seen.shape[1]))
