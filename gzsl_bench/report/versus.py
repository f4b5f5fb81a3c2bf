"""Comparisons and rankings as text for people and data for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from gzsl_bench import markdown
from gzsl_bench.report.compare import Comparison, describe_fragile
from gzsl_bench.results.rows import HEADINGS
from gzsl_bench.scoring.paired import PairedResult, PValue
from gzsl_bench.scoring.ranks import Ranking

#: Fewer seeds give no effect size.
_SEEDS = 6
#: Columns of a comparison that a narrow terminal does without, in this order: dz, classes won, n,
#: p (seeds), p (classes), p (Holm).
_LAST_FIRST = (9, 10, 11, 8, 6, 7)


def plain(
    comparisons: Sequence[Comparison], ranks: Ranking | None, why: str, rule: str
) -> dict[str, Any]:
    """All of it as plain data."""
    return {
        "selection": rule,
        "comparisons": [asdict(comparison) for comparison in comparisons],
        "ranking": None if ranks is None else asdict(ranks),
        "no_ranking": None if ranks else why,
        "counted_once": why or None if ranks else None,
    }


def flat(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Plain data on one level for each data set and metric."""
    lines: list[dict[str, Any]] = []
    for comparison in comparisons:
        for result in comparison.results:
            flat = asdict(result)
            for name in ("p_classes", "p_seeds"):
                value = flat.pop(name)
                flat[name] = value and value["p"]
            flat["p_holm"] = comparison.p_holm[result.metric]
            lines.append(
                {
                    "dataset": comparison.dataset,
                    "method_a": comparison.a,
                    "method_b": comparison.b,
                    "seeds": " ".join(map(str, comparison.seeds)),
                    **flat,
                }
            )
    return lines


def as_csv(comparisons: Sequence[Comparison]) -> str:
    """One line per data set and metric."""
    return markdown.csv_text(flat(comparisons))


def as_text(
    comparisons: Sequence[Comparison],
    ranks: Ranking | None,
    why: str,
    rule: str,
    width: int | None = None,
) -> str:
    """Tables with what must stand under them.

    Args:
        comparisons: of two methods, one a data set.
        ranks: of all methods.
        why: there is no ranking, or what counts once in it.
        rule: whose checkpoints count.
        width: of a terminal: as many columns as fit, and notes broken between words.
    """
    parts = []
    if comparisons:
        parts += [_table(comparisons, rule, width), "", *_notes(comparisons)]
    if ranks is not None:
        parts += ["", *_ranking(ranks, rule)] if parts else _ranking(ranks, rule)
    if why:
        parts += ["", why + "."] if parts else [why + "."]
    if width is not None:
        parts = [
            line
            for part in parts
            for line in ([part] if part.startswith("|") else textwrap.wrap(part, width) or [""])
        ]
    return "\n".join(parts)


def _table(comparisons: Sequence[Comparison], rule: str, width: int | None) -> str:
    first = comparisons[0]
    headings = ["Data set", f"By {rule}", first.a, first.b, "Difference", "95 % interval",
                "p (classes)", "p (Holm)", "p (seeds)", "dz", "Classes won/lost/tied",
                "n"]  # fmt: skip
    lines = [
        [
            comparison.dataset,
            HEADINGS[result.metric],
            f"{result.a:.1f}",
            f"{result.b:.1f}",
            f"{result.difference:+.1f}",
            f"[{result.low:+.1f}, {result.high:+.1f}]",
            _p(result.p_classes),
            f"{comparison.p_holm[result.metric]:.2g}",
            "-" if result.p_seeds is None else _p(result.p_seeds),
            "-" if result.dz is None or _few(comparison, result) else f"{result.dz:.2f}",
            "-" if result.won is None else f"{result.won}/{result.lost}/{result.tied}",
            str(max(1, len(comparison.seeds))),
        ]
        for comparison in comparisons
        for result in comparison.results
    ]
    columns = [[str(cell) for cell in column] for column in zip(headings, *lines, strict=True)]
    sizes = [3 + max(map(markdown.width_of, column)) for column in columns]
    kept = [*range(len(columns))]
    for column in _LAST_FIRST:
        if width is not None and sum(sizes[i] for i in kept) + 1 > width:
            kept.remove(column)
    head, *body = zip(*(columns[i] for i in kept), strict=True)
    return markdown.table(head, body)


def _few(comparison: Comparison, result: PairedResult) -> bool:
    """An effect size over seeds means nothing with a handful of them."""
    return result.dz_units == "seeds" and len(comparison.seeds) < _SEEDS


def _notes(comparisons: Sequence[Comparison]) -> list[str]:
    lines = [
        "Differences in points of percent, means over the seeds both have. Interval: t, over seeds"
        " and classes, the same ones for both; images held fixed.",
        "p (classes): results of the two swapped class by class and the metric computed again:"
        " speaks of other classes, not of other seeds. p (seeds): signs of the seeds' differences"
        " flipped.",
        "dz: mean over standard deviation of the differences between classes (of H: between"
        " seeds).",
    ]
    for comparison in comparisons:
        lines += _seed_note(comparison)
        lines += _trade_note(comparison)
    lines.append(
        f"p (Holm): p (classes) corrected for the {comparisons[0].tests} tests of this table; what"
        " shares its records counts once."
    )
    for comparison in comparisons:
        if comparison.fragile:
            lines.append(
                f"warning: {comparison.dataset} ({comparison.unseen} unseen, {comparison.seen}"
                f" seen classes): {describe_fragile(comparison.fragile)}."
            )
        lines += comparison.remarks
    return lines


def _seed_note(comparison: Comparison) -> list[str]:
    tested: PairedResult = comparison.results[0]
    if tested.p_seeds is None:
        return [
            f"{comparison.dataset}: both methods are deterministic; there are no seeds to test."
        ]
    if tested.p_seeds.smallest > 0.05:
        return [
            f"{comparison.dataset}: with {tested.p_seeds.units} seeds p (seeds) cannot be below"
            f" {tested.p_seeds.smallest:.2g}, whatever the difference."
        ]
    return []


def _trade_note(comparison: Comparison) -> list[str]:
    by = {result.metric: result.difference for result in comparison.results}
    if by["acc_unseen"] * by["acc_seen"] >= 0:
        return []
    return [
        f"{comparison.dataset}: one method is better on unseen, the other on seen classes; swapping"
        " classes then says little about H: read U and S."
    ]


def _p(value: PValue) -> str:
    if not value.exact and value.p <= value.smallest:
        return f"<{1.5 * value.smallest:.1g}"
    return f"{value.p:.2g}" if value.p >= 0.001 else f"{value.p:.1g}"


def _ranking(ranks: Ranking, rule: str) -> list[str]:
    lines = [[n, f"{r:.2f}"] for n, r in zip(ranks.methods, ranks.ranks, strict=True)]
    body = markdown.table(["Method", f"Average rank by {rule}"], lines)
    how = "all" if ranks.exact else "20000 drawn"
    found = [
        body,
        "",
        f"Ranks by H by {rule} over {ranks.datasets} data sets (1 is best). Friedman"
        f" {ranks.statistic:.2f}, p {ranks.p:.2g} ({how} permutations).",
        f"Nemenyi, 5 %: ranks closer than {ranks.critical_difference:.2f} are not told apart"
        + (": " + "; ".join(", ".join(group) for group in ranks.groups) if ranks.groups else "")
        + ".",
    ]
    if ranks.powerless:
        found.append(
            f"warning: {ranks.datasets} data sets have no power: even a method that is always"
            f" first differs from one that is always last by {len(ranks.methods) - 1}."
        )
    return found
