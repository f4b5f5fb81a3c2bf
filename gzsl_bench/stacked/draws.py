"""Random draws for a stack of runs: every run from a stream of its own, in blocks of many steps.

All draws happen on the CPU and are moved to the device a block at a time, so the numbers are the
same everywhere.  Blocks are laid out [steps, R, ...]: what one step needs is contiguous.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from gzsl_bench.stacked.runs import HasStreams

#: Rows per matrix of random keys where subsets are drawn by sorting.
_SORT_ELEMENTS = 1 << 20


class Generators:
    """One generator a run for ``purpose``; the streams continue from draw to draw."""

    def __init__(self, runs: Sequence[HasStreams], purpose: str) -> None:
        self.streams = [run.generator(purpose) for run in runs]

    def __len__(self) -> int:
        return len(self.streams)

    def block(
        self, draw: Callable[[torch.Generator], torch.Tensor], device: torch.device | None = None
    ) -> torch.Tensor:
        """``draw`` [steps, ...] for every run, as [steps, R, ...] on ``device``."""
        stacked = torch.stack([draw(stream) for stream in self.streams], dim=1)
        return stacked if device is None else stacked.to(device, non_blocking=True)


def subset_block(n: int, size: int, steps: int, stream: torch.Generator) -> torch.Tensor:
    """[steps, size] row numbers: in each step a uniform ordered subset of ``range(n)``.

    Equal in law to ``randperm(n)[:size]`` anew in every step: no row twice within a step, steps
    independent.  Where duplicates are rare a step is drawn with replacement and drawn again as a
    whole until its rows differ, which conditions the uniform law on exactly that event; otherwise
    the first columns of a sort of uniform keys are taken.
    """
    if not 0 < size <= n:
        raise ValueError(f"a batch needs between 1 and {n} rows, not {size}")
    if size * size > 2 * n:
        return _subset_by_sorting(n, size, steps, stream)
    rows = torch.randint(n, (steps, size), generator=stream)
    pending = torch.arange(steps)
    while True:
        ordered = rows[pending].sort(dim=1).values
        pending = pending[(ordered[:, 1:] == ordered[:, :-1]).any(dim=1)]
        if not pending.numel():
            return rows
        rows[pending] = torch.randint(n, (pending.numel(), size), generator=stream)


def _subset_by_sorting(n: int, size: int, steps: int, stream: torch.Generator) -> torch.Tensor:
    """The same law for a batch that is a large part of the rows."""
    at_once = max(1, _SORT_ELEMENTS // n)
    parts = [
        # Keys of 53 bits: a tie, which the sort would break by position, does not happen.
        torch.rand(min(at_once, steps - first), n, generator=stream, dtype=torch.float64)
        .argsort(dim=1)[:, :size]
        .contiguous()
        for first in range(0, steps, at_once)
    ]
    return torch.cat(parts)


def subsets(
    generators: Generators, n: int, size: int, steps: int, device: torch.device | None = None
) -> torch.Tensor:
    """[steps, R, size] row numbers, see :func:`subset_block`."""
    return generators.block(lambda stream: subset_block(n, size, steps, stream), device)


def subsets_in_turn(
    generators: Generators,
    n: int,
    size: int,
    turns: int,
    steps: int,
    device: torch.device | None = None,
) -> torch.Tensor:
    """[steps, R, turns, size] row numbers, a subset for every turn of a step."""
    picked = subsets(generators, n, size, steps * turns, device)
    return picked.view(steps, turns, len(generators), size).transpose(1, 2)


def normals(
    generators: Generators,
    shape: Sequence[int],
    steps: int,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """[steps, R, *shape] standard normal numbers."""
    return generators.block(
        lambda stream: torch.randn(steps, *shape, generator=stream, dtype=dtype), device
    )


def uniforms(
    generators: Generators, shape: Sequence[int], steps: int, device: torch.device | None = None
) -> torch.Tensor:
    """[steps, R, *shape] numbers between 0 and 1."""
    return generators.block(lambda stream: torch.rand(steps, *shape, generator=stream), device)


def integers(
    generators: Generators,
    high: int,
    shape: Sequence[int],
    steps: int,
    device: torch.device | None = None,
) -> torch.Tensor:
    """[steps, R, *shape] whole numbers below ``high``."""
    return generators.block(
        lambda stream: torch.randint(high, (steps, *shape), generator=stream), device
    )


def permutations(
    generators: Generators, size: int, steps: int, device: torch.device | None = None
) -> torch.Tensor:
    """[steps, R, size] permutations of ``range(size)``."""
    return generators.block(
        lambda stream: torch.rand(steps, size, generator=stream, dtype=torch.float64).argsort(
            dim=1
        ),
        device,
    )


class Shuffles:
    """Batches in one shuffle after another, as the ``next_batch`` of f-CLSWGAN's classifier.

    A batch that does not fit into what is left of a shuffle takes the rest and goes on with the
    next one, also from call to call.
    """

    def __init__(self, runs: Sequence[HasStreams], purpose: str, rows: int) -> None:
        self.streams = [run.generator(purpose) for run in runs]
        self.rows = rows
        self._left = [torch.empty(0, dtype=torch.int64) for _ in runs]

    def draw(self, run: int, steps: int, batch: int) -> torch.Tensor:
        """[steps, batch] rows of one run."""
        wanted, parts = steps * batch, [self._left[run]]
        while sum(map(len, parts)) < wanted:
            parts.append(torch.randperm(self.rows, generator=self.streams[run]))
        order, self._left[run] = torch.cat(parts).tensor_split([wanted])
        return order.view(steps, batch)
