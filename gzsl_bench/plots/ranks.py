"""The critical-difference diagram (Demsar, JMLR 2006): average ranks and what is told apart."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gzsl_bench.plots import style
from gzsl_bench.scoring.ranks import Ranking

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@style.styled
def figure(title: str, ranks: Ranking) -> Figure:
    """An axis of ranks, 1 on the left; bars join methods that are not told apart."""
    count = len(ranks.methods)
    half = math.ceil(count / 2)
    bars = 0.22 * len(ranks.groups)
    made = style.new_figure(9.0, 1.5 + 0.34 * half + bars)
    axes = made.subplots()
    axes.set(
        xlim=(0.4 - 0.28 * count, count + 0.6 + 0.28 * count), ylim=(-bars - 0.4 * half - 0.5, 1.0)
    )
    axes.axis("off")
    axes.set_title(style.words(title, style.TITLE), loc="left")
    axes.plot([1, count], [0, 0], color="black", linewidth=1.4)
    for tick in range(1, count + 1):
        axes.plot([tick, tick], [0, 0.1], color="black", linewidth=1.2)
        axes.text(tick, 0.16, str(tick), ha="center", va="bottom", fontsize=9)
    axes.text((1 + count) / 2, 0.5, "average rank by H (1 is best)", ha="center", fontsize=9)
    for i, (name, rank) in enumerate(zip(ranks.methods, ranks.ranks, strict=True)):
        left = i < half
        level = -bars - 0.4 * ((i if left else count - 1 - i) + 1)
        end = 0.8 if left else count + 0.2
        axes.plot([rank, rank, end], [0, level, level], color=style.GREY, linewidth=1.1)
        axes.text(
            end - 0.06 if left else end + 0.06, level, f"{style.words(name)}  {rank:.2f}",
            ha="right" if left else "left", va="center", fontsize=10,
        )  # fmt: skip
    where = dict(zip(ranks.methods, ranks.ranks, strict=True))
    for i, group in enumerate(ranks.groups):
        ends = [where[name] for name in group]
        level = -0.16 - 0.22 * i
        axes.plot([min(ends) - 0.04, max(ends) + 0.04], [level, level], color="black", linewidth=4)
    axes.plot(
        [1, 1 + ranks.critical_difference], [0.85, 0.85], color="black", linewidth=1.4, marker="|"
    )
    axes.text(
        1.1 + ranks.critical_difference, 0.85,
        f"critical difference {ranks.critical_difference:.2f}", va="center", fontsize=9,
    )  # fmt: skip
    return made


def rows(ranks: Ranking) -> list[dict[str, Any]]:
    """One line per method, best first."""
    return [
        {
            "method": name,
            "average_rank": rank,
            "not_told_apart_from": "; ".join(
                dict.fromkeys(m for g in ranks.groups if name in g for m in g if m != name)
            ),
        }
        for name, rank in zip(ranks.methods, ranks.ranks, strict=True)
    ]
