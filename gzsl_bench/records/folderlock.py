"""The lock file of a results folder: shared by all runs, exclusive for whoever tidies up.

Versions before runs could share a folder held the same file exclusively, so that they and we never
work side by side.  Where a file system knows no locks, leases alone have to do.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from gzsl_bench import locks
from gzsl_bench.errors import RecordError

#: Seconds to wait for somebody who tidies up.
PATIENCE = 30.0


class FolderLock:
    """Held shared or exclusively until :meth:`release`, or until the process ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def exclusive(self) -> bool:
        """Be alone, now or not at all; whether it worked.  A shared hold is given up for it."""
        return self._take(fcntl.LOCK_EX) is True

    def shared(self) -> None:
        """Be one of many; without locks on the file system everybody is.

        Raises:
            RecordError: somebody holds it exclusively for longer than :data:`PATIENCE` seconds.
        """
        deadline = time.monotonic() + PATIENCE
        while self._take(fcntl.LOCK_SH) is False:
            if time.monotonic() >= deadline:
                raise RecordError(
                    f"the results folder {self._path.parent} is held by `gzsl-bench records`, or by"
                    " a run of an older version; wait for it, or choose another folder with --out"
                )
            time.sleep(0.05)

    def release(self) -> None:
        """Let go."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _take(self, kind: int) -> bool | None:
        """True if it is ours, False if others hold it, None where there are no locks."""
        while True:
            if self._descriptor is None:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            if (taken := locks.take(self._descriptor, kind)) is not True:
                return taken
            # Other programs may have removed the file meanwhile: then it is nobody's lock any more.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self._descriptor), self._path.stat()):
                    return True
            self.release()


def in_use(path: Path) -> bool:
    """Whether a run holds the lock file ``path`` at this moment."""
    if not path.exists():
        return False
    lock = FolderLock(path)
    try:
        # A file system without locks says nothing: then nobody is known to hold it.
        return lock._take(fcntl.LOCK_EX) is False
    except OSError:
        return False
    finally:
        lock.release()
