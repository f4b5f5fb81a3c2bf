"""Latent spaces laid flat: images of the test set beside samples of their classes (t-SNE)."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gzsl_bench.hooks.metric import FloatArray, IntArray
from gzsl_bench.plots import style
from gzsl_bench.results.latents import PARTS, Plane
from gzsl_bench.scoring.latents import NEIGHBOURS
from gzsl_bench.wording import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Images are dark discs; samples are light triangles with a dark edge, which holds them on white.
VISUAL: dict[str, Any] = {"color": "#004488", "marker": "o"}
SEMANTIC: dict[str, Any] = {
    "facecolor": "#ffd21f", "marker": "^", "edgecolor": "#4d3d00"
}  # fmt: skip
#: Layers that are drawn in turn, so that neither modality hides the other.
_LAYERS = 12
#: Cells of a density along each axis, and the fewest points that a cell shows.
_GRID, FEWEST = 32, 5
#: Letters of a line of the caption.
_LINE = 148


@dataclass(frozen=True, eq=False)
class Row:
    """A method's panels.

    Attributes:
        label: the method's.
        seed: of the run.
        checkpoint: its number.
        rule: what chose it.
        planes: one per part, in the order of ``PARTS``.
    """

    label: str
    seed: int
    checkpoint: int
    rule: str
    planes: Sequence[Plane]


@style.styled
def figure(title: str, found: Sequence[Row], perplexity: float, density: bool = False) -> Figure:
    """A row per method, unseen classes on the left.

    Args:
        title: of the figure: the data set.
        found: the methods.
        perplexity: of t-SNE.
        density: marks stand for the points of a cell, by area, instead of for one point.
    """
    from matplotlib.lines import Line2D

    height = 1.9 + 4.1 * len(found)
    made = style.new_figure(9.6, height)
    panels = made.subplots(len(found), len(PARTS), squeeze=False)
    for line, row in zip(panels, found, strict=True):
        for axes, plane in zip(line, row.planes, strict=True):
            _panel(axes, plane, density)
        chosen = f"seed {row.seed}, checkpoint {row.checkpoint} ({row.rule})"
        line[0].set_ylabel(f"{style.words(row.label)}\n{chosen}", fontsize=10, labelpad=8)
    handles = [
        Line2D([], [], linestyle="", marker=VISUAL["marker"], markersize=7,
               color=VISUAL["color"], label="visual: test images"),
        Line2D([], [], linestyle="", marker=SEMANTIC["marker"], markersize=8,
               markerfacecolor=SEMANTIC["facecolor"], markeredgecolor=SEMANTIC["edgecolor"],
               label="semantic: as many samples from each class's embedding"),
    ]  # fmt: skip
    # The title keeps the room for the legend below it, in inches from the top.
    made.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0.005, 1 - 0.3 / height), ncols=2,
        fontsize=10, borderaxespad=0,
    )  # fmt: skip
    style.heading(made, title, below="\n\n")
    made.supxlabel(
        _caption(found, perplexity, density), x=0.01, ha="left", fontsize=8.5, color=style.GREY
    )
    return made


def _panel(axes: Axes, plane: Plane, density: bool) -> None:
    here = plane.measured
    (_draw_cells if density else _draw_points)(axes, plane)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    for side in axes.spines.values():
        side.set(visible=True, color=style.PALE)
    shown = len(plane.labels)
    drawn = "" if shown == here.images else f", {shown} of them drawn"
    axes.set_title(
        f"{here.part.capitalize()}: {counted(here.classes, 'class')},"
        f" {counted(here.images, 'image')}{drawn}",
        loc="left", fontsize=10,
    )  # fmt: skip
    axes.set_xlabel(f"mixing {here.mixing:.2f}   ·   nearest class mean {here.nearest:.1f} %")


def _draw_points(axes: Axes, plane: Plane) -> None:
    size = float(np.clip(9000 / max(1, len(plane.labels)), 8, 34))
    edge = 0.2 + 0.3 * size / 34  # among many small ones, edges would darken the faces
    # The rows of a class lie together: every n-th row makes a layer of all classes.
    for layer in range(_LAYERS):
        for points, look, area, width in (
            (plane.visual, VISUAL, size, 0.0), (plane.semantic, SEMANTIC, 1.4 * size, edge)
        ):  # fmt: skip
            x, y = points[layer::_LAYERS].T
            axes.scatter(x, y, area, linewidths=width, zorder=2 + layer, rasterized=True, **look)


def _draw_cells(axes: Axes, plane: Plane) -> None:
    for layer, (_, centres, counts) in enumerate(cells(plane)):
        look, width = ((VISUAL, 0.0), (SEMANTIC, 0.5))[layer]
        x, y = centres.T
        axes.scatter(x, y, 5.0 * counts, linewidths=width, zorder=2 + layer, **look)


def cells(plane: Plane) -> list[tuple[str, FloatArray, IntArray]]:
    """Both modalities counted on one grid over all points of the panel.

    Returns:
        Of the visual, then of the semantic one: its name, the centres [M, 2] of the cells that hold
        at least :data:`FEWEST` of its points, and their numbers [M].
    """
    everything = np.concatenate([plane.visual, plane.semantic])
    edges = [
        np.linspace(low, high if high > low else low + 1, _GRID + 1)
        for low, high in zip(everything.min(0), everything.max(0), strict=True)
    ]
    middles = [(edge[:-1] + edge[1:]) / 2 for edge in edges]
    found = []
    for name, points in (("visual", plane.visual), ("semantic", plane.semantic)):
        counts = np.histogram2d(points[:, 0], points[:, 1], edges)[0].astype(np.int64)
        x, y = np.nonzero(counts >= FEWEST)
        found.append((name, np.stack([middles[0][x], middles[1][y]], 1), counts[x, y]))
    return found


def _caption(found: Sequence[Row], perplexity: float, density: bool) -> str:
    rules = sorted({row.rule for row in found})
    text = (
        "t-SNE of both modalities together, each panel for itself, perplexity"
        f" {perplexity:g}; axes have no unit, distances between clusters no meaning. Checkpoints by"
        f" {' and '.join(rules)}. The numbers are taken in the latent space itself, from all images"
        f" and samples of the part. Mixing: share of the {NEIGHBOURS} nearest neighbours that are"
        " of the other modality (0 apart, 0.5 mixed). Nearest class mean: images whose nearest mean"
        " of semantic samples, among the classes of the part, is their own class's (mean over"
        " classes)."
    )
    if density:
        text += f" A mark's area is the number of points near it; fewer than {FEWEST} show none."
    return "\n".join(textwrap.wrap(text, _LINE))


def rows(found: Sequence[Row], density: bool = False) -> list[dict[str, Any]]:
    """One line per point, or per cell of a density."""
    listed = _cells if density else _points
    return [
        {"method": row.label, "seed": row.seed, "checkpoint": row.checkpoint, "rule": row.rule,
         "part": plane.measured.part, "modality": modality, what: int(number),
         "x": round(float(x), 4), "y": round(float(y), 4)}
        for row in found
        for plane in row.planes
        for modality, what, places, numbers in listed(plane)
        for (x, y), number in zip(places, numbers, strict=True)
    ]  # fmt: skip


def _points(plane: Plane) -> list[tuple[str, str, FloatArray, IntArray]]:
    return [
        ("visual", "class", plane.visual, plane.labels),
        ("semantic", "class", plane.semantic, plane.sampled),
    ]


def _cells(plane: Plane) -> list[tuple[str, str, FloatArray, IntArray]]:
    return [(name, "points", centres, counts) for name, centres, counts in cells(plane)]
