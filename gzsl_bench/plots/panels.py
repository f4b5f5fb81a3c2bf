"""How figures of one number a method are laid out: a panel for each data set, methods down it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gzsl_bench.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 3


def panels(labels: Sequence[Sequence[str]], titles: Sequence[str]) -> tuple[Figure, list[Any]]:
    """The figure and the axes of its panels, names of methods at the left and H below.

    Args:
        labels: methods of every panel, from top to bottom; method i stands at height i.
        titles: of the panels.
    """
    columns = min(_COLUMNS, len(titles))
    lines = math.ceil(len(titles) / columns)
    tallest = max(map(len, labels))
    made = style.new_figure(max(6.4, 1.2 + 3.1 * columns), 0.7 + lines * (0.85 + 0.27 * tallest))
    grid = list(made.subplots(lines, columns, squeeze=False).flat)
    for axes, methods, title in zip(grid, labels, titles, strict=False):
        axes.set_yticks(range(len(methods)), [style.words(name) for name in methods])
        axes.set_ylim(len(methods) - 0.5, -0.5)
        axes.set_title(style.words(title), loc="left", fontsize=10)
        axes.set_xlabel("H (%)")
    for axes in grid[len(titles) :]:
        axes.set_visible(False)
    return made, grid[: len(titles)]
