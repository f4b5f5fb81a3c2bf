"""Significance marks of a table against one of its methods, where they can be given honestly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gzsl_bench.errors import GzslBenchError, SuiteError
from gzsl_bench.report.compare import head_to_head, method_label
from gzsl_bench.results.comparable import leagues
from gzsl_bench.results.rows import Row
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.paired import PairedResult, holm
from gzsl_bench.scoring.ranks import ALPHA


@dataclass(frozen=True)
class Daggers:
    """Which numbers differ from those of one method.

    Attributes:
        against: the method's label.
        marks: (index of the row, metric) -> 1 (one dagger: other classes would tell the same) or 2
            (two daggers: other seeds would, too).
        tests: how many comparisons each metric was corrected for.
        untested: sentences on rows that cannot be tested, and why.
    """

    against: str
    marks: Mapping[tuple[int, str], int]
    tests: int
    untested: tuple[str, ...]

    def note(self) -> list[str]:
        """What the marks mean, for a caption."""
        found = [
            f"\N{DAGGER} differs from {self.against} by the same rule: permutation of classes,"
            f" p < {ALPHA:g} after Holm's correction for {self.tests} comparisons;"
            f" \N{DOUBLE DAGGER} permutation of seeds, too (p < {ALPHA:g}, which takes 6 seeds)."
        ]
        return found + [f"Not tested: {reason}." for reason in self.untested]


def daggers(table: Sequence[Row], results: Results, method: str) -> Daggers:
    """Compare every row with the row of ``method`` in its league.

    Args:
        table: rows.
        results: of the suite.
        method: label or unambiguous name.

    Raises:
        SuiteError: no such method, or nothing can be tested.
    """
    label = method_label(method, results.suite)
    where = {row: index for index, row in enumerate(table)}
    tested: list[tuple[int, Sequence[PairedResult]]] = []
    untested: dict[str, None] = {}
    for rivals in leagues(table).values():
        own = [row for row in rivals if row.label == label]
        if len(own) != 1:
            if own:
                untested[f"{label} has {len(own)} rows on {own[0].dataset}"] = None
            continue
        for row in rivals:
            if row is own[0]:
                continue
            try:
                found = head_to_head(row, own[0], results)
            except GzslBenchError as error:
                untested[str(error)] = None
                continue
            tested.append((where[row], found.results))
    if not tested:
        raise SuiteError(
            f"--daggers: no row can be tested against {label}"
            + (f": {next(iter(untested))}" if untested else "")
        )
    marks: dict[tuple[int, str], int] = {}
    for k, first in enumerate(tested[0][1]):
        corrected = holm([tests[k].p_classes.p for _, tests in tested])
        for (index, tests), p in zip(tested, corrected, strict=True):
            if p < ALPHA:
                seeds = tests[k].p_seeds
                marks[index, first.metric] = 2 if seeds is not None and seeds.p < ALPHA else 1
    return Daggers(label, marks, len(tested), tuple(untested))
