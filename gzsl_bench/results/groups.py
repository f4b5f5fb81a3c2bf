"""The cells of a suite by row of its table, each group with the records that count."""

from __future__ import annotations

from dataclasses import dataclass

from gzsl_bench.records.record import Record
from gzsl_bench.results.view import Results
from gzsl_bench.suite.cells import Cell

#: Letters of a cause in a row.
_CAUSE = 200
_NOT_RUN = "not run yet"


@dataclass(frozen=True)
class Group:
    """Cells that differ in nothing but the seed, with their complete records.

    Attributes:
        cells: those with a record that counts.
        records: theirs, in the same order.
        without: why there is no number at all, ``not applicable: ...``, ``failed: ...`` or that
            nothing has run; ``records`` is empty then.
        lost: seeds that failed where others have numbers, each with its cause.
    """

    cells: tuple[Cell, ...]
    records: tuple[Record, ...]
    without: str = ""
    lost: tuple[str, ...] = ()


def groups(results: Results) -> list[Group]:
    """The suite's cells by row of the table.

    Validation folds are no rows: they are what rules choose by.
    """
    together: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in (c for c in results.suite.cells if not c.fold):
        together.setdefault((cell.dataset, cell.label, cell.group), []).append(cell)
    found = []
    for cells in together.values():
        read = [(cell, record) for cell in cells if (record := results.record(cell.key))]
        complete = [(cell, record) for cell, record in read if record.complete]
        failed = [(cell, record) for cell, record in read if not record.final]
        lost = tuple(f"seed {cell.seed} failed: {_cause(record)}" for cell, record in failed)
        refused = [(cell, record) for cell, record in read if record.not_applicable]
        if complete:
            mine = tuple(c for c, _ in complete), tuple(r for _, r in complete)
            found.append(Group(*mine, lost=lost))
        elif refused:
            why = f"not applicable: {_cause(refused[0][1])}"
            found.append(Group(tuple(c for c, _ in refused), (), why))
        elif failed:
            causes = list(dict.fromkeys(_cause(record) for _, record in failed))
            more = ("", " (and other causes)")[len(causes) > 1]
            why = f"failed: {causes[0]}{more}"
            found.append(Group(tuple(c for c, _ in failed), (), why))
        else:
            found.append(Group(tuple(cells), (), _NOT_RUN))
    return found


def _cause(record: Record) -> str:
    """In one line, for tables; all of it is in the record."""
    cause = " ".join(record.cause.split()) or "unknown"
    return cause if len(cause) <= _CAUSE else cause[: _CAUSE - 1] + "\N{HORIZONTAL ELLIPSIS}"
