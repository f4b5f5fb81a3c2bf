"""Rows as texts: what a cell of any table says, whatever it is printed in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gzsl_bench.data.tasks import PREPROCESSING
from gzsl_bench.results.rows import HEADINGS, Row
from gzsl_bench.scoring.rules import GAMMA, RULES

#: Signs of the terminal's table; LaTeX gets formulas.
SIGN, MINUS = "\N{GREEK SMALL LETTER GAMMA}", "\N{MINUS SIGN}"
#: The column of ``selection_gap``.
GAP = next(f"{r.name} {MINUS} {r.gap_to}" for r in RULES.values() if r.gap_to)


def _variant_counts(table: Sequence[Row]) -> dict[str, int]:
    """How many variants (features, embedding, content) of each data set the table mixes."""
    variants: dict[str, set[Any]] = {}
    for row in table:
        variants.setdefault(row["dataset"], set()).add(
            (row["features"], row["attributes"], row["fingerprint"])
        )
    return {name: len(found) for name, found in variants.items()}


def where(row: Row, table: Sequence[Row]) -> str:
    """The data set's name, with whatever tells this row from others of the same name."""
    text = str(row["dataset"])
    if _variant_counts(table)[row["dataset"]] > 1:
        text += f" ({row['features']}, {row['attributes']}, {row['fingerprint'][:6]})"
    if len({r["precision"] for r in table if r["dataset"] == row["dataset"]}) > 1:
        text += f" ({row['precision']})"
    if row["preprocessing"] in PREPROCESSING and PREPROCESSING[row["preprocessing"]].leaks:
        text += f" [{row['preprocessing']}]"
    if row["setting"] == "transductive":
        text += " [transductive]"
    return text


def who(row: Row, table: Sequence[Row]) -> str:
    """The method's label; where a label covers several preprocessings or versions, those too."""
    text = str(row["label"])
    same = [r for r in table if r["label"] == row["label"] and r["dataset"] == row["dataset"]]
    here = [r for r in table if r["method"] == row["method"] and r["dataset"] == row["dataset"]]
    for field, rivals in (("preprocessing", here), ("version", same)):
        if len({r[field] for r in rivals}) > 1:
            text += f" ({row[field]})"
    return text


def rule_name(row: Row) -> str:
    """The rule as tables print it: ``val+γ``."""
    rule = str(row["selection"])
    return rule.removesuffix(GAMMA) + f"+{SIGN}" if rule.endswith(GAMMA) else rule


def has_gap(table: Sequence[Row]) -> bool:
    """Whether there is a selection gap to show."""
    return any(row.get("selection_gap") for row in table)


def has_bias(table: Sequence[Row]) -> bool:
    """Whether any row is calibrated."""
    return any(row.get("gamma") for row in table)


def headings(table: Sequence[Row], names: Sequence[str]) -> list[str]:
    """Of the columns that :func:`texts` fills."""
    return [
        *("Data set", "Method", "Selection", "n"),
        *(HEADINGS.get(name, name) for name in names),
        *([GAP] if has_gap(table) else []),
        *([SIGN] if has_bias(table) else []),
    ]


def texts(
    row: Row, table: Sequence[Row], names: Sequence[str], plus_minus: str = " ± "
) -> list[Any]:
    """One row: data set, method, rule, n, metrics, gap and gamma where the table has them."""
    return [
        where(row, table),
        who(row, table),
        rule_name(row),
        len(row["seeds"]),
        *(number(row.get(name), plus_minus, digits(row, name)) for name in names),
        *([number(row.get("selection_gap"), plus_minus)] if has_gap(table) else []),
        *([gammas(row)] if has_bias(table) else []),
    ]


def gammas(row: Row) -> str:
    """Gamma to three digits; several where seeds differ."""
    return ", ".join(dict.fromkeys(f"{gamma:.3g}" for gamma in row.get("gamma") or ())) or "-"


def digits(row: Row, name: str) -> str:
    """A decimal of a percentage; of anything else three digits, whatever its size."""
    return ".1f" if row.get("extra", {}).get(name, {}).get("percent", True) else ".3g"


def number(summary: Any, plus_minus: str = " ± ", digits: str = ".1f") -> str:
    """``41.2 ± 0.6 [36.2, 45.9]``, as much of it as there is; a dash for nothing."""
    if summary is None:
        return "-"
    text = f"{summary['mean']:{digits}}"
    if summary["sd"] is not None:
        text += f"{plus_minus}{summary['sd']:{digits}}"
    if "low" in summary:
        text += f" [{summary['low']:{digits}}, {summary['high']:{digits}}]"
    return text
