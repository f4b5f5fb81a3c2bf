"""Which files are opened while a method trains: none of those that hold test data should be.

Python reports every file it opens to the hooks of ``sys.addaudithook``, whoever asks: ``open``,
``os.open``, ``numpy.load`` and ``numpy.fromfile``, ``scipy.io.loadmat``, ``torch.load``.  Reading
from a file that is mapped already opens nothing, so features from the cache raise no alarm.  Files
that C code opens by itself (HDF5, ``torch.from_file``) or that a child process opens are not seen.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gzsl_bench.data.places import dataset_folders

#: A loader imports code and asks the system; neither is data.
_CODE = (".py", ".pyc", ".pyi", ".so", ".pyd", ".dll", ".dylib", ".pth")
_SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/")
#: Folders that say what is installed, in site-packages or beside an editable checkout.
_INSTALLED = (".dist-info", ".egg-info")

_listeners: list[Callable[[str], None]] = []
_hooked = False


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    """Called by Python for every audited event; it must never raise."""
    if event != "open" or not _listeners:
        return
    try:
        path = os.path.realpath(os.fsdecode(arguments[0]))
    except (TypeError, ValueError, OSError, IndexError):
        return  # a descriptor, or no path at all
    for hear in list(_listeners):
        hear(path)


@contextlib.contextmanager
def opened_files() -> Iterator[set[str]]:
    """Real paths of the files that this process, all its threads, opens meanwhile."""
    global _hooked
    if not _hooked:
        sys.addaudithook(_hook)  # it stays until the process ends, idle without listeners
        _hooked = True
    found: set[str] = set()
    _listeners.append(found.add)
    try:
        yield found
    finally:
        _listeners.remove(found.add)


@dataclass(frozen=True)
class Guard:
    """What a method has no business reading.

    Attributes:
        folders: everything below these.
        files: these, and no others in their folders.
    """

    folders: tuple[str, ...] = ()
    files: frozenset[str] = frozenset()

    @classmethod
    def of(cls, folders: Iterable[Path], files: Iterable[str] = ()) -> Guard:
        """From paths as they come; links are followed."""
        return cls(
            tuple(sorted({os.path.realpath(folder) for folder in folders})),
            frozenset(os.path.realpath(file) for file in files),
        )

    def hits(self, opened: Iterable[str]) -> list[str]:
        """Those of ``opened`` that are guarded; modules of a plugin that lies there are not."""
        return sorted(path for path in opened if self._covers(path) and not path.endswith(_CODE))

    def _covers(self, path: str) -> bool:
        below = any(path.startswith(folder.rstrip(os.sep) + os.sep) for folder in self.folders)
        return below or path in self.files


def data_files(opened: Iterable[str]) -> set[str]:
    """What a loader opened, code and system files aside: the files the data are in."""
    return {
        path
        for path in opened
        if not path.endswith(_CODE)
        and not path.startswith(_SYSTEM)
        and not any(end + os.sep in path for end in _INSTALLED)
        and not os.path.isdir(path)  # noqa: PTH112  a real path in text form, as Python gave it
    }


def data_folders(root: Path | None) -> list[Path]:
    """The data sets below ``root``; whatever else lies in that folder is nobody's secret."""
    return list(dataset_folders(root))
