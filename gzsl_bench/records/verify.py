"""Whether a results folder is what it should be: read, hashed, and if asked computed again."""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gzsl_bench.errors import GzslBenchError, RecordError
from gzsl_bench.hooks.metric import MetricSpec
from gzsl_bench.records import journal
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.rescored import fingerprint
from gzsl_bench.records.store import (
    COMPLETE,
    NOT_APPLICABLE,
    PREDICTIONS,
    PREDICTIONS_HASH,
    RECORD_VERSION,
    STATUSES,
    Record,
    RecordStore,
    hash_of,
)
from gzsl_bench.records.suites import recall
from gzsl_bench.scoring.evaluate import evaluate
from gzsl_bench.scoring.kept import kept_predictions
from gzsl_bench.suite.cells import digest

KEY = re.compile(r"[0-9a-f]{24}")
#: The files of a record.
FILES = ("record.json", PREDICTIONS, "log.txt")
#: Most bytes that the arrays of a record may take once they are unpacked.
MOST_UNPACKED = 4 * 2**30


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
        problem = check_record(place)
        content = None if problem else json.loads((place / "record.json").read_bytes())
        if content is not None:
            found.complete += content["status"] == COMPLETE
            found.not_applicable += content["status"] == NOT_APPLICABLE
            found.failed += content["status"] not in (COMPLETE, NOT_APPLICABLE)
            if metrics is not None and content["status"] == COMPLETE:
                problem = _computed_again(store, place.name, metrics)
        if problem:
            found.problems.append(f"cells/{place.name}: {problem}")
    if keys is None:
        _check_rescored(layout, found)
        _check_suites(layout, found)
        _check_journal(store, found)
    return found


def check_record(folder: Path) -> str | None:
    """What is wrong with a record's folder, whose name is its key; None if nothing is.

    Nothing is computed again: readable, whole, of a known version, the key its identity's hash, the
    predictions those that were recorded.
    """
    if not KEY.fullmatch(folder.name):
        return "its name is no key"
    if folder.is_symlink() or not folder.is_dir():
        return "it is no folder"
    for path in folder.iterdir():
        if path.name not in FILES:
            return f"{path.name!r} is no file of a record"
        if path.is_symlink() or not path.is_file():
            return f"{path.name} is no plain file"
    try:
        content = json.loads((folder / "record.json").read_bytes())
    except FileNotFoundError:
        return "it has no record.json"
    except (OSError, ValueError, RecursionError) as error:
        return f"record.json cannot be read: {' '.join(str(error).split())}"
    if not isinstance(content, dict):
        return "record.json is no mapping"
    return _check_content(folder, content)


def _check_content(folder: Path, content: Mapping[str, Any]) -> str | None:
    version, identity = content.get("record_version"), content.get("identity")
    if not isinstance(version, int) or version < 1:
        return f"record_version is {version!r}, not a number from 1"
    if version > RECORD_VERSION:
        return f"it is of version {version}, newer than this gzsl-bench (up to {RECORD_VERSION})"
    if content.get("key") != folder.name:
        return f"record.json has the key {content.get('key')!r}"
    if content.get("status") not in STATUSES:
        return f"status is {content.get('status')!r}, not one of {', '.join(STATUSES)}"
    if not isinstance(identity, dict):
        return "record.json has no identity"
    try:
        hashed = digest(identity)
    except (TypeError, ValueError):
        hashed = "nothing"
    if hashed != folder.name:
        return f"its identity hashes to {hashed}: the key is not of this cell"
    if content["status"] != COMPLETE:
        return None
    return _check_checkpoints(content.get("checkpoints")) or _check_predictions(folder, content)


def _check_checkpoints(rows: Any) -> str | None:
    if not isinstance(rows, list) or not rows:
        return "it has no checkpoints"
    for row in rows:
        metrics = row.get("metrics") if isinstance(row, dict) else None
        if not isinstance(metrics, dict) or not isinstance(row.get("number"), int):
            return "a checkpoint has no number or no metrics"
        for name, value in metrics.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                return f"{name} at checkpoint {row['number']} is no number"
            if not math.isfinite(value):
                return f"{name} at checkpoint {row['number']} is not finite"
    return None


def _check_predictions(folder: Path, content: Mapping[str, Any]) -> str | None:
    """Hash, size once unpacked, and what the checkpoints need; records of old have no hash."""
    path, wanted = folder / PREDICTIONS, content.get(PREDICTIONS_HASH)
    try:
        if wanted is not None and hash_of(path) != wanted:
            return f"{PREDICTIONS} is not what was recorded: its SHA-256 is not {wanted}"
        with zipfile.ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > MOST_UNPACKED:
            return f"{PREDICTIONS} unpacks to {size} bytes, more than {MOST_UNPACKED}"
        arrays = Record(folder, content).predictions()
        numbers = {row["number"] for row in content["checkpoints"]}
        if not numbers <= set(arrays["checkpoints"].tolist()):
            return f"{PREDICTIONS} does not hold every checkpoint"
        kept_predictions(arrays, content["checkpoints"][-1]["number"])
    except KeyError as error:
        return f"{PREDICTIONS} lacks {error}"
    except FileNotFoundError:
        return f"{PREDICTIONS} is missing"
    except (OSError, zipfile.BadZipFile, GzslBenchError) as error:
        return f"{PREDICTIONS} cannot be used: {error}"
    return None


def _computed_again(store: RecordStore, key: str, metrics: Mapping[str, MetricSpec]) -> str | None:
    """Whether every metric comes out as it is shown (a rescoring included)."""
    record = store.read(key)
    if record is None:
        return "it cannot be read"
    arrays = record.predictions()
    for row in record.content["checkpoints"]:
        try:
            values = evaluate(kept_predictions(arrays, row["number"]), metrics)
        except GzslBenchError as error:
            return str(error)
        for name, value in values.items():
            shown = row["metrics"].get(name)
            if shown is not None and not math.isclose(shown, value, rel_tol=1e-9, abs_tol=1e-9):
                return (
                    f"{name} at checkpoint {row['number']} is {value!r}, computed from the"
                    f" predictions, but {shown!r} is recorded"
                )
    return None


def _check_rescored(layout: Layout, found: Findings) -> None:
    for path in sorted(layout.rescored.glob("*.json")) if layout.rescored.is_dir() else ():
        try:
            content = json.loads(path.read_bytes())
            raw = (layout.cell(path.stem) / "record.json").read_bytes()
            if content["record_sha256"] != fingerprint(raw):
                found.notes.append(f"rescored/{path.name} is of another record and counts for none")
        except FileNotFoundError:
            found.notes.append(f"rescored/{path.name} is of a record that is not there")
        except (OSError, ValueError, KeyError, TypeError):
            found.problems.append(f"rescored/{path.name} cannot be read")


def _check_suites(layout: Layout, found: Findings) -> None:
    folder = layout.suite("x").parent
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        try:
            suite = recall(layout, path.stem)
        except RecordError:
            found.problems.append(f"suites/{path.name} cannot be read")
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
