"""What a cell may take before it counts as failed, and how often it is tried.

None of it can change a number, so it belongs to a command and is no part of a suite or a key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_BYTES_10 = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True)
class Limits:
    """Limits of one worker.

    Attributes:
        timeout: seconds of wall time that a cell, or a stack of cells trained as one, may take;
            None for no limit.
        memory: bytes that a worker and its child processes may hold together; None for no limit.
        retries: how often a failed cell is tried again in the same run, each time in a fresh
            worker.
    """

    timeout: float | None = None
    memory: int | None = None
    retries: int = 0


def parse_duration(text: str) -> float:
    """Seconds of ``90``, ``90s``, ``15m``, ``1.5h`` or ``1h30m``.

    Raises:
        ValueError: that is no duration, or not a positive one.
    """
    compact = text.replace(" ", "").lower()
    if re.fullmatch(r"\d+(\.\d+)?", compact):
        compact += "s"
    if not re.fullmatch(r"(\d+(\.\d+)?[smhd])+", compact):
        raise ValueError(f"{text!r} is no duration; write 90s, 15m, 1h30m or 2d")
    parts = re.findall(r"([\d.]+)([smhd])", compact)
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if seconds <= 0:
        raise ValueError(f"{text!r} is no time at all; write 90s, 15m, 1h30m or 2d")
    return seconds


def parse_size(text: str) -> int:
    """Bytes of ``8GiB``, ``8G`` (powers of 1024), ``500MB`` (powers of 1000) or ``1073741824``.

    Raises:
        ValueError: that is no size, or not a positive one.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(I?B)?", text.strip().upper())
    if found is None:
        raise ValueError(f"{text!r} is no size; write 8GiB, 500MB or a number of bytes")
    number, unit, ending = found.groups()
    scale = _BYTES_10[unit] if ending == "B" and unit else _BYTES[unit]
    size = int(float(number) * scale)
    if size <= 0:
        raise ValueError(f"{text!r} is no memory at all; write 8GiB, 500MB or a number of bytes")
    return size


def in_gib(size: int) -> str:
    """``8.25 GiB``."""
    return f"{size / (1 << 30):.3g} GiB"
