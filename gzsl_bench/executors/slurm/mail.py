"""Messages between a run and its jobs: files that one side writes and the other one reads."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from gzsl_bench import atomic

#: Seconds between two signs of life of the run, and after which a job takes it for dead.
PULSE, DEAD = 10.0, 600.0


@dataclass(frozen=True)
class Box:
    """The folder of a run's messages.

    Attributes:
        folder: on a file system that all nodes share.
    """

    folder: Path

    @property
    def pulse(self) -> Path:
        """The run's sign of life."""
        return self.folder / "pulse"

    @property
    def halt(self) -> Path:
        """There once all jobs shall stop at the next report of their methods."""
        return self.folder / "stop"

    def verdict(self, name: str) -> Path:
        """Why a job shall end at once, where it shall."""
        return self.folder / f"{name}.end"

    def said(self, name: str, start: int) -> Path:
        """What a job has said since it was started for the ``start``-th time, from 0."""
        return self.folder / f"{name}.{start}"

    def condemn(self, name: str, verdict: str) -> None:
        """Have a job end at once."""
        atomic.write_text(self.verdict(name), verdict)


class Writer:
    """A job's messages, written as they come."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._file = Connection(descriptor, readable=False)

    def send(self, message: Any) -> None:
        """Write one."""
        self._file.send(message)


class Reader:
    """What a job has said, read as it comes; of one that was requeued, in order.

    Args:
        box: the folder.
        name: the job.
    """

    def __init__(self, box: Box, name: str) -> None:
        self._box, self._name = box, name
        self._start = -1
        self._file: Connection | None = None

    def new(self) -> Iterator[Any]:
        """Messages that have not been read; what is half written waits."""
        while True:
            yield from self._rest()
            later = self._box.said(self._name, self._start + 1)
            try:
                descriptor = os.open(later, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return
            self.close()
            self._start += 1
            self._file = Connection(descriptor, writable=False)

    def _rest(self) -> Iterator[Any]:
        while self._file is not None:
            place = os.lseek(self._file.fileno(), 0, os.SEEK_CUR)
            try:
                message = self._file.recv()
            except (EOFError, OSError):
                os.lseek(self._file.fileno(), place, os.SEEK_SET)
                return
            yield message

    def close(self) -> None:
        """Read no more."""
        if self._file is not None:
            self._file.close()
            self._file = None


class Pulse:
    """Whether the run that a job works for is alive, by this machine's own clock."""

    def __init__(self, box: Box) -> None:
        self._path = box.pulse
        self._seen: int | None = None
        self._since = time.monotonic()

    def gone(self) -> bool:
        """Whether there was no sign of life for a long time."""
        now = None
        with contextlib.suppress(OSError):
            now = self._path.stat().st_mtime_ns
        if now is not None and now != self._seen:
            self._seen, self._since = now, time.monotonic()
        return time.monotonic() - self._since > DEAD
