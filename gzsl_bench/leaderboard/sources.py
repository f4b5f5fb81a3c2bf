"""Where the records of a leaderboard come from, and what was said of them before.

A source is a results folder, an export (a folder or one file), or a submission to a results
repository, whose own checks say what each record is (:mod:`gzsl_bench.records.submissions`); a
submission says nothing of its own status.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from gzsl_bench.errors import RecordError
from gzsl_bench.records import strict
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.merge import merge
from gzsl_bench.records.store import RecordStore
from gzsl_bench.records.submissions import MARK, Repository, Verdict
from gzsl_bench.suite.resolved import ResolvedSuite

_ARCHIVES = (".tar", ".tar.gz", ".tgz")


@dataclass(frozen=True)
class Source:
    """One origin of records.

    Attributes:
        name: what the site calls it; no two have the same.
        folder: with ``cells/``.
        said: what the repository's checks found, by key.
        about: of a submission, whose it is, when it was trained, and what else is said of it.
        refused: what of it is left out already, and why.
        closed: none of its records is shown.
    """

    name: str
    folder: Path
    said: Mapping[str, Verdict] = field(default_factory=dict)
    about: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    closed: bool = False

    @property
    def keys(self) -> list[str]:
        """The cells whose records are looked at."""
        cells = Layout(self.folder).cells
        return [] if self.closed else sorted(place.name for place in cells.iterdir())


def find(places: Iterable[Path], scratch: Path) -> list[Source]:
    """The sources in folders and archives, in their order.

    Args:
        places: results folders, exports, results repositories.
        scratch: where archives are unpacked.

    Raises:
        RecordError: one is none of these, or an archive is refused.
    """
    found: list[Source] = []
    taken: set[str] = set()
    for place in places:
        if (place / MARK).is_file():
            repository = Repository.at(place)
            names = [*repository.names, *repository.misnamed]
            found += [_submission(repository, name, taken) for name in names]
        elif place.is_file() and place.name.endswith(_ARCHIVES):
            name = _unused(re.sub(r"\.(tar|tar\.gz|tgz)$", "", place.name), taken)
            (scratch / name).mkdir()
            # Its numbers are looked at with those of all others.
            done = merge(RecordStore(scratch / name), place, None)
            found.append(Source(name, scratch / name, refused=tuple(done.refused)))
        elif (place / "cells").is_dir():
            found.append(Source(_unused(_name(place.resolve()), taken), place))
        else:
            raise RecordError(
                f"{place} is no results folder, no export and no results repository: it has"
                f" neither cells/ nor {MARK}"
            )
    return found


def datasets(source: Source) -> dict[str, Mapping[str, Any]]:
    """What the source's suites keep of their data, by its fingerprint."""
    found: dict[str, Mapping[str, Any]] = {}
    folder = Layout(source.folder).suite("x").parent
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        suite = strict.read(_suites(), path)
        for entry in suite.datasets if suite is not None else ():
            found.setdefault(str(entry["fingerprint"]), entry)
    return found


def _submission(repository: Repository, name: str, taken: set[str]) -> Source:
    """A submission; one that is none, or was refused as a whole, has no record that is shown."""
    shown = _unused(name, taken)
    place = repository.root / "submissions" / name
    try:
        folder = repository.submission(name)
        about = repository.about(name)
        if (
            folder.is_symlink()
            or (folder / "cells").is_symlink()
            or not (folder / "cells").is_dir()
        ):
            raise RecordError(f"submissions/{name} is no folder with records of its own")
    except RecordError as error:
        return Source(shown, place, refused=(str(error),), closed=True)
    checked = repository.checked(name)
    said, refused = (checked.records, checked.refused) if checked else ({}, ())
    return Source(
        name=shown,
        folder=folder,
        said=said,
        about=tuple(filter(None, (about.who, about.contact, about.when, about.text))),
        refused=refused,
        closed=bool(refused) and not said,
    )


def _name(place: Path) -> str:
    """A folder's name; of one that is called as all are, its parent's, too."""
    generic = place.name == "gzsl-results" and place.parent.name
    return f"{place.parent.name}-{place.name}" if generic else place.name


def _unused(name: str, taken: set[str]) -> str:
    """A name for files and readers that no other source has."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "results"
    several = (f"{plain}-{number}" for number in range(2, len(taken) + 3))
    found = next(each for each in (plain, *several) if each not in taken)
    taken.add(found)
    return found


@cache
def _suites() -> TypeAdapter[ResolvedSuite]:
    return TypeAdapter(ResolvedSuite)
