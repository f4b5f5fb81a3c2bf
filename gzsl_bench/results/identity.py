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
    for dataset in dict.fromkeys(row["dataset"] for row in table):
        mine = [row for row in table if row["dataset"] == dataset]
        for field, axis in _AXES:
            values = _values(mine, field)
            if len(values) > 1:
                found.append(Difference(dataset, axis, values))
        for method in dict.fromkeys(row["method"] for row in mine):
            of_method = [row for row in mine if row["method"] == method]
            values = _values(of_method, "preprocessing")
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


def _values(rows: Sequence[Row], field: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(row[field]) for row in rows))
