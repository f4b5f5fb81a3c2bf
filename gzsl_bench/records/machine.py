"""This machine and its processes, as far as another process here can judge them.

A process id means something only among processes that see the same ids: the same boot of the same
machine, the same container.  Whoever is elsewhere has to be judged by its heartbeat.
"""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path


def host() -> str:
    """This machine's name, for people."""
    return socket.gethostname() or "unknown"


def usable_cores() -> int:
    """CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def machine() -> str:
    """What processes share whose ids mean the same: boot and id space; "" where nobody says so."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def process_start(pid: int) -> int | None:
    """When a process was started, in clock ticks since the boot; None if unknown or not running.

    Ids are used again: only together with its start does one name a process.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        # The second field is the name in parentheses and may hold anything.
        fields = text.rpartition(")")[2].split()
        return None if fields[0] in ("Z", "X") else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


def surely_gone(where: str, pid: int, started: int | None) -> bool:
    """Whether a process that named itself so has ended; False where that cannot be known.

    Args:
        where: its :func:`machine`.
        pid: its id.
        started: its :func:`process_start`.
    """
    if not where or where != machine() or started is None or pid <= 0:
        return False
    now = process_start(pid)
    if now is not None:
        return now != started
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False  # it is there, and its start is nobody's business
    # It is there without a start: a zombie, or one whose start is hidden.
    return _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[:1] in (["Z"], ["X"])
