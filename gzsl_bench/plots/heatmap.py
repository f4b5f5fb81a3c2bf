"""Accuracy of every method on every class, unseen classes apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gzsl_bench.hooks.metric import FloatArray, IntArray
from gzsl_bench.plots import style
from gzsl_bench.results.classes import called
from gzsl_bench.wording import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Up to this many classes each is named under its column.
_NAMED = 50
#: Inches of a letter of these names, and letters at most.
_LETTER, _LETTERS = 0.06, 24

#: Inches of both panels, of a name beside others, and of a letter of a reason.
_PANELS, _NAME, _REASON = 8.4, 0.085, 0.06


@dataclass(frozen=True, eq=False)
class ClassMap:
    """Accuracies of M methods, means over seeds, in percent.

    Attributes:
        labels: [M] methods.
        unseen: [M, U] on each unseen class.
        seen: [M, S] on each seen class.
        unseen_ids: [U] ids of the classes.
        seen_ids: [S] ids of the classes.
        absent: methods without numbers, and why; they keep their rows.
        names: of the classes by id; empty where they have only numbers.
    """

    labels: tuple[str, ...]
    unseen: FloatArray
    seen: FloatArray
    unseen_ids: IntArray
    seen_ids: IntArray
    absent: tuple[tuple[str, str], ...] = ()
    names: tuple[str, ...] = ()


@style.styled
def figure(title: str, data: ClassMap) -> Figure:
    """Two panels, classes from hard to easy (by their mean over the methods)."""
    lines = len(data.labels) + len(data.absent)
    shown = [ids for ids in (data.unseen_ids, data.seen_ids) if len(ids) <= _NAMED]
    longest = max((len(_called(i, data)) for ids in shown for i in ids), default=0)
    made = style.new_figure(10.4, 1.9 + 0.34 * lines + _LETTER * max(0, longest - 3))
    classes = len(data.unseen_ids) + len(data.seen_ids)
    # Names of unseen classes want room beside one another.
    room = len(data.unseen_ids) * _NAME / _PANELS if len(data.unseen_ids) <= _NAMED else 0.0
    left = float(np.clip(max(len(data.unseen_ids) / classes, room), 0.3, 0.7))
    panels = made.subplots(1, 2, width_ratios=(left, 1 - left), sharey=True)
    image = None
    for axes, part, values, ids in (
        (panels[0], "unseen", data.unseen, data.unseen_ids),
        (panels[1], "seen", data.seen, data.seen_ids),
    ):
        order = by_difficulty(values)
        image = axes.imshow(
            values[:, order], aspect="auto", vmin=0, vmax=100, cmap="cividis",
            interpolation="nearest",
        )  # fmt: skip
        axes.grid(visible=False)
        axes.set_title(counted(values.shape[1], f"{part} class"), loc="left", fontsize=10)
        if values.shape[1] <= _NAMED:
            names = [_called(i, data) for i in ids[order]]
            axes.set_xticks(range(len(order)), names, fontsize=8 if len(order) <= 30 else 6)
            if len(order) > 12 or longest > 3:
                axes.tick_params(axis="x", labelrotation=90)
            axes.set_xlabel("classes, hard to easy")
        else:
            axes.set_xticks([])
            axes.set_xlabel("classes, hard to easy")
        axes.tick_params(length=0)
    for i, (_, why) in enumerate(data.absent, start=len(data.labels)):
        said = style.broken(why, int(left * _PANELS / _REASON))
        text = panels[0].text(0.01, i, said, va="center", fontsize=7.5, linespacing=1.0,
                              color=style.GREY,
                              transform=panels[0].get_yaxis_transform())  # fmt: skip
        text.set_in_layout(False)
    methods = [*data.labels, *(label for label, _ in data.absent)]
    panels[0].set_yticks(range(lines), [style.words(label) for label in methods])
    panels[0].set_ylim(lines - 0.5, -0.5)
    style.heading(made, title)
    assert image is not None
    made.colorbar(image, ax=panels, label="accuracy (%)", fraction=0.03, pad=0.01)
    return made


def _called(number: Any, data: ClassMap) -> str:
    return style.words(called(int(number), data.names), _LETTERS).strip()


def by_difficulty(values: FloatArray) -> IntArray:
    """Columns of [M, K] by their mean, the hardest first."""
    return np.argsort(values.mean(0), kind="stable")


def rows(data: ClassMap) -> list[dict[str, Any]]:
    """One line per class."""
    found: list[dict[str, Any]] = []
    parts: Sequence[tuple[str, FloatArray, IntArray]] = (
        ("unseen", data.unseen, data.unseen_ids),
        ("seen", data.seen, data.seen_ids),
    )
    for part, values, ids in parts:
        for k in by_difficulty(values):
            accuracies = {
                label: round(float(values[m, k]), 4) for m, label in enumerate(data.labels)
            }
            without = dict.fromkeys(label for label, _ in data.absent)
            number = int(ids[k])
            who = {"part": part, "class": number, "name": called(number, data.names)}
            found.append({**who, **accuracies, **without})
    return found
