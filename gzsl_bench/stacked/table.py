"""Free parameters with a run axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from gzsl_bench.stacked.layers import Parameters, padded
from gzsl_bench.stacked.runs import HasStreams


class Table(Parameters):
    """A matrix of parameters for every run: the centres of classes, say.

    Gradients follow the rules of :class:`~gzsl_bench.stacked.layers.Linear`.

    Attributes:
        weight: [R, K, A] view.
    """

    def __init__(
        self,
        runs: Sequence[HasStreams],
        name: str,
        rows: int,
        width: int,
        *,
        std: float = 1.0,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Normal numbers from each run's stream ``init/<name>``.

        Args:
            runs: the stack; their number is R.
            name: names the stream.
            rows: K.
            width: A.
            std: standard deviation of the initial numbers.
            device: where the parameters live.
            dtype: their type.
        """
        self.flat = torch.zeros(len(runs), padded(rows * width), device=device, dtype=dtype)
        self.grad = torch.zeros_like(self.flat)
        self.weight, self.weight_grad = (
            flat[:, : rows * width].view(-1, rows, width) for flat in (self.flat, self.grad)
        )
        for weight, run in zip(self.weight, runs, strict=True):
            stream = run.generator(f"init/{name}")
            weight.copy_(torch.randn(rows, width, generator=stream) * std)
        self._leaf = self.weight.detach().requires_grad_()
        self._ends_at(self._leaf)

    def __call__(self) -> torch.Tensor:
        """[R, K, A] as they are now."""
        if self.frozen:
            return self.weight
        return _Table.apply(self._leaf, self)  # type: ignore[no-untyped-call, no-any-return]


class _Table(torch.autograd.Function):
    """The gradient goes into ``table.grad``."""

    @staticmethod
    def forward(ctx: Any, leaf: torch.Tensor, table: Table) -> torch.Tensor:
        ctx.table = table
        return leaf.detach()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[None, None]:
        table: Table = ctx.table
        if table.wanted():
            target = table.weight_grad
            target.copy_(grad) if table.fresh else target.add_(grad)
            table.fresh = False
        return None, None
