"""Whether a results folder is what it should be: read, hashed, and if asked computed again."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gzsl_bench.errors import GzslBenchError, RecordError
from gzsl_bench.hooks.metric import MetricSpec
from gzsl_bench.records import audits, journal, rescored
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.record import PREDICTIONS, Record, parsed
from gzsl_bench.records.store import RecordStore
from gzsl_bench.records.suites import parsed as parsed_suite
from gzsl_bench.scoring.evaluate import evaluate
from gzsl_bench.scoring.kept import kept_predictions
from gzsl_bench.suite.cells import digest

KEY = re.compile(r"[0-9a-f]{24}")
#: The files of a record.
FILES = ("record.json", PREDICTIONS, "log.txt")


@dataclass
class Findings:
    """What a check found.

    Attributes:
        records: folders looked at.
        complete: of those, records with numbers.
        failed: of those, records of failed cells.
        not_applicable: of those, cells whose method cannot work on the data.
        problems: what is wrong: something is damaged, forged or gone.
        notes: what is worth knowing and harms nothing.
    """

    records: int = 0
    complete: int = 0
    failed: int = 0
    not_applicable: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(
    store: RecordStore,
    keys: Iterable[str] | None = None,
    *,
    metrics: Mapping[str, MetricSpec] | None = None,
) -> Findings:
    """Check records, and the folder around them where no keys are named.

    Args:
        store: the results folder.
        keys: the records to check instead of all; those that are not there are no problem.
        metrics: compute these again at every checkpoint.
    """
    found, layout = Findings(), store.layout
    if keys is None:
        places = sorted(layout.cells.iterdir()) if layout.cells.is_dir() else []
    else:
        places = [p for p in map(layout.cell, dict.fromkeys(keys)) if p.exists()]
    for place in places:
        found.records += 1
        try:
            record = checked(place)
            found.complete += record.complete
            found.not_applicable += record.not_applicable
            found.failed += not record.final
            if metrics is not None and record.complete:
                _compute_again(store, record.key, metrics)
        except RecordError as error:
            found.problems.append(f"cells/{place.name}: {error}")
    if keys is None:
        _check_rescored(layout, found)
        _check_audits(layout, found)
        _check_suites(layout, found)
        _check_journal(store, found)
    return found


def checked(folder: Path) -> Record:
    """The record in a folder whose name is its key, after everything but its numbers was checked.

    Nothing is computed again: readable, whole, of this version, the key its identity's hash, the
    predictions those that were recorded.

    Raises:
        RecordError: it is no record, or a damaged one.
    """
    if not KEY.fullmatch(folder.name):
        raise RecordError("its name is no key")
    if folder.is_symlink() or not folder.is_dir():
        raise RecordError("it is no folder")
    for path in folder.iterdir():
        if path.name not in FILES:
            raise RecordError(f"{path.name!r} is no file of a record")
        if path.is_symlink() or not path.is_file():
            raise RecordError(f"{path.name} is no plain file")
    try:
        raw = (folder / "record.json").read_bytes()
    except FileNotFoundError:
        raise RecordError("it has no record.json") from None
    except OSError as error:
        raise RecordError(f"record.json cannot be read: {error}") from None
    record = parsed(raw, folder.name, folder)
    if record.complete:
        arrays = record.predictions()
        for checkpoint in record.checkpoints:
            kept_predictions(arrays, checkpoint.number)
    return record


def _compute_again(store: RecordStore, key: str, metrics: Mapping[str, MetricSpec]) -> None:
    """Whether every metric comes out as it is shown (a rescoring included).

    Raises:
        RecordError: one does not, or cannot be computed.
    """
    record = store.read(key)
    if record is None:
        raise RecordError("it cannot be read")
    arrays = record.predictions()
    for row in record.checkpoints:
        try:
            values = evaluate(kept_predictions(arrays, row.number), metrics)
        except GzslBenchError as error:
            raise RecordError(str(error)) from None
        for name, value in values.items():
            shown = row.metrics.get(name)
            if shown is not None and not math.isclose(shown, value, rel_tol=1e-9, abs_tol=1e-9):
                raise RecordError(
                    f"{name} at checkpoint {row.number} is {value!r}, computed from the"
                    f" predictions, but {shown!r} is recorded"
                )


def _check_rescored(layout: Layout, found: Findings) -> None:
    for path in sorted(layout.rescored.glob("*.json")) if layout.rescored.is_dir() else ():
        place = layout.cell(path.stem)
        try:
            raw = (place / "record.json").read_bytes()
            record = parsed(raw, path.stem, place)
        except (OSError, RecordError):
            found.notes.append(f"rescored/{path.name} is of a record that is not there")
            continue
        try:
            if rescored.parsed(path.read_bytes(), record, raw) is None:
                found.notes.append(f"rescored/{path.name} is of another record and counts for none")
        except (OSError, RecordError) as error:
            found.problems.append(f"rescored/{path.name} cannot be read: {error}")


def _check_audits(layout: Layout, found: Findings) -> None:
    for path in sorted(layout.audits.glob("*.json")) if layout.audits.is_dir() else ():
        try:
            if audits.parsed(path.read_bytes())["key"] != path.stem:
                found.problems.append(f"audits/{path.name} is of another cell")
        except (OSError, RecordError) as error:
            found.problems.append(f"audits/{path.name} cannot be read: {error}")


def _check_suites(layout: Layout, found: Findings) -> None:
    folder = layout.suite("x").parent
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        try:
            suite = parsed_suite(path.read_bytes(), path.stem)
        except (OSError, RecordError) as error:
            found.problems.append(f"suites/{path.name} cannot be read: {error}")
            continue
        wrong = sum(digest(cell.identity) != cell.key for cell in suite.cells)
        if wrong:
            found.problems.append(
                f"suites/{path.name}: {wrong} cells whose key is not the hash of their identity"
            )


def _check_journal(store: RecordStore, found: Findings) -> None:
    """Lines cut short harm nothing; a record that was committed and is gone does."""
    cut = journal.cut_lines(store.layout.journal)
    if cut:
        found.notes.append(
            f"journal.jsonl: {len(cut)} lines cut short, as by a crash (the first is line {cut[0]})"
        )
    lost = {
        str(event.get("key"))
        for event in journal.read(store.layout.journal)
        if event.get("event") in ("committed", "imported") and event.get("status") != "failed"
    }
    for key in sorted(lost):
        if KEY.fullmatch(key) and not store.layout.cell(key).exists():
            found.problems.append(f"cells/{key}: the journal has it as committed, but it is gone")
