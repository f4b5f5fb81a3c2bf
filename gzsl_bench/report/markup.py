"""Tables for web pages: an HTML fragment, everything in it escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from gzsl_bench.report.cells import Table
from gzsl_bench.report.daggers import Daggers
from gzsl_bench.report.wide import Grid, grouped, plain
from gzsl_bench.results.comparable import marks

_BEFORE = 4
_MARKED = {1: "<strong>{}</strong>", 2: "<u>{}</u>"}
_SIGNS = {1: "<sup>\N{DAGGER}</sup>", 2: "<sup>\N{DOUBLE DAGGER}</sup>"}


def table(
    cells: Table,
    names: Sequence[str],
    notes: Sequence[str],
    daggers: Daggers | None = None,
) -> str:
    """A ``<table>``, best and second best of comparable rows marked, and its notes.

    Args:
        cells: the table.
        names: metrics, one column each.
        notes: sentences under it.
        daggers: marks against one method.
    """
    ranked = marks(cells.rows, names)
    lines = []
    for index, row in enumerate(cells.rows):
        line = []
        for column, cell in enumerate(cells.texts(row, names)):
            text = escape(cell)
            position = column - _BEFORE
            if 0 <= position < len(names):
                key = (index, names[position])
                text = _MARKED.get(ranked.get(key, 0), "{}").replace("{}", text)
                text += _SIGNS.get(daggers.marks.get(key, 0), "") if daggers else ""
            line.append(text)
        lines.append(line)
    said = list(notes)
    if ranked:
        said.append(
            "Bold: best, underlined: second best, per data set and selection rule among comparable"
            " rows."
        )
    said += daggers.note() if daggers else []
    return "\n".join([fragment(cells.headings(names), lines), paragraph(said)])


def wide(laid: Grid, notes: Sequence[str]) -> str:
    """Methods down, data sets across, a body for each selection rule."""
    count = len(laid.headings)
    spans = "".join(f'<th colspan="{count}">{escape(name)}</th>' for name in laid.columns)
    heads = "".join(f"<th>{escape(heading)}</th>" for heading in laid.headings)
    lines = [f'<table>\n<thead><tr><th rowspan="2">Method</th>{spans}</tr>']
    lines.append(f"<tr>{heads * len(laid.columns)}</tr></thead>")
    total = 1 + count * len(laid.columns)
    for rule, block in laid.blocks.items():
        lines.append(f'<tbody>\n<tr><th colspan="{total}">by {escape(rule)}</th></tr>')
        for family, line in grouped(block):
            if family:
                lines.append(f'<tr><th colspan="{total}"><em>{escape(family)}</em></th></tr>')
            cells = []
            for group in line.groups:
                if isinstance(group, str):
                    cells.append(f'<td colspan="{count}">{escape(group)}</td>')
                else:
                    cells += [f"<td>{plain(value, _MARKED)}</td>" for value in group]
            lines.append(f"<tr><th>{escape(line.who)}</th>{''.join(cells)}</tr>")
        lines.append("</tbody>")
    return "\n".join([*lines, "</table>", paragraph(notes)])


def fragment(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A ``<table>`` of plain headings and of cells that are HTML already."""
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = ["<tr>" + "".join(f"<td>{cell}</td>" for cell in line) + "</tr>" for line in lines]
    return "\n".join(
        [f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>", *body, "</tbody>\n</table>"]
    )


def paragraph(sentences: Sequence[str]) -> str:
    """Plain sentences under a table."""
    return "<p>" + "\n".join(escape(text) for text in sentences) + "</p>"
