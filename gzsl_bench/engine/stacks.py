"""How many runs of a unit are trained as one: the most that the device's memory holds.

The planner groups runs that could be trained together into units by looking at the suite alone.
How many of them fit is measured on the device: one run, then two, for a few epochs each; what the
second one added is what a run takes.  The composition is written down, shown in every record and
used again on resume.  A stack that runs out of memory all the same is halved and tried again.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict, JsonValue, TypeAdapter

from gzsl_bench import atomic
from gzsl_bench.errors import RecordError
from gzsl_bench.records import strict
from gzsl_bench.records.layout import Layout
from gzsl_bench.suite.cells import Cell

if TYPE_CHECKING:
    import torch

    from gzsl_bench.engine.units import Unit
    from gzsl_bench.hooks.method import BatchedMethod
    from gzsl_bench.hooks.run import Run, ScoreFunction
    from gzsl_bench.hooks.task import Task

#: Part of the free memory that may be planned with; allocators and libraries need the rest.
SHARE = 0.85
#: Reports of progress after which a measured training has shown all it needs: the first epoch
#: allocates the optimiser's state, the second one captures graphs.
REPORTS = 3

Stack = tuple[Cell, ...]


@dataclass(frozen=True)
class Composition:
    """The stacks of a unit, and the measurement behind them.

    Attributes:
        stacks: cells trained together, in the unit's order.
        measured: bytes of one and of two runs, free bytes, device; empty where none was needed.
    """

    stacks: tuple[Stack, ...]
    measured: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "stacks": [[cell.key for cell in stack] for stack in self.stacks],
            "measured": dict(self.measured),
        }


def largest_stack(one: int, two: int, free: int) -> int:
    """The most runs that ``free`` bytes hold, where one takes ``one`` bytes and two ``two``.

    What does not grow with the number of runs is ``2 one - two``; a run takes ``two - one``.
    """
    each = max(1, two - one)
    shared = max(0, one - each)
    return max(1, int((SHARE * free - shared) // each))


def cut(cells: Sequence[Cell], size: int) -> tuple[Stack, ...]:
    """Cut ``cells`` into the fewest stacks of at most ``size``, as even as possible, in order."""
    count = -(-len(cells) // size)
    edges = [round(i * len(cells) / count) for i in range(count + 1)]
    return tuple(tuple(cells[a:b]) for a, b in itertools.pairwise(edges))


def remembered(layout: Layout, unit: Unit) -> Composition | None:
    """The composition an earlier run wrote down for ``unit``; None if there is none that fits."""
    found = strict.read(TypeAdapter(_Written), layout.unit(unit.name))
    if found is None:
        return None
    by_key = {cell.key: cell for cell in unit.cells}
    # On resume a unit has lost its finished cells; the others keep their company.
    stacks = [[by_key[k] for k in keys if k in by_key] for keys in found.stacks]
    if sorted(c.key for s in stacks for c in s) != sorted(by_key):
        return None
    return Composition(tuple(tuple(s) for s in stacks if s), found.measured)


@dataclass(frozen=True)
class _Written:
    """A composition as it is kept."""

    __pydantic_config__: ClassVar[ConfigDict] = strict.STRICT

    stacks: tuple[tuple[str, ...], ...]
    measured: Mapping[str, JsonValue] = field(default_factory=dict)


def remember(layout: Layout, unit: Unit, composition: Composition) -> None:
    """Write a composition down.

    Raises:
        RecordError: the results folder cannot be written.
    """
    path = layout.unit(unit.name)
    try:
        atomic.write_json(path, composition.to_json())
    except OSError as error:
        raise RecordError(f"{path} cannot be written: {error}") from None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a training failed for want of device memory, so that a smaller stack may do."""
    import torch

    return isinstance(error, torch.OutOfMemoryError)


def release() -> None:
    """Give back the memory of a training that failed, cycles of objects included."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class _Enough(BaseException):
    """Ends a measured training."""


class _Meter:
    """A sink that ends the training once it has shown its memory."""

    def __init__(self) -> None:
        self._reports = 0

    def log(self, step: int, values: dict[str, float]) -> None:
        """Nothing is kept."""

    def checkpoint(self, number: int, scorer: ScoreFunction) -> None:
        """A method that reports no progress is measured up to its first checkpoint."""
        raise _Enough

    def progress(self, done: int, total: int) -> None:
        """Count the reports."""
        self._reports += 1
        if self._reports >= REPORTS:
            raise _Enough


def measure(
    make: Callable[[], BatchedMethod], task: Task, run: Callable[[_Meter], Run], count: int
) -> int:
    """Bytes of device memory that training ``count`` runs takes at most, beside the task itself."""
    import torch

    device = task.device
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    with contextlib.suppress(_Enough):
        make().fit_batch(task, [run(_Meter()) for _ in range(count)])
    return torch.cuda.max_memory_allocated(device) - before


def compose(
    unit: Unit,
    make: Callable[[], BatchedMethod],
    task: Task,
    run: Callable[[_Meter], Run],
    *,
    meter: Callable[..., int] = measure,
    free: Callable[[torch.device], int] | None = None,
) -> Composition:
    """Measure and cut: the fewest even stacks that fit.

    Args:
        unit: cells that may be trained together.
        make: makes the method.
        task: the task, on the device.
        run: makes a run that reports to the sink it is given.
        meter: measures the memory of a number of runs.
        free: free bytes of a device.
    """
    if len(unit.cells) < 2 or (task.device.type != "cuda" and meter is measure):
        return Composition((unit.cells,), {})
    one, two = (meter(make, task, run, count) for count in (1, 2))
    available = (free or _free)(task.device)
    size = largest_stack(one, two, available)
    measured = {"one": one, "two": two, "free": available, "device": str(task.device)}
    return Composition(cut(unit.cells, size), measured)


def _free(device: torch.device) -> int:
    """Free bytes, those included that our own allocator holds without using them."""
    import torch

    torch.cuda.empty_cache()
    available: int = torch.cuda.mem_get_info(device)[0]
    return available
