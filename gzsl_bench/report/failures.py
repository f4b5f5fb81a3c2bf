"""The table of failed cells: where, which seed, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gzsl_bench import markdown
from gzsl_bench.records.record import Record
from gzsl_bench.suite.cells import fold_number

#: Letters of a cause in the table of failures; all of it is in the record.
_CAUSE = 120
#: Letters of a key in it: enough to find the record's folder by.
_KEY = 8


def failures(
    records: Sequence[Record],
    width: int | None = None,
    names: Mapping[str, str] | None = None,
) -> str:
    """The table of failed cells, printed last.

    Args:
        records: of failed cells.
        width: of a terminal: causes are broken between words; otherwise cut.
        names: key -> what to call the data set, where the label does not tell.
    """
    heads, lines = ["Failed on", "Method", "Seed", "Key", "Cause"], []
    for r in records:
        fold = fold_number(r.identity)
        label = r.label + (f" (fold {fold})" if fold else "")
        cause = " ".join(r.cause.split())
        lines.append([(names or {}).get(r.key, r.dataset), label, str(r.seed), r.key[:_KEY], cause])
    if width is None:
        lines = [[*line[:-1], line[-1][:_CAUSE]] for line in lines]
    else:
        columns = list(zip(heads, *lines, strict=True))[:-1]
        before = sum(3 + max(map(markdown.width_of, column)) for column in columns)
        lines = [part for line in lines for part in _broken(line, max(30, width - before - 4))]
    return markdown.table(heads, lines)


def _broken(line: list[str], room: int) -> list[list[str]]:
    """A line whose last cell goes on in further lines."""
    first, *rest = markdown.wrapped(line[-1][: 2 * _CAUSE], room) or [""]
    return [[*line[:-1], first], *([*[""] * (len(line) - 1), more] for more in rest)]
