"""Calibrated stacking: a bias between seen and unseen scores, chosen on validation folds.

Chao et al., ECCV 2016: subtract gamma from the score of every seen class.  A row then flips from
its best seen to its best unseen class where gamma passes the difference of the two scores, so the
sweep behind AUSUC gives H for every gamma at once, and the best one exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gzsl_bench.hooks.metric import Predictions
from gzsl_bench.scoring.metrics import bias_sweep

#: Two values of H that differ by less are the same: sums over rows round differently.
_EQUAL = 1e-12


@dataclass(frozen=True)
class Bias:
    """The gamma that validation folds choose at one checkpoint.

    Attributes:
        gamma: on the method's own scale.
        h: the best mean H over the folds, a share in [0, 1].
        without: the same without each of the folds; empty where there is only one.
    """

    gamma: float
    h: float
    without: tuple[float, ...] = ()


def best_gamma(folds: Sequence[Predictions], numbers: Sequence[int] = ()) -> Bias:
    """The gamma with the best mean H over ``folds``.

    H is constant between two differences of scores.  Of several best stretches the one nearest to
    0 counts; gamma is 0 if that lies within it (nothing is gained by a bias), else its middle.

    Args:
        folds: predictions with scores, one for each validation fold and seed.
        numbers: the fold of each, where the best mean H without each fold is wanted, too.

    Raises:
        ValueError: predictions carry no scores, or there are none.
    """
    if not folds:
        raise ValueError("gamma is chosen on validation folds, and there are none")
    sweeps = [bias_sweep(predictions) for predictions in folds]
    edges, places = np.unique(
        np.concatenate([differences for differences, _, _ in sweeps]), return_inverse=True
    )
    each = np.zeros((len(sweeps), edges.size + 1))
    ends = np.cumsum([differences.size for differences, _, _ in sweeps])
    for h, (_, u, s), mine in zip(each, sweeps, np.split(places, ends[:-1]), strict=True):
        both = u + s
        own = 2 * u * s / np.where(both > 0, both, 1.0)
        # Between two of its own differences, ascending as the edges are, its H stays the same.
        h[:] = own.repeat(np.diff(mine, prepend=-1, append=edges.size))
    # Row by row: adding in another order would round otherwise.
    mean = np.zeros(edges.size + 1)
    for h in each:
        mean += h / len(sweeps)
    several = len(set(numbers)) > 1
    kept = [np.array(numbers) != one for one in dict.fromkeys(numbers)] if several else []
    without = tuple(float(each[rows].mean(0).max()) for rows in kept)
    top = float(mean.max())
    if top <= _EQUAL:
        return Bias(0.0, 0.0, without)
    best = np.concatenate([[False], mean >= top - _EQUAL, [False]])
    starts = np.flatnonzero(best[1:] & ~best[:-1])
    stops = np.flatnonzero(best[:-1] & ~best[1:])
    # Outside all differences one part is always wrong and H is 0: both borders are finite.
    low, high = edges[starts - 1], edges[stops - 1]
    nearest = int(np.argmin(np.maximum(0.0, np.maximum(low, -high))))
    a, b = float(low[nearest]), float(high[nearest])
    return Bias(0.0 if a < 0 < b else (a + b) / 2, top, without)


def calibrate(predictions: Predictions, gamma: float) -> Predictions:
    """What would have been predicted with seen scores lower by ``gamma``; ties go to the first id.

    Raises:
        ValueError: the predictions carry no scores.
    """
    if predictions.best_seen is None or predictions.best_unseen is None:
        raise ValueError("calibrated stacking needs scores, and none were kept")
    difference = np.subtract(predictions.best_seen, predictions.best_unseen, dtype=np.float64)
    seen, unseen = predictions.predicted_seen, predictions.predicted_unseen
    first = np.minimum(seen, unseen)
    predicted = np.where(difference == gamma, first, np.where(difference > gamma, seen, unseen))
    return replace(predictions, predicted=predicted, best_seen=predictions.best_seen - gamma)
