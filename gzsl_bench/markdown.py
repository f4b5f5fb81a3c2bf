"""Tables in Markdown, no wider than they have to be: they are read on terminals, too."""

from __future__ import annotations

import re
from collections.abc import Sequence
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
