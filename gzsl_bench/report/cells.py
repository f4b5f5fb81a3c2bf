"""Rows as texts: what a cell of any table says, whatever it is printed in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gzsl_bench.data.tasks import PREPROCESSING
from gzsl_bench.results.rows import HEADINGS, Row
from gzsl_bench.scoring.rules import RULES
from gzsl_bench.scoring.summary import Summary
from gzsl_bench.suite.cells import EXTERNAL

#: Signs of the terminal's table; LaTeX gets formulas.
SIGN, MINUS = "\N{GREEK SMALL LETTER GAMMA}", "\N{MINUS SIGN}"
#: Marks the rule of a row whose checkpoint the validation folds do not tell from others.
UNTOLD = "\N{ALMOST EQUAL TO}"
#: The column of ``selection_gap``.
GAP = next(f"{r.name} {MINUS} {r.gap_to}" for r in RULES.values() if r.gap_to)


class Table:
    """Rows, and what tells them apart: worked out once for all of them.

    Args:
        rows: of one table.

    Attributes:
        rows: the same.
        has_gap: there is a selection gap to show.
        has_bias: a row is calibrated.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = tuple(rows)
        self.has_gap = any(row.selection_gap for row in rows)
        self.has_bias = any(row.gamma for row in rows)
        #: Values met under one name; where there are several, rows have to say which one is theirs.
        self._met: dict[tuple[str, ...], set[Any]] = {}
        for row in rows:
            for place, value in _apart(row):
                self._met.setdefault(place, set()).add(value)

    def where(self, row: Row) -> str:
        """The data set's name, with whatever tells this row from others of the same name."""
        text = row.dataset
        variant, precision, *_ = self._several(row)
        if variant:
            text += f" ({row.features}, {row.attributes}, {row.fingerprint[:6]})"
        if precision:
            text += f" ({row.precision})"
        if row.preprocessing in PREPROCESSING and PREPROCESSING[row.preprocessing].leaks:
            text += f" [{row.preprocessing}]"
        if row.setting == "transductive":
            text += " [transductive]"
        return text

    def who(self, row: Row) -> str:
        """The method's label; where it covers several preprocessings or versions, those too.

        Versions alike, it may still cover several sources, or numbers of the program's own code.
        """
        _, _, preprocessing, *builds = self._several(row)
        text = row.label
        if row.fidelity == EXTERNAL:  # its preprocessing is not known
            text += f" [{EXTERNAL}]"
        elif preprocessing:
            text += f" ({row.preprocessing})"
        names = (row.version, f"source {(row.source or 'unknown')[:8]}", row.code)
        return text + next((f" ({n})" for n, many in zip(names, builds, strict=True) if many), "")

    def headings(self, names: Sequence[str]) -> list[str]:
        """Of the columns that :meth:`texts` fills."""
        return [
            *("Data set", "Method", "Selection", "n"),
            *(HEADINGS.get(name, name) for name in names),
            *([GAP] if self.has_gap else []),
            *([SIGN] if self.has_bias else []),
        ]

    def texts(self, row: Row, names: Sequence[str], plus_minus: str = " ± ") -> list[str]:
        """One row: data set, method, rule, n, metrics, gap and gamma where the table has them."""
        return [
            self.where(row),
            self.who(row),
            row.fate or row.selection + (f" {UNTOLD}" if untold(row) else ""),
            str(len(row.seeds)),
            *(number(row.metrics.get(name), plus_minus, digits(row, name)) for name in names),
            *([number(row.selection_gap, plus_minus)] if self.has_gap else []),
            *([gammas(row)] if self.has_bias else []),
        ]

    def _several(self, row: Row) -> list[bool]:
        return [len(self._met[place]) > 1 for place, _ in _apart(row)]


def _apart(row: Row) -> tuple[tuple[tuple[str, ...], Any], ...]:
    """Names under which rows may differ, and what this one has there."""
    return (
        (("variant", row.dataset), (row.features, row.attributes, row.fingerprint)),
        (("precision", row.dataset), row.precision),
        (("preprocessing", row.dataset, row.method), row.preprocessing),
        (("version", row.dataset, row.label), row.version),
        (("source", row.dataset, row.label), row.source),
        (("code", row.dataset, row.label), row.code),
    )


def untold(row: Row) -> str:
    """Why the choice of a row's checkpoint is none; empty where the folds support it."""
    return row.support.words if row.support else ""


def gammas(row: Row) -> str:
    """Gamma to three digits; several where seeds differ."""
    return ", ".join(dict.fromkeys(f"{gamma:.3g}" for gamma in row.gamma or ())) or "-"


def digits(row: Row, name: str) -> str:
    """A decimal of a percentage; of anything else three digits, whatever its size."""
    return ".1f" if row.reading(name).percent else ".3g"


def number(summary: Summary | None, plus_minus: str = " ± ", digits: str = ".1f") -> str:
    """``41.2 ± 0.6 [36.2, 45.9]``, as much of it as there is; a dash for nothing."""
    if summary is None:
        return "-"
    text = f"{summary.mean:{digits}}"
    if summary.sd is not None:
        text += f"{plus_minus}{summary.sd:{digits}}"
    if summary.low is not None:
        text += f" [{summary.low:{digits}}, {summary.high:{digits}}]"
    return text
