"""An archive of records as a folder of plain files, as a results repository keeps it.

The same members under the same names as in the one file (:mod:`gzsl_bench.records.export`), and
read with the same suspicion: links and everything else that is no plain file are refused.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from gzsl_bench.errors import RecordError

#: Said of an archive in a results repository beside its members, and no member.
ABOUT = "submission.json"
#: The member that comes first.
FIRST = "manifest.json"


class Folder:
    """Members of an unpacked archive, read like those of one (:mod:`gzsl_bench.records.tarball`).

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Path | None = None
        self._left = self._walk()
        if path.is_symlink():
            raise self.refused("it is a link")

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def members(self) -> Iterator[tuple[str, int]]:
        """Name and size of each member that is left, the manifest first.

        Raises:
            RecordError: there is something that is no plain file.
        """
        return self._left

    def _walk(self) -> Iterator[tuple[str, int]]:
        found: dict[str, int] = {}
        for folder, names, files in os.walk(self._path):
            for path in (Path(folder) / name for name in (*names, *files)):
                shown = path.relative_to(self._path).as_posix()
                about = path.lstat()
                if stat.S_ISREG(about.st_mode):
                    found[shown] = about.st_size
                elif not stat.S_ISDIR(about.st_mode):
                    raise self.refused(f"{shown!r} in it is no plain file")
        found.pop(ABOUT, None)
        for name in sorted(found, key=lambda name: (name != FIRST, name)):
            self._file = self._path / name
            yield name, found[name]

    def read(self) -> bytes:
        """The present member, whose size the caller has found to be small enough."""
        assert self._file is not None
        return self._file.read_bytes()

    def copy_to(self, target: IO[bytes]) -> None:
        """Copy the present member."""
        assert self._file is not None
        with self._file.open("rb") as source:
            shutil.copyfileobj(source, target)

    def expect(self, size: int) -> None:
        """Files are as large as they are: nothing is packed."""

    def refused(self, reason: str) -> RecordError:
        """The error that says why the folder is not used."""
        return RecordError(f"{'/'.join(self._path.parts[-2:])} is refused: {reason}")


def write(folder: Path, members: Mapping[str, Path | bytes]) -> list[str]:
    """Make a folder hold these members and nothing else; files that are right stay untouched.

    Args:
        folder: the folder.
        members: content, or the file that has it, by name.

    Returns:
        Names of the members that were written or removed.

    Raises:
        OSError: it cannot be written, or a file cannot be read.
    """
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()}
    changed = sorted(there - members.keys())
    for name in changed:
        (folder / name).unlink()
    for name, content in members.items():
        place = folder / name
        new = content if isinstance(content, bytes) else content.read_bytes()
        if name in there and place.read_bytes() == new:
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(new)
        changed.append(name)
    return changed
