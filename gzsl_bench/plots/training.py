"""Curves over the training: every seed a thin line, their mean a thick one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gzsl_bench.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Line = Sequence[tuple[float, float]]

#: More points than this cannot be told apart on the page.
_MOST = 150
_COLUMNS = 3
#: How the validation folds are drawn.
_FOLDS: dict[str, Any] = {"color": style.GREY, "linestyle": (0, (4, 1.5))}


@dataclass(frozen=True, eq=False)
class Panel:
    """One method.

    Attributes:
        label: the method.
        index: its number.
        seeds: by seed, pairs of step and value.
        validation: the mean over validation folds, pairs of step and value; may be empty.
        chosen: step by name of the rule, for rules that chose one step for all seeds.
    """

    label: str
    index: int
    seeds: Mapping[int, Line]
    validation: Line = ()
    chosen: Mapping[str, float] = field(default_factory=dict)


def mean_line(lines: Sequence[Line]) -> list[tuple[float, float]]:
    """The mean at the steps that all lines have."""
    values = [dict(line) for line in lines]
    common = sorted(set.intersection(*(set(v) for v in values))) if values else []
    return [(step, sum(v[step] for v in values) / len(values)) for step in common]


def thinned(line: Line) -> Line:
    """Every k-th point and the last one, so that a page stays small."""
    if len(line) <= _MOST:
        return line
    stride = math.ceil(len(line) / _MOST)
    return [*line[::stride], line[-1]] if (len(line) - 1) % stride else line[::stride]


@style.styled
def figure(
    title: str, panels: Sequence[Panel], x: str, y: str, share: bool = True, low: float | None = 0.0
) -> Figure:
    """A panel per method.

    Args:
        title: of the whole.
        panels: the methods.
        x: label of the horizontal axis.
        y: label of the vertical axis, with its unit.
        share: all panels have one vertical scale; otherwise each its own, logarithmic where its
            values span more than a factor of 50.
        low: lower end of a shared vertical axis.
    """
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    columns = min(_COLUMNS, len(panels))
    lines = math.ceil(len(panels) / columns)
    width, height = max(6.4, 0.5 + 3.3 * columns), 1.25 + 2.5 * lines
    made = style.new_figure(width, height, layout=None)
    grid = made.subplots(lines, columns, squeeze=False, sharey=share)
    made.subplots_adjust(
        left=0.75 / width, right=1 - 0.15 / width, top=1 - 0.7 / height, bottom=1.0 / height,
        wspace=0.12 if share else 0.4, hspace=0.5,
    )  # fmt: skip
    rules: dict[str, Any] = {}
    for position, axes in enumerate(grid.flat):
        if position >= len(panels):
            axes.set_visible(False)
            continue
        panel = panels[position]
        colour = style.colour(panel.index)
        for line in panel.seeds.values():
            steps, values = _xy(line)
            axes.plot(steps, values, color=colour, linewidth=0.7, alpha=0.55, zorder=2)
        steps, values = _xy(mean_line(list(panel.seeds.values())))
        axes.plot(steps, values, color=colour, linewidth=2.4, zorder=4)
        if panel.validation:
            steps, values = _xy(panel.validation)
            axes.plot(steps, values, linewidth=1.6, zorder=3, **_FOLDS)
            rules["mean H of the validation folds"] = _FOLDS
        for rule, step in panel.chosen.items():
            axes.axvline(step, color="black", linewidth=1.1, linestyle=":", zorder=1)
            rules[f"chosen by {rule}"] = {"color": "black", "linestyle": ":", "linewidth": 1.1}
        if not share and _wide(panel):
            axes.set_yscale("log")
            style.logarithmic(axes.yaxis)
        axes.set_title(style.words(panel.label), loc="left", fontsize=10)
        axes.set_xlabel(x)
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
        if position % columns == 0 or not share:
            axes.set_ylabel(y)
    if share and low is not None:
        grid[0, 0].set_ylim(bottom=low)
    handles = [
        Line2D([], [], color=style.GREY, linewidth=0.7, label="one seed"),
        Line2D([], [], color="black", linewidth=2.4, label="mean over seeds"),
        *(Line2D([], [], label=name, **look) for name, look in rules.items()),
    ]
    made.legend(handles=handles, loc="lower left", ncols=4)
    style.heading(made, title, height)
    return made


def rows(panels: Sequence[Panel]) -> list[dict[str, Any]]:
    """Every point of every line."""
    found = []
    for panel in panels:
        named: list[tuple[str, Line]] = [(str(seed), line) for seed, line in panel.seeds.items()]
        named.append(("mean", mean_line(list(panel.seeds.values()))))
        if panel.validation:
            named.append(("validation folds", panel.validation))
        found += [
            {"method": panel.label, "seed": name, "step": step, "value": value}
            for name, line in named
            for step, value in line
        ]
    return found


def _xy(line: Line) -> tuple[Any, Any]:
    points = np.array(thinned(line), dtype=np.float64).reshape(-1, 2)
    return points[:, 0], points[:, 1]


def _wide(panel: Panel) -> bool:
    values = [value for line in panel.seeds.values() for _, value in line]
    return bool(values) and min(values) > 0 and max(values) > 50 * min(values)
