"""Ranks of several methods over several data sets: Friedman's test and Nemenyi's distance.

Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 2006.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gzsl_bench.hooks.metric import FloatArray
from gzsl_bench.scoring.sample import SEED

#: Fewer data sets say nothing about data sets.
FEWEST = 3
ALPHA = 0.05
#: Up to this many assignments of ranks all are gone through; beyond, they are drawn.
_ENUMERATE = 50_000
_DRAWN = 20_000


@dataclass(frozen=True)
class Ranking:
    """Average ranks over data sets, best (lowest) first.

    Attributes:
        methods: names, ordered by average rank.
        ranks: average rank of each, 1 is best.
        datasets: their number, N.
        statistic: Friedman's chi square, corrected for ties.
        p: of the null hypothesis that all methods are equal, by permuting ranks within data sets.
        exact: all permutations were gone through.
        critical_difference: Nemenyi: ranks that differ by less are not told apart at 5 %.
        powerless: even the largest possible difference of ranks is below the critical one.
        groups: sets of methods, by name, that are not told apart.
    """

    methods: tuple[str, ...]
    ranks: tuple[float, ...]
    datasets: int
    statistic: float
    p: float
    exact: bool
    critical_difference: float
    powerless: bool
    groups: tuple[tuple[str, ...], ...]


def ranking(methods: Sequence[str], scores: FloatArray) -> Ranking:
    """Rank methods on each data set and summarise.

    Args:
        methods: [k] names.
        scores: [N, k] one row per data set, higher is better.

    Raises:
        ValueError: fewer than two methods or :data:`FEWEST` data sets.
    """
    from scipy.stats import rankdata

    datasets, count = scores.shape
    if count < 2 or datasets < FEWEST or count != len(methods):
        raise ValueError(f"ranks need at least two methods and {FEWEST} data sets")
    ranks = np.stack([rankdata(-row) for row in scores])
    average = ranks.mean(0)
    statistic = friedman(ranks)
    p, exact = _p_value(ranks, statistic)
    critical = critical_difference(count, datasets)
    order = sorted(range(count), key=lambda i: (average[i], methods[i]))
    names = tuple(methods[i] for i in order)
    sorted_ranks = tuple(float(average[i]) for i in order)
    return Ranking(
        methods=names,
        ranks=sorted_ranks,
        datasets=datasets,
        statistic=statistic,
        p=p,
        exact=exact,
        critical_difference=critical,
        powerless=critical >= count - 1,
        groups=_groups(names, sorted_ranks, critical),
    )


def friedman(ranks: FloatArray) -> float:
    """Friedman's chi square of ranks [N, k], corrected for ties; 0 where all are tied."""
    datasets, count = ranks.shape
    between = datasets * ((ranks.mean(0) - (count + 1) / 2) ** 2).sum()
    within = ((ranks - (count + 1) / 2) ** 2).sum() / (datasets * (count - 1))
    return float(between / within) if within > 0 else 0.0


def critical_difference(methods: int, datasets: int) -> float:
    """Nemenyi's q * sqrt(k (k + 1) / (6 N))."""
    from scipy.stats import studentized_range

    q = studentized_range.ppf(1 - ALPHA, methods, np.inf) / math.sqrt(2)
    return float(q * math.sqrt(methods * (methods + 1) / (6 * datasets)))


def _p_value(ranks: FloatArray, observed: float) -> tuple[float, bool]:
    """Share of permutations of each data set's ranks with a statistic as large."""
    datasets, count = ranks.shape
    orders = math.factorial(count)
    if orders**datasets <= _ENUMERATE:
        rows = [np.array(list(itertools.permutations(row))) for row in ranks]
        # By symmetry the first data set may stay as it is.
        picks = itertools.product(range(1), *(range(orders) for _ in range(datasets - 1)))
        found = [friedman(np.stack([rows[d][i] for d, i in enumerate(p)])) for p in picks]
        return float(np.mean(np.array(found) >= observed - 1e-9)), True
    rng = np.random.default_rng(SEED)
    drawn = rng.permuted(np.repeat(ranks[None], _DRAWN, 0), axis=2)
    between = datasets * ((drawn.mean(1) - (count + 1) / 2) ** 2).sum(1)
    within = ((ranks - (count + 1) / 2) ** 2).sum() / (datasets * (count - 1))
    values = between / within if within > 0 else np.zeros(_DRAWN)
    return float(((values >= observed - 1e-9).sum() + 1) / (_DRAWN + 1)), False


def _groups(
    names: Sequence[str], ranks: Sequence[float], critical: float
) -> tuple[tuple[str, ...], ...]:
    """Longest runs of neighbours whose ranks lie within the critical difference."""
    found: list[tuple[str, ...]] = []
    for start in range(len(names)):
        end = start
        while end + 1 < len(names) and ranks[end + 1] - ranks[start] < critical:
            end += 1
        run = tuple(names[start : end + 1])
        if len(run) > 1 and not any(set(run) <= set(group) for group in found):
            found.append(run)
    return tuple(found)
