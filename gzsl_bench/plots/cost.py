"""What a method costs beside what it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from gzsl_bench.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Cost:
    """One method on one data set.

    Attributes:
        label: the method.
        index: its number.
        harmonic_mean: H in percent, mean over seeds.
        low: lower end of its 95 % interval.
        high: upper end.
        seconds: training and scoring of one seed, mean over seeds; what a stack took is shared out.
        memory: peak memory of the process in MiB, the largest over seeds; None where not recorded.
    """

    label: str
    index: int
    harmonic_mean: float
    low: float
    high: float
    seconds: float
    memory: float | None = None


@style.styled
def figure(title: str, costs: Sequence[Cost]) -> Figure:
    """H with its interval over the time of a seed and, where recorded, over memory."""
    from matplotlib.lines import Line2D

    remembered = [cost for cost in costs if cost.memory is not None]
    made = style.new_figure(8.6 if not remembered else 10.4, 4.2)
    panels = made.subplots(1, 2 if remembered else 1, squeeze=False, sharey=True)[0]
    for axes, name, unit, shown in (
        (panels[0], "seconds", "time of one seed (s), logarithmic", list(costs)),
        (panels[-1], "memory", "peak memory of the process (MiB)", remembered),
    ):
        if not shown or (axes is panels[0] and name == "memory"):
            continue
        for cost in shown:
            axes.errorbar(
                [getattr(cost, name)], [cost.harmonic_mean],
                yerr=[[max(0.0, cost.harmonic_mean - cost.low)],
                      [max(0.0, cost.high - cost.harmonic_mean)]],
                marker=style.marker(cost.index), color=style.colour(cost.index), markersize=8,
                capsize=3, linestyle="none", elinewidth=1.2,
            )  # fmt: skip
        axes.set_xlabel(unit)
    panels[0].set_xscale("log")
    values = [cost.seconds for cost in costs]
    panels[0].set_xlim(min(values) / 2, max(values) * 2)
    style.logarithmic(panels[0].xaxis)
    panels[0].set_ylabel("H (%), with its 95 % interval")
    panels[0].set_ylim(bottom=0)
    made.legend(
        handles=[
            Line2D([], [], marker=style.marker(c.index), color=style.colour(c.index),
                   linestyle="none", markersize=8, label=style.words(c.label))
            for c in costs
        ],
        loc="outside right upper",
    )  # fmt: skip
    style.heading(made, title)
    return made


def rows(costs: Sequence[Cost]) -> list[dict[str, Any]]:
    """One line per method."""
    return [{k: v for k, v in asdict(cost).items() if k != "index"} for cost in costs]
