"""The variables of a MATLAB 7.3 file, which is HDF5, in the form in which ``mat5`` gives them.

MATLAB writes its arrays with the axes in reverse, text as numbers of UTF-16 signs, cells as
references to arrays in a group of their own, and what a variable is into its attribute
``MATLAB_class``.  h5py reads the file; what is allocated stays within what its bytes can hold.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gzsl_bench.data.mat5 import Damaged, Head
from gzsl_bench.errors import DataError

if TYPE_CHECKING:
    import h5py

#: First bytes of MATLAB's own files, and of those that other programs write in their place.
MAGIC = (b"MATLAB 7.3", b"\x89HDF")
#: Cells within cells; data sets have lists of names.
_DEEPEST = 8
#: HDF5's filters, DEFLATE above all, pack no tighter.
_TIGHTEST = 1032
_NO_VALUES: NDArray[Any] = np.empty(0, dtype=object)


def heads(path: Path) -> list[Head]:
    """Names, shapes and classes of all variables; values are not read.

    Raises:
        DataError: h5py is not installed.
        Damaged: the file does not fit together.
    """
    with _opened(path) as file:
        return [Head(name, _shape(item), _kind(item)) for name, item in _variables(file)]


def read(path: Path, wanted: set[str]) -> dict[str, NDArray[Any]]:
    """The variables in ``wanted`` that are there; see :func:`gzsl_bench.data.mat5.read`.

    Raises:
        DataError: h5py is not installed.
        Damaged: the file does not fit together.
    """
    with _opened(path) as file:
        return {name: _value(file, item) for name, item in _variables(file) if name in wanted}


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    try:
        import h5py
    except ImportError:
        raise DataError(
            f"{path} is a MATLAB 7.3 (HDF5) file, and h5py, which reads them, is not installed;"
            " pip install 'gzsl-bench[h5]', or save it in MATLAB with save(..., '-v7')"
        ) from None
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        if isinstance(error, Damaged | DataError):
            raise
        raise Damaged(" ".join(str(error).split())[:120] or type(error).__name__) from None


def _variables(file: h5py.File) -> Iterator[tuple[str, Any]]:
    """What stands in the file under a name of its own; links to elsewhere are not followed."""
    import h5py

    for name in file:
        if not name.startswith("#") and isinstance(file.get(name, getlink=True), h5py.HardLink):
            yield name, file[name]


def _is_array(item: Any) -> bool:
    return hasattr(item, "dtype")


def _kind(item: Any) -> str:
    if not _is_array(item):
        return "sparse" if "MATLAB_sparse" in item.attrs else "struct"
    written = item.attrs.get("MATLAB_class", b"double")
    kind = written.decode("ascii", "replace") if isinstance(written, bytes) else str(written)
    return "opaque" if kind in ("string", "table", "datetime", "FileWrapper__") else kind


def _shape(item: Any) -> tuple[int, ...]:
    if not _is_array(item):
        return ()
    if item.attrs.get("MATLAB_empty", 0):  # its values are its dimensions
        return tuple(int(n) for n in item[()].reshape(-1)) if item.size <= 32 else (0, 0)
    return tuple(item.shape[::-1])


def _value(file: h5py.File, item: Any, depth: int = 0) -> NDArray[Any]:
    """The values in MATLAB's order of axes."""
    import h5py

    kind = _kind(item)
    if not _is_array(item) or kind == "opaque":
        return _NO_VALUES
    if item.attrs.get("MATLAB_empty", 0):
        shape = _shape(item)
        if math.prod(shape):
            raise Damaged("an empty variable has values")
        return np.empty(0, "U1") if kind == "char" else np.empty(shape)
    if item.is_virtual or item.external:
        raise Damaged("its values lie in another file")
    if item.nbytes > _TIGHTEST * item.id.get_storage_size():
        raise Damaged("a variable is longer than its bytes allow")
    values = np.asarray(item[()]).T
    if kind == "cell":
        if h5py.check_ref_dtype(item.dtype) is not h5py.Reference or depth >= _DEEPEST:
            raise Damaged("a cell array holds no references, or cells too deep in one another")
        found = np.empty(values.size, dtype=object)
        for number, reference in enumerate(values.reshape(-1, order="F")):
            found[number] = _value(file, file[reference], depth + 1)
        return found.reshape(values.shape, order="F")
    if kind == "char":
        return _text(values)
    if values.dtype.names == ("real", "imag"):
        return values["real"] + 1j * values["imag"]
    return values if values.dtype.kind in "iufb" else _NO_VALUES


def _text(signs: NDArray[Any]) -> NDArray[Any]:
    """Texts along all axes but the last, from numbers of UTF-16 signs."""
    if signs.dtype.kind != "u" or signs.ndim < 2:
        raise Damaged("a text holds no signs")
    lines = signs.astype("<u2").reshape(-1, signs.shape[-1])
    try:
        texts = [line.tobytes().decode("utf-16-le") for line in lines]
    except UnicodeDecodeError:
        raise Damaged("a text cannot be decoded") from None
    return np.array(texts).reshape(signs.shape[:-1])
