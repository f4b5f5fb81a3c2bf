"""One row per data set, method and selection rule: what every table and page is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gzsl_bench.engine.selection import select
from gzsl_bench.records.audits import AuditStore, in_words
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
    ``{mean, sd, n}`` for every metric (None where it was not recorded), ``keys``, and what marks a
    row: ``preprocessing, setting, precision, fidelity, version``, and ``audit``: ``ok``, ``FAILED``
    with the reason, or empty.
    """
    table = [_row(group, rule) for group in groups(suite, store) for rule in suite.selection]
    audits = AuditStore(store.layout.out)
    for row in table:
        row["audit"] = in_words(audits.verdict(row["keys"]))
    return table


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
    chosen = [select(rule, r.content["checkpoints"])["metrics"] for r in group.records]
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
    row["keys"] = [c.key for c in group.cells]
    row["preprocessing"] = identity["preprocessing"]
    row["setting"] = identity["setting"]
    row["precision"] = identity["precision"]
    row["fidelity"] = cell.about["fidelity"]
    row["version"] = identity["method"]["version"]
    return row


def extra_metrics(table: Sequence[Row]) -> list[str]:
    """Names of metrics beyond the usual ones, from metric plugins."""
    names: dict[str, None] = {}
    for row in table:
        for name, value in row.items():
            if name not in HEADINGS and isinstance(value, dict) and "mean" in value:
                names[name] = None
    return list(names)
