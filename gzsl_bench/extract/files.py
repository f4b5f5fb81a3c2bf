"""Arrays that are written batch by batch, survive a kill, and are whole or not there.

In ``.extract-NAME/`` lie the plan, the images' names, the arrays as far as they are, and how many
rows of them count.
A batch's rows are on disk before they count, and a run that goes on begins after the last batch
that counts, with the batches of before: so the bytes are those of an undisturbed run.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gzsl_bench import locks
from gzsl_bench.atomic import naming, write_json, writing
from gzsl_bench.errors import DataError
from gzsl_bench.extract.images import Listing

_PLAN, _DONE, _IMAGES, _LOCK = "plan.json", "done.json", "images.json", "lock"
#: Bytes of a map that are quantised at a time.
_BLOCK = 1 << 24


@dataclass(frozen=True)
class Draft:
    """An array under way.

    Attributes:
        path: of the .npy file.
        shape: of the whole.
        dtype: of its values.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: str

    @property
    def row(self) -> int:
        """Bytes of one image."""
        return int(np.prod(self.shape[1:])) * np.dtype(self.dtype).itemsize

    def begin(self) -> None:
        """Write the header, as it will be."""
        with naming(self.path):
            self.path.write_bytes(self._header())

    def resume(self, rows: int) -> bool:
        """Keep this many rows, for an array that may have got another length; whether it can."""
        header = self._header()
        size = len(header) + rows * self.row
        with suppress(FileNotFoundError, ValueError), naming(self.path):
            if self.path.stat().st_size >= size and self._offset() == len(header):
                with self.path.open("r+b") as file:
                    file.write(header)
                    file.truncate(size)
                return True
        return False

    def _header(self) -> bytes:
        from numpy.lib import format as npy

        file = io.BytesIO()
        header = {"descr": self.dtype, "fortran_order": False, "shape": self.shape}
        npy.write_array_header_1_0(file, header)
        return file.getvalue()

    def put(self, start: int, rows: NDArray[Any]) -> None:
        """Write rows at their place and flush them to disk."""
        with naming(self.path), self.path.open("r+b") as file:
            file.seek(self._offset() + start * self.row)
            file.write(np.ascontiguousarray(rows, self.dtype).tobytes())
            file.flush()
            os.fsync(file.fileno())

    def _offset(self) -> int:
        from numpy.lib import format as npy

        with self.path.open("rb") as file:
            npy.read_magic(file)
            npy.read_array_header_1_0(file)
            return file.tell()


class Workplace:
    """The folder of a feature set under way; one process at a time is in it (use ``with``).

    Args:
        folder: of the data set.
        name: of the feature set.
        plan: all that fixes the bytes of an image's row.
        images: in the order of the rows.
        again: throw away what another plan has left.

    Raises:
        DataError: it was begun with another plan or other images, or another process is at work in
            it.
    """

    def __init__(
        self, folder: Path, name: str, plan: Mapping[str, Any], images: Listing, again: bool
    ) -> None:
        self.folder = folder / f".extract-{name}"
        self.plan = json.loads(json.dumps(plan))
        self.images = images
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self.folder / _LOCK).open("wb")
        try:
            self._agree(name, again)
        except BaseException:
            self._lock.close()
            raise

    def _agree(self, name: str, again: bool) -> None:
        """See that what is there was begun with the same plan."""
        if locks.take(self._lock.fileno()) is False:
            raise DataError(
                f"another gzsl-bench extracts {name} into {self.folder.parent}; wait for it, or"
                " end it"
            )
        before = self._read(_PLAN)
        other = None
        if before is not None:
            other = _difference(before, self.plan) if before != self.plan else self._other_image()
        if other is not None:
            if not again:
                raise DataError(
                    f"{self.folder} holds what was begun with {other}; give the same, or begin"
                    " again with --again"
                )
            for path in self.folder.glob("*.*"):
                path.unlink()
            before = None
        write_json(self.folder / _IMAGES, list(self.images.names))
        if before is None:
            write_json(self.folder / _PLAN, self.plan)

    def _other_image(self) -> str | None:
        """Which of the images that are done was another one; those to come may be others.

        So the work of hours is not lost when an image that cannot be read is taken away.
        """
        before = self._read(_IMAGES) or []
        for number in range(self.done):
            then, now = (list(names[number : number + 1]) for names in (before, self.images.names))
            if then != now:
                return (
                    f"other images: number {number + 1} was {_one(then)}, where it is now"
                    f" {_one(now)}"
                )
        return None

    @property
    def done(self) -> int:
        """Images whose rows count."""
        found = self._read(_DONE)
        return int(found["images"]) if found else 0

    def begin(self, drafts: list[Draft]) -> int:
        """Make the arrays ready; the number of images that are done.

        Those are done no more that come with or after one that was written since the run began.
        """
        good = min([self.done, *islice(self.images.changed_since(self.folder / _PLAN), 1)])
        whole = good == len(self.images.names)
        # The last batch of another list may have been a short one, and rounding depends on it.
        kept = good if whole else good - good % int(self.plan["batch"])
        moved = [whole and not draft.path.exists() for draft in drafts]  # to its place already
        if kept and all(
            gone or draft.resume(kept) for gone, draft in zip(moved, drafts, strict=True)
        ):
            return kept
        self.count(0)
        for draft in drafts:
            draft.begin()
        return 0

    def count(self, images: int) -> None:
        """Rows of this many images are on disk."""
        write_json(self.folder / _DONE, {"images": images})

    def clear(self) -> None:
        """All is in its place."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Workplace:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def _read(self, name: str) -> Any:
        with suppress(OSError, ValueError):
            return json.loads((self.folder / name).read_text(encoding="utf-8"))
        return None


def quantised(source: Path, target: Path, scales: Path) -> None:
    """[N, R, C] float16 as int8 and a scale for each channel: value = int8 * scale.

    A channel's scale is its largest absolute value / 127, so nothing is clipped.  Blocks of images
    are read one after another, twice.

    Args:
        source: the float16 file.
        target: of the int8 file.
        scales: of the scales, [C] float32.

    Raises:
        OSError: a file cannot be written.
    """
    count = len(np.load(source, mmap_mode="r", allow_pickle=False))
    step = max(1, _BLOCK * count // max(1, source.stat().st_size))
    largest: NDArray[np.float32] | None = None
    for start in range(0, count, step):
        found = np.abs(_block(source, start, step)).max(axis=(0, 1))
        largest = found if largest is None else np.maximum(largest, found)
    assert largest is not None
    scale = np.where(largest > 0, largest / np.float32(127), np.float32(1)).astype("<f4")
    with writing(target) as file:
        shape = np.load(source, mmap_mode="r", allow_pickle=False).shape
        header = {"descr": "|i1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, count, step):
            file.write(np.rint(_block(source, start, step) / scale).astype(np.int8).tobytes())
    with writing(scales) as file:
        np.save(file, scale)


def _block(path: Path, start: int, step: int) -> NDArray[np.float32]:
    """A few images; the file is mapped anew for each block, so that read pages do not pile up."""
    found: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)[
        start : start + step
    ].astype("<f4")
    return found


def _difference(before: Any, now: Any, at: str = "") -> str:
    """The first thing in which two plans differ, in words."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*now, *before]:
            if before.get(key) != now.get(key):
                return _difference(before.get(key), now.get(key), f"{at}.{key}".lstrip("."))
    return f"{at} {_short(before)}, where it is now {_short(now)}"


def _one(names: Sequence[str]) -> str:
    return names[0] if names else "none"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 60 else f"{text[:57]}..."
