"""Seen-unseen accuracy curves: what every bias between seen and unseen classes would give.

The curve of a seed is exact (every difference of scores is a point); several seeds are averaged at
equal U on a grid, with S = 0 beyond a seed's largest U, so that the area under the mean curve is
the mean AUSUC.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gzsl_bench.hooks.metric import FloatArray
from gzsl_bench.plots import style
from gzsl_bench.scoring.rules import RULES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Points of the drawn curve.
GRID = 200
#: Shapes and sizes of operating points, one for each rule, along whatever axis; calibrated rules
#: have their plain rule's, filled.  Rules often choose the same checkpoint: sizes let one be seen
#: within the other.
_MARKS = (("o", 13.0), ("^", 8.5), ("s", 4.0), ("D", 10.5), ("v", 6.0))
SHAPES = dict(zip(RULES, itertools.cycle(_MARKS), strict=False))


@dataclass(frozen=True, eq=False)
class Curve:
    """One method on one data set, in percent.

    Attributes:
        label: the method.
        index: its number, which gives it colour and line style.
        unseen: [G] U, ascending.
        seen: [G] S, descending.
        area: AUSUC.
        points: operating points by name of the rule: (U, S), means over seeds.
    """

    label: str
    index: int
    unseen: FloatArray
    seen: FloatArray
    area: float
    points: dict[str, tuple[float, float]]


def mean_curve(curves: Sequence[tuple[FloatArray, FloatArray]]) -> tuple[FloatArray, FloatArray]:
    """The mean of exact curves (U ascending, S descending) on a common grid of U: [G], [G]."""
    end = max(float(unseen[-1]) for unseen, _ in curves)
    grid = np.linspace(0.0, end, GRID)
    seen = [np.interp(grid, u, s, right=0.0) for u, s in (_single(*c) for c in curves)]
    found = np.mean(seen, axis=0)
    # Both ends may be steep: U = 0 has the largest S, the largest U the smallest.
    found[0] = np.mean([s[0] for _, s in curves])
    found[-1] = np.mean([s[-1] if u[-1] >= end else 0.0 for u, s in curves])
    return grid, found


def _single(unseen: FloatArray, seen: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Where S falls at one U, keep the upper end and the lower one a hair further on."""
    step = np.arange(unseen.size) * 1e-12
    return unseen + step, seen


@style.styled
def figure(title: str, curves: Sequence[Curve]) -> Figure:
    """The curves of all methods on one data set with their operating points."""
    from matplotlib.lines import Line2D

    made = style.new_figure(8.6, 5.4)
    axes = made.subplots()
    top_u = max([10.0, *(float(c.unseen[-1]) for c in curves)]) * 1.04
    top_s = max([10.0, *(float(c.seen.max()) for c in curves)]) * 1.04
    _contours(axes, top_u, top_s)
    handles: list[Any] = []
    for curve in curves:
        look: dict[str, Any] = {
            "color": style.colour(curve.index),
            "linestyle": style.dash(curve.index),
        }
        axes.plot(curve.unseen, curve.seen, zorder=2, **look)
        name = f"{style.words(curve.label)}  {curve.area:.1f}"
        handles.append(Line2D([], [], label=name, **look))
        for rule, (unseen, seen) in curve.points.items():
            _point(axes, unseen, seen, rule, look["color"])
    rules = list(dict.fromkeys(rule for curve in curves for rule in curve.points))
    operating = [Line2D([], [], label=rule, **_mark(rule, style.GREY)) for rule in rules]
    axes.set(
        xlim=(0, top_u),
        ylim=(0, top_s),
        xlabel="U: accuracy on unseen classes (%)",
        ylabel="S: accuracy on seen classes (%)",
    )
    axes.set_title(style.words(title, style.TITLE), loc="left")
    made.legend(
        handles=[
            Line2D([], [], linestyle="none", label="Method  AUSUC (%)"), *handles,
            Line2D([], [], linestyle="none", label=""),
            Line2D([], [], linestyle="none", label="Operating point"), *operating,
            Line2D([], [], linestyle="none", label=""),
            Line2D([], [], color=style.PALE, linewidth=1, label="equal H"),
        ],
        loc="outside right upper",
        handlelength=2.6,
    )  # fmt: skip
    return made


def rows(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """What is drawn: points of the curves, then operating points."""
    found: list[dict[str, Any]] = []
    for curve in curves:
        found += [
            {"method": curve.label, "what": "curve", "acc_unseen": round(float(u), 4),
             "acc_seen": round(float(s), 4)}
            for u, s in zip(curve.unseen, curve.seen, strict=True)
        ]  # fmt: skip
        found += [
            {"method": curve.label, "what": rule, "acc_unseen": u, "acc_seen": s}
            for rule, (u, s) in curve.points.items()
        ]
    return found


def _mark(rule: str, colour: str) -> dict[str, Any]:
    """How an operating point looks: calibrated ones are filled, with a white edge."""
    plain, _, calibrated = rule.partition("+")
    shape, size = SHAPES[plain.partition(".")[0]]
    return {
        "marker": shape, "markersize": size, "linestyle": "none",
        "markerfacecolor": colour if calibrated else "none",
        "markeredgecolor": "white" if calibrated else colour,
        "markeredgewidth": 1.0 if calibrated else 1.5,
    }  # fmt: skip


def _point(axes: Any, unseen: float, seen: float, rule: str, colour: str) -> None:
    # Small ones on top, whatever the order of the rules.
    look = _mark(rule, colour)
    axes.plot([unseen], [seen], zorder=5 - look["markersize"] / 20, **look)


def _contours(axes: Any, top_u: float, top_s: float) -> None:
    """Lines of equal H: S = H U / (2 U - H)."""
    for level in range(10, 100, 10):
        u = np.linspace(level / 2 + 0.2, top_u, 200) if level / 2 + 0.2 < top_u else None
        if u is None:
            break
        s = level * u / (2 * u - level)
        inside = s <= top_s
        if inside.sum() < 2:
            continue
        axes.plot(u[inside], s[inside], color=style.PALE, linewidth=0.9, zorder=1)
        # Beside the axes: within them the curves would cross the labels.
        axes.annotate(
            f"H {level}", (u[inside][-1], s[inside][-1]), fontsize=8, color=style.GREY,
            textcoords="offset points", xytext=(3, 0), va="center", annotation_clip=False,
        )  # fmt: skip
