"""Files that are whole or not there: written beside their place, flushed to disk, renamed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

_DRAFT = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")


@contextlib.contextmanager
def writing(path: Path, mode: str = "wb", **how: Any) -> Iterator[IO[Any]]:
    """A file that takes its place, and that of an earlier one, when the block ends without error.

    Args:
        path: where; folders above it are made.
        mode: ``wb`` or ``w``.
        how: of ``Path.open``.

    Raises:
        OSError: the disk is full or the folder cannot be written; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        with naming(path):
            with draft.open(mode, **how) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Errors of a full disk, of which the system does not say where, name the file."""
    try:
        yield
    except OSError as error:
        if error.errno and error.filename is None:
            error.filename = str(path)
        raise


def write_text(path: Path, text: str, errors: str = "strict") -> None:
    """Write UTF-8 text; see :func:`writing`."""
    with writing(path) as file:
        file.write(text.encode("utf-8", errors))


def write_json(path: Path, value: Any) -> None:
    """Write JSON; see :func:`writing`.

    Raises:
        ValueError: it holds NaN or an infinity.
        TypeError: it holds what is no JSON.
    """
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def is_draft(path: Path) -> bool:
    """Whether a file was being written when its process was killed."""
    return _DRAFT.fullmatch(path.name) is not None
