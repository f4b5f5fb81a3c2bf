"""Region maps on disk: an .npy file that is mapped, checked and hashed once, never read whole."""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gzsl_bench.atomic import write_json
from gzsl_bench.data import cache as store
from gzsl_bench.data.arrays import read_array
from gzsl_bench.data.gzsl import RegionMaps
from gzsl_bench.data.identity import row_chunks
from gzsl_bench.errors import DataError
from gzsl_bench.hooks.images import mapping_behind

#: Raise it when more is checked: digests noted in the cache are then found anew.
_CHECKED = 1
#: How the numbers of a map may lie in its file.
TYPES = ("int8", "float16", "float32")
#: Numbers of a pixel: photographs are maps, too, [N, height, width, 3] of this type.
PIXELS = "uint8"


def load_regions(
    name: str, path: Path, scale: Path | None, count: int, cache: Path | None
) -> RegionMaps:
    """Map the region maps in a file.

    Args:
        name: how suites call them.
        path: an .npy file with an array [N, R, C] of one of :data:`TYPES`, or photographs.
        scale: an .npy file with [C] numbers that the values are multiplied with; int8 needs one.
        count: N, the number of images.
        cache: folder where the digest of the file is noted, or None.

    Raises:
        DataError: the file is missing or damaged, or holds no such maps.
    """
    values = read_array(path, None)
    factors = None if scale is None else read_array(scale, None).astype(np.float32)
    maps = check_regions(RegionMaps(name, values, factors), count, f"the region maps {path}")
    return replace(maps, digest=regions_digest(maps, path, cache))


def check_regions(maps: RegionMaps, count: int, what: str) -> RegionMaps:
    """``maps``, where their shapes and types are right; their values are not read.

    Raises:
        DataError: with what is wrong.
    """
    values, scale = maps.values, maps.scale
    photographs = values.dtype.name == PIXELS and values.ndim == 4 and values.shape[3] == 3
    if photographs and scale is not None:
        raise DataError(f"{what} are photographs, whose pixels take no scale")
    if not photographs and values.dtype.name == PIXELS:
        raise DataError(
            f"{what} hold uint8 values of shape {values.shape}, but photographs are [images,"
            " height, width, 3]"
        )
    if (not photographs and values.ndim != 3) or 0 in values.shape:
        raise DataError(f"{what} have shape {values.shape}, but [images, regions, channels] is due")
    if values.dtype.name not in (*TYPES, PIXELS) or not values.flags.c_contiguous:
        raise DataError(
            f"{what} hold {values.dtype.name} values"
            f"{'' if values.flags.c_contiguous else ' in Fortran order'}; {', '.join(TYPES)} in C"
            " order can be mapped"
        )
    if len(values) != count:
        raise DataError(f"{what} are of {len(values)} images, but there are {count}")
    if scale is None and values.dtype == np.int8:
        raise DataError(f"{what} hold int8 values, so a scale of {values.shape[2]} numbers is due")
    if scale is not None and (scale.shape != values.shape[2:] or not np.isfinite(scale).all()):
        raise DataError(
            f"the scale of {what} has shape {scale.shape}, but a finite number for each of the"
            f" {values.shape[2]} channels is due"
        )
    return maps


def regions_digest(maps: RegionMaps, path: Path | None = None, cache: Path | None = None) -> str:
    """64 hex digits over the values as they lie there and the scale.

    A file is read for it once; the cache then knows it as long as size, inode and times of the file
    stay the same.

    Raises:
        DataError: a value is NaN or infinite, or the file cannot be read.
    """
    note = None
    if path is not None and cache is not None:
        try:
            note = cache / "regions" / store.content_digest(cache, path, f"regions/{_CHECKED}")
            digest = str(json.loads(note.read_text(encoding="utf-8"))["digest"])
        except (OSError, ValueError, KeyError, TypeError):
            digest = ""
    else:
        digest = ""
    if not digest:
        digest = _read_through(maps.values, f"{path or maps.name}")
        if note is not None:
            with contextlib.suppress(OSError):
                write_json(note, {"digest": digest, "path": str(path)})
    scaled = _bytes(maps.scale) if maps.scale is not None else b""
    return hashlib.sha256(digest.encode() + scaled).hexdigest()


def _read_through(values: NDArray[Any], what: str) -> str:
    """Digest of finite values, as ``identity.array_digest`` takes it; pages go as they come."""
    shape = "x".join(map(str, values.shape))
    hasher = hashlib.sha256(f"{values.dtype.name} {shape}\n".encode())
    file = mapping_behind(values)
    for part in row_chunks(len(values), values[:1].nbytes):
        block = np.ascontiguousarray(values[part], values.dtype.newbyteorder("<"))
        if block.dtype.kind == "f" and not np.isfinite(block).all():
            raise DataError(
                f"the region maps {what} hold NaN or Inf among images {part.start + 1} to"
                f" {part.stop}, but every value must be finite"
            )
        hasher.update(block.reshape(-1).view(np.uint8).data)
        if file is not None:
            file.madvise(mmap.MADV_DONTNEED)
    return hasher.hexdigest()


def _bytes(scale: NDArray[np.float32]) -> bytes:
    return np.ascontiguousarray(scale, "<f4").tobytes()
