"""Audits of a suite: one cell per data set and method configuration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gzsl_bench.engine.audit.unit import AuditUnit
from gzsl_bench.records.audits import NOT_AUDITED, AuditStore
from gzsl_bench.records.store import RecordStore
from gzsl_bench.suite.cells import Cell, digest


@dataclass(frozen=True)
class Verdict:
    """What is known of a subject.

    Attributes:
        cell: the audited cell; the first one where none was audited.
        outcome: ``ok``, ``failed`` or ``not audited``.
        reason: why it is not ``ok``.
        notes: worth knowing.
    """

    cell: Cell
    outcome: str
    reason: str = ""
    notes: tuple[str, ...] = ()


def subjects(cells: Sequence[Cell]) -> list[dict[str, Cell]]:
    """What a suite has to audit, folds aside: cells by key that differ in nothing but the seed.

    One of them is audited for all.
    """
    together: dict[str, dict[str, Cell]] = {}
    for cell in cells:
        if cell.identity.get("task") == "real":
            together.setdefault(cell.group, {}).setdefault(cell.key, cell)
    return list(together.values())


def plan_audits(cells: Sequence[Cell], store: RecordStore) -> list[AuditUnit]:
    """One finished cell of every subject that has no audit yet, with those it was trained with."""
    audits = AuditStore(store.layout.out)
    by_key = {cell.key: cell for cell in reversed(cells)}
    companies: dict[tuple[str, ...], list[str]] = {}
    for subject in subjects(cells):
        known = audits.verdict(subject)
        cell = next((c for c in subject.values() if _has_numbers(store, c.key)), None)
        if cell is None or (known is not None and known["outcome"] != NOT_AUDITED):
            continue
        record = store.read(cell.key)
        assert record is not None
        trained = record.provenance.trained
        company = tuple(key for key in trained if key in by_key)
        companies.setdefault(company if cell.key in company else (cell.key,), []).append(cell.key)
    return [
        AuditUnit(
            digest({"audit": targets, "company": list(company)})[:12],
            tuple(by_key[key] for key in company),
            tuple(targets),
        )
        for company, targets in companies.items()
    ]


def _has_numbers(store: RecordStore, key: str) -> bool:
    record = store.read(key)
    return record is not None and record.complete


def verdicts(cells: Sequence[Cell], store: RecordStore) -> Iterator[Verdict]:
    """What the results folder knows of every subject of a suite."""
    audits = AuditStore(store.layout.out)
    for subject in subjects(cells):
        found = audits.verdict(subject)
        if found is not None:
            cell = subject[found["key"]]
            notes = tuple(found.get("notes", ()))
            yield Verdict(cell, found["outcome"], found["reason"], notes)
        elif any(_has_numbers(store, key) for key in subject):
            yield Verdict(next(iter(subject.values())), NOT_AUDITED, "the audit was interrupted")
        else:
            yield Verdict(next(iter(subject.values())), NOT_AUDITED, "no cell of it is complete")
