"""The journal: one JSON line per event, appended in one write and never rewritten.

It decides nothing, so nothing waits for it: where it cannot be written, a warning says so once.
"""

from __future__ import annotations

import contextlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from gzsl_bench import locks
from gzsl_bench.errors import RecordError
from gzsl_bench.records import strict

#: Seconds to wait for another process that is writing its line.
PATIENCE = 2.0
_EVENT = TypeAdapter(dict[str, Any])
#: Journals whose lock somebody holds for good: it is waited for once.
_given_up: set[Path] = set()


def append(path: Path, event: str, **details: Any) -> None:
    """Append one event with the time (UTC) and the process that saw it, if it can be written."""
    line = json.dumps(
        {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "event": event,
            "pid": os.getpid(),
            **details,
        }
    )
    try:
        _append(path, line)
    except OSError as error:
        strict.warn(
            f"{path} cannot be written ({error.strerror or error}), so it lacks what happened; no"
            " record is concerned"
        )


def _append(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # O_APPEND: whole lines of several processes never mix.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        # Without the lock another process's line may be seen half written and taken for cut short.
        if locks.take(descriptor, patience=0.0 if path in _given_up else PATIENCE) is False:
            _given_up.add(path)
            strict.warn(
                f"another process holds {path} and does nothing; it is written all the same"
            )
        else:
            _given_up.discard(path)
        size = os.fstat(descriptor).st_size
        # A crash may have cut the last line short; it must not swallow this one.
        cut = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, b"\n" * cut + line.encode() + b"\n")
    finally:
        os.close(descriptor)


def read(path: Path) -> list[dict[str, Any]]:
    """All events, oldest first; a line cut short by a crash is skipped."""
    if not path.is_file():
        return []
    events = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(RecordError):
            events.append(strict.parse(_EVENT, line.encode()))
    return events


def cut_lines(path: Path) -> list[int]:
    """Numbers, from 1, of lines that are no events: cut short by a crash, or worse."""
    if not path.is_file():
        return []
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        try:
            strict.parse(_EVENT, line)
            whole = line.endswith(b"\n")
        except RecordError:
            whole = False
        if not whole:
            found.append(number)
    return found
