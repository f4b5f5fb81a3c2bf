"""How many workers train side by side, and with how many threads each.

The number of threads changes rounding, and a resumed suite is to compute as it did before: so what
counts is the whole suite and the machine, never what is left to do or free memory.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Bytes of the machine that are reckoned for a worker: libraries, data, parameters, activations.
MEMORY = 2 << 30


@dataclass(frozen=True)
class Placement:
    """How a suite is spread over the cores.

    Attributes:
        workers: processes side by side.
        threads: CPU threads of each of them.
    """

    workers: int
    threads: int


def place(
    units: int,
    cores: int,
    memory: int | None,
    *,
    gpu: bool = False,
    jobs: int | None = None,
    threads: int | None = None,
) -> Placement:
    """As many workers as units, cores and memory allow; they share the cores out as threads.

    Args:
        units: of the whole suite, finished or not.
        cores: that may be used.
        memory: bytes of the machine, in use or not; None where unknown.
        gpu: workers compute on a GPU, which one stack of runs fills.
        jobs: workers that the user asked for, if so.
        threads: of each, that the user asked for, if so.
    """
    workers = jobs
    if workers is None:
        held = cores if memory is None else memory // MEMORY
        workers = 1 if gpu else max(1, min(units, cores // (threads or 1), held))
    return Placement(workers, threads or max(1, cores // workers))
