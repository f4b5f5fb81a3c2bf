"""Which rows may be set against one another, and which of them lead.

A league is what one column of a paper's table may rank: rows of one data set that measured the
same thing by the same selection rule.
"""

from __future__ import annotations

from collections.abc import Sequence

from gzsl_bench.data.tasks import PREPROCESSING
from gzsl_bench.results.rows import Row

#: What must agree before two rows may be subtracted from one another.
SAME = ("features", "attributes", "fingerprint", "precision", "setting")

Place = tuple[str, ...]


def place(row: Row) -> Place:
    """The data set of a row, in the sense in which numbers are comparable."""
    return (row.dataset, *(str(getattr(row, name)) for name in SAME))


def same_images(table: Sequence[Row]) -> dict[str, list[str]]:
    """What data sets are called that hold the same images, by these images; those with two names.

    They may differ in features, class embedding or precision: results on them are variants of one
    observation and have one vote wherever data sets are counted.
    """
    found: dict[str, dict[str, None]] = {}
    for row in table:
        variant = f"{row.dataset} ({row.features}, {row.attributes}, {row.precision})"
        found.setdefault(row.images, {})[variant] = None
    return {images: list(names) for images, names in found.items() if len(names) > 1}


def taint(row: Row) -> str:
    """Why a row's numbers may stand beside no other's; empty where they may."""
    scaling = PREPROCESSING.get(row.preprocessing)
    if scaling is not None and scaling.leaks:
        return f"preprocessing {row.preprocessing} has seen the test set"
    if row.audit.startswith("FAILED"):
        return "failed the audit"
    return ""


def obstacle(row: Row) -> str:
    """Why a row takes part in no ranking; empty where it does."""
    if row.unavailable:
        return "no numbers"
    if why := taint(row):
        return why
    if row.sweep is not None:
        # The best of many values by its test results would have been selected on the test set.
        return "a point of a sweep"
    return ""


def leagues(table: Sequence[Row]) -> dict[tuple[Place, str], list[Row]]:
    """Rows that may be ranked with one another, by place and selection rule."""
    found: dict[tuple[Place, str], list[Row]] = {}
    for row in table:
        if not obstacle(row):
            found.setdefault((place(row), row.selection), []).append(row)
    return found


def marks(table: Sequence[Row], names: Sequence[str]) -> dict[tuple[int, str], int]:
    """Best and second best of every league and metric.

    Values that are printed alike are equal: of two rows that both show 45.1 none is called better.

    Args:
        table: rows.
        names: metrics.

    Returns:
        (index of the row, metric) -> 1 for the best and 2 for the second best value; leagues of a
        single row have neither.
    """
    where = {row: index for index, row in enumerate(table)}
    found: dict[tuple[int, str], int] = {}
    for rivals in leagues(table).values():
        if len(rivals) < 2:
            continue
        for name in names:
            shown = {row: value for row in rivals if (value := _shown(row, name)) is not None}
            up = all(row.reading(name).higher_is_better for row in rivals)
            values = sorted(set(shown.values()), reverse=up)
            for position, value in enumerate(values[:2], start=1):
                for row in (row for row, own in shown.items() if own == value):
                    found[where[row], name] = position
    return found


def _shown(row: Row, name: str) -> float | None:
    """The mean as a table prints it."""
    summary = row.metrics.get(name)
    if summary is None:
        return None
    return float(f"{summary.mean:{'.1f' if row.reading(name).percent else '.3g'}}")
