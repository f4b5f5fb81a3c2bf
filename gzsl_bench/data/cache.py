"""A cache of converted feature matrices that processes map into memory and share.

Layout of the cache folder::

    index/<digest of a path>.json     what a file at a path held when it was last hashed
    content/<digest of a file>/       features.npy, labels.npy, meta.json

The index is trusted while size, inode and times of the file are unchanged; after that the file is
hashed again.  An entry is written under a temporary name, flushed, and appears by a rename: two
processes, a kill half way or a full disk never leave a bad one behind.  An entry that was damaged
later is recognised by its sizes, by a sample of its rows and, where a file's times are not those of
its writing, by all of its bytes; it is built anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gzsl_bench.atomic import write_json
from gzsl_bench.data.identity import array_digest, row_chunks

CACHE_VARIABLE = "GZSL_BENCH_CACHE"
_FORMAT = 1
_BLOCK = 1 << 22
_SAMPLED_ROWS = 16
_STALE_SECONDS = 24 * 3600.0


@dataclass(frozen=True, eq=False)
class Entry:
    """A converted feature matrix.

    Attributes:
        features: [N, D] float32, finite; memory-mapped and read-only where it came from a cache.
        labels: [N] int64 as the source holds them.
        digest: ``identity.array_digest`` of the features.
        warnings: why no cache was used, where one was asked for.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    digest: str
    warnings: tuple[str, ...] = ()


def default_cache() -> Path:
    """``GZSL_BENCH_CACHE``, or the user's cache folder."""
    import platformdirs

    given = os.environ.get(CACHE_VARIABLE)
    return Path(given) if given else Path(platformdirs.user_cache_dir("gzsl-bench"))


def stat_key(stat: os.stat_result) -> list[int]:
    """What changes when a file's content changes, as far as the file system can tell."""
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def content_digest(cache: Path, path: Path, conversion: str) -> str:
    """Digest of the bytes of ``path`` and of the conversion's name; hashed only if it changed."""
    where = os.path.realpath(path)
    note = cache / "index" / f"{hashlib.sha256(os.fsencode(where)).hexdigest()[:32]}.json"
    key = stat_key(path.stat())
    known = _read_json(note)
    if known.get("path") == where and known.get("stat") == key:
        digest = known.get("sha256")
        if isinstance(digest, str) and len(digest) == 64:
            return _entry_name(digest, conversion)
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            hasher.update(block)
        # Of the open file: another one may have taken its name meanwhile.
        unchanged = stat_key(os.fstat(file.fileno())) == key
    if unchanged:
        with contextlib.suppress(OSError):
            write_json(note, {"path": where, "stat": key, "sha256": hasher.hexdigest()})
    return _entry_name(hasher.hexdigest(), conversion)


def parameter_digest(**parameters: object) -> str:
    """The name of an entry that is computed from parameters instead of read from a file."""
    text = json.dumps(parameters, sort_keys=True, default=str)
    return _entry_name(hashlib.sha256(text.encode()).hexdigest(), "parameters")


def _entry_name(digest: str, conversion: str) -> str:
    return hashlib.sha256(f"{_FORMAT}/{conversion}/{digest}".encode()).hexdigest()[:40]


def open_entry(cache: Path, content: str) -> Entry | None:
    """The entry called ``content``, mapped into memory; None where it is missing or damaged."""
    folder = cache / "content" / content
    meta = _read_json(folder / "meta.json")
    try:
        if meta["format"] != _FORMAT or meta["content"] != content:
            return None
        for name, size in meta["sizes"].items():
            if (folder / name).stat().st_size != size:
                return None
        features = np.load(folder / "features.npy", mmap_mode="r", allow_pickle=False)
        labels = np.load(folder / "labels.npy", allow_pickle=False)
        fits = (
            features.dtype == np.float32
            and list(features.shape) == meta["shape"]
            and features.flags.c_contiguous
            and labels.dtype == np.int64
            and labels.shape == features.shape[:1]
            and _sample(features, labels) == meta["sample"]
            and _untouched(folder, features, meta)
        )
        return Entry(features, labels, str(meta["features"])) if fits else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError):
        return None


def _untouched(folder: Path, features: NDArray[np.float32], meta: Mapping[str, Any]) -> bool:
    """Whether the matrix is as it was written: by its times, else by all of its bytes.

    A copied cache, or one of an earlier version, is read once and noted in ``checked.json``.
    """
    note = folder / "checked.json"
    key = stat_key((folder / "features.npy").stat())
    if key in (meta.get("stat"), _read_json(note).get("stat")):
        return True
    if array_digest(features, "float32") != meta["features"]:
        return False
    with contextlib.suppress(OSError):
        write_json(note, {"stat": key})
    return True


def kept(cache: Path, content: str, make: Callable[[], Entry], source: str) -> Entry:
    """The entry called ``content``; where there is none it is made and added.

    Args:
        cache: the cache folder.
        content: the entry's name.
        make: makes what it holds; a cache that cannot be written costs no more than a warning.
        source: where it comes from, for people who look into the folder.
    """
    found = open_entry(cache, content)
    if found is not None:
        return found
    made = make()
    try:
        return write_entry(cache, content, made, source)
    except OSError as error:
        note = (
            f"the cache folder {cache} cannot be used ({error.strerror or error}), so {source} is"
            f" converted in memory each time; choose another with {CACHE_VARIABLE}"
        )
        return replace(made, warnings=(note,))


def write_entry(cache: Path, content: str, made: Entry, source: str) -> Entry:
    """Add an entry, or take the equal one that another process added first.

    Raises:
        OSError: the folder cannot be written or the disk is full; nothing is left behind.
    """
    features, labels = made.features, made.labels
    parent = cache / "content"
    parent.mkdir(parents=True, exist_ok=True)
    _sweep(parent)
    building = Path(tempfile.mkdtemp(prefix=".building-", dir=parent))
    try:
        _write_npy(building / "features.npy", features)
        _write_npy(building / "labels.npy", labels)
        meta = {
            "format": _FORMAT,
            "content": content,
            "features": made.digest,
            "shape": list(features.shape),
            "sizes": {
                name: (building / name).stat().st_size for name in ("features.npy", "labels.npy")
            },
            "sample": _sample(features, labels),
            "stat": stat_key((building / "features.npy").stat()),
            "checks": ["orientation", "finite"],
            "source": source,
        }
        write_json(building / "meta.json", meta)
        _publish(cache, content, building)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    entry = open_entry(cache, content)
    if entry is None:
        raise OSError(f"what was just written to {parent / content} cannot be read back")
    return entry


def _publish(cache: Path, content: str, building: Path) -> None:
    """Rename into place; a sound entry that is there already wins, a damaged one is moved away."""
    final = cache / "content" / content
    for _ in range(8):
        try:
            building.rename(final)
            return
        except OSError:
            # Rename refuses a target folder that is not empty.
            if not final.exists():
                raise
        if open_entry(cache, content) is not None:
            return
        discarded = Path(tempfile.mkdtemp(prefix=".building-", dir=final.parent))
        with contextlib.suppress(OSError):
            final.rename(discarded / "damaged")
        shutil.rmtree(discarded, ignore_errors=True)
    raise OSError(f"the damaged cache entry {final} cannot be replaced")


def _write_npy(path: Path, array: NDArray[Any]) -> None:
    """Written through a file, not a mapping: on a full disk a mapping dies with SIGBUS."""
    with path.open("wb") as file:
        header = np.lib.format.header_data_from_array_1_0(np.ascontiguousarray(array[:1]))
        header["shape"] = array.shape
        np.lib.format.write_array_header_1_0(file, header)
        width = array.itemsize * int(np.prod(array.shape[1:], dtype=np.int64))
        for part in row_chunks(array.shape[0], width, _BLOCK):
            file.write(np.ascontiguousarray(array[part]).reshape(-1).view(np.uint8).data)
        file.flush()
        os.fsync(file.fileno())


def _sample(features: NDArray[np.float32], labels: NDArray[np.int64]) -> str:
    """Digest of the labels and of a few rows from the first to the last: cheap, not complete."""
    count = len(features)
    rows = np.unique(np.linspace(0, max(count - 1, 0), _SAMPLED_ROWS).astype(np.int64))
    hasher = hashlib.sha256(np.ascontiguousarray(labels).tobytes())
    hasher.update(np.ascontiguousarray(features[rows[rows < count]]).tobytes())
    return hasher.hexdigest()


def _sweep(parent: Path) -> None:
    """Remove what killed processes left behind more than a day ago."""
    now = time.time()
    for leftover in parent.glob(".building-*"):
        with contextlib.suppress(OSError):
            if now - leftover.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(leftover, ignore_errors=True)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
