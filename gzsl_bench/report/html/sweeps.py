"""What a page shows of sweeps: their points, brought together from rows of the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gzsl_bench.plots import sensitivity as plot
from gzsl_bench.plots.sensitivity import Sensitivity
from gzsl_bench.results.rows import Point, Row
from gzsl_bench.scoring.summary import Summary
from gzsl_bench.suite.cells import Cell
from gzsl_bench.suite.sweep import ABOUT


def sweeps(
    rows: Sequence[Row], cells: Mapping[str, Sequence[Cell]], lead: str
) -> tuple[Sensitivity, ...]:
    """The sweeps among the rows of one data set, one for each swept entry.

    Args:
        rows: of one data set.
        cells: the suite's cells by key.
        lead: the rule that stands first.
    """
    numbers = [row for row in rows if not row.unavailable]
    swept: dict[str, list[tuple[Row, Point]]] = {}
    for row in numbers:
        if row.sweep is not None:
            swept.setdefault(row.sweep.of, []).append((row, row.sweep))
    return tuple(_sweep(label, mine, numbers, cells, lead) for label, mine in swept.items())


def _sweep(
    label: str,
    mine: Sequence[tuple[Row, Point]],
    numbers: Sequence[Row],
    cells: Mapping[str, Sequence[Cell]],
    lead: str,
) -> Sensitivity:
    own = [row for row in numbers if row.label == label and row.sweep is None]
    usual = {row.selection: row.summary() for row in own}
    config = cells[own[0].keys[0]][0].identity["method"]["config"] if own else {}
    fields = []
    for name in dict.fromkeys(point.field for _, point in mine):
        rows = [(row, point) for row, point in mine if point.field == name]
        points: dict[str, tuple[object, dict[str, Summary]]] = {}
        for row, point in rows:
            found = points.setdefault(str(point.value), (point.value, {}))
            found[1][row.selection] = row.summary()
        shown = [plot.Point(value, harmonic) for value, harmonic in points.values()]
        if usual and name in config:
            # A sweep may contain the method's own value: that point is the method itself.
            shown = [point for point in shown if point.value != config[name]]
            shown.append(plot.Point(config[name], usual, usual=True))
        words = cells[rows[0][0].keys[0]][0].about[ABOUT].get("description", "")
        fields.append(plot.Field(name, words, tuple(shown)))
    rules = list(dict.fromkeys(row.selection for row in [*own, *(row for row, _ in mine)]))
    rules.sort(key=lambda rule: rule != lead)
    return plot.sensitivity(label, rules, fields)
