"""Resolved suites kept with their records, so that tables need neither data nor plugins."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from gzsl_bench import atomic, locks
from gzsl_bench.data.yamlfile import read_yaml
from gzsl_bench.errors import RecordError
from gzsl_bench.records import strict
from gzsl_bench.records.layout import Layout
from gzsl_bench.suite.merge import merge
from gzsl_bench.suite.resolve import ResolvedSuite

#: Seconds to wait for another process that stores a suite.
PATIENCE = 10.0


def remember(layout: Layout, suite: ResolvedSuite) -> ResolvedSuite:
    """Store a resolved suite, merged with what an earlier run of the same file resolved.

    Of runs that do so at once, each finds what the others stored.
    """
    return _store(layout, suite.name, lambda ours: merge(ours, suite)) or suite


def add(layout: Layout, suite: ResolvedSuite) -> bool:
    """Add what another machine resolved; False if the suite of that name has another file here."""

    def ours_first(ours: ResolvedSuite | None) -> ResolvedSuite | None:
        if ours is None:
            return suite
        return merge(suite, ours) if ours.text == suite.text else None

    return _store(layout, suite.name, ours_first) is not None


def _store(
    layout: Layout, name: str, change: Callable[[ResolvedSuite | None], ResolvedSuite | None]
) -> ResolvedSuite | None:
    """Put what ``change`` makes of a stored suite in its place; None leaves it as it is."""
    path = layout.suite(name)
    try:
        layout.out.mkdir(parents=True, exist_ok=True)
        with _alone(layout):
            changed = change(_read(path))
            if changed is not None:
                atomic.write_text(path, json.dumps(changed.to_json(), indent=1))
    except OSError as error:
        raise RecordError(f"the results folder {layout.out} cannot be written: {error}") from None
    return changed


@contextlib.contextmanager
def _alone(layout: Layout) -> Iterator[None]:
    """Let nobody else store a suite meanwhile, if the file system knows locks.

    Whoever holds the lock for longer than it takes to write a file is frozen.  Should it wake up,
    it may put its cells in the place of ours, which the next command adds again.
    """
    place = layout.out / ".suites.lock"
    descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if locks.take(descriptor, patience=PATIENCE) is False:
            strict.warn(
                f"another process holds {place} for {PATIENCE:.0f} s and does nothing; the suite is"
                " stored all the same"
            )
        yield
    finally:
        os.close(descriptor)


def current(layout: Layout, suite: ResolvedSuite) -> ResolvedSuite:
    """A suite as the folder remembers it by now: runs beside ours may have added cells to it."""
    stored = _read(layout.suite(suite.name))
    return stored if stored is not None and stored.text == suite.text else suite


def recall(layout: Layout, suite: str) -> ResolvedSuite:
    """The stored suite that ``suite`` (a YAML file or a suite's name) stands for.

    Raises:
        RecordError: nothing of that suite is stored.
    """
    path = Path(suite)
    name = suite
    if path.suffix in (".yaml", ".yml") or path.is_file():
        name = str(read_yaml(path).content.get("name"))
    stored = _read(layout.suite(name)) if not {"/", "\0"} & set(name) else None
    if stored is None:
        there = sorted(p.stem for p in layout.suite("x").parent.glob("*.json"))
        known = f"it knows {', '.join(there)}" if there else "it holds no suite yet"
        raise RecordError(
            f"the results folder {layout.out} holds nothing of the suite {name!r}; {known}"
        )
    return stored


def _read(path: Path) -> ResolvedSuite | None:
    """A stored suite, or None; one that does not fit is skipped."""
    try:
        return parsed(path.read_bytes(), path.stem)
    except FileNotFoundError:
        return None
    except (OSError, RecordError) as error:
        strict.skip(path, error)
        return None


def parsed(raw: bytes, name: str) -> ResolvedSuite:
    """A suite from the bytes of its file.

    Raises:
        RecordError: it is none, or one of another name.
    """
    suite = strict.parse(_adapter(), raw)
    if suite.name != name:
        raise RecordError(f"it is the suite {suite.name!r}")
    return suite


@cache
def _adapter() -> TypeAdapter[ResolvedSuite]:
    return TypeAdapter(ResolvedSuite)
