"""All the processes that come from a worker: found, weighed and ended, as /proc shows them.

A child of a child is found by its parents; one whose parent has died by the process group that the
worker leads; one that has left the group as well by a variable in the environment it began with.
Where there is no /proc only the process group is known, and memory cannot be measured.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

#: The environment variable that all processes of a worker inherit; its value names the worker.
TAG = "GZSL_BENCH_WORKER"
#: Looks at the processes until all are gone: a killed one may just have started another.
_ROUNDS = 50
_PAUSE = 0.01

_PROC = Path("/proc")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_DEAD = "ZX"
#: What counts as held: pages of mapped files come and go as the kernel likes.
_HELD = (b"Pss_Anon:", b"Pss_Shmem:", b"SwapPss:")


@dataclass(frozen=True)
class _Process:
    parent: int
    group: int
    began: int  # clock ticks since the machine started


def available() -> bool:
    """Whether this system shows its processes under /proc."""
    return (_PROC / "self" / "stat").exists()


def threads() -> int:
    """How many this process has, of libraries, too, where the system shows them."""
    try:
        return sum(1 for _ in (_PROC / "self" / "task").iterdir())
    except OSError:
        return threading.active_count()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Libraries that come up now have one thread, and leave no others to be lost by a fork."""
    name = "OPENBLAS_NUM_THREADS"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def mark(tag: str) -> None:
    """Have the system show ``tag`` in the environment of this process and of those to come.

    What it shows is the memory in which the environment was when Python was started; a fork has its
    own copy, and so do its forks.
    """
    os.environ[TAG] = tag
    with contextlib.suppress(OSError, IndexError, ValueError):
        fields = (_PROC / "self" / "stat").read_bytes().rpartition(b")")[2].split()
        start, end = int(fields[47]), int(fields[48])
        shown = f"{TAG}={tag}\0".encode()
        place = (b"\0" + ctypes.string_at(start, end - start)).find(f"\0{TAG}=".encode())
        if place < 0 and len(shown) <= end - start:
            # Nobody knows that memory any more once each variable has been set again.
            for name, value in os.environ.items():
                os.putenv(name, value)
            ctypes.memset(start, 0, end - start)
            place = 0
        if place >= 0:
            ctypes.memmove(start + place, shown, len(shown))


def tree(root: int, tag: str = "") -> set[int]:
    """Living processes that come from ``root``, itself included.

    Args:
        root: the worker's process id; it leads a group of its own, and may be dead.
        tag: value of ``GZSL_BENCH_WORKER``; "" to save the look into every environment.
    """
    table = _table()
    me = table.get(os.getpid())
    began = table[root].began if root in table else 0
    found = {
        pid
        for pid, process in table.items()
        if process.group == root
        # The number of a dead worker may have been given to somebody else, its tag not.
        or (process.began >= began and _tagged(pid, tag) if tag else pid == root)
    }
    children: dict[int, list[int]] = {}
    for pid, process in table.items():
        children.setdefault(process.parent, []).append(pid)
    waiting = list(found)
    while waiting:
        more = [pid for pid in children.get(waiting.pop(), []) if pid not in found]
        found.update(more)
        waiting += more
    return found - ({os.getpid(), me.parent} if me and os.getpid() != root else set())


def kill_tree(root: int, tag: str, *, spare_root: bool = False) -> int:
    """End all processes that come from ``root`` with SIGKILL; returns how many there were.

    Args:
        root: the worker's process id.
        tag: value of its ``GZSL_BENCH_WORKER``.
        spare_root: the worker itself lives on.
    """
    if not available():
        if not spare_root:
            with contextlib.suppress(OSError):
                os.killpg(root, signal.SIGKILL)
        return 0
    killed: set[int] = set()
    for _ in range(_ROUNDS):
        found = tree(root, tag) - ({root} if spare_root else set())
        if not found:
            break
        for pid in found:
            _kill(pid)
        killed |= found
        time.sleep(_PAUSE)
    return len(killed)


def _kill(pid: int) -> None:
    with contextlib.suppress(OSError):  # it has ended, or belongs to somebody else
        os.kill(pid, signal.SIGKILL)


def resident(pids: Iterable[int]) -> int:
    """Bytes in memory; quick to read, but what processes share counts once for each of them."""
    return sum(_resident(pid) for pid in pids)


def held(pids: Iterable[int]) -> int:
    """Bytes that are held, swapped ones included: shared ones once, mapped files not at all."""
    return sum(_held(pid) for pid in pids)


def _resident(pid: int) -> int:
    try:
        return int((_PROC / str(pid) / "statm").read_bytes().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0


def _held(pid: int) -> int:
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_bytes().splitlines()
    except OSError:
        return _resident(pid)
    found = [int(line.split()[1]) << 10 for line in lines if line.startswith(_HELD)]
    return sum(found) if found else _resident(pid)


def _table() -> dict[int, _Process]:
    """Living processes, zombies aside."""
    found = {}
    for path in _PROC.glob("[0-9]*"):
        try:
            # The name in parentheses may hold spaces and parentheses of its own.
            fields = (path / "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        if len(fields) > 19 and fields[0].decode() not in _DEAD:
            found[int(path.name)] = _Process(int(fields[1]), int(fields[2]), int(fields[19]))
    return found


def _tagged(pid: int, tag: str) -> bool:
    try:
        variables = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return f"{TAG}={tag}".encode() in variables
