"""Warm-up schedules of loss weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class WarmUp:
    """w(e) = factor * clip((e - start) / (end - start), 0, 1), one factor for every run.

    Constant within an epoch; epochs count from 0, so epoch ``start`` itself still has weight 0 and
    ``end`` is the first with the full factor.  ``start == end`` is a step from 0 to the factor.

    Attributes:
        factors: full weight of each run.
        start: last epoch of weight 0.
        end: first epoch of full weight.
    """

    factors: Sequence[float]
    start: int
    end: int

    def share(self, epoch: int) -> float:
        """The part of the factor that is on in ``epoch``, in [0, 1]."""
        if epoch >= self.end:
            return 1.0
        if epoch <= self.start:
            return 0.0
        return (epoch - self.start) / (self.end - self.start)

    def at(
        self, epoch: int, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> torch.Tensor:
        """[R] weights in ``epoch``."""
        share = self.share(epoch)
        return torch.tensor([f * share for f in self.factors], dtype=dtype, device=device)
