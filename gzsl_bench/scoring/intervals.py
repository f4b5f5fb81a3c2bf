"""95 % intervals of means over seeds and classes, two crossed factors.

A seed is scored on all classes and a class by all seeds, so a mean varies with the seeds that were
drawn and, independently, with the classes.  Both variances are estimated from the linearised
accuracies (H is a function of each seed's U and S: the delta method), and a t quantile answers for
the few seeds and classes they are estimated from:

* the variance over classes, and over seeds, are mean squares; their interaction is in both and is
  taken off once (the analysis of variance of two crossed random factors);
* the degrees of freedom of such a sum are Satterthwaite's (1946);
* with two seeds a variance has one degree of freedom and is often far too small by luck, which
  Satterthwaite's number cannot see: there the two t variables are added (Behrens and Fisher).

Levels near 0 or 100 % are skewed, so their interval is symmetric in the logit.  What the interval
holds fixed: the images of a class, the data set's split, features and class embeddings, and the
configuration.  ``python -m benchmarks.coverage`` shows how often it covers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from gzsl_bench.hooks.metric import FloatArray
from gzsl_bench.scoring.sample import CLASS_METRICS, Sample, harmonic_rows

LEVEL = 0.95
#: Points of each t distribution that stand for it where two are added.
_GRID = 400
#: An accuracy this close to 0 or 100 %, as a share, has a logit that can be computed with.
_EDGE = 1e-6


def intervals(sample: Sample) -> dict[str, tuple[float, float]]:
    """Ends in percent of a 95 % interval for each of U, S, H and T1.

    Args:
        sample: accuracies [seeds, classes]; one seed says nothing of seeds, one class nothing of
            classes: what cannot be estimated adds no width.
    """
    found = {}
    for name, parts in _linearised(sample).items():
        mean = _mean(parts)
        share = min(max(mean / 100, _EDGE), 1 - _EDGE)
        logit, slope = math.log(share / (1 - share)), 100 * share * (1 - share)
        half = _half_width(parts, LEVEL) / slope
        ends = (logit - half, logit + half)
        found[name] = (100 * _logistic(ends[0]), 100 * _logistic(ends[1])) if half else (mean, mean)
    return found


def difference_intervals(
    a: Sample, b: Sample, level: float = LEVEL
) -> dict[str, tuple[float, float]]:
    """Ends in points of an interval for A minus B, the same seeds and classes in both."""
    ours, theirs = _linearised(a), _linearised(b)
    found = {}
    for name in CLASS_METRICS:
        parts = [mine - yours for mine, yours in zip(ours[name], theirs[name], strict=True)]
        mean, half = _mean(parts), _half_width(parts, level)
        found[name] = (mean - half, mean + half)
    return found


def _linearised(sample: Sample) -> dict[str, list[FloatArray]]:
    """For each metric one matrix [seeds, classes] per kind of class it is made of.

    A row's mean is the seed's metric; what a class adds to it is its own effect, to first order.
    """
    unseen, seen = sample.unseen.mean(1, keepdims=True), sample.seen.mean(1, keepdims=True)
    total = unseen + seen
    safe = np.where(total > 0, total, 1.0)
    h = harmonic_rows(unseen, seen)
    # dH/dU = 2 S^2 / (U + S)^2, and likewise by S
    return {
        "acc_unseen": [sample.unseen],
        "acc_seen": [sample.seen],
        "harmonic_mean": [
            h + 2 * (seen / safe) ** 2 * (sample.unseen - unseen),
            h + 2 * (unseen / safe) ** 2 * (sample.seen - seen),
        ],
        "zsl_acc": [sample.zsl],
    }


def _mean(parts: Sequence[FloatArray]) -> float:
    return float(parts[0].mean())


def _half_width(parts: Sequence[FloatArray], level: float) -> float:
    """Half of the interval of the mean that the linearised ``parts`` add up to."""
    seeds = len(parts[0])
    rows = parts[0].mean(1)
    over_classes: list[tuple[float, int]] = []  # variance of the mean, degrees of freedom
    over_both: list[tuple[float, int]] = []
    for part in parts:
        classes = part.shape[1]
        if classes < 2:
            continue
        over_classes.append((float(part.mean(0).var(ddof=1)) / classes, classes - 1))
        if seeds > 1:
            rest = part - part.mean(1, keepdims=True) - part.mean(0, keepdims=True) + part.mean()
            freedom = (seeds - 1) * (classes - 1)
            over_both.append((float((rest**2).sum()) / freedom / (seeds * classes), freedom))
    over_seeds = [(float(rows.var(ddof=1)) / seeds, seeds - 1)] if seeds > 1 else []
    if seeds == 2 and over_classes:
        alone = over_seeds[0][0] - sum(variance for variance, _ in over_both)
        return _added(over_classes, (max(alone, 0.0), 1), level)
    variances = [variance for variance, _ in over_seeds + over_classes]
    if not variances or max(variances) == 0:
        return 0.0
    # Taking the interaction off must not leave less than the larger of the two factors.
    whole = max(sum(variances) - sum(variance for variance, _ in over_both), *variances, 0.0)
    freedom = whole**2 / sum(v**2 / f for v, f in over_seeds + over_classes + over_both)
    return _quantile(max(freedom, 1.0), level) * math.sqrt(whole)


def _added(classes: Sequence[tuple[float, int]], seeds: tuple[float, int], level: float) -> float:
    """The quantile of the absolute sum of two independent scaled t variables."""
    variance = sum(v for v, _ in classes)
    if variance == 0:
        return _quantile(seeds[1], level) * math.sqrt(seeds[0])
    freedom = round(variance**2 / sum(v**2 / f for v, f in classes))
    sums = math.sqrt(variance) * _grid(freedom)[:, None] + math.sqrt(seeds[0]) * _grid(seeds[1])
    return float(np.quantile(np.abs(sums), level))


def _quantile(freedom: float, level: float) -> float:
    # What scipy.stats computes, whose import takes longer than everything else at the end of a run.
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + level) / 2))


@lru_cache(maxsize=64)
def _grid(freedom: int) -> FloatArray:
    """Equally likely values of a t variable."""
    from scipy.special import stdtrit

    found = np.asarray(stdtrit(freedom, (np.arange(_GRID) + 0.5) / _GRID))
    found.setflags(write=False)
    return found


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0
