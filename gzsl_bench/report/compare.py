"""Two methods of a suite side by side, data set by data set; or the best against all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gzsl_bench.errors import GzslBenchError, SuiteError, unknown_name
from gzsl_bench.report.cells import Table
from gzsl_bench.report.pairs import Comparison, between, corrected
from gzsl_bench.results.classes import nameless
from gzsl_bench.results.comparable import leagues, taint
from gzsl_bench.results.names import chosen_datasets, method_label
from gzsl_bench.results.rows import NO_RULE, Row, rows
from gzsl_bench.results.view import Results


def compare(
    results: Results,
    a: str,
    b: str,
    rule: str,
    datasets: Sequence[str] = (),
) -> tuple[list[Comparison], list[str]]:
    """Compare two methods on every data set that both have.

    Args:
        results: of the suite.
        a: label (or name) of the first method.
        b: of the second.
        rule: the selection rule whose checkpoints count.
        datasets: labels to limit the comparison to.

    Returns:
        The comparisons, and why data sets were left out.

    Raises:
        SuiteError: unknown names, or nothing that can be compared.
    """
    suite = results.suite
    table = table_of(results, rule)
    label_a, label_b = (method_label(name, suite) for name in (a, b))
    if label_a == label_b:
        raise SuiteError(f"{label_a!r} cannot be compared with itself; name two methods")
    compared: list[Comparison] = []
    records: list[Any] = []
    reasons = []
    for name in chosen_datasets(datasets, suite):
        try:
            one, two = (_only(table, name, label) for label in (label_a, label_b))
            compared.append(between(one, two, results))
        except SuiteError as error:
            reasons.append(str(error))
            continue
        records.append((one.keys, two.keys))
    if not compared:
        raise SuiteError(reasons[0] if reasons else "nothing can be compared")
    return corrected(compared, records), reasons


def against_best(
    results: Results, rule: str, datasets: Sequence[str] = ()
) -> tuple[list[Comparison], list[str]]:
    """The best method of every data set against each of the others, by H alone.

    Args:
        results: of the suite.
        rule: the selection rule whose checkpoints count.
        datasets: labels to limit it to.

    Returns:
        The comparisons, A the best of its data set and the order that of H; p-values are corrected
        for all of them. And why pairs were left out.

    Raises:
        SuiteError: an unknown data set or rule.
    """
    shown = chosen_datasets(datasets, results.suite)
    table = [row for row in table_of(results, rule) if row.dataset in shown]
    cells, reasons = Table(table), []
    compared: list[Comparison] = []
    records: list[Any] = []
    for rivals in leagues(table).values():
        best, *others = sorted(rivals, key=lambda row: -row.summary().mean)
        for other in others:
            try:
                found = between(best, other, results)
            except GzslBenchError as error:
                reasons.append(str(error))
                continue
            h = tuple(r for r in found.results if r.metric == "harmonic_mean")
            where, a, b = cells.where(best), cells.who(best), cells.who(other)
            remarks = tuple(r for r in found.remarks if r != nameless(best.dataset))
            compared.append(
                replace(found, results=h, dataset=where, a=a, b=b, fragile=(), remarks=remarks)
            )
            records.append((best.keys, other.keys))
    return corrected(compared, records), reasons


def table_of(results: Results, rule: str) -> list[Row]:
    """The suite's rows by one rule, those without numbers among them.

    Raises:
        SuiteError: the suite does not select by this rule.
    """
    known = results.suite.rules
    if rule not in known:
        raise SuiteError(unknown_name("selection rule of this suite", rule, known))
    return [row for row in rows(results) if row.selection in (rule, NO_RULE)]


def _only(table: Sequence[Row], dataset: str, label: str) -> Row:
    found = [row for row in table if row.dataset == dataset and row.label == label]
    if not found:
        raise SuiteError(f"{label} has no finished cell on {dataset}")
    if len(found) > 1:
        raise SuiteError(
            f"{label} has {len(found)} rows on {dataset} (table shows how they differ), so it is"
            " not clear which one to compare"
        )
    row = found[0]
    if row.unavailable:
        by = "" if row.selection == NO_RULE else f"{row.selection} of "
        raise SuiteError(f"{by}{label} on {dataset}: {row.unavailable}")
    if why := taint(row):
        raise SuiteError(
            f"{label} on {dataset}: {why}, so its numbers are comparable with no other"
        )
    return row
