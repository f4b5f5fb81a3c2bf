"""H over the values of one hyper-parameter after the other (Figure 5 of the ACMR paper)."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gzsl_bench.plots import style
from gzsl_bench.scoring.spread import chance_spread, pooled_sd, spread
from gzsl_bench.scoring.summary import Summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 3
#: Points of H that an axis spans at least: noise is not to look like a trend.
_SPAN = 6.0
#: Letters in a line under an axis.
_WIDE = 44


@dataclass(frozen=True)
class Point:
    """One value of a hyper-parameter.

    Attributes:
        value: the value.
        harmonic: H in percent over seeds, by selection rule.
        usual: whether it is the value of the entry itself, which all fields share.
    """

    value: Any
    harmonic: Mapping[str, Summary]
    usual: bool = False


@dataclass(frozen=True)
class Field:
    """One hyper-parameter.

    Attributes:
        name: as a suite writes it.
        words: what it is.
        points: in ascending order where they are numbers.
    """

    name: str
    words: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Sensitivity:
    """A sweep of one method on one data set.

    Attributes:
        label: the method.
        rules: selection rules, the honest one first.
        fields: what was swept.
        noise: standard deviation of H between seeds by rule, pooled over all points; None where no
            point has two seeds.
    """

    label: str
    rules: tuple[str, ...]
    fields: tuple[Field, ...]
    noise: Mapping[str, float | None]


def sensitivity(label: str, rules: Sequence[str], fields: Sequence[Field]) -> Sensitivity:
    """Bring points into order and measure the noise; the usual point counts once."""
    noise: dict[str, float | None] = {}
    for rule in rules:
        usual = next((p for f in fields for p in f.points if p.usual and rule in p.harmonic), None)
        points = [p for f in fields for p in f.points if not p.usual and rule in p.harmonic]
        noise[rule] = pooled_sd([p.harmonic[rule] for p in [*points, *([usual] if usual else [])]])
    ordered = tuple(Field(f.name, f.words, tuple(_ordered(f.points))) for f in fields)
    return Sensitivity(label, tuple(rules), ordered, noise)


def _ordered(points: Sequence[Point]) -> Sequence[Point]:
    return sorted(points, key=lambda p: float(p.value)) if _numeric(points) else points


def _numeric(points: Sequence[Point]) -> bool:
    return all(isinstance(p.value, int | float) and not isinstance(p.value, bool) for p in points)


def in_words(data: Sensitivity) -> list[str]:
    """How far H moves over each field by the first rule, and how far chance alone would move it."""
    rule = data.rules[0]
    found = []
    for field in data.fields:
        shown = [p.harmonic[rule] for p in field.points if rule in p.harmonic]
        if len(shown) < 2:
            continue
        text = f"{field.name}: {len(shown)} values, their mean H differs by {spread(shown):.1f}"
        sd = data.noise[rule]
        if sd is not None:
            text += (
                f"; means of as many equal points would differ by {chance_spread(shown, sd):.1f} on"
                f" average (sd over seeds {sd:.1f})"
            )
        else:
            text += "; one seed a point, so what chance would do is not known"
        found.append(f"{text}.")
    return found


@style.styled
def figure(title: str, data: Sensitivity) -> Figure:
    """A panel per field: mean H with its standard deviation, a line per rule."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    columns = min(_COLUMNS, len(data.fields))
    lines = math.ceil(len(data.fields) / columns)
    width, height = max(5.6, 0.6 + 3.4 * columns), 1.5 + 2.9 * lines
    made = style.new_figure(width, height, layout=None)
    grid = made.subplots(lines, columns, squeeze=False, sharey=True)
    made.subplots_adjust(
        left=0.75 / width, right=1 - 0.15 / width, top=1 - 0.75 / height, bottom=1.2 / height,
        wspace=0.1, hspace=0.65,
    )  # fmt: skip
    for position, axes in enumerate(grid.flat):
        if position >= len(data.fields):
            axes.set_visible(False)
            continue
        _panel(axes, data, data.fields[position])
        if position % columns == 0:
            axes.set_ylabel("H (%)")
    _limits(grid[0, 0], data)
    handles: list[Line2D | Patch] = [
        Line2D([], [], label=f"{rule}: mean ± sd over seeds", **_look(number))
        for number, rule in enumerate(data.rules)
    ]
    handles.append(
        Line2D([], [], color="black", linestyle=":", linewidth=1.1, label="value of the method")
    )
    if any(_usual_band(data, field) for field in data.fields):
        handles.append(Patch(color=style.PALE, alpha=0.5, label="its mean ± sd over seeds"))
    made.legend(handles=handles, loc="lower left", ncols=4)
    style.heading(made, title, height)
    return made


def _panel(axes: Any, data: Sensitivity, field: Field) -> None:
    numeric = _numeric(field.points)
    places = [float(p.value) if numeric else i for i, p in enumerate(field.points)]
    for number, rule in enumerate(data.rules):
        shown = [
            (x, p.harmonic[rule])
            for x, p in zip(places, field.points, strict=True)
            if rule in p.harmonic
        ]
        axes.errorbar(
            [x for x, _ in shown], [h.mean for _, h in shown],
            yerr=[h.sd or 0.0 for _, h in shown], capsize=3, elinewidth=1.2,
            zorder=4 - number, **_look(number, numeric),
        )  # fmt: skip
    if band := _usual_band(data, field):
        axes.axhspan(*band, color=style.PALE, alpha=0.5, linewidth=0, zorder=0)
    for x, p in zip(places, field.points, strict=True):
        if p.usual:
            axes.axvline(x, color="black", linewidth=1.1, linestyle=":", zorder=1)
    if not numeric:
        axes.set_xticks(places, [style.words(str(p.value), 14) for p in field.points])
        axes.margins(x=0.15)
    counts = sorted({s.n for p in field.points for s in p.harmonic.values()})
    n = f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"
    axes.set_title(f"{style.words(field.name)}  ({n})", loc="left", fontsize=10)
    axes.set_xlabel(_wrapped(field.words or field.name), fontsize=9)


def _usual_band(data: Sensitivity, field: Field) -> tuple[float, float] | None:
    """Mean ± sd of the method itself by the first rule, where it has several seeds."""
    for point in field.points:
        found = point.harmonic.get(data.rules[0])
        if point.usual and found is not None and found.sd is not None:
            return found.mean - found.sd, found.mean + found.sd
    return None


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(style.words(text, 2 * _WIDE), _WIDE))


def _look(number: int, line: bool = True) -> dict[str, Any]:
    style_ = style.dash(number) if line else "none"
    return {
        "color": style.colour(number), "marker": style.marker(number), "markersize": 6,
        "linestyle": style_, "linewidth": 1.6,
    }  # fmt: skip


def _limits(axes: Any, data: Sensitivity) -> None:
    ends = [
        h.mean + sign * (h.sd or 0.0)
        for f in data.fields
        for p in f.points
        for h in p.harmonic.values()
        for sign in (-1, 1)
    ]
    low, high = min(ends), max(ends)
    room = max(0.08 * (high - low), (_SPAN - (high - low)) / 2, 0.0)
    axes.set_ylim(max(0.0, low - room), min(100.0, high + room) if high < 100 else 101.0)


def rows(data: Sensitivity) -> list[dict[str, Any]]:
    """Every point by every rule."""
    return [
        {
            "method": data.label,
            "hyper-parameter": field.name,
            "value": point.value,
            "value of the method": point.usual,
            "rule": rule,
            "harmonic_mean": summary.mean,
            "sd": "" if summary.sd is None else summary.sd,
            "seeds": summary.n,
        }
        for field in data.fields
        for point in field.points
        for rule, summary in point.harmonic.items()
    ]
