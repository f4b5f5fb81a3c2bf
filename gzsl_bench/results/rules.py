"""Selection rules: which checkpoint's numbers count, chosen from recorded rows after the training.

``last`` looks at nothing.  ``val`` looks at the rows that validation folds recorded and chooses one
checkpoint number for all seeds.  ``best_test`` looks at the test set: that is the literature's
habit, kept to be compared with, and the only rule that may.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gzsl_bench.errors import GzslBenchError, SuiteError, unknown_name

#: ``[{"number": 17, "metrics": {"harmonic_mean": 52.1, ...}}, ...]``
Rows = Sequence[Mapping[str, Any]]

#: Ends the name of a rule whose scores are calibrated on the validation folds.
GAMMA = "+gamma"


class Unchosen(GzslBenchError):
    """A rule cannot choose; the message says why in one sentence."""


def last(rows: Rows) -> int:
    """The final checkpoint."""
    return len(rows) - 1


def best_test(rows: Rows) -> int:
    """The checkpoint with the best H on the test set; the first one of equals."""
    return max(range(len(rows)), key=lambda i: (rows[i]["metrics"]["harmonic_mean"], -i))


#: Rules that look at one record alone.
RULES: Mapping[str, Callable[[Rows], int]] = {"last": last, "best_test": best_test}


def select(rule: str, rows: Rows) -> Mapping[str, Any]:
    """The row that ``rule`` chooses.

    Raises:
        SuiteError: no such rule.
    """
    if rule not in RULES:
        raise SuiteError(unknown_name("selection rule", rule, RULES))
    return rows[RULES[rule](rows)]


def best_validation(folds: Sequence[Rows]) -> int:
    """``val``: the checkpoint number with the best mean H over ``folds``; the first one of equals.

    Args:
        folds: the rows of each fold and validation seed; a number that one of them lacks has no
            mean and is no candidate.

    Raises:
        Unchosen: the folds have no checkpoint number in common.
    """
    means = validation_means(folds)
    if not means:
        raise Unchosen("the validation folds have no checkpoint number in common")
    return max(means, key=lambda n: (means[n], -n))


def validation_means(folds: Sequence[Rows], metric: str = "harmonic_mean") -> dict[int, float]:
    """Mean of a metric over ``folds`` for every checkpoint number that all of them have."""
    found: list[dict[int, float]] = [
        {row["number"]: row["metrics"][metric] for row in rows} for rows in folds
    ]
    common = sorted(set.intersection(*(set(values) for values in found))) if found else []
    return {n: statistics.fmean(values[n] for values in found) for n in common}
