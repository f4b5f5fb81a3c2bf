"""Standard streams that a command can rely on, and standard output for :func:`put` alone.

Service managers start programs with streams closed, a log's disk may be full, a terminal may be
gone: what is said on standard error is lost then, and no training stops.  A table that cannot be
written is an error, for standard output is what scripts read; it is said at the end, when all is
trained.  For the same reason whatever plugins, libraries and the programs they start print goes to
standard error.
"""

from __future__ import annotations

import io
import os
import select
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, TextIO

import click

from gzsl_bench.errors import GzslBenchError

#: What an error at the writing of a table names as its file.
OUTPUT = "standard output"
#: Narrower than this, the terminal breaks lines.
_LEAST = 60

_output: TextIO | None = None


def put(text: object = "", nl: bool = True, err: bool = False) -> None:
    """Print a result on standard output.

    Args:
        text: a table, JSON, a path.
        nl: end the line.
        err: on standard error after all, beside a result that programs read.
    """
    click.echo(text, file=None if err else _output, nl=nl, err=err)


def say(text: object, nl: bool = True) -> None:
    """Print on standard error what is no result: progress, warnings, counts."""
    if nl and sys.stderr is not None and sys.stderr.isatty():
        text = _fitted(str(text), max(_LEAST, shutil.get_terminal_size().columns))
    click.echo(text, nl=nl, err=True)


def _fitted(text: str, width: int) -> str:
    """Lines broken between words; a command, which is to be copied, keeps its line."""
    found = []
    for line in text.split("\n"):
        prose, mark, command = line.partition(": gzsl-bench ")
        if len(line) <= width:
            found.append(line)
            continue
        found += textwrap.wrap(
            prose + mark[:1], width, break_long_words=False, break_on_hyphens=False
        )
        if mark:
            found.append(f"  gzsl-bench {command}")
    return "\n".join(found)


def output() -> TextIO:
    """Where results go."""
    return _output or sys.stdout


def steady(ours: bool = True) -> None:
    """Open what is closed, so that no file of ours takes its number.

    Args:
        ours: standard output is for :func:`put` alone; not where click prints its help there.
    """
    global _output
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number: that very one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    _output = _stream(sys.stdout, _Named(os.dup(1), "w", closefd=False))
    if ours:
        os.dup2(2, 1)
        sys.stdout = _stream(sys.stdout, _Deaf(1, "w", closefd=False))
    else:
        sys.stdout = _output
    sys.stderr = _stream(sys.stderr, _Deaf(2, "w", closefd=False))


def give_up_output() -> None:
    """Write no more to standard output: what is left of it would be tried again at the exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), output().fileno())


class _Deaf(io.FileIO):
    """A stream whose other end does not matter."""

    def write(self, content: Any, /) -> int:
        try:
            found = super().write(content)
        except OSError:
            found = None
        return memoryview(content).nbytes if found is None else found


def refuse(failures: Sequence[GzslBenchError]) -> None:
    """What was wrong with several things that were asked for at once; exit code 2 if anything was.

    Raises:
        GzslBenchError: the failure, where it is the only one.
    """
    if len(failures) == 1:
        raise failures[0]
    for failure in failures:
        say(f"error: {failure}")
    if failures:
        click.get_current_context().exit(2)


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
        line_buffering=True,
    )
