"""Selection rules: which checkpoint's numbers count, chosen from recorded rows after the training.

A rule looks at the rows of one record and gives the index of a checkpoint.  ``last`` looks at
nothing, ``best_test`` at the test set: that is the literature's habit, kept to be compared with,
and the only rule that may.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gzsl_bench.errors import SuiteError, unknown_name

#: ``[{"number": 17, "metrics": {"harmonic_mean": 52.1, ...}}, ...]``
Rows = Sequence[Mapping[str, Any]]


def last(rows: Rows) -> int:
    """The final checkpoint."""
    return len(rows) - 1


def best_test(rows: Rows) -> int:
    """The checkpoint with the best H on the test set; the first one of equals."""
    return max(range(len(rows)), key=lambda i: (rows[i]["metrics"]["harmonic_mean"], -i))


RULES: Mapping[str, Callable[[Rows], int]] = {"last": last, "best_test": best_test}


def select(rule: str, rows: Rows) -> Mapping[str, Any]:
    """The row that ``rule`` chooses.

    Raises:
        SuiteError: no such rule.
    """
    if rule not in RULES:
        raise SuiteError(unknown_name("selection rule", rule, RULES))
    return rows[RULES[rule](rows)]
