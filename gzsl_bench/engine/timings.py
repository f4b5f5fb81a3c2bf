"""Measured step times, kept so that a machine measures once and a resumed suite chooses the same.

They lie in the results folder (``placement.json``), which wins, and in the user's cache.  A file
may hold several machines: a results folder is shared, and so is a home.  One that is damaged counts
as empty and is written anew; one that cannot be written is done without.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gzsl_bench.data.cache import default_cache
from gzsl_bench.engine import environment
from gzsl_bench.engine.placement import Placement, Seconds

#: Names a file that takes the place of the one in the user's cache.
TIMINGS_VARIABLE = "GZSL_BENCH_TIMINGS"
VERSION = 1
#: Seconds to wait for somebody else who is measuring on this machine.
PATIENCE = 150.0
#: A step takes less than this, or somebody made the number up.
_LONGEST = 3600.0
_KEY = re.compile(r"([1-9]\d{0,5})x([1-9]\d{0,5})", re.ASCII)

Machine = dict[str, Any]


def fingerprint() -> Machine:
    """What step times depend on, as far as a name can say."""
    return {
        "processor": environment.processor(),
        "cores": environment.usable_cores(),
        "torch": environment.versions().get("torch", ""),
        "system": environment.system(),
    }


def shared_file() -> Path:
    """Where this user's timings are: ``GZSL_BENCH_TIMINGS``, or a file in the cache."""
    given = os.environ.get(TIMINGS_VARIABLE)
    return Path(given) if given else default_cache() / "placement.json"


def recall(path: Path, machine: Machine) -> dict[tuple[int, int], float]:
    """Seconds of a step by workers and threads that ``path`` has of a machine; perhaps none."""
    for known, seconds in _entries(path):
        if known == machine:
            return seconds
    return {}


def remember(path: Path, machine: Machine, seconds: Seconds) -> None:
    """Add what was measured on a machine to ``path``, which keeps what it has; or do without."""
    with contextlib.suppress(OSError):
        entries = _entries(path)
        had = next((times for known, times in entries if known == machine), {})
        if seconds.keys() <= had.keys():
            return
        others = [entry for entry in entries if entry[0] != machine]
        _write(path, [*others, (machine, {**seconds, **had})])


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Nobody else of this user measures meanwhile: they would slow one another down."""
    from filelock import FileLock, Timeout

    path = shared_file()
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        with contextlib.suppress(OSError, Timeout, NotImplementedError):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(PATIENCE)
        yield
    finally:
        lock.release()


def missing(placements: Sequence[Placement], seconds: Seconds) -> list[Placement]:
    """Those that ``seconds`` does not have."""
    return [p for p in placements if (p.workers, p.threads) not in seconds]


def _entries(path: Path) -> list[tuple[Machine, dict[tuple[int, int], float]]]:
    """Machines and their timings; a file that is none of ours has none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] != VERSION:
            return []
        return [(dict(entry["machine"]), _times(entry["seconds"])) for entry in content["machines"]]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return []


def _times(content: Mapping[str, Any]) -> dict[tuple[int, int], float]:
    found = {}
    for name, value in content.items():
        match = _KEY.fullmatch(name)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if match is None or not number or not 0 < value < _LONGEST:
            raise ValueError(f"{name}: {value!r} is no step time")
        found[int(match[1]), int(match[2])] = float(value)
    return found


def _write(path: Path, entries: Sequence[tuple[Machine, Seconds]]) -> None:
    """By one rename, so that nobody reads half a file.

    Raises:
        OSError: the folder cannot be written; nothing is left behind.
    """
    machines = [
        {"machine": machine, "seconds": {f"{p}x{t}": s for (p, t), s in sorted(seconds.items())}}
        for machine, seconds in entries
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    text = json.dumps({"version": VERSION, "machines": machines}, indent=1) + "\n"
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
