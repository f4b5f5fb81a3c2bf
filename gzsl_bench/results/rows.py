"""One row per data set, method and selection rule: what every table and page is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gzsl_bench.errors import SuiteError, unknown_name
from gzsl_bench.records.audits import AuditStore, in_words
from gzsl_bench.records.record import Record
from gzsl_bench.records.store import RecordStore
from gzsl_bench.results.validation import Choice, Validation
from gzsl_bench.scoring.rules import Unchosen, rule_of
from gzsl_bench.scoring.summary import summarize
from gzsl_bench.suite.cells import Cell
from gzsl_bench.suite.resolve import ResolvedSuite
from gzsl_bench.suite.sweep import ABOUT as SWEEP

#: The metrics every table has, in this order, and their short headings.
HEADINGS: Mapping[str, str] = {
    "acc_unseen": "U",
    "acc_seen": "S",
    "harmonic_mean": "H",
    "zsl_acc": "T1",
    "ausuc": "AUSUC",
}

Row = dict[str, Any]
_H = "harmonic_mean"
#: In place of a rule, where the method does not apply and there is nothing to choose.
NO_RULE = "-"


@dataclass(frozen=True)
class Group:
    """Cells that differ in nothing but the seed, with their complete records.

    Attributes:
        cells: those with a record that counts.
        records: theirs, in the same order.
        inapplicable: why the method cannot work on these data; ``records`` is empty then.
    """

    cells: tuple[Cell, ...]
    records: tuple[Record, ...]
    inapplicable: str | None = None


def groups(suite: ResolvedSuite, store: RecordStore) -> list[Group]:
    """The suite's cells by row of the table; rows without any finished cell are left out.

    Validation folds are no rows: they are what rules choose by.
    """
    together: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in (c for c in suite.cells if not c.fold):
        together.setdefault((cell.dataset, cell.label, cell.group), []).append(cell)
    found = []
    for cells in together.values():
        read = [(cell, store.read(cell.key)) for cell in cells]
        complete = [(cell, record) for cell, record in read if record and record.complete]
        if complete:
            found.append(Group(tuple(c for c, _ in complete), tuple(r for _, r in complete)))
            continue
        refused = [(cell, r.cause) for cell, r in read if r and r.not_applicable]
        if refused:
            found.append(Group(tuple(c for c, _ in refused), (), str(refused[0][1])))
    return found


def rows(suite: ResolvedSuite, store: RecordStore) -> list[Row]:
    """One row per group and selection rule, means and spreads in percent.

    Keys: ``dataset, features, attributes, fingerprint, method, label, selection, seeds``, a summary
    ``{mean, sd, n}`` for every metric (None where it was not recorded), ``extra`` (how to read the
    metrics beyond the usual ones), ``keys``, what marks a row: ``preprocessing, setting, precision,
    fidelity, version, source, audit`` (``ok``, ``FAILED`` with the reason, or empty), and what was
    chosen: ``checkpoints`` (a number per seed), ``gamma`` (per seed; None where nothing is
    calibrated), ``selection_gap`` (H of ``best_test`` minus H of ``val``, paired over seeds; None
    but at ``best_test``) and ``unavailable`` (why the rule gives no numbers, else None).  Points of
    a sweep have ``sweep_of`` (the label of the entry), ``sweep_field`` and ``sweep_value``, too.
    """
    validation = Validation(suite, store)
    found = []
    for group in groups(suite, store):
        if group.inapplicable is not None:
            found.append(_row(group, NO_RULE, f"not applicable: {group.inapplicable}"))
            continue
        chosen = {rule: _choose(group, rule, validation) for rule in suite.rules}
        found += [_row(group, rule, choice) for rule, choice in chosen.items()]
        for row in found[-len(chosen) :]:
            name = row["selection"]
            one, other = chosen[name], chosen.get(rule_of(name).gap_to or "")
            if isinstance(one, list) and isinstance(other, list):
                gaps = [a.metrics[_H] - b.metrics[_H] for a, b in zip(one, other, strict=True)]
                row["selection_gap"] = summarize(gaps)
    audits = AuditStore(store.layout.out)
    for row in found:
        row["audit"] = in_words(audits.verdict(row["keys"]))
    return found


def missing(suite: ResolvedSuite, store: RecordStore) -> tuple[list[Cell], list[Record]]:
    """Cells of the suite that have not run, and records of those that failed."""
    waiting, failed = [], []
    for cell in suite.cells:
        record = store.read(cell.key)
        if record is None:
            waiting.append(cell)
        elif not record.final:
            failed.append(record)
    return waiting, failed


def _choose(group: Group, rule: str, validation: Validation) -> list[Choice] | str:
    """A choice for every seed, or the reason why there is none."""
    pairs = zip(group.cells, group.records, strict=True)
    try:
        return [validation.choose(rule, cell, record) for cell, record in pairs]
    except Unchosen as reason:
        return str(reason)


def _row(group: Group, rule: str, choices: list[Choice] | str) -> Row:
    cell = group.cells[0]
    identity = cell.identity
    picked = choices if isinstance(choices, list) else []
    chosen = [choice.metrics for choice in picked]
    names = list(dict.fromkeys([*HEADINGS, *(n for metrics in chosen for n in metrics)]))
    row: Row = {
        "dataset": cell.dataset,
        "features": identity["dataset"]["features"],
        "attributes": identity["dataset"]["attributes"],
        "fingerprint": identity["dataset"]["fingerprint"],
        "method": cell.method,
        "label": cell.label,
        "selection": rule,
        "seeds": [c.seed for c in group.cells if group.inapplicable is None],
    }
    for name in names:
        values = [metrics[name] for metrics in chosen if name in metrics]
        row[name] = summarize(values) if values and len(values) == len(chosen) else None
    row["extra"] = _about_extra(group, names)
    row["keys"] = [c.key for c in group.cells]
    row["preprocessing"] = identity["preprocessing"]
    row["setting"] = identity["setting"]
    row["precision"] = identity["precision"]
    row["fidelity"] = cell.about["fidelity"]
    row["version"] = identity["method"]["version"]
    row["source"] = identity["method"].get("source")
    row["checkpoints"] = [choice.number for choice in picked]
    gammas = [choice.gamma for choice in picked if choice.gamma is not None]
    row["gamma"] = gammas or None
    row["selection_gap"] = None
    row["unavailable"] = choices if isinstance(choices, str) else None
    if swept := cell.about.get(SWEEP):
        row |= {f"sweep_{part}": swept[part] for part in ("of", "field", "value")}
    return row


def is_swept(row: Row) -> bool:
    """Whether a row is a point of a sweep, not a method in its own right."""
    return "sweep_of" in row


def _about_extra(group: Group, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What the records say of metrics beyond the usual ones; early records say less."""
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        if name not in HEADINGS:
            said = [record.metrics.get(name, {}) for record in group.records]
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
    known = {*HEADINGS, "selection_gap"}
    for row in table:
        for name, value in row.items():
            if name not in known and isinstance(value, dict) and "mean" in value:
                about = row.get("extra", {}).get(name, {})
                if quiet or about.get("in_table", True):
                    names[name] = None
    return list(names)


def chosen_metrics(table: Sequence[Row], wanted: Sequence[str]) -> list[str]:
    """The metrics a table is asked to show, checked against those it has; ``all`` of them.

    Raises:
        SuiteError: no row has a metric of this name.
    """
    known = [*HEADINGS, *extra_metrics(table, quiet=True)]
    if list(wanted) == ["all"]:
        return known
    for name in wanted:
        if name not in known:
            raise SuiteError(unknown_name("metric", name, known))
    return list(dict.fromkeys(wanted))
