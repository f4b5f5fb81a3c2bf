"""What a page shows of sweeps: their points, brought together from rows of the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gzsl_bench.report.cells import rule_name
from gzsl_bench.report.plots.sensitivity import Field, Point, Sensitivity, sensitivity
from gzsl_bench.results.rows import Row, is_swept
from gzsl_bench.scoring.summary import Summary
from gzsl_bench.suite.cells import Cell
from gzsl_bench.suite.sweep import ABOUT


def sweeps(rows: Sequence[Row], cells: Mapping[str, Cell], lead: str) -> tuple[Sensitivity, ...]:
    """The sweeps among the rows of one data set, one for each swept entry.

    Args:
        rows: of one data set.
        cells: the suite's cells by key.
        lead: the rule that stands first.
    """
    numbers = [row for row in rows if not row["unavailable"]]
    swept = [row for row in numbers if is_swept(row)]
    return tuple(
        _sweep(label, [r for r in swept if r["sweep_of"] == label], numbers, cells, lead)
        for label in dict.fromkeys(str(row["sweep_of"]) for row in swept)
    )


def _sweep(
    label: str,
    mine: Sequence[Row],
    numbers: Sequence[Row],
    cells: Mapping[str, Cell],
    lead: str,
) -> Sensitivity:
    own = [row for row in numbers if row["label"] == label and not is_swept(row)]
    usual = {rule_name(row): _summary(row) for row in own}
    config = cells[own[0]["keys"][0]].identity["method"]["config"] if own else {}
    fields = []
    for name in dict.fromkeys(str(row["sweep_field"]) for row in mine):
        rows = [row for row in mine if row["sweep_field"] == name]
        points: dict[str, tuple[object, dict[str, Summary]]] = {}
        for row in rows:
            found = points.setdefault(str(row["sweep_value"]), (row["sweep_value"], {}))
            found[1][rule_name(row)] = _summary(row)
        shown = [Point(value, harmonic) for value, harmonic in points.values()]
        if usual and name in config:
            # A sweep may contain the method's own value: that point is the method itself.
            shown = [point for point in shown if point.value != config[name]]
            shown.append(Point(config[name], usual, usual=True))
        words = cells[rows[0]["keys"][0]].about[ABOUT].get("description", "")
        fields.append(Field(name, words, tuple(shown)))
    rules = list(dict.fromkeys(rule_name(row) for row in [*own, *mine]))
    rules.sort(key=lambda rule: rule != lead)
    return sensitivity(label, rules, fields)


def _summary(row: Row) -> Summary:
    h = row["harmonic_mean"]
    return {"mean": h["mean"], "sd": h["sd"], "n": h["n"]}
