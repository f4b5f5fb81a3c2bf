"""What choosing a checkpoint on the test set adds to H, by method: the selection gap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gzsl_bench.plots import style
from gzsl_bench.plots.panels import laid_out

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Entry:
    """One method on one data set.

    Attributes:
        label: the method.
        index: its number.
        chosen: H in percent by the rule that may be believed, mean over seeds.
        gap: what the best checkpoint on the test set has more, paired over seeds.
        sd: of the gap over seeds; None for one seed.
    """

    label: str
    index: int
    chosen: float
    gap: float
    sd: float | None = None


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
        """The largest gap first."""
        return sorted(self.entries, key=lambda entry: -entry.gap)


@style.styled
def figure(title: str, panels: Sequence[Panel]) -> Figure:
    """From H by the honest rule (filled) to H by ``best_test`` (open), the gap at its end."""
    made, grid = laid_out(panels)
    for axes, panel in zip(grid, panels, strict=True):
        entries = panel.ordered
        for place, entry in enumerate(entries):
            colour, best = style.colour(entry.index), entry.chosen + entry.gap
            axes.plot([entry.chosen, best], [place, place], color=colour, linewidth=1.6)
            axes.plot([entry.chosen], [place], marker=style.marker(entry.index), color=colour)
            axes.plot([best], [place], marker=style.marker(entry.index), color=colour,
                      markerfacecolor="white")  # fmt: skip
            spread = "" if entry.sd is None else f" ± {entry.sd:.1f}"
            axes.annotate(
                f"{entry.gap:+.1f}{spread}", (max(entry.chosen, best), place), (7, 0),
                textcoords="offset points", va="center", fontsize=8, color=style.GREY,
            )  # fmt: skip
        axes.set_xlim(0, 1.28 * max(1.0, *(e.chosen + max(e.gap, 0.0) for e in entries)))
    style.heading(made, title)
    return made
