"""What a run ends with: methods by data sets, and who is best on each of them, how surely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gzsl_bench import markdown
from gzsl_bench.errors import GzslBenchError
from gzsl_bench.report import wide
from gzsl_bench.report.cells import Table, number, untold
from gzsl_bench.report.compare import standing
from gzsl_bench.report.samples import with_intervals
from gzsl_bench.report.table import TERMINAL, remarks
from gzsl_bench.results.comparable import leagues
from gzsl_bench.results.rows import NO_RULE, Row
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.rules import rule_of
from gzsl_bench.suite.sweep import ABOUT as SWEEP

_H = "harmonic_mean"
#: Methods without numbers that a sentence names.
_NAMED = 5


@dataclass(frozen=True)
class Best:
    """Who leads on a data set.

    Attributes:
        where: the data set.
        who: the method.
        row: its numbers, with intervals where there are any.
        sentence: all of it in words, and how it stands to the next method.
    """

    where: str
    who: str
    row: Row
    sentence: str


def answer(table: Sequence[Row], results: Results, rule: str, width: int | None = None) -> str:
    """The matrix of H, the best method of every data set, and what must be known of the numbers.

    Args:
        table: the suite's rows.
        results: of the suite.
        rule: whose numbers count.
        width: of a terminal; for a file nothing is broken.
    """
    mine = [row for row in table if row.selection in (rule, NO_RULE)]
    laid = wide.grid(mine, [_H])
    body = wide.as_markdown(laid, width, None if width is None else TERMINAL)
    cells = Table(mine)
    said = leaders(mine, results, cells)
    said.append(
        f"H by {rule} ({rule_of(rule).words}): harmonic mean of the per-class accuracies on unseen"
        " and on seen classes in percent, mean ± sd over seeds, the best of a column in bold."
    )
    said += remarks(mine)
    if len({row.sweep is None for row in mine}) > 1:
        said.append("Points of sweeps stand in the long table alone.")
    if width is not None:
        said = [part for line in said for part in markdown.wrapped(line, width)]
    return "\n".join([body, "", *said])


def leaders(mine: Sequence[Row], results: Results, cells: Table | None = None) -> list[str]:
    """Who is best on every data set, a sentence each; arguments as of :func:`bests`."""
    return [f"best on {best.sentence}" for best in bests(mine, results, cells)]


def ending(table: Sequence[Row], results: Results, rule: str) -> list[str]:
    """What the long table ends with: the rule to believe, and who is best by it.

    Args:
        table: rows.
        results: of the suite.
        rule: whose numbers count.
    """
    mine = [row for row in table if row.selection in (rule, NO_RULE)]
    lead = results.suite.lead
    believed = "the rule to believe" if rule == lead else f"while {lead} is the rule to believe"
    found = leaders(mine, results, Table(table))
    return [f"By {rule}, {believed} ({rule_of(rule).words}):", *found] if found else []


def lacking(results: Results, dataset: str, mine: Sequence[Row]) -> str:
    """Methods of a data set without numbers by a rule, in words; empty where all have some.

    Args:
        results: of the suite, whose cells say which methods there should be.
        dataset: its label.
        mine: rows of the rule.
    """
    wanted = dict.fromkeys(
        cell.label
        for cell in results.suite.cells
        if cell.dataset == dataset and not cell.fold and SWEEP not in cell.about
    )
    here = [row for row in mine if row.dataset == dataset]
    numbers = {row.label for row in here if not row.unavailable}
    why = {row.label: row.fate or "not chosen" for row in here if row.unavailable}
    without = [f"{name} ({why.get(name, 'not run')})" for name in wanted if name not in numbers]
    if not without:
        return ""
    has = "has" if len(without) == 1 else "have"
    more = f" and {len(without) - _NAMED} more" if len(without) > _NAMED else ""
    named = ", ".join(without[:_NAMED])
    return f"{len(without)} of {len(wanted)} methods {has} no numbers here: {named}{more}"


def bests(mine: Sequence[Row], results: Results, cells: Table | None = None) -> list[Best]:
    """The best method of every data set where somebody leads.

    Args:
        mine: rows of one rule.
        results: of the suite.
        cells: what tells rows apart; by default that of ``mine``.
    """
    cells = cells or Table(mine)
    found = []
    for rivals in leagues(mine).values():
        first, *others = sorted(rivals, key=lambda row: -row.summary().mean)
        (best,) = with_intervals([first], results)
        h, where, who = best.summary(), cells.where(first), cells.who(first)
        text = f"{where}: {who}, H {number(replace(h, low=None))}"
        if h.low is not None:
            text += f", 95 % interval [{h.low:.1f}, {h.high:.1f}]"
        lone = "the only method with numbers here"
        text += f"; {_lead(first, others[0], results, cells) if others else lone}"
        text += f"; {untold(first)}" if untold(first) else ""
        absent = lacking(results, first.dataset, mine)
        text += (f"; {absent}" if absent else "") + "."
        found.append(Best(where, who, best, text))
    return found


def _lead(first: Row, second: Row, results: Results, cells: Table) -> str:
    name, lead = cells.who(second), first.summary().mean - second.summary().mean
    try:
        _, words, _ = standing(first, second, name, results)
    except GzslBenchError as error:
        return f"{lead:+.1f} to {name}, not tested: {error}"
    return words
