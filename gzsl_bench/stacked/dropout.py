"""Dropout for a stack of runs: what is kept is drawn beforehand, from each run's own stream.

A step that is captured cannot draw, and a run must lose the same units alone and beside others.  So
the masks of many steps are a block like batches and noise, one byte a unit.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gzsl_bench.stacked.draws import Generators


def keeps(
    generators: Generators,
    shape: Sequence[int],
    rate: float,
    steps: int,
    device: torch.device | None = None,
) -> torch.Tensor:
    """[steps, R, *shape] booleans, each false with probability ``rate``; none is drawn at rate 0.

    Raises:
        ValueError: ``rate`` is not in [0, 1).
    """
    if not 0 <= rate < 1:
        raise ValueError(f"a dropout rate is at least 0 and below 1, not {rate}")
    if not rate:
        return torch.ones(steps, len(generators), *shape, dtype=torch.bool, device=device)
    return generators.block(
        lambda stream: torch.rand(steps, *shape, generator=stream) >= rate, device
    )


def dropout(x: torch.Tensor, kept: torch.Tensor, rate: float) -> torch.Tensor:
    """Zero what is not ``kept`` and divide the rest by 1 - ``rate``, as ``torch.nn.Dropout``.

    Args:
        x: [R, B, K].
        kept: [R, B, K] booleans, one step of :func:`keeps`.
        rate: the rate they were drawn with.
    """
    return x * kept.to(x.dtype).div_(1 - rate)
