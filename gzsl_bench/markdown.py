"""Tables as text: Markdown no wider than it has to be, for terminals too, and CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


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


def width_of(cell: str) -> int:
    """Columns of a terminal that a cell of the table takes."""
    from rich.cells import cell_len

    return cell_len(_safe(cell))


def _safe(text: str) -> str:
    return text.replace("|", "\\|")


def csv_text(rows: Sequence[Mapping[str, Any]], columns: Iterable[str] = ()) -> str:
    """Rows as CSV without a last line break; columns as named, others as they appear."""
    columns = list(dict.fromkeys([*columns, *(name for row in rows for name in row)]))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().rstrip("\n")
