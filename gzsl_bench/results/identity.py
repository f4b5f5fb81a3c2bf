"""Rows that would share a column although they measured different things."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gzsl_bench.errors import SuiteError
from gzsl_bench.results.rows import Row

#: What must agree among all rows of a data set: the row's key, and what to call it.
_AXES = (
    ("fingerprint", "data content"),
    ("features", "features"),
    ("attributes", "class embedding"),
    ("precision", "precision"),
    ("setting", "setting"),
)


@dataclass(frozen=True)
class Difference:
    """Rows under one name that differ.

    Attributes:
        name: the data set, or the method and the data set.
        axis: in what they differ.
        values: the values met, in the order of the rows.
    """

    name: str
    axis: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}: rows differ in {self.axis} ({', '.join(self.values)})"


def differences(table: Sequence[Row]) -> list[Difference]:
    """Everything in which rows of one data set differ that must be equal to be compared.

    Preprocessing is part of a method's recipe, so it only has to agree among the rows of one method
    (whatever their labels); preprocessing that leaks is marked by the table itself.
    """
    found = []
    for dataset, mine in _by(table, "dataset").items():
        for field, axis in _AXES:
            values = tuple(_by(mine, field))
            if len(values) > 1:
                found.append(Difference(dataset, axis, values))
        for method, of_method in _by(mine, "method").items():
            values = tuple(_by(of_method, "preprocessing"))
            if len(values) > 1:
                found.append(Difference(f"{method} on {dataset}", "preprocessing", values))
    return found


def refuse_differences(table: Sequence[Row]) -> None:
    """``table --strict``.

    Raises:
        SuiteError: rows that would share a column are not comparable.
    """
    found = differences(table)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise SuiteError(
            f"--strict: {found[0]}{more}, but rows of one column must have measured the same;"
            " give the variants labels of their own, or leave --strict out to see them marked"
        )


def _by(rows: Sequence[Row], field: str) -> dict[str, list[Row]]:
    """Rows by what they have in a field, in the order of the rows."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(str(getattr(row, field)), []).append(row)
    return found
