"""How figures of one number a method are laid out: a panel for each data set, methods down it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from gzsl_bench.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 3


class Panel(Protocol):
    """One data set."""

    @property
    def title(self) -> str:
        """Its name."""

    @property
    def ordered(self) -> Sequence[Any]:
        """Its methods from top to bottom: dataclasses with a ``label`` and an ``index``."""


def laid_out(panels: Sequence[Panel]) -> tuple[Figure, list[Any]]:
    """The figure and the axes of its panels, names of methods at the left and H below.

    Method i of a panel stands at height i.
    """
    labels = [[entry.label for entry in panel.ordered] for panel in panels]
    columns = min(_COLUMNS, len(panels))
    lines = math.ceil(len(panels) / columns)
    tallest = max(map(len, labels))
    made = style.new_figure(max(6.4, 1.2 + 3.1 * columns), 0.7 + lines * (0.85 + 0.27 * tallest))
    grid = list(made.subplots(lines, columns, squeeze=False).flat)
    for axes, methods, panel in zip(grid, labels, panels, strict=False):
        axes.set_yticks(range(len(methods)), [style.words(name) for name in methods])
        axes.set_ylim(len(methods) - 0.5, -0.5)
        axes.set_title(style.words(panel.title), loc="left", fontsize=10)
        axes.set_xlabel("H (%)")
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    return made, grid[: len(panels)]


def rows(panels: Sequence[Panel]) -> list[dict[str, Any]]:
    """One line per data set and method: the numbers behind a figure."""
    return [
        {"dataset": panel.title, **{k: v for k, v in asdict(entry).items() if k != "index"}}
        for panel in panels
        for entry in panel.ordered
    ]
