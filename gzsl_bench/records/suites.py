"""Resolved suites kept with their records, so that tables need neither data nor plugins."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from gzsl_bench import atomic, locks
from gzsl_bench.data.yamlfile import read_yaml
from gzsl_bench.errors import RecordError, nearest
from gzsl_bench.records import strict
from gzsl_bench.records.layout import Layout
from gzsl_bench.suite.merge import answered_anew, merge
from gzsl_bench.suite.resolved import ResolvedSuite

#: Seconds to wait for another process that stores a suite.
PATIENCE = 10.0


def remember(layout: Layout, suite: ResolvedSuite) -> ResolvedSuite:
    """Store a resolved suite, merged with what an earlier run of the same file resolved.

    Of runs that do so at once, each finds what the others stored.  What ran under that name with
    another content is kept beside it, ``<name>~<hash>``, unless all its cells are in this one.
    Answers from outside leave it where new ones of that method and data set come.
    """
    with _storing(layout):
        place, beside = layout.suite(suite.name), _beside(layout, suite)
        before = _read(place)
        if before is not None and before.text != suite.text:
            _set_aside(layout, before, suite)
            before = _read(beside)
        if before is not None:
            gone = {cell.key for cell in answered_anew(before, suite)}
            before = replace(before, cells=tuple(c for c in before.cells if c.key not in gone))
        merged = merge(before, suite)
        _write(place, merged)
        beside.unlink(missing_ok=True)
    return merged


def add(layout: Layout, suite: ResolvedSuite) -> bool:
    """Add what another machine resolved; False if the suite of that name has another file here.

    Then it is kept beside it.
    """
    with _storing(layout):
        ours = _read(layout.suite(suite.name))
        same = ours is None or ours.text == suite.text
        if not same:
            ours = _read(_beside(layout, suite))
        merged = suite if ours is None else merge(suite, ours)
        _write(layout.suite(suite.name) if same else _beside(layout, suite), merged)
    return same


def _set_aside(layout: Layout, before: ResolvedSuite, suite: ResolvedSuite) -> None:
    def shown(resolved: ResolvedSuite) -> set[tuple[str, str, str]]:
        return {(cell.key, cell.dataset, cell.label) for cell in resolved.cells}

    if shown(before) <= shown(suite):
        return
    beside = _beside(layout, before)
    _write(beside, before)
    strict.warn(
        f"another suite called {suite.name!r}, or this one before it was edited, was run in"
        f" {layout.out}; both are kept: `table FILE` and `sync FILE` show that of the file,"
        f" {suite.name} is the one run last, {beside.stem} the other"
    )


def _beside(layout: Layout, suite: ResolvedSuite) -> Path:
    """Where a suite is kept while another one has its name."""
    digest = hashlib.sha256(suite.text.encode("utf-8", "replace")).hexdigest()
    return layout.suite(f"{suite.name}~{digest[:8]}")


def _write(place: Path, suite: ResolvedSuite) -> None:
    atomic.write_text(place, json.dumps(suite.to_json(), indent=1))


@contextlib.contextmanager
def _storing(layout: Layout) -> Iterator[None]:
    try:
        layout.out.mkdir(parents=True, exist_ok=True)
        with _alone(layout):
            yield
    except OSError as error:
        raise RecordError(f"the results folder {layout.out} cannot be written: {error}") from None


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
    return _of_text(layout, suite.name, suite.text) or suite


def _of_text(layout: Layout, name: str, text: str) -> ResolvedSuite | None:
    """What is stored of the suite file with that content."""
    stored = _read(layout.suite(name))
    if stored is not None and stored.text != text:
        stored = _read(_beside(layout, replace(stored, text=text)))
    return stored


def known(layout: Layout) -> list[str]:
    """Names of the stored suites; of several of a name the one run last."""
    there = (place.stem for place in layout.suite("x").parent.glob("*.json"))
    return sorted(name for name in there if "~" not in name)


def versions(layout: Layout, suite: ResolvedSuite) -> dict[str, ResolvedSuite]:
    """What else has run under the suite's name, from another file or before it was edited."""
    places = sorted(layout.suite("x").parent.glob("*.json"))
    named = [place for place in places if place.stem.partition("~")[0] == suite.name]
    found = {place.stem: _read(place) for place in named}
    return {n: one for n, one in found.items() if one is not None and one.text != suite.text}


def told(layout: Layout, suite: ResolvedSuite) -> frozenset[str]:
    """The warnings that an earlier run of the suite gave in this folder."""
    before = _read(layout.suite(suite.name))
    return frozenset(() if before is None else before.warnings)


def recall(layout: Layout, suite: str | None) -> ResolvedSuite:
    """The stored suite that ``suite`` (a YAML file or a suite's name) stands for.

    Of several that have the name, that of the file; by name, the one run last; without a name, the
    only one.

    Raises:
        RecordError: nothing of that suite is stored, or there are several.
    """
    if suite is None:
        there = known(layout)
        if len(there) != 1:
            held = f"{len(there)} suites ({', '.join(there)})" if there else "no suite yet"
            more = "; name one of them" if there else "; gzsl-bench run puts one there"
            raise RecordError(f"the results folder {layout.out} holds {held}{more}")
        suite = there[0]
    path = Path(suite)
    name, stored = suite, None
    if path.suffix in (".yaml", ".yml") or path.is_file():
        name = str(read_yaml(path).content.get("name"))
        if not {"/", "\0"} & set(name):
            stored = _of_text(layout, name, path.read_text(encoding="utf-8"))
    if stored is None and not {"/", "\0"} & set(name):
        stored = _read(layout.suite(name))
    if stored is None:
        there = sorted(p.stem for p in layout.suite("x").parent.glob("*.json"))
        holds = f"it knows {', '.join(there)}" if there else "it holds no suite yet"
        meant = nearest(name, there)
        hint = f"did you mean {meant!r}? " if meant else ""
        raise RecordError(
            f"the results folder {layout.out} holds nothing of the suite {name!r}; {hint}{holds}"
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
    if suite.name != name.partition("~")[0]:
        raise RecordError(f"it is the suite {suite.name!r}")
    return suite


@cache
def _adapter() -> TypeAdapter[ResolvedSuite]:
    return TypeAdapter(ResolvedSuite)
