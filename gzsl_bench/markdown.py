"""Tables as text: Markdown no wider than it has to be, for terminals too, and CSV."""

from __future__ import annotations

import csv
import io
import itertools
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

#: Blanks within ``35.9 ± 0.9``, ``[30.4, 41.8]`` and ``95 %``.
_TOGETHER = re.compile(r"(?<=\d) (?=[±%])|(?<=±) (?=\d)|(?<=\d,) (?=[+-]?\d+\.\d\])")

#: Columns that a text wants.
_TEXT = 20
_WITHIN_A_CELL = str.maketrans({"|": "\\|", "\n": " ", "\r": " "})
#: What a spreadsheet would compute, or run, in the place of a text.
_FORMULA = re.compile(r"[=@\t\r]|[+-].*[(|!]", re.DOTALL)


def table(headings: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    """Headings, a rule, and the lines; a bar within a cell would begin another cell."""
    from tabulate import DataRow, TableFormat, tabulate

    row = DataRow("|", "|", "|")
    # Headings as a line like the others: tabulate makes columns with headings two blanks wider.
    drawn = tabulate(
        [[_safe(str(cell)) for cell in line] for line in (headings, *lines)],
        tablefmt=TableFormat(None, None, None, None, row, row, padding=1, with_header_hide=None),
        disable_numparse=True,
    )
    head, _, body = drawn.partition("\n")
    rule = re.sub(r"[^|]", "-", head.replace("\\|", "--"))
    return "\n".join(filter(None, (head, rule, body)))


def fitted(headings: Sequence[str], lines: Sequence[Sequence[Any]], width: int | None) -> str:
    """A table no wider than a terminal: long cells go on in further lines, broken between words.

    Where a column of texts would be too narrow to be read, each line becomes a paragraph instead.

    Args:
        headings: of the columns.
        lines: of the table.
        width: columns of the terminal; None for a file, where nothing is broken.
    """
    texts = [[str(cell) for cell in line] for line in lines]
    columns = list(zip(headings, *texts, strict=True))
    natural = [max(map(width_of, column)) for column in columns]
    if width is None or sum(natural) + 3 * len(natural) + 1 <= width:
        return table(headings, texts)
    floor = [
        max(*(width_of(word) for cell in column for word in cell.split() or [""]), min(_TEXT, size))
        for column, size in zip(columns, natural, strict=True)
    ]
    room = width - 3 * len(natural) - 1
    if sum(floor) > room:
        return "\n".join(part for line in texts for part in _paragraph(headings, line, width))
    sizes = list(natural)
    while sum(sizes) > room:
        widest = max(range(len(sizes)), key=lambda i: (sizes[i] > floor[i], sizes[i]))
        sizes[widest] -= 1
    broken = [
        part
        for line in texts
        for part in itertools.zip_longest(
            *(wrapped(cell, size) for cell, size in zip(line, sizes, strict=True)), fillvalue=""
        )
    ]
    heads = [wrapped(head, size) for head, size in zip(headings, sizes, strict=True)]
    first, *more = itertools.zip_longest(*heads, fillvalue="")
    drawn = table(first, [*more, *broken]).splitlines()
    # The line under the headings, below all of them.
    return "\n".join([drawn[0], *drawn[2 : 2 + len(more)], drawn[1], *drawn[2 + len(more) :]])


def wrapped(text: str, width: int) -> list[str]:
    """Lines of a text, broken between words and nowhere else, all of them indented like it.

    A number stays with its deviation, its unit and the other end of its interval.
    """
    lines = textwrap.wrap(
        _TOGETHER.sub("\N{NO-BREAK SPACE}", text), width,
        subsequent_indent=" " * (len(text) - len(text.lstrip(" "))),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines] or [""]


def _paragraph(headings: Sequence[str], line: Sequence[str], width: int) -> list[str]:
    """``CUB: features res101; images 11788; ...``."""
    first, *rest = zip(headings, line, strict=True)
    said = "; ".join(f"{head} {cell}" for head, cell in rest if cell)
    return textwrap.wrap(
        f"{first[1]}: {said}", width, subsequent_indent="  ", break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def width_of(cell: str) -> int:
    """Columns of a terminal that a cell of the table takes."""
    from rich.cells import cell_len

    return cell_len(_safe(cell))


def _safe(text: str) -> str:
    return text.translate(_WITHIN_A_CELL)


def csv_text(rows: Sequence[Mapping[str, Any]], columns: Iterable[str] = ()) -> str:
    """Rows as CSV without a last line break; columns as named, others as they appear.

    A text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    columns = list(dict.fromkeys([*columns, *(name for row in rows for name in row)]))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _as_text(value) for name, value in row.items()} for row in rows)
    return text.getvalue().rstrip("\n")


def _as_text(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value
