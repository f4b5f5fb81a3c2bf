"""How every file of a results folder is read: whole and of the right shape, or not there.

Such a file may come from anywhere and be damaged in any way.  What does not fit is skipped and
named once on standard error; no command ends because of it.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import stat
import sys
from pathlib import Path
from typing import TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from gzsl_bench.errors import RecordError

#: No type is guessed, and numbers are finite.
STRICT = ConfigDict(strict=True, allow_inf_nan=False)
#: The same for mappings that may say more than what is read by name.
OPEN = ConfigDict(strict=True, allow_inf_nan=False, extra="allow")

T = TypeVar("T")
_told: set[str] = set()


def parse(adapter: TypeAdapter[T], raw: bytes) -> T:
    """The value that a file holds.

    Raises:
        RecordError: it holds no such value; where, and what would be right.
    """
    try:
        return adapter.validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        said = " ".join(f"{where}: {first['msg']}".removeprefix(": ").split())
        raise RecordError(said) from None
    except RecursionError:
        raise RecordError("it is nested too deeply") from None


def plain(path: Path) -> bytes:
    """The bytes of a plain file.

    Whoever hands files in may hand in links, to what is nobody's business or never ends.

    Raises:
        OSError: it is not there, cannot be read, or is a link, a device or a pipe.
    """
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.EINVAL, "it is no plain file", str(path)) from None
        raise
    with os.fdopen(opened, "rb") as file:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise OSError(errno.EINVAL, "it is no plain file", str(path))
        return file.read()


def read(adapter: TypeAdapter[T], path: Path) -> T | None:
    """The value in a file; None where there is none, or where it is skipped."""
    try:
        return parse(adapter, plain(path))
    except FileNotFoundError:
        return None
    except (OSError, RecordError) as error:
        skip(path, error)
        return None


def skip(path: Path, why: OSError | RecordError) -> None:
    """Say once that a file counts as not there, and why."""
    words = (why.strerror or str(why)) if isinstance(why, OSError) else str(why)
    warn(f"{path} is skipped: {words}")


def warn(text: str) -> None:
    """Say something once in a command."""
    # What a worker prints is the log of a cell, which must not depend on its neighbours.
    if multiprocessing.parent_process() is None and text not in _told:
        _told.add(text)
        print(f"warning: {text}", file=sys.stderr)


def forget() -> None:
    """Begin a command: what was said before is said again."""
    _told.clear()
