"""The journal: one JSON line per event, appended in one write and never rewritten."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from gzsl_bench.errors import RecordError
from gzsl_bench.records import strict

_EVENT = TypeAdapter(dict[str, Any])


def append(path: Path, event: str, **details: Any) -> None:
    """Append one event with the time (UTC) and the process that saw it."""
    line = json.dumps(
        {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "event": event,
            "pid": os.getpid(),
            **details,
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    # O_APPEND: whole lines of several processes never mix.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        # Without the lock another process's line may be seen half written and taken for cut short.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
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
