"""Reading an array from any of the usual files, and saying in one sentence why it cannot be read.

Nothing in a file is ever executed or unpickled: object arrays are refused, whatever holds them.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gzsl_bench.data.matfile import refuse_impostor
from gzsl_bench.errors import DataError

#: Files that hold several arrays, each under a key.
KEYED = (".npz", ".h5", ".hdf5", ".mat", ".safetensors")
#: Files that hold one array.
PLAIN = (".npy", ".csv", ".txt")

#: Types of a safetensors file and how NumPy calls them; a bfloat16 is the upper half of a float32.
#: Source: the format's description in the README of huggingface/safetensors.
_SAFE_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1",
}  # fmt: skip
_MOST_HEADER = 100_000_000


def read_array(path: Path, key: str | None) -> NDArray[Any]:
    """Real numbers from a file, as they lie there; possibly mapped and read-only.

    Args:
        path: the file; its suffix says what it is.
        key: the array's name within the file, None for a file of :data:`PLAIN`.

    Raises:
        DataError: the file or key is missing, damaged, or holds no real numbers.
    """
    check_array_file(path)
    what = f"{key} in {path}" if key is not None else str(path)
    values = _READERS[path.suffix](path, key or "")
    if values.dtype.kind == "O" or values.dtype.hasobject:
        raise _objects(path)
    if values.dtype.kind not in "iufb":
        raise DataError(f"{what} holds no real numbers but {values.dtype.name} values")
    if values.ndim == 0:
        raise DataError(f"{what} holds a single number, but an array is needed")
    return values


def check_array_file(path: Path) -> None:
    """Refuse what is no file, is empty, or is a web page or a pointer under a wrong name.

    Raises:
        DataError: with the reason.
    """
    try:
        if path.is_dir():
            raise DataError(f"{path} is a folder, but a file is needed there")
        with path.open("rb") as file:
            head = file.read(128)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; put the file there") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error})") from None
    refuse_impostor(path, head, f"{path.suffix} file")
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        # A safetensors header is never as long as these bytes would make it.
        raise DataError(f"{path} is a Python pickle, which is never loaded; save plain numbers")


def _objects(path: Path) -> DataError:
    return DataError(
        f"{path} holds Python objects (a pickle), which are never loaded; save plain numbers,"
        " for example with array.astype('float32')"
    )


def _sparse(path: Path) -> DataError:
    return DataError(
        f"{path} holds a sparse matrix; save it dense: numpy.save('x.npy', matrix.toarray())"
    )


def _pickled(error: Exception) -> bool:
    """Whether NumPy refused a pickle; it says so in words alone."""
    return "pickle" in str(error) or "Python objects" in str(error)


def _damaged(path: Path, error: BaseException) -> DataError:
    cause = " ".join(str(error).split())[:120] or type(error).__name__
    return DataError(f"{path} is damaged or no {path.suffix} file ({cause}); save or copy it again")


def _no_key(path: Path, key: str, there: list[str]) -> DataError:
    return DataError(f"{path} has no key {key!r}; it has: {', '.join(sorted(there)) or 'nothing'}")


def _read_npy(path: Path, key: str) -> NDArray[Any]:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _objects(path) if _pickled(error) else _damaged(path, error) from None
    if not isinstance(values, np.ndarray):
        raise DataError(f"{path} is an .npz archive under the name of an .npy file; rename it")
    return values


def read_archive(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an .npz file.

    Raises:
        DataError: it is missing, damaged, or holds Python objects.
    """
    check_array_file(path)
    with _archive(path) as archive:
        return {name: np.asarray(archive[name]) for name in archive.files}


@contextlib.contextmanager
def _archive(path: Path) -> Iterator[Any]:
    import zipfile
    import zlib

    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise DataError(f"{path} is no .npz archive; save it with numpy.savez")
        with archive:
            yield archive
    except (
        OSError, ValueError, EOFError, TypeError, AttributeError, NotImplementedError,
        zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        raise _objects(path) if _pickled(error) else _damaged(path, error) from None


def _read_npz(path: Path, key: str) -> NDArray[Any]:
    with _archive(path) as archive:
        if {"format", "shape", "data"} <= set(archive.files):  # scipy.sparse.save_npz
            raise _sparse(path)
        if key not in archive.files:
            raise _no_key(path, key, archive.files)
        return np.asarray(archive[key])


def _read_h5(path: Path, key: str) -> NDArray[Any]:
    try:
        import h5py
    except ImportError:
        raise DataError(
            f"{path} is an HDF5 file, and h5py, which reads them, is not installed;"
            " pip install 'gzsl-bench[h5]'"
        ) from None
    try:
        with h5py.File(path, "r") as file:
            if key not in file:
                items: dict[str, Any] = {}
                file.visititems(items.__setitem__)
                arrays = [name for name, item in items.items() if isinstance(item, h5py.Dataset)]
                raise _no_key(path, key, arrays)
            item = file[key]
            if not isinstance(item, h5py.Dataset) and "indptr" in item:
                raise _sparse(path)
            if not isinstance(item, h5py.Dataset):
                raise DataError(f"{key} in {path} is a group; name one of the arrays in it")
            return np.asarray(item[()])
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise _damaged(path, error) from None


def _read_mat(path: Path, key: str) -> NDArray[Any]:
    from gzsl_bench.data.matfile import numeric, read_mat

    return numeric(read_mat(path, [key])[key], key, path)


def _read_safetensors(path: Path, key: str) -> NDArray[Any]:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(size - 8, _MOST_HEADER):
            raise _damaged(path, ValueError("its header is longer than the file"))
        text = file.read(length)
    try:
        header = json.loads(text)
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    except (ValueError, AttributeError) as error:
        raise _damaged(path, error) from None
    if key not in tensors:
        raise _no_key(path, key, list(tensors))
    try:
        kind, shape = str(tensors[key]["dtype"]), tuple(map(int, tensors[key]["shape"]))
        start, end = map(int, tensors[key]["data_offsets"])
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, error) from None
    if kind not in _SAFE_TYPES:
        raise DataError(f"{key} in {path} holds {kind} values; save them as float32 or float16")
    dtype = np.dtype(_SAFE_TYPES[kind])
    count = math.prod(shape)
    if min(shape, default=0) < 0 or end - start != count * dtype.itemsize:
        raise _damaged(path, ValueError(f"the size of {key} does not fit its shape"))
    if start < 0 or 8 + length + end > size:
        raise _damaged(path, ValueError("it is truncated"))
    if not count:
        return np.empty(shape, dtype)
    values = np.memmap(path, dtype, "r", 8 + length + start, shape)
    if kind == "BF16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values


def _read_text(path: Path, key: str) -> NDArray[Any]:
    """Numbers, one row a line: separated by commas in .csv, by spaces in .txt."""
    mark = "," if path.suffix == ".csv" else None
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as UTF-8 text ({error})") from None
    rows: list[list[float]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row = []
        for item in line.split(mark):
            try:
                row.append(float(item))
            except ValueError:
                raise DataError(
                    f"{path}:{number}: {item.strip()!r} is no number; the file may hold numbers"
                    " alone, without a header or names"
                ) from None
        if rows and len(row) != len(rows[0]):
            raise DataError(
                f"{path}:{number}: this line has {len(row)} numbers, but the first has"
                f" {len(rows[0])}"
            )
        rows.append(row)
    if not rows:
        raise DataError(f"{path} holds no numbers")
    return np.array(rows, dtype=np.float64)


_READERS: dict[str, Callable[[Path, str], NDArray[Any]]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".h5": _read_h5,
    ".hdf5": _read_h5,
    ".mat": _read_mat,
    ".safetensors": _read_safetensors,
    ".csv": _read_text,
    ".txt": _read_text,
}
