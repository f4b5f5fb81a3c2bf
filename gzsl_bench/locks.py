"""Locks that are waited for within limits: whoever holds one may be frozen, or its machine gone.

``flock`` by itself waits for ever and says nothing.  A caller that loses nothing by it goes on
without the lock when its patience ends, others say who is waited for and give up.
"""

from __future__ import annotations

import errno
import fcntl
import time

_BUSY = (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK)
#: Seconds between two attempts.
_PAUSE = 0.02


def take(descriptor: int, kind: int = fcntl.LOCK_EX, patience: float = 0.0) -> bool | None:
    """Lock an open file until it is closed.

    Args:
        descriptor: the file.
        kind: ``fcntl.LOCK_EX`` or ``fcntl.LOCK_SH``.
        patience: seconds to wait for others.

    Returns:
        True if it is ours, False if others still hold it, None where there are no locks.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _BUSY:
                return None
        else:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_PAUSE)
