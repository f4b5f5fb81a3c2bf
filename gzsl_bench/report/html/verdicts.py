"""In one minute: the best method of every data set by the honest rule, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gzsl_bench.errors import GzslBenchError
from gzsl_bench.report.answer import lacking
from gzsl_bench.report.cells import Table, number
from gzsl_bench.report.compare import Comparison, describe_fragile, standing
from gzsl_bench.report.html.gather import Ground
from gzsl_bench.results.comparable import obstacle
from gzsl_bench.results.rows import NO_RULE, Row
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.rules import GAMMA, rule_of
from gzsl_bench.scoring.summary import Summary
from gzsl_bench.suite.resolve import ResolvedSuite


@dataclass(frozen=True)
class Verdict:
    """The card of one data set.

    Attributes:
        title: the data set.
        best: the winning row, or None where no row has numbers.
        name: the winner.
        harmonic: H in words.
        interval: of H; empty where there is none.
        parts: U and S in words.
        seeds: how many, in words.
        rule: what the selection rule did.
        against: how it stands to the next method.
        clear: the lead over the next method is established, by interval and p-value.
        doubt: what the validation folds leave open about the winner's checkpoint; or empty.
        calibrated: a sentence on the best by calibrated scores; empty where there is none.
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
    seeds: str = ""
    rule: str = ""
    against: str = ""
    clear: bool = False
    doubt: str = ""
    calibrated: str = ""
    habit: str = ""
    protocol: str = ""
    why: str = ""
    absent: str = ""


def verdicts(results: Results, found: Sequence[Ground], table: Table, rule: str) -> list[Verdict]:
    """One card per data set, in the suite's order, of who is best by ``rule``."""
    return [_verdict(results, ground, table, rule) for ground in found]


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


def _verdict(results: Results, ground: Ground, table: Table, rule: str) -> Verdict:
    suite = results.suite
    mine = [r for r in ground.rows if r.selection == rule and not obstacle(r)]
    if not mine:
        reasons = dict.fromkeys(
            str(row.unavailable or obstacle(row))
            for row in ground.rows
            if row.selection in (rule, NO_RULE)
        )
        why = "; ".join(reasons) or "no cell has finished"
        return Verdict(ground.title, None, protocol=protocol(suite, ground.rows[0]), why=why)
    ordered = sorted(mine, key=lambda r: -r.summary().mean)
    best = ordered[0]
    count = len(best.seeds)
    deterministic = results.cells[best.keys[0]][0].about.get("deterministic")
    against, clear = "the only method with numbers here", False
    if len(ordered) > 1:
        against, clear = _against(best, ordered[1], results, table)
    return Verdict(
        title=ground.title,
        best=best,
        name=table.who(best),
        harmonic=number(replace(best.summary(), low=None)),
        interval=interval(best.summary()),
        parts=f"U {best.summary('acc_unseen').mean:.1f}, S {best.summary('acc_seen').mean:.1f}",
        seeds="deterministic, one run" if deterministic else f"{count} seed{'s' * (count != 1)}",
        rule=rule_of(rule).words,
        against=against,
        clear=clear,
        doubt=_doubt(best),
        calibrated=_calibrated(ground, rule, table),
        habit=_habit(ground, best),
        protocol=protocol(suite, best),
        absent=lacking(
            results, best.dataset, [r for r in ground.rows if r.selection in (rule, NO_RULE)]
        ),
    )


def _doubt(row: Row) -> str:
    if row.support is None:
        return ""
    if row.support.words:
        return f"{row.support.words}: {row.support.tied} are level, and the last of them counts"
    if row.support.turned:
        return (
            f"With one of the {row.support.folds} folds missing another checkpoint would have been"
            f" chosen in {row.support.turned} of {row.support.folds} cases"
        )
    return ""


def _against(best: Row, second: Row, results: Results, table: Table) -> tuple[str, bool]:
    """How the winner stands to the next method, and whether the two are told apart."""
    name = table.who(second)
    ahead = best.summary().mean - second.summary().mean
    try:
        clear, text, compared = standing(best, second, name, results)
    except GzslBenchError as error:
        return f"{ahead:+.1f} to {name}; not tested: {error}", False
    words, numbers = text.split(f" {name}: ", 1)
    said = f"{words} {name} ({second.summary().mean:.1f}): {numbers}"
    return said + _fragile(compared), clear


def _fragile(compared: Comparison) -> str:
    return f"; {describe_fragile(compared.fragile)}" if compared.fragile else ""


def _calibrated(ground: Ground, rule: str, table: Table) -> str:
    rows = [r for r in ground.rows if r.selection == rule + GAMMA and not obstacle(r)]
    if not rows:
        return ""
    best = max(rows, key=lambda r: r.summary().mean)
    h = best.summary()
    found = f"{table.who(best)}, H {h.mean:.1f} {interval(h)}".rstrip()
    others = sum(r.selection == rule and not obstacle(r) for r in ground.rows)
    if len(rows) < others:
        return f"Calibrated scores: only {len(rows)} of {others} methods have any, best {found}"
    return f"With calibrated scores the best is {found}"


def _habit(ground: Ground, best: Row) -> str:
    other = next(
        (
            r
            for r in ground.rows
            if r.keys == best.keys and r.selection != NO_RULE and rule_of(r.selection).reads_test
        ),
        None,
    )
    if other is None or other is best or other.unavailable:
        return ""
    return f"H {other.summary().mean:.1f}"
