"""Tables that fit the terminal they are printed on, and a word on what that leaves out."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from gzsl_bench.terminal.streams import output, put, say

if TYPE_CHECKING:
    from gzsl_bench.results.rows import Row

#: Narrower than this, a table would say nothing: the terminal breaks its lines.
_LEAST = 60


def columns(stream: TextIO | None = None) -> int | None:
    """How wide what is written to a stream (standard output by default) may be; None if any width.

    A terminal has its width.  A file has none, but for what COLUMNS says: shells do not hand theirs
    on, so whoever sets it means it.
    """
    if not (stream or output()).isatty() and not os.environ.get("COLUMNS", "").isdigit():
        return None
    return max(_LEAST, shutil.get_terminal_size().columns)


def bold(stream: TextIO | None = None) -> bool:
    """Whether a stream (standard output by default) understands bold: no file does."""
    return (stream or output()).isatty()


def show_table(
    table: Sequence[Row],
    suite: str,
    out: Path,
    width: int,
    ending: Sequence[str] = (),
    lead: str = "",
) -> None:
    """Print the columns that fit; where some do not, one line on standard error says so.

    Args:
        table: rows.
        suite: the suite's name, for the command that shows everything.
        out: the results folder, for the same.
        width: columns there are.
        ending: sentences that the table ends with.
        lead: the rule to believe.
    """
    from gzsl_bench.report.fit import fit
    from gzsl_bench.report.table import render

    fitted = fit(table, width)
    mark = lead if bold() else ""
    put(render(fitted.rows, metrics=fitted.metrics, width=width, ending=ending, lead=mark))
    if fitted.left_out:
        more = ["--layout", "long", "--metrics", "all"]
        command = shlex.join(["gzsl-bench", "table", suite, "--out", str(out), *more])
        say(f"left out to fit {width} columns: {', '.join(fitted.left_out)}; all of it: {command}")
