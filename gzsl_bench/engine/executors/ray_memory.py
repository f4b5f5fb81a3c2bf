"""Arrays in shared memory that nobody can write to.

Ray maps its object store into a worker for reading and writing, and torch does not heed numpy's
mark that an array is read-only: a method that changes its task in place would change it for every
worker of the node, whose numbers would be wrong without a sign.  So the same pages are mapped once
more, for reading alone: whoever writes there ends its own process and nobody else's.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np

from gzsl_bench.engine.taskdata import TaskData

_MAYMOVE, _READ = 1, 1  # MREMAP_MAYMOVE, PROT_READ
_FAILED = ctypes.c_void_p(-1).value
_MAPS = Path("/proc/self/maps")


def sealed(data: TaskData) -> TaskData:
    """The same arrays: of those in shared memory a view that cannot be written, others as they are.

    Where the system has no such views, shared arrays are copied.
    """
    shared = _shared_ranges()
    if shared is None:
        return replace(data, **{name: np.array(array) for name, array in vars(data).items()})
    found = {}
    for name, array in vars(data).items():
        start = array.ctypes.data
        if any(low <= start < high for low, high in shared) and array.nbytes:
            found[name] = _view(array)
    return replace(data, **found)


def _view(array: np.ndarray) -> np.ndarray:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mremap.restype = ctypes.c_void_p
    libc.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int]
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    inside = array.ctypes.data % mmap.PAGESIZE
    length = -(-(inside + array.nbytes) // mmap.PAGESIZE) * mmap.PAGESIZE
    # An old size of 0 leaves the old mapping alone and makes a second one of the same pages.
    place = libc.mremap(array.ctypes.data - inside, 0, length, _MAYMOVE)
    if place == _FAILED:
        return np.array(array)
    if libc.mprotect(place, length, _READ):
        libc.munmap(ctypes.c_void_p(place), ctypes.c_size_t(length))
        return np.array(array)
    memory = (ctypes.c_char * array.nbytes).from_address(place + inside)
    # Ray keeps the object in its store as long as the first array lives.
    memory.original = array  # type: ignore[attr-defined]
    weakref.finalize(memory, libc.munmap, ctypes.c_void_p(place), ctypes.c_size_t(length))
    view: np.ndarray = np.frombuffer(memoryview(memory), dtype=array.dtype).reshape(array.shape)
    view.flags.writeable = False
    return view


def _shared_ranges() -> list[tuple[int, int]] | None:
    """Address ranges of shared mappings; None where the system does not tell."""
    if sys.platform != "linux" or not os.access(_MAPS, os.R_OK):
        return None
    found = []
    for line in _MAPS.read_text(encoding="utf-8", errors="replace").splitlines():
        where, rights, *_ = line.split()
        if rights.endswith("s"):
            low, high = (int(end, 16) for end in where.split("-"))
            found.append((low, high))
    return found
