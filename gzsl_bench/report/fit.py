"""As many columns of a table as a terminal has room for, the most telling ones first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gzsl_bench.markdown import width_of
from gzsl_bench.report.cells import GAP, SIGN, Table
from gzsl_bench.results.rows import HEADINGS, Row, extra_metrics

#: Columns where nobody says how many there are.
USUAL = 100
_H = "harmonic_mean"
#: What is kept, in this order, until one does not fit; U and S say little without one another.
#: Metrics of plugins follow.
_ORDER = ((_H,), (GAP,), ("acc_unseen", "acc_seen"), ("zsl_acc",), (SIGN,), ("ausuc",))
#: Data set, method, selection, n.
_BEFORE = 4


@dataclass(frozen=True)
class Fitted:
    """A table for a terminal.

    Attributes:
        rows: without the gap or gamma if there is no room for them.
        metrics: the columns to show.
        left_out: headings of what is missing.
    """

    rows: list[Row]
    metrics: list[str]
    left_out: tuple[str, ...] = ()


def fit(table: Sequence[Row], width: int = USUAL) -> Fitted:
    """The columns of the usual table that fit; H always stays.

    Args:
        table: rows.
        width: columns of the terminal.
    """
    metrics = [*HEADINGS, *extra_metrics(table)]
    cells = Table(table)
    heads = cells.headings(metrics)
    columns = [
        *metrics,
        *([GAP] if cells.has_gap else []),
        *([SIGN] if cells.has_bias else []),
    ]
    lines = [heads, *(cells.texts(row, metrics) for row in table)]
    # A column has a bar and a blank on either side.
    widths = [3 + max(map(width_of, column)) for column in zip(*lines, strict=True)]
    sizes = dict(zip(columns, widths[_BEFORE:], strict=True))
    room = width - 1 - sum(widths[:_BEFORE])
    kept: set[str] = set()
    for together in (*_ORDER, *((name,) for name in metrics if name not in HEADINGS)):
        wanted = [name for name in together if name in sizes]
        size = sum(sizes[name] for name in wanted)
        if size > room and together != (_H,):
            break
        kept.update(wanted)
        room -= size
    rows = [
        replace(
            row,
            selection_gap=row.selection_gap if GAP in kept else None,
            gamma=row.gamma if SIGN in kept else None,
        )
        for row in table
    ]
    shown = dict(zip(columns, heads[_BEFORE:], strict=True))
    left_out = tuple(shown[name] for name in columns if name not in kept)
    return Fitted(rows, [name for name in metrics if name in kept], left_out)
