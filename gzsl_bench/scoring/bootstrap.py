"""Bootstrap intervals over seeds and classes.

One replicate draws n of the n seeds, U of the U unseen and S of the S seen classes, each with
replacement and independently of one another; every seed is scored on the same drawn classes, since
seeds and classes are crossed.  U, S and T1 of a seed are means over its drawn classes, H is
computed from the drawn U and S, and the replicate's value is the mean over the drawn seeds, just as
the table averages.  The interval is the percentile interval of the replicates.  Test images within
a class are not resampled, and of a method with one seed only the classes are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gzsl_bench.hooks.metric import FloatArray, IntArray

#: Replicates: the ends of a 95 % interval then vary by a few hundredths of its width.
DRAWS = 4000
LEVEL = 0.95
#: Numbers must come out again: resampling always starts here.
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
    """How often each seed and class counts, one row per replicate; rows add up to 1."""

    seeds: FloatArray
    unseen: FloatArray
    seen: FloatArray


#: The metrics made of per-class accuracies, by their recorded names.
CLASS_METRICS = ("acc_unseen", "acc_seen", "harmonic_mean", "zsl_acc")


def harmonic_rows(unseen: FloatArray, seen: FloatArray) -> FloatArray:
    """H = 2US / (U + S) element by element, 0 where both are 0."""
    total = unseen + seen
    return np.asarray(2 * unseen * seen / np.where(total > 0, total, 1.0))


def draw_weights(sample: Sample, draws: int = DRAWS, seed: int = SEED) -> Weights:
    """The weights of ``draws`` replicates; the same ones for every sample of this size."""
    return _draw(sample.seeds, sample.unseen.shape[1], sample.seen.shape[1], draws, seed)


@lru_cache(maxsize=4)
def _draw(seeds: int, unseen: int, seen: int, draws: int, seed: int) -> Weights:
    """Drawing takes longer than using them, and the rows of a table have few sizes."""
    rng = np.random.default_rng(seed)

    def counts(size: int) -> FloatArray:
        found = rng.multinomial(size, np.full(size, 1 / size), size=draws) / size
        found.setflags(write=False)
        return found

    return Weights(counts(seeds), counts(unseen), counts(seen))


def weighted(sample: Sample, weights: Weights) -> dict[str, FloatArray]:
    """Each of :data:`CLASS_METRICS` for every row of weights: [draws], in percent."""
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


def intervals(
    sample: Sample, level: float = LEVEL, draws: int = DRAWS, seed: int = SEED
) -> dict[str, tuple[float, float]]:
    """A percentile interval for each of :data:`CLASS_METRICS`, in percent."""
    return percentiles(weighted(sample, draw_weights(sample, draws, seed)), level)


def percentiles(
    values: Mapping[str, FloatArray], level: float = LEVEL
) -> dict[str, tuple[float, float]]:
    """The middle ``level`` of each metric's replicates."""
    ends = ((1 - level) / 2, (1 + level) / 2)
    return {
        name: (float(np.quantile(drawn, ends[0])), float(np.quantile(drawn, ends[1])))
        for name, drawn in values.items()
    }


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
