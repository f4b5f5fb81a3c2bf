"""Methods ranked: over data sets, and on one data set the ranks that each may have."""

from __future__ import annotations

import functools
import itertools
import statistics
from collections.abc import Sequence

import numpy as np

from gzsl_bench.errors import GzslBenchError
from gzsl_bench.report.pairs import P_LEVEL, samples
from gzsl_bench.report.samples import sample
from gzsl_bench.results.comparable import Place, obstacle, place, same_images
from gzsl_bench.results.rows import Row
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.intervals import difference_intervals
from gzsl_bench.scoring.ranks import FEWEST, Ranking, ranking


def open_ranks(rivals: Sequence[Row], results: Results) -> dict[Row, tuple[int, int]]:
    """The ranks by H that each row may have: 1 + those surely ahead of it to all but those behind.

    Each row is compared with every other one on the seeds and classes both have, at 95 % after
    Bonferroni for its comparisons, so that its ranks hold the true one at 95 % (Mogstad, Romano,
    Shaikh and Wilhelm, Inference for Ranks, Review of Economic Studies 2024, there with a
    bootstrap).  What cannot be compared is not told apart.

    Args:
        rivals: rows that may be ranked with one another.
        results: of the suite.
    """
    read = functools.cache(sample)
    above, below = dict.fromkeys(rivals, 0), dict.fromkeys(rivals, 0)
    level = 1 - P_LEVEL / max(1, len(rivals) - 1)
    for one, two in itertools.combinations(rivals, 2):
        try:
            _, first, second = samples(one, two, results, read)
        except GzslBenchError:
            continue
        low, high = difference_intervals(first, second, level)["harmonic_mean"]
        better, worse = (one, two) if low > 0 else (two, one)
        if low > 0 or high < 0:
            below[better] += 1
            above[worse] += 1
    return {row: (1 + above[row], len(rivals) - below[row]) for row in rivals}


def rank(table: Sequence[Row]) -> tuple[Ranking | None, str]:
    """Rank all methods over the data sets that all of them have, by H.

    Data sets that hold the same images have one vote: the mean H over those of them that all
    methods have.

    Args:
        table: rows of one rule; those that :func:`~gzsl_bench.results.comparable.obstacle` keeps
            out of rankings are passed over.

    Returns:
        The ranking and a sentence on data sets that count once, where there are such; or None and
        the reason there is no ranking.
    """
    votes: dict[str, dict[Place, dict[str, float]]] = {}
    empty = dict.fromkeys(row.label for row in table if row.unavailable)
    table = [row for row in table if not obstacle(row)]
    for row in table:
        here = votes.setdefault(row.images, {}).setdefault(place(row), {})
        if row.label in here:
            return None, (
                f"no ranking over data sets: {row.label} has several rows on {row.dataset}"
            )
        here[row.label] = row.summary().mean
    labels = list(dict.fromkeys(row.label for row in table))
    # Who has no numbers at all keeps nobody from being ranked, and is named.
    never = ", ".join(name for name in empty if name not in labels)
    without = f" (besides {never}, without any)" if never else ""
    scores = []
    for variants in votes.values():
        complete = [here for here in variants.values() if len(here) == len(labels)]
        if complete:
            scores.append([statistics.fmean(here[name] for here in complete) for name in labels])
    once = "; ".join(
        f"{' and '.join(names)} hold the same images and have one vote"
        for names in same_images(table).values()
    )
    if len(labels) < 2:
        return None, "no ranking over data sets: it needs at least two methods"
    if len(scores) < FEWEST:
        return None, (
            f"no ranking over data sets: it needs at least {FEWEST} data sets on which all"
            f" {len(labels)} methods{without} have numbers, and there {_count(len(scores))}"
            + (f" ({once})" if once else "")
        )
    return ranking(labels, np.array(scores)), once


def _count(number: int) -> str:
    return "is 1" if number == 1 else f"are {number}"
