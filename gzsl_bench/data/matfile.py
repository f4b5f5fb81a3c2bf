"""Reading MATLAB files, and saying in one sentence why a file cannot be read.

Numbers and text are read (``mat5`` and, of MATLAB 7.3, ``mat73``); nothing in a .mat file is ever
executed or unpickled.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gzsl_bench.data import mat5, mat73
from gzsl_bench.errors import DataError

_HEADER = mat5.HEADER
_AGAIN = "download or copy it again"

#: First bytes that give away what a file really is.
_DISGUISES = (
    (b"PK\x03\x04", "a zip archive, not a MAT file; unpack it first"),
    (b"\x93NUMPY", "a NumPy array, not a MAT file; save it with scipy.io.savemat"),
    (b"\x1f\x8b", "a gzip file, not a MAT file; unpack it first"),
    (b"\x80\x02", "a Python pickle, which is never loaded; save it with scipy.io.savemat"),
    (b"\x80\x03", "a Python pickle, which is never loaded; save it with scipy.io.savemat"),
    (b"\x80\x04", "a Python pickle, which is never loaded; save it with scipy.io.savemat"),
)


#: What a data set cannot be made of, and what to do about it, by its class in MATLAB.
_REMEDIES = {
    "sparse": "a sparse matrix; save it dense: full(x) in MATLAB, x.toarray() in SciPy",
    "struct": "a struct; save its field as a variable of its own",
    "opaque": "an object of MATLAB's (a string array, say); save numbers, or names by cellstr(x)",
}


def check_mat(path: Path) -> None:
    """Refuse ``path`` unless it is a complete MAT file; reads a few bytes per variable.

    Raises:
        DataError: missing, empty, not a MAT file, truncated, or of version 7.3 without h5py.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise DataError(f"{path} is a folder, but a MAT file is needed there")
        with path.open("rb") as file:
            head = file.read(_HEADER)
            if head.startswith(mat73.MAGIC):
                with _reading(path):
                    mat73.heads(path)
                return
            _check_head(path, head)
            _check_elements(path, file.fileno(), head, size)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; put the MAT file there") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error})") from None


def refuse_impostor(path: Path, head: bytes, expected: str) -> None:
    """Refuse what a failed download or clone leaves in place of any file.

    Args:
        path: the file.
        head: its first bytes.
        expected: what it should be: ``MAT file``.

    Raises:
        DataError: it is empty, a web page, or a pointer to the file.
    """
    if not head:
        raise DataError(f"{path} is empty, but a {expected} is needed there; {_AGAIN}")
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<body", b"<!--")):
        raise DataError(
            f"{path} is an HTML page saved under the name of a {expected}, probably the error page "
            f"of a failed download; {_AGAIN}"
        )
    if head.startswith(b"version https://git-lfs"):
        raise DataError(f"{path} is a Git LFS pointer, not the {expected} itself; run git lfs pull")


def _check_head(path: Path, head: bytes) -> None:
    refuse_impostor(path, head, "MAT file")
    for magic, what in _DISGUISES:
        if head.startswith(magic):
            raise DataError(f"{path} is {what}")
    if not head.startswith(b"MATLAB 5.0") or (
        len(head) == _HEADER and head[126:] not in mat5.ENDIAN
    ):
        raise DataError(
            f"{path} is not a MATLAB 5 file: its first bytes are {head[:12]!r}; "
            "save it in MATLAB with save(..., '-v7') or with scipy.io.savemat"
        )
    if len(head) < _HEADER:
        raise DataError(f"{path} is truncated: its header has {len(head)} of 128 bytes; {_AGAIN}")


def _check_elements(path: Path, descriptor: int, head: bytes, size: int) -> None:
    """Walk the tags of the top-level elements: a cut file ends before its last element does."""
    kind = np.dtype(f"{mat5.ENDIAN[head[126:]]}u4")
    offset = _HEADER
    while offset < size:
        tag = os.pread(descriptor, 8, offset)
        end = offset + 8
        if len(tag) == 8:
            element, length = (int(value) for value in np.frombuffer(tag, kind))
            if element not in (mat5.COMPRESSED, mat5.MATRIX):
                raise DataError(f"{path} is damaged at byte {offset}; {_AGAIN}")
            end += length
        if end > size:
            raise DataError(
                f"{path} is truncated: it ends at byte {size} of at least {end}; {_AGAIN}"
            )
        offset = end


def variables(path: Path) -> tuple[mat5.Head, ...]:
    """Names, shapes and classes of the variables of ``path``, without reading their values."""
    check_mat(path)
    with _reading(path):
        if _is_73(path):
            return tuple(mat73.heads(path))
        with path.open("rb") as file:
            return tuple(head for head in mat5.heads(file) if head.name)


def read_mat(
    path: Path, keys: Sequence[str], optional: Iterable[str] = ()
) -> dict[str, NDArray[Any]]:
    """Read variables of a MAT file as they are stored (column-major, 2-D).

    Args:
        path: the file.
        keys: variables that must be there.
        optional: variables that may be missing; the result has no entry for a missing one.

    Raises:
        DataError: the file or a key is missing, or the file cannot be what it claims to be.
    """
    kinds = {head.name: head.kind for head in variables(path)}
    for key in keys:
        if key not in kinds:
            there = ", ".join(sorted(kinds)) or "nothing"
            raise DataError(
                f"{path} has no key {key!r}; it has: {there} (a dataset.yaml in the folder may name"
                " any file and key: docs/dataset-plugins.md)"
            )
        if kinds[key] in _REMEDIES:
            raise DataError(f"{key} in {path} is {_REMEDIES[kinds[key]]}")
    wanted = [*keys, *optional]
    with _reading(path):
        if _is_73(path):
            content = mat73.read(path, set(wanted))
        else:
            with path.open("rb") as file:
                content = mat5.read(file, set(wanted))
    return {key: content[key] for key in wanted if key in content}


def _is_73(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(_HEADER).startswith(mat73.MAGIC)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever is wrong with the file becomes a sentence."""
    try:
        yield
    except mat5.Damaged as error:
        raise DataError(f"{path} is damaged and cannot be read ({error}); {_AGAIN}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error})") from None
    except MemoryError:
        raise DataError(
            f"{path} does not fit into memory; free some, or, if it should be small, {_AGAIN}"
        ) from None


def numeric(values: NDArray[Any], key: str, path: Path) -> NDArray[Any]:
    """``values``, of any shape, if they are real numbers.

    Raises:
        DataError: they are cells, text, complex or sparse.
    """
    if values.dtype.kind not in "iufb":
        raise DataError(f"{key} in {path} holds no real numbers but {values.dtype.name} values")
    return values


def vector(values: NDArray[Any], key: str, path: Path) -> NDArray[np.int64]:
    """[n] whole numbers from an (n, 1) or (1, n) variable, widened before any arithmetic.

    Files store indices as uint16, which would wrap around when 1 is subtracted from 0.

    Raises:
        DataError: there are several columns, or other numbers among them.
    """
    values = numeric(values, key, path)
    if values.size and values.size != max(values.shape):
        raise DataError(f"{key} in {path} has shape {values.shape}, but one column is needed")
    flat = values.reshape(-1)
    if flat.dtype.kind == "f":
        if not np.isfinite(flat).all():
            raise DataError(f"{key} in {path} holds NaN or Inf, but whole numbers are needed")
        if (flat != np.floor(flat)).any() or np.abs(flat).max(initial=0) > 2**53:
            odd = flat[(flat != np.floor(flat)) | (np.abs(flat) > 2**53)][0]
            raise DataError(f"{key} in {path} holds {odd:g}, but whole numbers are needed")
    elif flat.dtype.kind == "u" and flat.max(initial=0) > 2**53:
        raise DataError(f"{key} in {path} holds {flat.max()}, which is no row or class number")
    return flat.astype(np.int64)


def texts(values: NDArray[Any], key: str, path: Path) -> tuple[str, ...]:
    """Strings of a cell array of names, in MATLAB's order.

    Raises:
        DataError: it is empty, or holds anything else.
    """
    result = []
    if not values.size:
        raise DataError(f"{key} in {path} holds no names; save a cell array, by cellstr(x)")
    for cell in values.reshape(-1):
        item = np.asarray(cell).reshape(-1)
        if item.size != 1 or item.dtype.kind != "U":
            raise DataError(
                f"{key} in {path} must be a cell array of names, but holds {cell!r:.60}"
            )
        result.append(str(item[0]).strip())
    return tuple(result)
