"""Errors whose text is meant for the person at the terminal.

Every message is one sentence that says what is wrong, where, and what would be right.  The command
line prints the message alone and exits with ``exit_code``; ``--debug`` adds the traceback.
"""

from __future__ import annotations

import difflib
import errno
import traceback
from collections.abc import Iterable

#: Letters of what a plugin's exception says, and of a traceback: a message may hold a whole array.
MOST_SAID, MOST_TRACED = 10_000, 200_000
#: Parts of an exception group that are named.
_PARTS = 3


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
    """A failure in one line: our own sentences as they are, others with their kind before them.

    Whatever a plugin raises has one: an exception whose own text fails is called by its kind.
    """
    try:
        text = _short(" ".join(_short(str(error), MOST_SAID).split()), MOST_SAID)
        if isinstance(error, BaseExceptionGroup):
            parts = [in_one_line(part) for part in error.exceptions[:_PARTS]]
            text = _short(f"{text}: {'; '.join(parts)}", MOST_SAID)
        text += shortage(error)
    except BaseException:
        text = ""
    if isinstance(error, GzslBenchError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def shortage(error: BaseException) -> str:
    """What helps against an error that says that the system has no more of something."""
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EFBIG:
        return " (ulimit -f unlimited allows it)"
    few = number in (errno.EMFILE, errno.ENFILE)
    return " (ulimit -n allows more of them)" if few else ""


def traced(error: BaseException) -> str:
    """The traceback of an exception, of whatever kind; "" if it cannot be had."""
    try:
        return _short("".join(traceback.format_exception(error)), MOST_TRACED)
    except BaseException:
        return ""


def _short(text: str, most: int) -> str:
    """The beginning and the end of a text."""
    if len(text) <= most:
        return text
    return f"{text[: most // 2]} [... {len(text) - most} letters ...] {text[-(most // 2) :]}"


def nearest(name: str, available: Iterable[str]) -> str | None:
    """The name that was probably meant, if any is close."""
    folded = {candidate.lower(): candidate for candidate in sorted(available, reverse=True)}
    close = difflib.get_close_matches(name.lower(), list(folded), n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def unknown_name(kind: str, name: str, available: Iterable[str], most: int | None = None) -> str:
    """``unknown method 'acmrr'; did you mean 'acmr'? available: acmr, eszsl``.

    Args:
        kind: of what.
        name: that is unknown.
        available: names that there are.
        most: of them are listed; all if None.
    """
    names = sorted(available)
    meant = nearest(name, names)
    hint = f"; did you mean {meant!r}?" if meant else ";"
    more = f" and {len(names) - most} more" if most is not None and len(names) > most else ""
    return f"unknown {kind} {name!r}{hint} available: {', '.join(names[:most]) or 'none'}{more}"
