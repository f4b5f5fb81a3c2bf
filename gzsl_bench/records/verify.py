"""Whether a results folder is what it should be: read, hashed, computed again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gzsl_bench.errors import RecordError
from gzsl_bench.hooks.metric import MetricSpec
from gzsl_bench.records import audits, journal, rescored
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.recompute import QUICK, compute_again
from gzsl_bench.records.record import PREDICTIONS, Record, parsed
from gzsl_bench.records.rescored import overlaid
from gzsl_bench.records.store import RecordStore
from gzsl_bench.records.suites import parsed as parsed_suite
from gzsl_bench.scoring.kept import fitting
from gzsl_bench.suite.cells import EXTERNAL, REAL, digest, fold_number
from gzsl_bench.wording import counted

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
        believed: metrics whose numbers were not computed again.
    """

    records: int = 0
    complete: int = 0
    failed: int = 0
    not_applicable: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    believed: set[str] = field(default_factory=set)


def verify(
    store: RecordStore,
    keys: Iterable[str] | None = None,
    *,
    metrics: Mapping[str, MetricSpec] = QUICK,
) -> Findings:
    """Check records, and the folder around them where no keys are named.

    Args:
        store: the results folder.
        keys: the records to check instead of all; those that are not there are no problem.
        metrics: those to compute again at every checkpoint.
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
            if record.complete:
                # As it is shown: with what a rescoring computed.
                record = overlaid(layout, record, (place / "record.json").read_bytes())
                found.believed |= compute_again(record, metrics)
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

    Readable, whole, of this version, the key its identity's hash, the predictions those that were
    recorded and of the very checkpoints that the record has.

    Raises:
        RecordError: it is no record, or a damaged one.
    """
    record = described(folder)
    if record.complete:
        arrays = fitting(record.predictions())
        refuse_others(record, arrays)
    return record


def described(folder: Path) -> Record:
    """:func:`checked` but for the predictions.

    Raises:
        RecordError: it is no record, or a damaged one.
    """
    refuse_foreign(folder)
    try:
        raw = (folder / "record.json").read_bytes()
    except FileNotFoundError:
        raise RecordError("it has no record.json") from None
    except OSError as error:
        raise RecordError(f"record.json cannot be read: {error}") from None
    record = parsed(raw, folder.name, folder)
    _agree(record)
    return record


def refuse_others(record: Record, arrays: Mapping[str, np.ndarray]) -> None:
    """Make sure that predictions are of the very checkpoints that a record has.

    Raises:
        RecordError: they are of others.
    """
    there, said = arrays["checkpoints"].tolist(), [c.number for c in record.checkpoints]
    if lacking := set(said).difference(there):
        raise RecordError(f"the predictions hold no checkpoint {min(lacking)}")
    if there != said:
        raise RecordError("its checkpoints are not those of its predictions")


def _agree(record: Record) -> None:
    """What is shown of a record says the same as what its key was made from."""
    said = record.identity
    if lacking := {"use", "features", "attributes"} - record.request.keys():
        raise RecordError(f"its request names no {min(lacking)}")
    shown = (record.method, record.seed, record.about.get("fidelity") == EXTERNAL)
    if shown != (said["method"]["name"], said["seed"], said["preprocessing"] == EXTERNAL):
        raise RecordError(
            f"it is shown as {record.method!r} with seed {record.seed}, and its key is made from"
            f" {said['method']['name']!r} with seed {said['seed']}, preprocessing"
            f" {said['preprocessing']!r}"
        )
    if said["task"] != REAL and fold_number(said) < 1:
        raise RecordError(f"its task {said['task']!r} is neither the real one nor a fold")
    trained = record.provenance.trained
    if trained and record.key not in trained:
        raise RecordError("it is none of the cells that it says were trained together")


def refuse_foreign(folder: Path) -> None:
    """Make sure that a folder is called as a record's is and holds plain files of one alone.

    Raises:
        RecordError: it is not so.
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
                f"suites/{path.name}: {counted(wrong, 'cell')} whose key is not the hash of the"
                " identity"
            )


def _check_journal(store: RecordStore, found: Findings) -> None:
    """Lines cut short harm nothing; a record that was committed and is gone does."""
    cut = journal.cut_lines(store.layout.journal)
    if cut:
        found.notes.append(
            f"journal.jsonl: {counted(len(cut), 'line')} cut short, as by a crash (the first is"
            f" line {cut[0]})"
        )
    lost = {
        str(event.get("key"))
        for event in journal.read(store.layout.journal)
        if event.get("event") in ("committed", "imported") and event.get("status") != "failed"
    }
    for key in sorted(lost):
        if KEY.fullmatch(key) and not store.layout.cell(key).exists():
            found.problems.append(f"cells/{key}: the journal has it as committed, but it is gone")
