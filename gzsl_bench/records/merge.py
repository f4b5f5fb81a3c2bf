"""Merging an archive of records (:mod:`gzsl_bench.records.export`) into a results folder.

Nothing in the archive is believed: names are those a record can have or the archive is refused,
sizes are limited, every record is written beside its place, checked against the manifest's hashes
and its own key, its metrics computed again from its predictions, and only then moved in by the
rename that every record is committed by.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from gzsl_bench.errors import RecordError
from gzsl_bench.hooks.metric import MetricSpec
from gzsl_bench.records import audits, imported, journal, rescored
from gzsl_bench.records.audits import AuditStore
from gzsl_bench.records.export import FORMAT, MANIFEST, VERSION
from gzsl_bench.records.recompute import BUILTIN, compute_again
from gzsl_bench.records.record import PREDICTIONS, Checkpoint, Record
from gzsl_bench.records.record import parsed as parsed_record
from gzsl_bench.records.store import RecordStore, hash_of
from gzsl_bench.records.suites import add
from gzsl_bench.records.suites import parsed as parsed_suite
from gzsl_bench.records.tarball import Reader
from gzsl_bench.records.verify import checked
from gzsl_bench.suite.cells import digest

_KEY = "[0-9a-f]{24}"
_MEMBER = re.compile(
    rf"cells/(?P<cell>{_KEY})/(?P<file>record\.json|predictions\.npz|log\.txt)"
    rf"|rescored/(?P<rescored>{_KEY})\.json|audits/(?P<audit>{_KEY})\.json"
    r"|suites/(?P<suite>[A-Za-z0-9][A-Za-z0-9_.-]{0,79})\.json"
)
#: Most bytes of one member.
MOST = {PREDICTIONS: 4 * 2**30, "log.txt": 16 * 2**20}
_MOST_JSON = 256 * 2**20
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

    Args:
        store: the results folder.
        path: the archive.
        metrics: computed again from the predictions of every record before it is taken; None to
            believe all numbers.

    Raises:
        RecordError: it is no such archive, is damaged, or holds what it may not; what was merged
            before that was found stays, for it was whole.
    """
    done = Merged()
    with Reader(path) as archive:
        files = _manifest(archive)
        _refuse_too_much(archive, files, store.layout.out)
        loose: dict[str, bytes] = {}
        draft: Path | None = None
        key = ""
        try:
            for name, size in archive.members():
                expected = files.pop(name, None)
                if expected is None:
                    raise archive.refused(f"its manifest does not name {name!r}, or it comes twice")
                if size != expected["size"]:
                    raise archive.refused(f"{name} has {size} bytes, not {expected['size']}")
                match = _MEMBER.fullmatch(name)
                assert match is not None  # the manifest was checked
                if match["cell"] is None:
                    content = archive.read()
                    if hashlib.sha256(content).hexdigest() != expected["sha256"]:
                        raise archive.refused(f"{name} is not what the manifest says (SHA-256)")
                    loose[name] = content
                    continue
                if match["cell"] != key:
                    _finish(store, key, draft, path.name, metrics, done)
                    key = match["cell"]
                    draft = store.layout.draft(store.run, "import") / key
                    draft.mkdir(parents=True)
                assert draft is not None
                with (draft / match["file"]).open("xb") as target:
                    archive.copy_to(target)
                if hash_of(draft / match["file"]) != expected["sha256"]:
                    raise archive.refused(f"{name} is not what the manifest says (SHA-256)")
            _finish(store, key, draft, path.name, metrics, done)
            draft = None
            if files:
                raise archive.refused(f"{min(files)}, which its manifest names, is not in it")
        except OSError as error:
            raise RecordError(f"{store.layout.out} cannot be written: {error}") from None
        finally:
            if draft is not None:
                shutil.rmtree(draft.parent, ignore_errors=True)
    _take_loose(store, loose, metrics, done)
    return done


def _manifest(archive: Reader) -> dict[str, Mapping[str, Any]]:
    """The named members, each with its ``sha256`` and ``size``."""
    name, size = next(archive.members(), ("", 0))
    if name != MANIFEST or size > _MOST_JSON:
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
        most = MOST.get(match["file"] or "", _MOST_JSON)
        if not isinstance(size, int) or not 0 <= size <= most:
            raise archive.refused(f"{name} has {size!r} bytes; at most {most} are taken")
    return {name: {"sha256": h, "size": s} for name, (h, s) in entries.items()}


def _refuse_too_much(archive: Reader, files: Mapping[str, Mapping[str, Any]], out: Path) -> None:
    needed, free = sum(entry["size"] for entry in files.values()), shutil.disk_usage(out).free
    if needed > free - SPARE:
        raise archive.refused(f"it unpacks to {needed} bytes, but {out} has room for {free}")


def _finish(
    store: RecordStore,
    key: str,
    draft: Path | None,
    archive: str,
    metrics: Mapping[str, MetricSpec] | None,
    done: Merged,
) -> None:
    """Commit the record that was written last, if it is one."""
    if draft is None:
        return
    try:
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
    finally:
        shutil.rmtree(draft.parent, ignore_errors=True)


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
    loose: Mapping[str, bytes],
    metrics: Mapping[str, MetricSpec] | None,
    done: Merged,
) -> None:
    """What lies beside records: taken where it belongs to a record of ours, and makes sense."""
    for name, raw in sorted(loose.items()):
        match = _MEMBER.fullmatch(name)
        assert match is not None
        try:
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
        done.differing[f"suites/{name}"] = ["the suite file; `table` goes on showing the one here"]


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
