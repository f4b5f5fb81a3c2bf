"""The plainest tar there is: regular files with short names, written and read block by block.

Archives come from other machines.  What cannot be in ours (links, folders, devices, extended
headers, names that lead elsewhere) is refused by its header, before a byte of it is used.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from gzsl_bench.errors import RecordError

_BLOCK = 512
#: Read and written at once.
_CHUNK = 1 << 20
#: An archive may unpack to so many times its size, from so many bytes on; records reach about 5.
MOST_RATIO, RATIO_FROM = 200, 16 << 20
#: Longest name that needs no extended header.
LONGEST_NAME = 100


def write(path: Path, members: Iterable[tuple[str, Path | bytes]]) -> None:
    """Write an archive that depends on names and contents alone; gzip if ``path`` ends in ``gz``.

    Args:
        path: the archive; must not exist.
        members: name and content (or the file that has it) of every member, in order.

    Raises:
        OSError: it cannot be written, or a file cannot be read.
    """
    with path.open("xb") as file:
        if path.suffix in (".gz", ".tgz"):
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                _write(packed, members)
        else:
            _write(file, members)


def _write(file: IO[bytes] | gzip.GzipFile, members: Iterable[tuple[str, Path | bytes]]) -> None:
    for name, content in members:
        info = tarfile.TarInfo(name)  # no owner, no time, mode 644
        if isinstance(content, bytes):
            info.size = len(content)
            file.write(info.tobuf(tarfile.USTAR_FORMAT))
            _copy(io.BytesIO(content), file, info.size)
        else:
            with content.open("rb") as source:
                info.size = source.seek(0, io.SEEK_END)
                source.seek(0)
                file.write(info.tobuf(tarfile.USTAR_FORMAT))
                _copy(source, file, info.size)
        file.write(b"\0" * (-info.size % _BLOCK))
    file.write(b"\0" * (2 * _BLOCK))


class Reader:
    """Members of an archive one after the other; each is read, or skipped, before the next."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._left = 0
        self._padding = 0
        try:
            raw = path.open("rb")
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
        except OSError as error:
            why = error.strerror or error
            raise RecordError(f"the archive {path} cannot be read: {why}") from None
        self._raw = raw
        self._room = max(RATIO_FROM, MOST_RATIO * path.stat().st_size)
        self._file: IO[bytes] = gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[assignment]

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._raw.close()

    def members(self) -> Iterator[tuple[str, int]]:
        """Name and size of each member.

        Raises:
            RecordError: it is no such archive, is cut short, or holds what it may not.
        """
        while True:
            self._skip()
            block = self._read(_BLOCK)
            if block == b"\0" * _BLOCK:
                return
            try:
                info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
            except (tarfile.HeaderError, UnicodeError, ValueError) as error:
                raise self.refused(f"it is no tar of records ({error})") from None
            if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
                raise self.refused(f"{info.name!r} in it is no plain file")
            if info.size < 0:
                raise self.refused(f"{info.name!r} in it has the size {info.size}")
            self._left, self._padding = info.size, -info.size % _BLOCK
            yield info.name, info.size

    def read(self) -> bytes:
        """The present member, whose size the caller has found to be small enough."""
        content = self._read(self._left)
        self._left = 0
        return content

    def copy_to(self, target: IO[bytes]) -> None:
        """Copy the present member."""
        while self._left:
            chunk = self._read(min(_CHUNK, self._left))
            self._left -= len(chunk)
            target.write(chunk)

    def expect(self, size: int) -> None:
        """Refuse the archive if so many bytes more are too many."""
        if size > self._room:
            raise self.refused(f"it unpacks to more than {MOST_RATIO} times its size")

    def refused(self, reason: str) -> RecordError:
        """The error that says why the archive is not used."""
        return RecordError(f"the archive {self._path} is refused: {reason}")

    def _skip(self) -> None:
        while self._left:
            self._left -= len(self._read(min(_CHUNK, self._left)))
        self._read(self._padding)
        self._padding = 0

    def _read(self, size: int) -> bytes:
        self.expect(size)
        self._room -= size
        try:
            content = self._file.read(size)
        except (OSError, EOFError, zlib.error) as error:
            raise self.refused(f"it is damaged ({error})") from None
        if len(content) < size:
            raise self.refused("it is cut short")
        return content


def _copy(source: IO[bytes], target: IO[bytes] | gzip.GzipFile, size: int) -> None:
    left = size
    while left:
        chunk = source.read(min(_CHUNK, left))
        if not chunk:
            raise OSError("a file became shorter while it was read")
        target.write(chunk)
        left -= len(chunk)
