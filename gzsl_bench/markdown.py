"""Tables in Markdown, no wider than they have to be: they are read on terminals, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def table(headings: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    """Headings, a rule, and the lines; a bar within a cell would begin another cell."""
    text = [[str(cell) for cell in line] for line in (headings, *lines)]
    widths = [max(map(width_of, column)) for column in zip(*text, strict=True)]

    def drawn(line: Sequence[str]) -> str:
        cells = zip(line, widths, strict=True)
        return "".join(f"| {_safe(c)}{' ' * (w - width_of(c))} " for c, w in cells) + "|"

    rule = "".join("|" + "-" * (w + 2) for w in widths) + "|"
    return "\n".join([drawn(text[0]), rule, *map(drawn, text[1:])])


def width_of(cell: str) -> int:
    """Columns of a terminal that a cell of the table takes."""
    from rich.cells import cell_len

    return cell_len(_safe(cell))


def _safe(text: str) -> str:
    return text.replace("|", "\\|")
