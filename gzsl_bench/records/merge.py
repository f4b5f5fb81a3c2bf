"""Merging an archive of records (:mod:`gzsl_bench.records.export`) into a results folder.

Nothing in the archive is believed: names are those a record can have or the archive is refused,
sizes are limited, one by one and together, all members are written beside their places and compared
with the manifest's hashes; then every record is checked against its own key, its metrics computed
again from its predictions, and only then moved in by the rename that every record is committed by.
"""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeAlias

from gzsl_bench.errors import RecordError
from gzsl_bench.hooks.metric import MetricSpec
from gzsl_bench.records import audits, imported, journal, rescored
from gzsl_bench.records.audits import AuditStore
from gzsl_bench.records.export import FORMAT, MANIFEST, VERSION, most_bytes
from gzsl_bench.records.recompute import BUILTIN, compute_again
from gzsl_bench.records.record import PREDICTIONS, Checkpoint, Record
from gzsl_bench.records.record import parsed as parsed_record
from gzsl_bench.records.store import RecordStore, hash_of
from gzsl_bench.records.suites import add
from gzsl_bench.records.suites import parsed as parsed_suite
from gzsl_bench.records.tarball import Reader
from gzsl_bench.records.unpacked import Folder
from gzsl_bench.records.verify import checked
from gzsl_bench.suite.cells import digest

_KEY = "[0-9a-f]{24}"
_MEMBER = re.compile(
    rf"cells/(?P<cell>{_KEY})/(?P<file>record\.json|predictions\.npz|log\.txt)"
    rf"|rescored/(?P<rescored>{_KEY})\.json|audits/(?P<audit>{_KEY})\.json"
    r"|suites/(?P<suite>[A-Za-z0-9][A-Za-z0-9_.-]{0,79}(?:~[0-9a-f]{8})?)\.json"
)
_Source: TypeAlias = Reader | Folder
#: Arrays may have so many times the size of their file, from so many bytes on; they reach about 5.
_ARRAYS_RATIO, _ARRAYS_FROM = 20, 256 * 2**20
#: Values in one JSON file; a suite has 40 for each cell.
_MOST_VALUES = 2_000_000
#: Bytes of the disk that an import leaves free.
SPARE = 64 * 2**20


@dataclass
class Merged:
    """What a merge did.

    Attributes:
        added: records that the folder had not.
        known: records that it had, with the same content.
        differing: for others, by key, what is different; the folder's own counts.
        refused: what is wrong with members that were not taken.
        suites: names of the suites that were merged.
        believed: metrics of added records that were not computed again.
        audits: audits added.
        rescored: rescorings added.
    """

    added: int = 0
    known: int = 0
    differing: dict[str, list[str]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    suites: list[str] = field(default_factory=list)
    believed: set[str] = field(default_factory=set)
    audits: int = 0
    rescored: int = 0


def merge(
    store: RecordStore, path: Path, metrics: Mapping[str, MetricSpec] | None = BUILTIN
) -> Merged:
    """Merge the archive ``path``; call while being one of the folder's runs.

    All of it is unpacked beside the records, one member after the other, before the first one is
    moved in: an archive that is refused leaves nothing.

    Args:
        store: the results folder.
        path: the archive, one file or unpacked to a folder.
        metrics: computed again from the predictions of every record before it is taken; None to
            believe all numbers.

    Raises:
        RecordError: it is no such archive, is damaged, or holds what it may not.
    """
    done = Merged()
    draft = store.layout.draft(store.run, "import")
    try:
        with Folder(path) if path.is_dir() else Reader(path) as archive:
            files = _manifest(archive)
            _refuse_too_much(archive, files, store.layout.out)
            _unpack(archive, files, draft)
        cells = draft / "cells"
        for folder in sorted(cells.iterdir()) if cells.is_dir() else ():
            _take_record(store, folder, path.name, metrics, done)
        for name in sorted(files):
            if not name.startswith("cells/"):
                _take_loose(store, name, draft / name, metrics, done)
    except OSError as error:
        raise RecordError(f"{store.layout.out} cannot be written: {error}") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return done


def _unpack(archive: _Source, files: Mapping[str, Mapping[str, Any]], draft: Path) -> None:
    """Write every member to its name below ``draft``; exactly those that the manifest names."""
    left = set(files)
    for name, size in archive.members():
        if name not in left:
            raise archive.refused(f"its manifest does not name {name!r}, or it comes twice")
        left.remove(name)
        if size != files[name]["size"]:
            raise archive.refused(f"{name} has {size} bytes, not {files[name]['size']}")
        place = draft / name
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as target:
            archive.copy_to(target)
        if hash_of(place) != files[name]["sha256"]:
            raise archive.refused(f"{name} is not what the manifest says (SHA-256)")
    if left:
        raise archive.refused(f"{min(left)}, which its manifest names, is not in it")


def _manifest(archive: _Source) -> dict[str, Mapping[str, Any]]:
    """The named members, each with its ``sha256`` and ``size``."""
    name, size = next(archive.members(), ("", 0))
    if name != MANIFEST or size > most_bytes(name):
        raise archive.refused(f"it does not begin with {MANIFEST}: `gzsl-bench records export`"
                              " writes such archives")  # fmt: skip
    try:
        content = json.loads(archive.read())
        kind, version, files = content["format"], content["version"], content["files"]
        entries = {str(name): (entry["sha256"], entry["size"]) for name, entry in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise archive.refused(f"its {MANIFEST} cannot be read ({error})") from None
    if kind != FORMAT:
        raise archive.refused(f"it holds {kind!r}, not {FORMAT!r}")
    if version != VERSION:
        raise archive.refused(f"it is of version {version!r}; this gzsl-bench reads {VERSION}")
    for name, (hashed, size) in entries.items():
        match = _MEMBER.fullmatch(name)
        if match is None:
            raise archive.refused(f"{name!r} is no name of a file in it")
        if not isinstance(hashed, str) or not re.fullmatch("[0-9a-f]{64}", hashed):
            raise archive.refused(f"{name} has no SHA-256")
        most = most_bytes(name)
        if not isinstance(size, int) or not 0 <= size <= most:
            raise archive.refused(f"{name} has {size!r} bytes; at most {most} are taken")
    return {name: {"sha256": h, "size": s} for name, (h, s) in entries.items()}


def _refuse_too_much(archive: _Source, files: Mapping[str, Mapping[str, Any]], out: Path) -> None:
    needed, free = sum(entry["size"] for entry in files.values()), shutil.disk_usage(out).free
    archive.expect(needed)
    if needed > free - SPARE:
        raise archive.refused(f"it unpacks to {needed} bytes, but {out} has room for {free}")


def _take_record(
    store: RecordStore,
    draft: Path,
    archive: str,
    metrics: Mapping[str, MetricSpec] | None,
    done: Merged,
) -> None:
    """Commit an unpacked record, if it is one."""
    key = draft.name
    try:
        refuse_bombs(draft)
        record = checked(draft)
        if not record.final:
            raise RecordError("it is of a failed cell")
        believed = {name for row in record.checkpoints for name in row.metrics}
        if metrics is not None and record.complete:
            believed = compute_again(record, metrics)
        if store.finished(key) or not store.adopt(key, draft):
            _compare(store, record, done)
        else:
            done.added += 1
            done.believed |= believed
            imported.note(store.layout, key, archive, believed)
            journal.append(store.layout.journal, "imported", key=key, status=record.status)
    except RecordError as error:
        done.refused.append(f"cells/{key}: {error}")


def refuse_bombs(folder: Path) -> None:
    """Make sure that a record takes no more memory than its files let expect.

    Raises:
        RecordError: it does.
    """
    _refuse_bomb(folder / PREDICTIONS)
    _refuse_crowd(folder / "record.json")


def _refuse_bomb(predictions: Path) -> None:
    """Arrays are unpacked to memory, so their size has to stand in a proportion to the file's."""
    try:
        with zipfile.ZipFile(predictions) as arrays:
            size = sum(member.file_size for member in arrays.infolist())
    except (OSError, zipfile.BadZipFile):
        return  # there are none, or what is wrong is said where they are read
    most = max(_ARRAYS_FROM, _ARRAYS_RATIO * predictions.stat().st_size)
    if size > most:
        raise RecordError(f"{PREDICTIONS} unpacks to {size} bytes; at most {most} are taken")


def _refuse_crowd(place: Path) -> None:
    """An empty list has three bytes in JSON and two hundred in memory."""
    if place.exists() and place.read_bytes().count(b",") >= _MOST_VALUES:
        raise RecordError(f"{place.name} holds more than {_MOST_VALUES} values")


def _compare(store: RecordStore, theirs: Record, done: Merged) -> None:
    place = store.layout.cell(theirs.key)
    found = differences(checked(place), theirs)
    if found:
        done.differing[theirs.key] = found
    else:
        done.known += 1


def differences(ours: Record, theirs: Record) -> list[str]:
    """What sets two records of one cell apart; nothing if they are one and the same.

    Args:
        ours: a record as it was written.
        theirs: another one of the same cell.
    """
    found = []
    if ours.status != theirs.status:
        found.append(f"the status: {ours.status} here, {theirs.status} there")
    elif ours.checkpoints != theirs.checkpoints:
        found.append(_numbers(ours.checkpoints, theirs.checkpoints))
    elif ours.predictions_sha256 != theirs.predictions_sha256:
        found.append("the predictions, with the same metrics")
    shown = ("status", "checkpoints", "predictions_sha256", "provenance", "path")
    content = _other(ours, theirs, without=shown)
    if content:
        found.append(f"the fields {', '.join(content)}")
    where = _other(ours.provenance, theirs.provenance)
    if where:
        found.append(f"how it came about ({', '.join(where)})")
    return found


def _other(one: Any, other: Any, without: tuple[str, ...] = ()) -> list[str]:
    """Names of the fields of two dataclasses that differ."""
    names = sorted(field.name for field in fields(one) if field.name not in without)
    return [name for name in names if getattr(one, name) != getattr(other, name)]


def _numbers(ours: Sequence[Checkpoint], theirs: Sequence[Checkpoint]) -> str:
    """The first metric of the last checkpoint that differs, with both values."""
    if [row.number for row in ours] != [row.number for row in theirs]:
        return f"the checkpoints: {len(ours)} here, {len(theirs)} there"
    for mine, yours in zip(reversed(ours), reversed(theirs), strict=True):
        for name in sorted({*mine.metrics, *yours.metrics}):
            a, b = mine.metrics.get(name), yours.metrics.get(name)
            if a != b:
                return f"the metrics: {name} at checkpoint {mine.number} is {a} here, {b} there"
    raise AssertionError("checkpoints that differ in nothing")


def _take_loose(
    store: RecordStore,
    name: str,
    place: Path,
    metrics: Mapping[str, MetricSpec] | None,
    done: Merged,
) -> None:
    """What lies beside records: taken where it belongs to a record of ours, and makes sense."""
    match = _MEMBER.fullmatch(name)
    assert match is not None  # the manifest was checked
    try:
        _refuse_crowd(place)
        raw = place.read_bytes()
        if match["suite"]:
            _take_suite(store, match["suite"], raw, done)
        elif match["audit"]:
            done.audits += _take_audit(store, match["audit"], raw)
        elif match["rescored"]:
            done.rescored += _take_rescored(store, match["rescored"], raw, metrics)
    except RecordError as error:
        done.refused.append(f"{name}: it is not what it should be ({error})")


def _take_suite(store: RecordStore, name: str, raw: bytes, done: Merged) -> None:
    suite = parsed_suite(raw, name)
    for cell in suite.cells:
        if digest(cell.identity) != cell.key:
            raise RecordError(f"the key {cell.key!r} is not the hash of its cell")
    if add(store.layout, suite):
        done.suites.append(name)
    else:
        done.differing[f"suites/{name}"] = [
            "the suite file; by name `table` goes on showing the one here, `table FILE` that file's"
        ]


def _take_audit(store: RecordStore, key: str, raw: bytes) -> bool:
    audit = audits.parsed(raw)
    if audit["key"] != key or audit["outcome"] == audits.NOT_AUDITED:
        raise RecordError("it is no outcome of an audit of that cell")
    if not store.finished(key):
        return False
    rest = {n: value for n, value in audit.items() if n not in ("audit_version", "key")}
    return AuditStore(store.layout.out).write(key, rest)


def _take_rescored(
    store: RecordStore, key: str, theirs: bytes, metrics: Mapping[str, MetricSpec] | None
) -> bool:
    """Only beside the very record it was computed from, and never over one of ours."""
    place = store.layout.cell(key) / "record.json"
    if store.layout.rescoring(key).exists() or not place.exists():
        return False
    raw = place.read_bytes()
    record = rescored.parsed(theirs, parsed_record(raw, key, place.parent), raw)
    if record is not None:
        believed = {name for row in record.checkpoints for name in row.metrics}
        if metrics is not None:
            believed = compute_again(record, metrics)
        imported.note(store.layout, key, "rescored elsewhere", believed)
        rescored.write(
            store.layout, key, rescored.fingerprint(raw), record.checkpoints, record.metrics
        )
    return record is not None
