"""How many workers, and threads of each: what gets a suite done soonest by measured step times.

Small products gain little from threads, so processes side by side usually do more, but not where
there are fewer units than cores, and not on every machine; on a busy one a second thread may even
slow a step down.  The choice looks at the whole suite and at the machine alone, never at what is
left to do or at free memory: the number of threads changes rounding, and a resumed suite is to
compute as it did before.

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
    """What step times are needed of, few workers first: powers of two, and as many as there can be.

    There may be more workers than units: so many threads help no less with fewer workers beside.

    Args:
        units: of the whole suite.
        cores: that may be used.
        most: workers that the memory holds.
    """
    limit = max(1, min(cores, most))
    counts = {1 << power for power in range(limit.bit_length())} | {limit, min(units, limit)}
    return tuple(Placement(count, cores // count) for count in sorted(counts))


@dataclass(frozen=True)
class _Option:
    """A placement, seconds of a step that were measured for it, and for a step of every unit."""

    placement: Placement
    step: float
    makespan: float


def _options(units: int, cores: int, most: int, seconds: Seconds) -> list[_Option]:
    """What can be chosen, with the shortest times known of it.

    A worker that has no unit does not train, which slows none of the others down: times that were
    measured with more workers than units are upper bounds of what takes place.
    """
    found: dict[Placement, _Option] = {}
    for candidate in candidates(units, cores, most):
        step = seconds[candidate.workers, candidate.threads]
        workers = min(candidate.workers, units)
        placement = Placement(workers, candidate.threads)
        option = _Option(placement, step, -(-units // workers) * step)
        found[placement] = min(found.get(placement, option), option, key=lambda o: o.makespan)
    return list(found.values())


def choose(units: int, cores: int, most: int, seconds: Seconds) -> Placement:
    """What does a step of every unit soonest, where all units are alike.

    Among placements that are nearly as fast the one with most workers is taken, then the one with
    fewest threads, so that noise does not flip the choice.

    Args:
        units: of the whole suite.
        cores: that may be used.
        most: workers that the memory holds.
        seconds: of a step, for every one of :func:`candidates` where there are several.
    """
    only, *others = candidates(units, cores, most)
    return _chosen(_options(units, cores, most, seconds)).placement if others else only


def _chosen(options: list[_Option]) -> _Option:
    bar = TOLERANCE * min(option.makespan for option in options)
    near = [option for option in options if option.makespan <= bar]
    return max(near, key=lambda o: (o.placement.workers, -o.placement.threads))


def reason(units: int, cores: int, most: int, seconds: Seconds) -> str:
    """Why that was chosen: what was measured of it, and of the next best."""
    if len(candidates(units, cores, most)) == 1:
        return "the memory holds no more"
    options = _options(units, cores, most, seconds)
    chosen = _chosen(options)
    options.remove(chosen)
    other = min(options, key=lambda option: option.makespan)
    beside = "side by side " * (chosen.placement.workers > 1)
    name = str(other.placement).removesuffix(" each")
    name = f"{name} side by side" if other.placement.workers > 1 else f"one{name[1:]}"
    return f"{beside}{_in_words(chosen.step)} a step, {name} {_in_words(other.step)}"


def _in_words(seconds: float) -> str:
    """``19.3 ms`` or ``1.87 s``."""
    return f"{1e3 * seconds:.3g} ms" if seconds < 0.9995 else f"{seconds:.3g} s"
