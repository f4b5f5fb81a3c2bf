"""Whether a store still shows what it was last given, told without opening it.

A run that finds everything finished has nothing to mirror.  To see that in MLflow takes longer than
all else that such a run does, so its end leaves a stamp: a digest of what was shown and the store's
file as it was then.  Only a SQLite file can be told so; whoever else writes to it (MLflow's page, a
run of another suite) changes the file, and the stamp speaks for it no more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from gzsl_bench import atomic
from gzsl_bench.records.layout import Layout
from gzsl_bench.results.view import Results
from gzsl_bench.tracking.address import sqlite_file
from gzsl_bench.tracking.describe import MIRROR_VERSION
from gzsl_bench.version import __version__


def holds(uri: str, results: Results) -> bool:
    """Whether the store shows these results, as far as the stamp can tell."""
    state = _state(uri, results)
    try:
        kept = _place(results).read_bytes()
    except OSError:
        return False
    return state is not None and kept == state.encode()


def leave(uri: str, results: Results) -> None:
    """Note that the store shows these results, all of them.

    Raises:
        OSError: the results folder cannot be written.
    """
    if (state := _state(uri, results)) is not None:
        atomic.write_text(_place(results), state)


def _place(results: Results) -> Path:
    return results.store.layout.mirrored(results.suite.name)


def _state(uri: str, results: Results) -> str | None:
    """A digest of the store's file and of all that it shows; None where there is no such file."""
    file = sqlite_file(uri)
    if file is None or not file.is_file():
        return None
    shown = list(_seen([file, *_shown(results.store.layout, results.cells)]))
    said = [MIRROR_VERSION, __version__, uri, results.suite.to_json(), shown]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _shown(layout: Layout, keys: Iterable[str]) -> Iterator[Path]:
    for key in keys:
        yield layout.cell(key) / "record.json"
        yield layout.rescoring(key)
        yield layout.imported(key)
        yield layout.audits / f"{key}.json"


def _seen(paths: Iterable[Path]) -> Iterator[tuple[str, int, int, int]]:
    """Name, number, size and time of the files that are there."""
    for path in paths:
        try:
            found = path.stat()
        except OSError:
            continue
        yield str(path), found.st_ino, found.st_size, found.st_mtime_ns
