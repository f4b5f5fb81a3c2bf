"""The arrays of a task in memory that nobody can write to, mapped by all processes that need them.

Each process maps them copy on write: what a method writes to its tensors lands in pages of its own.
Nor does it get at the others' by way of the descriptor, since the memory is sealed.  Where the
system has no such memory, a file without a name serves, opened for reading alone.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import mmap
import os
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gzsl_bench.data.cache import stat_key
from gzsl_bench.data.tasks import TaskData
from gzsl_bench.errors import DataError, shortage

#: Seconds between attempts to seal memory.
_PAUSES = (0.01, 0.05, 0.2, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True)
class Mapped:
    """An array that stays in its file: where it lies there, and what tells that file from another.

    Attributes:
        name: of the array.
        path: of the file.
        dtype: of its numbers.
        shape: of the array.
        offset: bytes before it.
        stat: size, times and inode of the file.
    """

    name: str
    path: str
    dtype: str
    shape: Sequence[int]
    offset: int
    stat: Sequence[int]

    @classmethod
    def of(cls, name: str, array: np.memmap[Any, Any]) -> Mapped:
        """That of an array that numpy has mapped as a whole."""
        path, shape = os.path.realpath(array.filename or ""), array.shape
        stat = stat_key(Path(path).stat())
        return cls(name, path, array.dtype.str, list(shape), array.offset, stat)

    def same(self) -> bool:
        """Whether nobody has written to the file, or put another in its place."""
        try:
            return stat_key(Path(self.path).stat()) == list(self.stat)
        except OSError:
            return False

    def opened(self) -> np.ndarray:
        """The array, for reading alone.

        Raises:
            DataError: the file is another one.
        """
        if not self.same():
            raise DataError(f"{self.path} changed while a run was using it; start the run again")
        return np.memmap(self.path, self.dtype, "r", self.offset, tuple(self.shape))


@dataclass(frozen=True, eq=False)
class Sealed:
    """A task's arrays in sealed memory.

    Attributes:
        descriptor: of the memory; whoever made or received it closes it.
        places: name, dtype, shape and offset in bytes of each array of :class:`TaskData`.
        files: real paths of what the data were read from.
        mapped: of the region maps that stay in their file: name, path, dtype, shape, offset and
            what tells that the file is the same.
    """

    descriptor: int
    places: tuple[tuple[str, str, tuple[int, ...], int], ...]
    files: frozenset[str] = frozenset()
    mapped: tuple[Mapped, ...] = ()

    @classmethod
    def of(cls, data: TaskData, files: Iterable[str] = ()) -> Sealed:
        """Copy arrays to sealed memory; region maps that lie in a file stay there.

        Raises:
            DataError: there is no room for them.
        """
        places, end, mapped = [], 0, []
        arrays = data.arrays
        if isinstance(data.regions, np.memmap) and data.regions.filename is not None:
            mapped.append(Mapped.of("regions", data.regions))
            del arrays["regions"]
        for name, array in arrays.items():
            places.append((name, array.dtype.str, array.shape, end))
            end += -(-array.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
        try:
            descriptor = _fill(end, [(place[-1], arrays[place[0]]) for place in places])
        except OSError as error:
            raise DataError(
                f"{end} bytes of memory for a task cannot be had: {error}{shortage(error)}"
            ) from None
        return cls(descriptor, tuple(places), frozenset(files), tuple(mapped))

    @property
    def size(self) -> int:
        """Bytes."""
        return os.fstat(self.descriptor).st_size

    def close(self) -> None:
        """Close the descriptor; what is mapped stays mapped."""
        os.close(self.descriptor)

    def private(self) -> TaskData:
        """The arrays, to be written to without anybody noticing."""
        return self._arrays(mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)

    def pristine(self) -> TaskData:
        """The arrays, for reading alone: writing there ends the process."""
        return self._arrays(mmap.MAP_SHARED, mmap.PROT_READ)

    def _arrays(self, flags: int, rights: int) -> TaskData:
        memory = mmap.mmap(self.descriptor, 0, flags=flags, prot=rights)
        return TaskData(
            **{
                name: np.frombuffer(memory, dtype, int(np.prod(shape)), offset).reshape(shape)
                for name, dtype, shape, offset in self.places
            },
            **{maps.name: maps.opened() for maps in self.mapped},
        )

    def moved(self) -> str | None:
        """The file of region maps that is not what it was, or None."""
        return next((maps.path for maps in self.mapped if not maps.same()), None)

    def describe(self) -> bytes:
        """What goes along with the descriptor to another process."""
        mapped = [astuple(maps) for maps in self.mapped]
        content = {"places": self.places, "files": sorted(self.files), "mapped": mapped}
        return json.dumps(content).encode()

    @classmethod
    def received(cls, descriptor: int, described: bytes) -> Sealed:
        """What another process has sent."""
        content: dict[str, Any] = json.loads(described)
        places = tuple((n, dtype, tuple(shape), at) for n, dtype, shape, at in content["places"])
        mapped = tuple(Mapped(*maps) for maps in content["mapped"])
        return cls(descriptor, places, frozenset(content["files"]), mapped)


def _fill(size: int, arrays: Iterable[tuple[int, np.ndarray]]) -> int:
    """Descriptor of sealed memory that holds arrays at given offsets."""
    writing, reading = _memory()
    try:
        os.ftruncate(writing, size)
        for offset, array in arrays:
            rest = memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
            while len(rest):
                written = os.pwrite(writing, rest, offset)
                rest, offset = rest[written:], offset + written
        if reading is None:
            _seal(writing)
            return writing
    except BaseException:
        os.close(writing)
        if reading is not None:
            os.close(reading)
        raise
    os.close(writing)
    return reading


def _seal(descriptor: int) -> None:
    """Let nobody write from now on.

    The system refuses while it holds a page for a moment itself (to look at how it is used, to move
    it), which happens on busy machines, so it is asked again for a few seconds.
    """
    seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
    for pause in (*_PAUSES, None):
        try:
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
            return
        except OSError as error:
            if error.errno != errno.EBUSY or pause is None:
                raise
            time.sleep(pause)


def _memory() -> tuple[int, int | None]:
    """A descriptor to write with and, where what is written cannot be sealed, one to read with."""
    with contextlib.suppress(AttributeError, OSError):
        return os.memfd_create("gzsl-bench-task", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), None
    writing, path = tempfile.mkstemp(prefix="gzsl-bench-task-")
    try:
        os.fchmod(writing, 0o400)
        return writing, os.open(path, os.O_RDONLY)
    finally:
        os.unlink(path)  # noqa: PTH108  it has no name any more
