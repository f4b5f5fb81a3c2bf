"""Comparisons and rankings as text for people and data for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from gzsl_bench import markdown
from gzsl_bench.report.fragile import described
from gzsl_bench.report.pairs import P_LEVEL, Comparison
from gzsl_bench.results.rows import HEADINGS
from gzsl_bench.scoring.paired import FEWEST_SEEDS, PairedResult, PValue
from gzsl_bench.scoring.ranks import Ranking

#: Columns of a comparison that a narrow terminal does without, in this order; p (Holm) stays.
_LAST_FIRST = ("dz", "Classes won/lost/tied", "n", "p (seeds)", "p (classes)")


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
                    **comparison.identity,
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
        comparisons: of two methods, one a data set; or of the best of each data set, by H alone.
        ranks: of all methods.
        why: there is no ranking, or what counts once in it.
        rule: whose checkpoints count.
        width: of a terminal: as many columns as fit, and notes broken between words.
    """
    parts = []
    if comparisons and all(len(each.results) == 1 for each in comparisons):
        parts += [_behind(comparisons, rule, width), "", *_behind_notes(comparisons)]
    elif comparisons:
        body, left_out = _table(comparisons, rule, width)
        parts += [body, "", *_notes(comparisons)]
        if left_out:
            parts.append(
                f"Left out to fit {width} columns: {', '.join(left_out)}; --format csv has all."
            )
    if ranks is not None:
        parts += ["", *_ranking(ranks, rule)] if parts else _ranking(ranks, rule)
    if why:
        parts += ["", why + "."] if parts else [why + "."]
    if width is not None:
        parts = [
            line
            for part in parts
            for line in ([part] if part.startswith("|") else markdown.wrapped(part, width))
        ]
    return "\n".join(parts)


def _behind(comparisons: Sequence[Comparison], rule: str, width: int | None) -> str:
    """The best of each data set and, below it, how far everybody else is behind."""
    heads = ["Data set", "Method", f"H by {rule}", "Behind the best", "p (Holm)", "Told apart"]
    lines, before = [], ("", "")
    for each in comparisons:
        (h,) = each.results
        if before != (each.dataset, each.a):
            before = (each.dataset, each.a)
            lines.append([each.dataset, each.a, f"{h.a:.1f}", "the best", "", ""])
        difference = f"{h.difference:.1f} [{h.low:.1f}, {h.high:.1f}]"
        lines.append(
            [each.dataset, each.b, f"{h.b:.1f}", difference, _holm(each, h), _apart(each, h)]
        )
    return markdown.fitted(heads, lines, width)


def _behind_notes(comparisons: Sequence[Comparison]) -> list[str]:
    lines = [
        "H and differences in points of percent, means over the seeds both have; in brackets the"
        " 95 % interval over seeds and classes, images held fixed.",
        f"Told apart: the interval leaves out 0 and p (Holm), corrected for the"
        f" {comparisons[0].tests} tests of this table, is below {P_LEVEL}. The best was picked by"
        " these numbers, so a narrow lead is narrower than it looks.",
    ]
    lines += _disagreements(comparisons)
    # What is so on several data sets is said once.
    lines += dict.fromkeys(r.partition(": ")[2] for each in comparisons for r in each.remarks)
    return lines


def _told(comparison: Comparison, result: PairedResult) -> tuple[bool, bool]:
    """Whether the interval, and the corrected p-value, tell the two apart."""
    return result.low > 0 or result.high < 0, comparison.p_holm[result.metric] < P_LEVEL


def _apart(comparison: Comparison, result: PairedResult) -> str:
    words = {(True, True): "yes", (False, False): "no", (True, False): "interval alone"}
    return words.get(_told(comparison, result), "p alone")


def _disagreements(comparisons: Sequence[Comparison]) -> list[str]:
    """Where interval and corrected p-value say different things, and why they may."""
    found = [
        f"{each.dataset} {HEADINGS[result.metric]} {each.a} - {each.b}"
        for each in comparisons
        for result in each.results
        if len(set(_told(each, result))) > 1
    ]
    if not found:
        return []
    return [
        f"Interval and p (Holm) disagree: {', '.join(found)}. The interval asks for other seeds and"
        " classes and is not corrected for the number of tests; p swaps the two class by class,"
        " holds the seeds fixed and is corrected. Call a lead established where both agree."
    ]


def _holm(comparison: Comparison, result: PairedResult) -> str:
    return f"{comparison.p_holm[result.metric]:.2g}"


def _table(
    comparisons: Sequence[Comparison], rule: str, width: int | None
) -> tuple[str, list[str]]:
    """The table, and headings that it has no room for."""
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
            _holm(comparison, result),
            "-" if result.p_seeds is None else _p(result.p_seeds),
            "-" if result.dz is None else f"{result.dz:.2f}",
            "-" if result.won is None else f"{result.won}/{result.lost}/{result.tied}",
            str(max(1, len(comparison.seeds))),
        ]
        for comparison in comparisons
        for result in comparison.results
    ]
    columns = [[str(cell) for cell in column] for column in zip(headings, *lines, strict=True)]
    sizes = [3 + max(map(markdown.width_of, column)) for column in columns]
    kept, left_out = [*range(len(columns))], []
    for name in _LAST_FIRST:
        if width is not None and sum(sizes[i] for i in kept) + 1 > width:
            kept.remove(headings.index(name))
            left_out.append(name)
    head, *body = zip(*(columns[i] for i in kept), strict=True)
    return markdown.fitted(head, body, width), left_out


def _notes(comparisons: Sequence[Comparison]) -> list[str]:
    lines = [
        "Differences in points of percent, means over the seeds both have. Interval: t, over seeds"
        " and classes, the same ones for both; images held fixed.",
        "p (classes): results of the two swapped class by class and the metric computed again:"
        " speaks of other classes, not of other seeds. p (seeds): signs of the seeds' differences"
        " flipped.",
        "dz: mean over standard deviation of the differences between classes (of H: between"
        f" seeds, of which it takes {FEWEST_SEEDS}).",
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
                f" seen classes): who leads {described(comparison.fragile)}."
            )
        lines += comparison.remarks
    return [*lines, *_disagreements(comparisons)]


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
