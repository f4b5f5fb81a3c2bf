"""What a site keeps of itself, so that it outlives the folders it was made from.

``leaderboard.json`` names its sources and what was said of them, ``entries/ID.json`` holds an entry
as plain data.  Predictions are not there, so nothing can be computed again: what is kept is what an
earlier build found.  It is taken from the folder that is written anew alone, and is as true as that
folder is.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter

from gzsl_bench import atomic
from gzsl_bench.errors import RecordError
from gzsl_bench.leaderboard.entries import Entry, Found
from gzsl_bench.leaderboard.sources import Source
from gzsl_bench.records import strict
from gzsl_bench.records.submissions import STATUSES
from gzsl_bench.version import __version__

#: Left at the root of a site: only a folder that has it is written anew.
MARK = "leaderboard.json"
#: Within a site: what a build has made, and not yet put in its place.
NEXT = ".next"
#: Names that become parts of paths.
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class _Origin:
    """A source without its folder.

    Attributes:
        name: see :class:`~gzsl_bench.leaderboard.sources.Source`.
        about: the same.
        refused: the same.
        left_out: see :class:`~gzsl_bench.leaderboard.entries.Found`.
        apart: the same.
    """

    __pydantic_config__: ClassVar[ConfigDict] = strict.STRICT

    name: str
    about: tuple[str, ...]
    refused: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    apart: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class _Site:
    """What the mark of a site says; sites of before have no sources in it."""

    __pydantic_config__: ClassVar[ConfigDict] = strict.STRICT

    made_by: str
    sources: tuple[_Origin, ...] | None = None


def settle(out: Path) -> None:
    """Put in its place what a build had ready, and remove what one left half made.

    An entry and the hashes of its records must change together: a build writes them all to
    :data:`NEXT`, the mark last, and only then moves them.  One that ends while it moves is moved to
    its end by the next one.
    """
    ready = out / NEXT
    if (ready / MARK).is_file():
        files = [path for path in ready.rglob("*") if path.is_file()]
        for path in sorted(files, key=lambda path: path == ready / MARK):
            place = out / path.relative_to(ready)
            place.parent.mkdir(parents=True, exist_ok=True)
            path.replace(place)
    shutil.rmtree(ready, ignore_errors=True)


def remember(out: Path, origins: Iterable[Source], found: Mapping[str, Found]) -> None:
    """Write the mark of a site: the sources that its entries come from."""
    sources = tuple(
        _Origin(
            source.name,
            source.about,
            source.refused,
            tuple(found[source.name].left_out.items()),
            tuple(found[source.name].apart.items()),
        )
        for source in origins
    )
    site = _Site(f"gzsl-bench {__version__}", sources)
    atomic.write_json(out / MARK, _sites().dump_python(site, mode="json"))


def write(out: Path, entry: Entry) -> Path:
    """Write an entry as plain data; where it will lie, beside its page."""
    name = Path("entries", f"{entry.id}.json")
    path = out / NEXT / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_entries().dump_json(entry))
    return out / name


def read(out: Path, given: Iterable[str]) -> tuple[list[tuple[Source, Found]], list[Entry]]:
    """What an earlier site keeps of the sources that are not given anew; nothing where none is.

    Args:
        out: the site.
        given: names of sources that take the place of what is kept of them.

    Returns:
        Each source, and what became of its records; entries of those that are given anew.

    Raises:
        RecordError: what it keeps is damaged, or its program kept nothing.
    """
    if not (out / MARK).is_file():
        return [], []
    try:
        site = strict.parse(_sites(), (out / MARK).read_bytes())
    except (OSError, RecordError) as error:
        raise RecordError(f"{out / MARK} cannot be read: {error}") from None
    if site.sources is None:
        raise RecordError(
            f"{out} was made by a program that kept no entries (entries/*.json): build it once"
            " from its sources"
        )
    taken = set(given)
    origins = [origin for origin in site.sources if origin.name not in taken]
    mine: dict[str, list[Entry]] = {origin.name: [] for origin in origins}
    replaced: list[Entry] = []
    for path in sorted((out / "entries").glob("*.json")):
        entry = _entry(path)
        if entry.source in mine:
            _refuse_changed(out, path, entry)
            also = tuple(name for name in entry.also if name in mine)
            mine[entry.source].append(replace(entry, also=also))
        elif entry.source in taken:
            replaced.append(entry)
    return [_of(out, origin, mine[origin.name]) for origin in origins], replaced


def gone(replaced: Iterable[Entry], anew: Sequence[Entry]) -> tuple[str, ...]:
    """Which sources lose entries because another folder has their name; a sentence each."""
    there = {part.key for entry in anew for part in entry.parts}
    lost = Counter(e.source for e in replaced if not there & {part.key for part in e.parts})
    return tuple(
        f"{count} of the entries kept of {name} ended with this build: the DIR of that name has"
        " none of their records; another name of that folder would keep both"
        for name, count in lost.items()
    )


def without(kept: Found, anew: Sequence[Entry]) -> Found | None:
    """What is kept but for entries whose very records stand beside more in one made anew.

    That must be known as well: a copy without its verdicts displaces nobody, and neither does
    another run of the same trainings, which whoever knows a key may claim.  None where nothing is
    left.
    """
    mine = tuple(e for e in kept.entries if not any(_more(one, e) for one in anew))
    return replace(kept, entries=mine) if mine or kept.left_out else None


def _more(one: Entry, kept: Entry) -> bool:
    known = STATUSES.index(one.status) <= STATUSES.index(kept.status)
    return known and kept.same < one.same


def _of(out: Path, origin: _Origin, entries: Sequence[Entry]) -> tuple[Source, Found]:
    source = Source(origin.name, out, about=origin.about, refused=origin.refused)
    return source, Found(tuple(entries), dict(origin.left_out), dict(origin.apart))


def _entry(path: Path) -> Entry:
    try:
        entry = strict.parse(_entries(), path.read_bytes())
    except (OSError, RecordError) as error:
        raise RecordError(f"{path} cannot be read: {error}") from None
    names = [entry.id, entry.source, *entry.also, *(part.key for part in entry.parts)]
    if entry.id != path.stem or not all(map(_NAME.fullmatch, names)):
        raise RecordError(f"{path} holds no entry of that name")
    return entry


def _refuse_changed(out: Path, path: Path, entry: Entry) -> None:
    """Nothing is kept whose records are not those that were looked at."""
    for part in entry.parts:
        record = out / "records" / entry.source / f"{part.key}.json"
        try:
            same = hashlib.sha256(record.read_bytes()).hexdigest() == part.sha256
        except OSError as error:
            raise RecordError(f"{path} has lost a record: {error}") from None
        if not same:
            raise RecordError(f"{record} has changed since {path} was made of it")


@cache
def _sites() -> TypeAdapter[_Site]:
    return TypeAdapter(_Site)


@cache
def _entries() -> TypeAdapter[Entry]:
    return TypeAdapter(Entry)
