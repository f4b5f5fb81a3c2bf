"""What a worker asks of a cluster's scheduler.

None of it can change which cells there are or what they are called, so it belongs to a command and
is no part of a suite or a key.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from gzsl_bench.executors.limits import in_gib, parse_size

_NAMES = ("cpu", "gpu", "memory")


@dataclass(frozen=True)
class Resources:
    """Resources of one worker.

    Attributes:
        cpu: processor cores; a worker computes with as many threads (at least one).
        gpu: GPUs, at most 1: a method trains on one.  Workers with a fraction share a GPU.
        memory: bytes that the scheduler sets aside; 0 to leave memory out of account.
    """

    cpu: float = 1.0
    gpu: float = 0.0
    memory: int = 0

    @property
    def threads(self) -> int:
        """CPU threads of a worker."""
        return max(1, int(self.cpu))

    @property
    def device(self) -> str:
        """Where a worker trains."""
        return "cuda" if self.gpu else "cpu"

    def fit(self, node: Mapping[str, float]) -> int:
        """How many workers a node can hold, going by all it has, free or not."""
        wanted = {"CPU": self.cpu, "GPU": self.gpu, "memory": float(self.memory)}
        # Schedulers count in units of 1/10000, so that ten workers of 0.1 fit into one.
        return min(
            math.floor(round(node.get(name, 0.0) / amount, 4))
            for name, amount in wanted.items()
            if amount
        )

    def __str__(self) -> str:
        parts = [f"cpu={self.cpu:g}"]
        parts += [f"gpu={self.gpu:g}"] * bool(self.gpu)
        parts += [f"memory={in_gib(self.memory)}"] * bool(self.memory)
        return ", ".join(parts)


def parse_resources(text: str) -> Resources:
    """Resources of ``cpu=2,gpu=0.5,memory=8GiB``; what is left out stays at its default.

    Raises:
        ValueError: the text says something else.
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        name, mark, value = (piece.strip() for piece in part.partition("="))
        if name not in _NAMES or not mark or name in found:
            raise ValueError(
                f"{part.strip()!r} in {text!r} is not understood; write cpu=1,gpu=0.5,memory=8GiB"
            )
        found[name] = parse_size(value) if name == "memory" else _number(name, value)
    return Resources(found.get("cpu", 1.0), found.get("gpu", 0.0), int(found.get("memory", 0)))


def _number(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    smallest, most = (0.01, 4096.0) if name == "cpu" else (0.0, 1.0)
    if not smallest <= number <= most:
        raise ValueError(
            f"{name}={value} is no number between {smallest:g} and {most:g}"
            + "; a method trains on one GPU or a part of it" * (name == "gpu")
        )
    if abs(round(number, 4) - number) > 1e-12:
        raise ValueError(f"{name}={value}: Ray counts in steps of 0.0001")
    return number
