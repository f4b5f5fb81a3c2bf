"""One row per data set, method and selection rule: what every table and page is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gzsl_bench.engine.selection import select
from gzsl_bench.errors import SuiteError, unknown_name
from gzsl_bench.records.store import Record, RecordStore
from gzsl_bench.scoring.summary import summarize
from gzsl_bench.suite.cells import Cell
from gzsl_bench.suite.resolve import ResolvedSuite

#: The metrics every table has, in this order, and their short headings.
HEADINGS: Mapping[str, str] = {
    "acc_unseen": "U",
    "acc_seen": "S",
    "harmonic_mean": "H",
    "zsl_acc": "T1",
    "ausuc": "AUSUC",
}

Row = dict[str, Any]


@dataclass(frozen=True)
class Group:
    """Cells that differ in nothing but the seed, with their complete records."""

    cells: tuple[Cell, ...]
    records: tuple[Record, ...]


def groups(suite: ResolvedSuite, store: RecordStore) -> list[Group]:
    """The suite's cells by row of the table; rows without any finished cell are left out."""
    together: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in suite.cells:
        together.setdefault((cell.dataset, cell.label, cell.group), []).append(cell)
    found = []
    for cells in together.values():
        read = [(cell, store.read(cell.key)) for cell in cells]
        complete = [(cell, record) for cell, record in read if record and record.complete]
        if complete:
            found.append(Group(tuple(c for c, _ in complete), tuple(r for _, r in complete)))
    return found


def rows(suite: ResolvedSuite, store: RecordStore) -> list[Row]:
    """One row per group and selection rule, means and spreads in percent.

    Keys: ``dataset, features, attributes, fingerprint, method, label, selection, seeds``, a summary
    ``{mean, sd, n}`` for every metric (None where it was not recorded), ``extra`` (how to read the
    metrics beyond the usual ones), ``keys`` and ``checkpoints`` (the chosen one's number, by seed),
    and what marks a row: ``preprocessing, setting, precision, fidelity, version``.
    """
    return [_row(group, rule) for group in groups(suite, store) for rule in suite.selection]


def missing(suite: ResolvedSuite, store: RecordStore) -> tuple[list[Cell], list[Record]]:
    """Cells of the suite that have not run, and records of those that failed."""
    waiting, failed = [], []
    for cell in suite.cells:
        record = store.read(cell.key)
        if record is None:
            waiting.append(cell)
        elif not record.complete:
            failed.append(record)
    return waiting, failed


def _row(group: Group, rule: str) -> Row:
    cell = group.cells[0]
    identity = cell.identity
    picks = [select(rule, r.content["checkpoints"]) for r in group.records]
    chosen = [picked["metrics"] for picked in picks]
    names = list(dict.fromkeys([*HEADINGS, *(n for metrics in chosen for n in metrics)]))
    row: Row = {
        "dataset": cell.dataset,
        "features": identity["dataset"]["features"],
        "attributes": identity["dataset"]["attributes"],
        "fingerprint": identity["dataset"]["fingerprint"],
        "method": cell.method,
        "label": cell.label,
        "selection": rule,
        "seeds": [c.seed for c in group.cells],
    }
    for name in names:
        values = [metrics[name] for metrics in chosen if name in metrics]
        row[name] = summarize(values) if len(values) == len(chosen) else None
    row["extra"] = _about_extra(group, names)
    row["keys"] = [c.key for c in group.cells]
    row["checkpoints"] = [picked["number"] for picked in picks]
    row["preprocessing"] = identity["preprocessing"]
    row["setting"] = identity["setting"]
    row["precision"] = identity["precision"]
    row["fidelity"] = cell.about["fidelity"]
    row["version"] = identity["method"]["version"]
    return row


def _about_extra(group: Group, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What the records say of metrics beyond the usual ones; early records say less."""
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        if name not in HEADINGS:
            said = [record.content.get("metrics", {}).get(name, {}) for record in group.records]
            about = {"percent": True, "higher_is_better": True, "summary": "", "in_table": True}
            about |= {k: v for content in said for k, v in content.items() if k in about}
            unit = next((content["unit"] for content in said if "unit" in content), "")
            found[name] = about | {"unit": "%" if about["percent"] else unit}
    return found


def extra_metrics(table: Sequence[Row], quiet: bool = False) -> list[str]:
    """Names of metrics beyond the usual ones.

    Args:
        table: rows.
        quiet: with those that do not ask to stand in every table.
    """
    names: dict[str, None] = {}
    for row in table:
        for name, value in row.items():
            if name not in HEADINGS and isinstance(value, dict) and "mean" in value:
                about = row.get("extra", {}).get(name, {})
                if quiet or about.get("in_table", True):
                    names[name] = None
    return list(names)


def chosen_metrics(table: Sequence[Row], wanted: Sequence[str]) -> list[str]:
    """The metrics a table is asked to show, checked against those it has.

    Raises:
        SuiteError: no row has a metric of this name.
    """
    known = [*HEADINGS, *extra_metrics(table, quiet=True)]
    for name in wanted:
        if name not in known:
            raise SuiteError(unknown_name("metric", name, known))
    return list(dict.fromkeys(wanted))
