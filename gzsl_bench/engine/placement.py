"""How many workers, and threads of each: what gets a suite done soonest by measured step times.

Small products gain little from threads, so processes side by side usually do more, but not where
there are fewer units than cores, and not on every machine.  The choice looks at the whole suite and
at the machine alone, never at what is left to do or at free memory: the number of threads changes
rounding, and a resumed suite is to compute as it did before.

How many runs are *stacked* is no part of the choice.  On a CPU that is always one: products of one
run fill a core, so the toolkit trains the runs of a stack one after the other there
(:func:`gzsl_bench.stacked.lanes`), and units of one cell are spread over more workers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from gzsl_bench.engine import environment

#: Memory of the machine that is reckoned for a worker: libraries, data, parameters, activations.
MEMORY = 2 << 30
#: Most workers where nothing was measured.
USUAL_MOST = 8
#: By this factor choices may differ and count as equally fast: measurements are noisy.
TOLERANCE = 1.1

#: Seconds of a step by (workers side by side, threads of each).
Seconds: TypeAlias = Mapping[tuple[int, int], float]


@dataclass(frozen=True, order=True)
class Placement:
    """How a suite is spread over the cores.

    Attributes:
        workers: processes side by side.
        threads: CPU threads of each of them.
    """

    workers: int
    threads: int

    def __str__(self) -> str:
        workers = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{workers} of {threads}" + " each" * (self.workers > 1)


def usual(cores: int) -> Placement:
    """One worker per core, at most 8, which share the cores out: where nothing was measured."""
    workers = max(1, min(cores, USUAL_MOST))
    return Placement(workers, max(1, cores // workers))


def most_workers(cores: int) -> int:
    """As many workers as the machine's memory is reckoned to hold, in use or not."""
    total = environment.total_memory()
    return USUAL_MOST if total is None else max(1, min(cores, total // MEMORY))


def candidates(units: int, cores: int, most: int) -> tuple[Placement, ...]:
    """What is worth comparing, few workers first: powers of two, and as many as there can be.

    Args:
        units: of the whole suite.
        cores: that may be used.
        most: workers that the memory holds.
    """
    limit = max(1, min(units, cores, most))
    counts = {1 << power for power in range(limit.bit_length())} | {limit}
    return tuple(Placement(count, cores // count) for count in sorted(counts))


def makespan(placement: Placement, units: int, seconds: Seconds) -> float:
    """Seconds until a step of every unit is done, where all units are alike."""
    rounds = -(-units // placement.workers)
    return rounds * seconds[placement.workers, placement.threads]


def choose(units: int, cores: int, most: int, seconds: Seconds) -> Placement:
    """The candidate with the shortest makespan; among those nearly as short, the most workers.

    Args:
        units: of the whole suite.
        cores: that may be used.
        most: workers that the memory holds.
        seconds: of a step, for every one of :func:`candidates` where there are several.
    """
    found = candidates(units, cores, most)
    if len(found) == 1:
        return found[0]
    spans = {c: makespan(c, units, seconds) for c in found}
    bar = TOLERANCE * min(spans.values())
    return max(candidate for candidate, span in spans.items() if span <= bar)


def reason(chosen: Placement, units: int, cores: int, most: int, seconds: Seconds) -> str:
    """Why, in a few words: what was measured of the choice, and of the next best candidate."""
    others = [c for c in candidates(units, cores, most) if c != chosen]
    if not others:
        return "the suite has 1 unit" if units <= 1 else "the memory holds no more"
    other = min(others, key=lambda c: (makespan(c, units, seconds), -c.workers))

    def took(placement: Placement) -> str:
        return f"{1000 * seconds[placement.workers, placement.threads]:.3g} ms"

    one = f"side by side {took(chosen)} a step" if chosen.workers > 1 else f"{took(chosen)} a step"
    if other.workers > 1:
        return f"{one}, {str(other).removesuffix(' each')} side by side {took(other)}"
    return f"{one}, one {str(other).removeprefix('1 ')} {took(other)}"
