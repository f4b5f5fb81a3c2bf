"""Every method's H with its interval and its ranks, a panel for each data set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gzsl_bench.plots import style
from gzsl_bench.plots.panels import laid_out

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Letters of a reason that a panel has room for in a line.
_LETTERS = 42


@dataclass(frozen=True)
class Entry:
    """One method on one data set.

    Attributes:
        label: the method.
        index: its number.
        mean: H in percent, mean over seeds; None where there is none.
        low: lower end of its 95 % interval; None where there is none.
        high: upper end.
        why: there is no H.
        ranks: the best and the worst rank that it may have; None where nothing was compared.
    """

    label: str
    index: int
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    why: str = ""
    ranks: tuple[int, int] | None = None


@dataclass(frozen=True)
class Panel:
    """One data set.

    Attributes:
        title: its name.
        entries: its methods, in any order.
    """

    title: str
    entries: tuple[Entry, ...]

    @property
    def ordered(self) -> list[Entry]:
        """The best first, those without numbers last."""
        return sorted(self.entries, key=lambda e: math.inf if e.mean is None else -e.mean)


@style.styled
def figure(title: str, panels: Sequence[Panel]) -> Figure:
    """A point and a line for each method, the best on top, its interval as a band behind all."""
    made, grid = laid_out(panels)
    for axes, panel in zip(grid, panels, strict=True):
        entries = panel.ordered
        first = entries[0]
        if first.low is not None and first.high is not None:
            axes.axvspan(first.low, first.high, color=style.PALE, alpha=0.35, linewidth=0)
        for place, entry in enumerate(entries):
            if entry.mean is None:
                axes.text(0.02, place, style.broken(entry.why, _LETTERS), va="center", fontsize=7.5,
                          linespacing=1.0, color=style.GREY,
                          transform=axes.get_yaxis_transform())  # fmt: skip
                continue
            ends = [
                [max(0.0, entry.mean - (entry.mean if entry.low is None else entry.low))],
                [max(0.0, (entry.mean if entry.high is None else entry.high) - entry.mean)],
            ]
            axes.errorbar(
                [entry.mean], [place], xerr=ends, marker=style.marker(entry.index), markersize=6,
                color=style.colour(entry.index), capsize=2.5, elinewidth=1.6, linestyle="none",
            )  # fmt: skip
            if entry.ranks is not None:
                axes.text(1.01, place, _ranks(*entry.ranks), va="center", fontsize=8,
                          color=style.GREY, transform=axes.get_yaxis_transform())  # fmt: skip
        axes.set_xlim(left=0)
    style.heading(made, title)
    return made


def _ranks(best: int, worst: int) -> str:
    return f"no. {best}" if best == worst else f"no. {best}-{worst}"
