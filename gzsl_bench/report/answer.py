"""What a run ends with: methods by data sets, and who is best on each of them, how surely."""

from __future__ import annotations

from collections.abc import Sequence

from gzsl_bench import markdown
from gzsl_bench.report import wide
from gzsl_bench.report.notes import remarks
from gzsl_bench.report.table import TERMINAL
from gzsl_bench.report.verdicts import READING, Verdict, verdicts
from gzsl_bench.results.rows import NO_RULE, Row
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.rules import rule_of

_H = "harmonic_mean"


def answer(
    table: Sequence[Row],
    results: Results,
    rule: str,
    width: int | None = None,
    terminal: bool = False,
) -> str:
    """The matrix of H, the best method of every data set, and what must be known of the numbers.

    Args:
        table: the suite's rows.
        results: of the suite.
        rule: whose numbers count.
        width: columns there are; for a file nothing is broken.
        terminal: it understands bold.
    """
    mine = [row for row in table if row.selection in (rule, NO_RULE)]
    body = wide.as_markdown(wide.grid(mine, [_H]), width, TERMINAL if terminal else None)
    said = leaders(table, results, rule)
    said.append(
        f"H by {rule} ({rule_of(rule).words}): harmonic mean of the per-class accuracies on unseen"
        f" and on seen classes in percent; mean {READING}, the best of a column in bold."
    )
    said += remarks(mine)
    if len({row.sweep is None for row in mine}) > 1:
        said.append("Points of sweeps stand in the long table alone.")
    if width is not None:
        said = [part for line in said for part in markdown.wrapped(line, width)]
    return "\n".join([body, "", *said])


def leaders(table: Sequence[Row], results: Results, rule: str) -> list[str]:
    """Who is best on every data set: a sentence each, and indented what goes with it.

    Args:
        table: rows, of other rules as well.
        results: of the suite.
        rule: whose numbers count.
    """
    found = verdicts(table, results, rule)
    return [line for verdict in found for line in said(verdict, "best on ")]


def said(verdict: Verdict, before: str = "") -> list[str]:
    """The headline, and a line for each remark."""
    start = before if verdict.best else ""
    return [f"{start}{verdict.headline}.", *(f"  {remark}." for remark in verdict.remarks)]


def ending(table: Sequence[Row], results: Results, rule: str) -> list[str]:
    """What a table ends with: the rule to believe, and who is best by it.

    Args:
        table: rows.
        results: of the suite.
        rule: whose numbers count.
    """
    lead = results.suite.lead
    believed = "the rule to believe" if rule == lead else f"while {lead} is the rule to believe"
    found = leaders(table, results, rule)
    head = f"By {rule}, {believed} ({rule_of(rule).words}); {READING}:"
    return [head, *found] if found else []
