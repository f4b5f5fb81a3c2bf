"""Records as one file that another machine can merge (:mod:`gzsl_bench.records.merge`).

A tar that begins with ``manifest.json``, which names every other member with its SHA-256 and size,
followed by ``cells/<key>/...``, ``rescored/<key>.json``, ``audits/<key>.json`` and
``suites/<name>.json``.  The same records give the same bytes, wherever and whenever.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gzsl_bench.errors import RecordError
from gzsl_bench.records import tarball
from gzsl_bench.records.audits import AuditStore
from gzsl_bench.records.record import PREDICTIONS
from gzsl_bench.records.store import RecordStore, hash_of
from gzsl_bench.records.suites import parsed, recall
from gzsl_bench.records.verify import FILES, checked

MANIFEST = "manifest.json"
FORMAT = "gzsl-bench records"
VERSION = 1
#: Most bytes of one member.  JSON takes up to twenty times its size in memory; a record of 50
#: checkpoints has 0.1 MB, a suite 1.2 kB for each cell.
_MOST = {PREDICTIONS: 4 * 2**30, "log.txt": 16 * 2**20}
_MOST_JSON = 32 * 2**20


@dataclass
class Exported:
    """What went into an archive.

    Attributes:
        records: how many.
        suites: names of the suites.
        failed: records of failed cells, which are not exported: another machine tries again.
        damaged: what is wrong with records and suites that were left out.
        size: bytes of the archive.
    """

    records: int = 0
    suites: list[str] = field(default_factory=list)
    failed: int = 0
    damaged: list[str] = field(default_factory=list)
    size: int = 0


def export(store: RecordStore, path: Path, suite: str | None = None) -> Exported:
    """Write the final records of the folder, or of one suite, to the archive ``path``.

    Args:
        store: the results folder.
        path: ``.tar``, ``.tar.gz`` or ``.tgz``; must not exist.
        suite: a suite's name or file, if not everything.

    Raises:
        RecordError: the folder holds nothing to export, or the archive cannot be written.
    """
    files, done = gather(store, suite)
    try:
        tarball.write(path, list(files.items()))
        done.size = path.stat().st_size
    except FileExistsError:
        raise RecordError(f"{path} exists already; choose another name, or remove it") from None
    except OSError as error:
        raise RecordError(f"the archive {path} cannot be written: {error}") from None
    return done


def gather(
    store: RecordStore, suite: str | None = None, *, audited: bool = True
) -> tuple[dict[str, Path | bytes], Exported]:
    """The members of an archive, the manifest first, and what is to be said of them.

    Args:
        store: the results folder.
        suite: a suite's name or file, if not everything.
        audited: with the outcomes of audits.

    Raises:
        RecordError: the folder holds nothing to export.
    """
    layout, done = store.layout, Exported()
    if suite is not None:
        resolved = recall(layout, suite)
        wanted: Collection[str] | None = {cell.key for cell in resolved.cells}
        done.suites = [resolved.name]
    else:
        folder = layout.suite("x").parent
        wanted = None
        for place in sorted(folder.glob("*.json")) if folder.is_dir() else ():
            try:
                parsed(place.read_bytes(), place.stem)
            except (OSError, RecordError) as error:
                done.damaged.append(f"suites/{place.name}: {error}")
            else:
                done.suites.append(place.stem)
    files = dict(_records(store, wanted, done, audited))
    if not done.records:
        raise RecordError(f"the results folder {layout.out} holds no finished record to export")
    for name in done.suites:
        files[f"suites/{name}.json"] = layout.suite(name)
    ordered = sorted(files.items())
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "files": {
            name: {"sha256": hash_of(place), "size": place.stat().st_size}
            for name, place in ordered
        },
    }
    head = json.dumps(manifest, indent=1, sort_keys=True).encode()
    return {MANIFEST: head, **dict(ordered)}, done


def most_bytes(name: str) -> int:
    """How large the member ``name`` may be."""
    return _MOST.get(name.rpartition("/")[2], _MOST_JSON)


def _records(
    store: RecordStore, wanted: Collection[str] | None, done: Exported, audited: bool
) -> Iterator[tuple[str, Path]]:
    layout = store.layout
    audits = AuditStore(layout.out)
    for place in sorted(layout.cells.iterdir()) if layout.cells.is_dir() else ():
        key = place.name
        if wanted is not None and key not in wanted:
            continue
        try:
            record = checked(place)
            for name in FILES:
                there = place / name
                if there.is_file() and there.stat().st_size > most_bytes(name):
                    raise RecordError(f"{name} has more than {most_bytes(name)} bytes")
        except RecordError as error:
            done.damaged.append(f"cells/{key}: {error}")
            continue
        if not record.final:
            done.failed += 1
            continue
        done.records += 1
        for name in FILES:
            if (place / name).is_file():
                yield f"cells/{key}/{name}", place / name
        if layout.rescoring(key).is_file():
            yield f"rescored/{key}.json", layout.rescoring(key)
        if audited and audits.settled(key):
            yield f"audits/{key}.json", audits.folder / f"{key}.json"
