"""Who is best on every data set, how surely, and what must be known of it: the same everywhere.

A terminal, the report's first screen and MLflow say what stands here, each as much as it has room
for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gzsl_bench.errors import GzslBenchError
from gzsl_bench.report.cells import Table, number
from gzsl_bench.report.fragile import described
from gzsl_bench.report.pairs import ahead, standing
from gzsl_bench.report.samples import with_intervals
from gzsl_bench.results.comparable import Place, obstacle, place
from gzsl_bench.results.rows import NO_RULE, Row
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.rules import GAMMA, rule_of
from gzsl_bench.scoring.summary import Summary
from gzsl_bench.suite.resolved import ResolvedSuite

#: The verdict on a lead, in the same words everywhere.
ESTABLISHED, NOT_ESTABLISHED = "lead established", "lead not established"
#: How the numbers of a headline are to be read.
READING = "± sd over seeds, in brackets 95 % intervals over seeds and classes"
#: Methods without numbers that a sentence names.
_NAMED = 5
_WHY = {"n/a": "does not apply", "not run": "not run yet", "left out": "left out by the suite"}


@dataclass(frozen=True)
class Verdict:
    """Who leads on one data set.

    Attributes:
        title: the data set.
        best: the winning row, with intervals where there are any; None where no row has numbers.
        name: the winner.
        harmonic: H in words.
        interval: of H; empty where there is none.
        parts: U and S in words.
        spread: over what the deviation and the interval are.
        rule: what the selection rule did, and why it may be believed.
        lead: whether the lead is established, in words.
        against: how it stands to the next method.
        hangs: on which single classes the lead hangs; empty where on none.
        doubt: what the validation folds leave open about the winner's checkpoint; or empty.
        calibrated: who is best by calibrated scores; empty where there are none.
        other: the name of that one where it is another method.
        habit: what the literature's habit would have shown, in words; empty where unknown.
        protocol: features, embedding, classes, images.
        why: why there is no winner.
        absent: which methods have no numbers here, in words; empty where all have some.
    """

    title: str
    best: Row | None
    name: str = ""
    harmonic: str = ""
    interval: str = ""
    parts: str = ""
    spread: str = ""
    rule: str = ""
    lead: str = ""
    against: str = ""
    hangs: str = ""
    doubt: str = ""
    calibrated: str = ""
    other: str = ""
    habit: str = ""
    protocol: str = ""
    why: str = ""
    absent: str = ""

    @property
    def clear(self) -> bool:
        """The lead is established: over the next method by interval and p, over all by interval."""
        return self.lead == ESTABLISHED

    @property
    def headline(self) -> str:
        """``CUB: ALE, H 34.1 ± 0.2, 95 % interval [29.0, 39.6]; lead established: ...``."""
        if self.best is None:
            return f"{self.title}: no method has numbers ({self.why})"
        between = f", 95 % interval {self.interval}" if self.interval else ""
        about = f": {self.against}" if self.against else ""
        return f"{self.title}: {self.name}, H {self.harmonic}{between}; {self.lead}{about}"

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of the headline must know besides."""
        return tuple(filter(None, (self.hangs, self.doubt, self.calibrated, self.absent)))

    @property
    def sentence(self) -> str:
        """All of it."""
        return "; ".join([self.headline, *self.remarks]) + "."


def verdicts(
    table: Sequence[Row], results: Results, rule: str, cells: Table | None = None
) -> list[Verdict]:
    """Who is best by ``rule``, for every data set in the sense in which numbers are comparable.

    Args:
        table: rows, of other rules as well.
        results: of the suite.
        rule: whose numbers count.
        cells: what tells rows apart; by default that of ``table``.
    """
    together: dict[Place, list[Row]] = {}
    for row in table:
        together.setdefault(place(row), []).append(row)
    names = cells or Table(table)
    return [_verdict(rows, results, rule, names) for rows in together.values()]


def protocol(suite: ResolvedSuite, row: Row) -> str:
    """Features, class embedding, classes and images of the data set behind a row."""
    parts = [f"features {row.features}", f"class embedding {row.attributes}"]
    for entry in suite.datasets:
        if entry.get("label") == row.dataset and entry.get("fingerprint") == row.fingerprint:
            sizes: Mapping[str, Any] = entry.get("sizes", {})
            for first, second, what in (
                ("seen_classes", "unseen_classes", "classes"),
                ("test_seen", "test_unseen", "test images"),
            ):
                if first in sizes and second in sizes:
                    parts.append(f"{sizes[first]} seen and {sizes[second]} unseen {what}")
            break
    if row.setting != "inductive":
        parts.append(str(row.setting))
    if row.precision != "float32":
        parts.append(str(row.precision))
    return ", ".join(parts)


def interval(summary: Summary) -> str:
    """``[40.1, 45.6]``, or nothing where there is none."""
    return "" if summary.low is None else f"[{summary.low:.1f}, {summary.high:.1f}]"


def _verdict(rows: Sequence[Row], results: Results, rule: str, cells: Table) -> Verdict:
    suite = results.suite
    ordered = _ordered(rows, rule, results)
    if not ordered:
        reasons = dict.fromkeys(
            str(row.unavailable or obstacle(row)).rstrip(".")
            for row in rows
            if row.selection in (rule, NO_RULE)
        )
        why = "; ".join(reasons) or "no cell has finished"
        return Verdict(cells.where(rows[0]), None, protocol=protocol(suite, rows[0]), why=why)
    best = ordered[0]
    lead, against, hangs = _against(ordered, results, cells)
    calibrated, other = _calibrated(rows, best, rule, results, cells)
    return Verdict(
        title=cells.where(best),
        best=best,
        name=cells.who(best),
        harmonic=number(replace(best.summary(), low=None)),
        interval=interval(best.summary()),
        parts=f"U {number(_mean(best, 'acc_unseen'))}, S {number(_mean(best, 'acc_seen'))}",
        spread=_spread(best, results),
        rule=rule_of(rule).words,
        lead=lead,
        against=against,
        hangs=hangs,
        doubt=_doubt(best),
        calibrated=calibrated,
        other=other,
        habit=_habit(rows, best),
        protocol=protocol(suite, best),
        absent=lacking([row for row in rows if row.selection in (rule, NO_RULE)], cells),
    )


def _ordered(rows: Sequence[Row], rule: str, results: Results) -> list[Row]:
    """Those of a rule that may be ranked, the best by H first and with its intervals."""
    mine = [row for row in rows if row.selection == rule and not obstacle(row)]
    mine.sort(key=lambda row: -row.summary().mean)
    if mine and mine[0].summary().low is None:
        mine[:1] = with_intervals(mine[:1], results)
    return mine


def _mean(row: Row, metric: str) -> Summary | None:
    found = row.metrics.get(metric)
    return found and replace(found, sd=None, low=None)


def _spread(row: Row, results: Results) -> str:
    """Over what the deviation and the interval of a row are."""
    count = len(row.seeds)
    if results.cells[row.keys[0]][0].about.get("deterministic"):
        runs, over = "deterministic, one run", "classes"
    elif count == 1:
        runs, over = "one seed, which says nothing of other seeds", "classes alone"
    else:
        runs, over = f"± is the sd over {count} seeds", "seeds and classes"
    return runs if row.summary().low is None else f"{runs}; the interval is over {over}"


def _doubt(row: Row) -> str:
    if row.support is None:
        return ""
    if row.support.words:
        return f"{row.support.words}: {row.support.tied} are level, and the last of them counts"
    if row.support.turned:
        return (
            f"with one fold missing another checkpoint would have been chosen in"
            f" {row.support.turned} of {row.support.folds} cases"
        )
    return ""


def _against(ordered: Sequence[Row], results: Results, cells: Table) -> tuple[str, str, str]:
    """Whether the winner's lead is established, how it stands to the next, on what that hangs."""
    best, *others = ordered
    if not others:
        return "the only method with numbers here", "", ""
    second = others[0]
    name = f"{cells.who(second)} ({second.summary().mean:.1f})"
    try:
        clear, numbers, compared = standing(best, second, name, results)
    except GzslBenchError as error:
        by = best.summary().mean - second.summary().mean
        return "lead not tested", f"{by:+.1f} over {name}; {str(error).rstrip('.')}", ""
    hangs = f"the lead {described(compared.fragile)}" if compared.fragile else ""
    if clear and (
        level := [cells.who(row) for row in others[1:] if not _behind(best, row, results)]
    ):
        # One further behind may be so uncertain that it is not told apart.
        return NOT_ESTABLISHED, f"{numbers}, yet not over {', '.join(level)}", hangs
    return ESTABLISHED if clear else NOT_ESTABLISHED, numbers, hangs


def _behind(best: Row, row: Row, results: Results) -> bool:
    """Whether the interval of the difference leaves out 0; false where there is none."""
    try:
        return ahead(best, row, results)[1] > 0
    except GzslBenchError:
        return False


def _calibrated(
    rows: Sequence[Row], winner: Row, rule: str, results: Results, cells: Table
) -> tuple[str, str]:
    """Who is best where a bias towards unseen classes, from the same folds, is allowed for.

    Returns:
        It in words; and the name, where it is another method.
    """
    ordered = _ordered(rows, rule + GAMMA, results)
    if not ordered:
        return "", ""
    best, have = ordered[0], len(ordered)
    others = sum(row.selection == rule and not obstacle(row) for row in rows)
    some = f", which only {have} of {others} methods have" if have < others else ""
    other, h = best.label != winner.label, best.summary()
    who = f"{cells.who(best)} leads{' instead' if other else ', too'}"
    found = f"with calibrated scores ({best.selection}){some} {who}: H {h.mean:.1f} {interval(h)}"
    if have > 1:
        found = f"{found.rstrip()}, {_against(ordered, results, cells)[0]}"
    return found.rstrip(), cells.who(best) if other else ""


def _habit(rows: Sequence[Row], best: Row) -> str:
    others = [
        r for r in rows if r.keys == best.keys and r.selection not in (NO_RULE, best.selection)
    ]
    found = [r for r in others if rule_of(r.selection).reads_test and not r.unavailable]
    return f"H {found[0].summary().mean:.1f}" if found else ""


def lacking(mine: Sequence[Row], cells: Table) -> str:
    """Methods of a data set without numbers by a rule, in words; empty where all have some.

    Args:
        mine: the data set's rows of the rule.
        cells: what tells rows apart.
    """
    own = [row for row in mine if row.sweep is None]
    without = [row for row in own if row.unavailable]
    if not without:
        return ""
    causes: dict[str, list[str]] = {}
    for row in without[:_NAMED]:
        causes.setdefault(cause(row), []).append(cells.who(row))
    has = "has" if len(without) == 1 else "have"
    named = "; ".join(f"{', '.join(names)} ({why})" for why, names in causes.items())
    more = f" and {len(without) - _NAMED} more" if len(without) > _NAMED else ""
    return f"{len(without)} of {len(own)} methods {has} no numbers here: {named}{more}"


def cause(row: Row) -> str:
    """Why a row has no numbers, in a few words; all of it stands under the table."""
    if row.fate:
        return _WHY.get(row.fate, row.fate)
    if rule_of(row.selection).needs_folds:
        return f"its validation folds, by which {row.selection} chooses, are not complete"
    return f"{row.selection} finds no checkpoint to choose"
