"""Feature files: from whatever lies on disk to [N, D] float32 rows, with a cache."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gzsl_bench.data import cache as store
from gzsl_bench.data.arrays import check_array_file, read_array
from gzsl_bench.data.checks import check_finite
from gzsl_bench.data.identity import array_digest, row_chunks
from gzsl_bench.data.matfile import check_mat, numeric, read_mat, vector
from gzsl_bench.errors import DataError

#: Raise it when a conversion gives other bytes or checks more: old entries of the cache then rest.
#: It is in no key, for a fingerprint is taken of what was converted.
NUMERICS = 1

#: Where the images (or classes) of a matrix lie.
Side = Literal["rows", "columns"]


def load_features(path: Path, cache: Path | None) -> store.Entry:
    """Read a feature file, or open its converted copy; labels are as in it, counted from 1.

    Raises:
        DataError: the file is missing, damaged, in the wrong orientation, or holds NaN or Inf.
    """
    return _cached(path, cache, f"xlsa17/{NUMERICS}", check_mat, _convert)


def load_matrix(path: Path, key: str | None, images: Side, cache: Path | None) -> store.Entry:
    """Features of a file of any format that ``arrays`` knows, or their copy; labels are all -1.

    Args:
        path: the file.
        key: the array's name in it, None where the file holds one array.
        images: whether each row or each column is an image.
        cache: folder for converted copies, or None.

    Raises:
        DataError: the file is missing or damaged, or holds no finite matrix.
    """
    what = f"{key} in {path}" if key is not None else str(path)

    def convert(path: Path) -> store.Entry:
        raw = read_array(path, key)
        if raw.ndim != 2 or 0 in raw.shape:
            raise DataError(
                f"{what} has shape {raw.shape}, but a matrix with one image a"
                f" {images.removesuffix('s')} is needed"
            )
        features = _to_rows(raw if images == "rows" else raw.T, what)
        return store.Entry(
            features, np.full(len(features), -1, np.int64), array_digest(features, "float32")
        )

    conversion = f"matrix/{NUMERICS} {images} {key or ''}"
    return _cached(path, cache, conversion, check_array_file, convert)


def _cached(
    path: Path,
    cache: Path | None,
    conversion: str,
    check: Callable[[Path], None],
    convert: Callable[[Path], store.Entry],
) -> store.Entry:
    if cache is None:
        return convert(path)
    check(path)
    try:
        before = path.stat()
        content = store.content_digest(cache, path, conversion)
    except OSError as error:
        raise _unreadable(path, error) from None

    def made() -> store.Entry:
        converted = convert(path)
        try:
            unchanged = store.stat_key(path.stat()) == store.stat_key(before)
        except OSError as error:
            raise _unreadable(path, error) from None
        if not unchanged:
            raise DataError(f"{path} was changed while it was being read; start again")
        return converted

    return store.kept(cache, content, made, os.fspath(path))


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path} cannot be read ({error.strerror or error})")


def _convert(path: Path) -> store.Entry:
    content = read_mat(path, ["features", "labels"])
    labels = vector(content["labels"], "labels", path)
    raw = numeric(content["features"], "features", path)
    features = _rows(raw, len(labels), path)
    del content, raw
    return store.Entry(features, labels, array_digest(features, "float32"))


def _rows(raw: NDArray[Any], count: int, path: Path) -> NDArray[np.float32]:
    """[N, D] float32 from (D, N)."""
    shape = raw.shape
    if raw.ndim != 2 or 0 in shape:
        raise DataError(
            f"features in {path} have shape {shape}, but (dimensions, images) is needed"
        )
    if shape[1] != count:
        if shape[0] == count:
            raise DataError(
                f"features in {path} have shape {shape} with one image a row, but the file format "
                "has one image a column; save the transposed matrix"
            )
        raise DataError(
            f"features in {path} have {shape[1]} columns but labels have {count} entries, "
            "but each column is one image with one label"
        )
    return _to_rows(raw.T, f"features in {path}")


def _to_rows(raw: NDArray[Any], what: str) -> NDArray[np.float32]:
    """Float32 from [N, D]; integers and doubles are converted block by block."""
    rows = np.empty(raw.shape, np.float32)
    # A double beyond float32's range becomes Inf here and is refused below.
    with np.errstate(over="ignore", invalid="ignore"):
        for part in row_chunks(raw.shape[0], 8 * raw.shape[1]):
            rows[part] = raw[part]
    check_finite(rows, what)
    return rows
