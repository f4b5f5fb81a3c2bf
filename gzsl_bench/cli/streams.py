"""Standard streams that a command can rely on: a broken terminal never stops a training.

Service managers start programs with streams closed, a log's disk may be full, a terminal may be
gone.  What is said on standard error is lost then, and no more.  A table that cannot be written is
an error, for standard output is what scripts read; it is said at the end, when all is trained.
"""

from __future__ import annotations

import io
import os
import select
import sys
from typing import Any, TextIO

#: What an error at the writing of a table names as its file.
OUTPUT = "standard output"


def steady() -> None:
    """Open what is closed, so that no file of ours takes its number, and let errors say less."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number: that very one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdout = _stream(sys.stdout, _Named(1, "w", closefd=False))
    sys.stderr = _stream(sys.stderr, _Deaf(2, "w", closefd=False))


def give_up_output() -> None:
    """Write no more to standard output: what is left of it would be tried again at the exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


class _Deaf(io.FileIO):
    """A stream whose other end does not matter."""

    def write(self, content: Any, /) -> int:
        try:
            found = super().write(content)
        except OSError:
            found = None
        return memoryview(content).nbytes if found is None else found


class _Named(io.FileIO):
    """A stream whose errors say what it is."""

    def write(self, content: Any, /) -> int:
        try:
            # None: it does not block, and its reader is slow.
            while (found := super().write(content)) is None:
                select.select([], [self], [])
            return found
        except OSError as error:
            error.filename = OUTPUT
            raise


def _stream(before: TextIO | None, raw: io.FileIO) -> TextIO:
    if before is not None:
        before.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding="utf-8" if before is None else before.encoding,
        errors="backslashreplace" if before is None else before.errors,
        line_buffering=before is None or getattr(before, "line_buffering", False),
    )
