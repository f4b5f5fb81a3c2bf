"""Errors whose text is meant for the person at the terminal.

Every message is one sentence that says what is wrong, where, and what would be right.  The command
line prints the message alone and exits with ``exit_code``; ``--debug`` adds the traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GzslBenchError(Exception):
    """Anything the user can put right: bad input, missing data, a plugin that cannot be used."""

    exit_code = 2


class SuiteError(GzslBenchError):
    """A suite file that cannot be understood; the message names file, line and key."""


class DataError(GzslBenchError):
    """A data file that is missing, damaged or contradicts itself; the message names the file."""


class PluginError(GzslBenchError):
    """A plugin that cannot be loaded or breaks its contract; the message names the plugin."""


class RecordError(GzslBenchError):
    """A results folder or record that cannot be read or written."""


class TrackingError(GzslBenchError):
    """MLflow is missing or its store cannot be used."""


class WorkerError(GzslBenchError):
    """Worker processes that die before they take up any work."""


class NotApplicable(GzslBenchError):
    """Raised by a method that cannot run on a data set at all, with the reason."""


def in_one_line(error: BaseException) -> str:
    """A failure in one line: our own sentences as they are, others with their kind before them."""
    text = " ".join(str(error).split())
    if isinstance(error, GzslBenchError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def unknown_name(kind: str, name: str, available: Iterable[str]) -> str:
    """``unknown method 'acmrr'; did you mean 'acmr'? available: acmr, eszsl``."""
    names = sorted(available)
    folded = {candidate.lower(): candidate for candidate in reversed(names)}
    close = difflib.get_close_matches(name.lower(), list(folded), n=1, cutoff=0.6)
    hint = f"; did you mean {folded[close[0]]!r}?" if close else ";"
    return f"unknown {kind} {name!r}{hint} available: {', '.join(names) or 'none'}"
