"""Where images of seen and unseen classes end up: right, wrong, or on the other side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gzsl_bench.hooks.metric import FloatArray, IntArray, Predictions
from gzsl_bench.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Shares:
    """What became of the images of one part, in percent, averaged per class; they add up to 100.

    Attributes:
        right: called their own class.
        within: called another class of their own part (seen or unseen).
        across: called a class of the other part.
    """

    right: float
    within: float
    across: float


@dataclass(frozen=True)
class Confusion:
    """One method by one rule, means over seeds.

    Attributes:
        label: the method.
        unseen: of images of unseen classes; all 0 where there are no numbers.
        seen: of images of seen classes.
        why: why there are no numbers; empty where there are.
    """

    label: str
    unseen: Shares
    seen: Shares
    why: str = ""

    @classmethod
    def without(cls, label: str, why: str) -> Confusion:
        """A method that has no numbers: it keeps its place."""
        return cls(label, Shares(0, 0, 0), Shares(0, 0, 0), why)


def shares(predictions: Predictions) -> tuple[Shares, Shares]:
    """Of the unseen and of the seen test images of one checkpoint."""
    return (
        _part(predictions, predictions.unseen, predictions.seen),
        _part(predictions, predictions.seen, predictions.unseen),
    )


def mean(found: Sequence[Shares]) -> Shares:
    """Over seeds."""
    return Shares(*(float(np.mean([getattr(s, n) for s in found])) for n in Shares.__annotations__))


def _part(predictions: Predictions, own: IntArray, other: IntArray) -> Shares:
    labels, predicted = predictions.labels, predictions.predicted
    mine = np.isin(labels, own)
    size = int(max(labels.max(), own.max(), other.max())) + 1
    total = np.bincount(labels[mine], minlength=size)
    there = total > 0

    def per_class(marked: FloatArray) -> float:
        counts = np.bincount(labels[mine], weights=marked[mine], minlength=size)
        return 100 * float((counts[there] / total[there]).mean())

    right = per_class((predicted == labels).astype(np.float64))
    across = per_class(np.isin(predicted, other).astype(np.float64))
    return Shares(right, max(0.0, 100 - right - across), across)


@style.styled
def figure(title: str, found: Sequence[Confusion]) -> Figure:
    """Stacked bars: images of unseen classes on the left, of seen classes on the right."""
    from matplotlib.patches import Patch

    made = style.new_figure(9.6, 1.7 + 0.36 * len(found))
    panels = made.subplots(1, 2, sharey=True)
    for axes, part, other in ((panels[0], "unseen", "seen"), (panels[1], "seen", "unseen")):
        for i, method in enumerate(found):
            if method.why and part == "unseen":
                axes.text(1, i, style.words(method.why, style.TITLE), va="center", fontsize=8,
                          color=style.GREY)  # fmt: skip
            start = 0.0
            here: Shares = getattr(method, part)
            for value, (colour, hatch) in zip(
                (here.right, here.within, here.across), style.SHARES, strict=True
            ):
                axes.barh(i, value, left=start, height=0.7, color=colour, hatch=hatch,
                          edgecolor="white", linewidth=0.5)  # fmt: skip
                if value >= 9:
                    ink = "black" if colour == style.SHARES[1][0] else "white"
                    axes.text(
                        start + value / 2, i, f"{value:.0f}", ha="center", va="center",
                        fontsize=9, color=ink, fontweight="bold",
                        bbox={"facecolor": colour, "edgecolor": "none", "pad": 1},
                    )  # fmt: skip
                start += value
        axes.set(xlim=(0, 100), xlabel=f"images of {part} classes (%, mean over classes)")
        axes.set_title(f"Images of {part} classes", loc="left", fontsize=10)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        names = ("right class", f"wrong {part} class", f"called a {other} class")
        made.legend(
            handles=[
                Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=name)
                for name, (colour, hatch) in zip(names, style.SHARES, strict=True)
            ],
            loc="outside lower left" if part == "unseen" else "outside lower right",
            ncols=3, columnspacing=1.0, handlelength=1.4, handletextpad=0.5,
        )  # fmt: skip
    panels[0].set_yticks(range(len(found)), [style.words(m.label) for m in found])
    panels[0].set_ylim(len(found) - 0.4, -0.6)
    style.heading(made, title)
    return made


def rows(found: Sequence[Confusion]) -> list[dict[str, Any]]:
    """One line per method and part."""
    return [
        {"method": method.label, "images_of": part, "without": method.why}
        | ({} if method.why else {"right": here.right, "wrong_within_part": here.within,
                                  "called_other_part": here.across})
        for method in found
        for part, here in (("unseen", method.unseen), ("seen", method.seen))
    ]  # fmt: skip
