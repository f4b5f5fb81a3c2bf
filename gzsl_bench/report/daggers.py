"""Significance marks of a table against one of its methods, where they can be given honestly."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gzsl_bench.errors import GzslBenchError, SuiteError
from gzsl_bench.report.pairs import head_to_head
from gzsl_bench.results.comparable import leagues
from gzsl_bench.results.names import method_label
from gzsl_bench.results.rows import HEADINGS, Row
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.paired import PairedResult, holm
from gzsl_bench.scoring.ranks import ALPHA
from gzsl_bench.scoring.sample import CLASS_METRICS


@dataclass(frozen=True)
class Daggers:
    """Which numbers differ from those of one method.

    Attributes:
        against: the method's label.
        rule: the selection rule whose rows were tested.
        marks: (index of the row, metric) -> 1 (one dagger: other classes would tell the same) or 2
            (two daggers: other seeds would, too).
        metrics: what was tested, by recorded name.
        tests: how many p-values of classes there are, which all are corrected for.
        seed_tests: the same for seeds.
        untested: sentences on rows that cannot be tested, and why.
    """

    against: str
    rule: str
    marks: Mapping[tuple[int, str], int]
    metrics: tuple[str, ...]
    tests: int
    seed_tests: int
    untested: tuple[str, ...]

    def note(self) -> list[str]:
        """What the marks mean, for a caption."""
        names = ", ".join(HEADINGS[name] for name in self.metrics)
        found = [
            f"\N{DAGGER} differs from {self.against} by {self.rule}: permutation of classes,"
            f" p < {ALPHA:g} after Holm's correction for all {self.tests} tests of this table"
            f" ({names} of every row of {self.rule})"
            + (
                f"; \N{DOUBLE DAGGER} permutation of seeds, too, corrected for"
                f" {self.seed_tests} tests, which takes {seeds_needed(self.seed_tests)} seeds."
                if self.seed_tests
                else "."
            )
        ]
        return found + [f"Not tested: {reason}." for reason in self.untested]


def daggers(
    table: Sequence[Row],
    results: Results,
    method: str,
    metrics: Sequence[str] = (),
    rule: str | None = None,
) -> Daggers:
    """Compare every row with the row of ``method`` in its league.

    The family of tests, all of which are corrected for, is every metric that is marked of every row
    that is compared; rows that share their records are one test.

    Args:
        table: rows.
        results: of the suite.
        method: label or unambiguous name.
        metrics: those to mark; by default all that classes can be permuted for.
        rule: the selection rule whose rows are compared; by default the suite's honest one.

    Raises:
        SuiteError: no such method, or nothing can be tested.
    """
    label, rule = method_label(method, results.suite), rule or results.suite.lead
    marked = tuple(name for name in CLASS_METRICS if not metrics or name in metrics)
    if not marked:
        raise SuiteError(
            f"--daggers: none of the table's metrics can be tested; of these it marks"
            f" {', '.join(CLASS_METRICS)}"
        )
    tested, untested = _tested(table, results, label, rule, marked)
    if not tested:
        raise SuiteError(
            f"--daggers: no row can be tested against {label} by {rule}"
            + (f": {untested[0]}" if untested else "")
        )
    everything = [(places, result) for places, found in tested for result in found]
    by_classes = holm([result.p_classes.p for _, result in everything])
    seeds = [one.p for _, result in everything if (one := result.p_seeds) is not None]
    by_seeds = iter(holm(seeds))
    marks: dict[tuple[int, str], int] = {}
    for (places, result), p in zip(everything, by_classes, strict=True):
        of_seeds = 1.0 if result.p_seeds is None else next(by_seeds)
        if p < ALPHA:
            mark = 2 if of_seeds < ALPHA else 1
            marks |= {(index, result.metric): mark for index in places}
    return Daggers(label, rule, marks, marked, len(everything), len(seeds), untested)


def _tested(
    table: Sequence[Row], results: Results, label: str, rule: str, metrics: Sequence[str]
) -> tuple[list[tuple[list[int], list[PairedResult]]], tuple[str, ...]]:
    """The tests of the ``metrics`` of every row against that of ``label``, not yet corrected.

    Returns:
        For each pair of records the rows that rest on it, by index, and its results; and sentences
        on what cannot be tested.
    """
    where = {row: index for index, row in enumerate(table)}
    tested: dict[Any, tuple[list[int], list[PairedResult]]] = {}
    untested: dict[str, None] = {}
    for (_, selection), rivals in leagues(table).items():
        own = [row for row in rivals if row.label == label]
        if selection != rule or not own:
            continue
        if len(own) > 1:
            untested[f"{label} has {len(own)} rows on {own[0].dataset}"] = None
            continue
        for row in rivals:
            records = (row.keys, own[0].keys)
            if row is own[0]:
                continue
            if records in tested:
                tested[records][0].append(where[row])
                continue
            try:
                found = head_to_head(row, own[0], results)
            except GzslBenchError as error:
                untested[str(error)] = None
                continue
            kept = [result for result in found.results if result.metric in metrics]
            tested[records] = ([where[row]], kept)
    return list(tested.values()), tuple(untested)


def seeds_needed(tests: int) -> int:
    """The fewest seeds with which flipping signs may pass after a correction for so many tests.

    With n seeds no two-sided p-value is below 2 / 2^n.
    """
    return math.floor(math.log2(2 * tests / ALPHA)) + 1
