"""Batch normalisation with a run axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from gzsl_bench.stacked.layers import Parameters, padded
from gzsl_bench.stacked.runs import HasStreams


class BatchNorm(Parameters):
    """Each run normalised by its own batch while training, by its running statistics afterwards.

    Equal to ``torch.nn.BatchNorm1d`` of every run: the batch is normalised by its biased variance,
    the running one is unbiased.  Within
    :func:`~gzsl_bench.stacked.layers.frozen` running statistics move all the same.

    Attributes:
        weight: [R, K] view.
        bias: [R, K] view.
        mean: [R, K] running means.
        variance: [R, K] running variances.
    """

    def __init__(
        self,
        runs: Sequence[HasStreams],
        width: int,
        *,
        eps: float = 1e-5,
        momentum: float = 0.1,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Weights one, biases zero.

        Args:
            runs: the stack; their number is R.
            width: K.
            eps: added to the variance.
            momentum: share of the last batch in the running statistics.
            device: where the parameters live.
            dtype: their type.
        """
        self.width, self.eps, self.momentum = width, eps, momentum
        self.flat = torch.zeros(len(runs), 2 * padded(width), device=device, dtype=dtype)
        self.grad = torch.zeros_like(self.flat)
        self.mean = torch.zeros(len(runs), width, device=device, dtype=dtype)
        self.variance = torch.ones_like(self.mean)
        self.weight, self.bias = self._split(self.flat)
        self.weight.fill_(1)
        self.weight_grad, self.bias_grad = self._split(self.grad)
        # Only so that autograd comes by; gradients are written to ``grad``.
        self._leaf = self.weight.detach().requires_grad_()
        self._ends_at(self._leaf)

    def _split(self, flat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        weight, bias = flat.chunk(2, dim=1)
        return weight[:, : self.width], bias[:, : self.width]

    def of(self, run: int) -> BatchNorm:
        """The layer of one run for inference; it shares parameters and running statistics."""
        one = object.__new__(BatchNorm)
        one.width, one.eps, one.momentum = self.width, self.eps, self.momentum
        one.frozen = True
        one.flat, one.grad = self.flat[run : run + 1], None
        one.mean, one.variance = self.mean[run : run + 1], self.variance[run : run + 1]
        one.weight, one.bias = one._split(one.flat)
        return one

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[R, B, K] -> [R, B, K].

        Raises:
            ValueError: a batch of one row, which has no variance, while training.
        """
        if self.grad is None:
            scale = self.weight * torch.rsqrt(self.variance + self.eps)
            return (x - self.mean[:, None]) * scale[:, None] + self.bias[:, None]
        rows = x.shape[1]
        if rows < 2:
            raise ValueError("batch normalisation needs two rows or more in a training step, not 1")
        leaf = self.weight.detach() if self.frozen else self._leaf
        out: torch.Tensor
        out, mean, variance = _BatchNorm.apply(x, leaf, self)  # type: ignore[no-untyped-call]
        self.mean.lerp_(mean.squeeze(1), self.momentum)
        self.variance.lerp_(variance.squeeze(1) * (rows / (rows - 1)), self.momentum)
        return out


class _BatchNorm(torch.autograd.Function):
    """Normalised by the batch; the gradients of the parameters go into ``layer.grad``."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, leaf: torch.Tensor, layer: BatchNorm
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        variance, mean = torch.var_mean(x, 1, correction=0, keepdim=True)
        scale = torch.rsqrt(variance + layer.eps)
        normal = (x - mean).mul_(scale)
        # A copy: the optimiser may have moved the parameters before the way back.
        weight = layer.weight[:, None].clone()
        ctx.layer = layer
        ctx.save_for_backward(normal, scale, weight)
        ctx.mark_non_differentiable(mean, variance)
        return torch.addcmul(layer.bias[:, None], normal, weight), mean, variance

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor, *_: Any) -> tuple[torch.Tensor | None, None, None]:
        layer: BatchNorm = ctx.layer
        normal, scale, weight = ctx.saved_tensors
        of_bias, of_weight = grad.sum(1), (grad * normal).sum(1)
        if layer.wanted():
            for target, value in ((layer.weight_grad, of_weight), (layer.bias_grad, of_bias)):
                target.copy_(value) if layer.fresh else target.add_(value)
            layer.fresh = False
        if not ctx.needs_input_grad[0]:
            return None, None, None
        centred = grad - (of_bias[:, None] + normal * of_weight[:, None]) / grad.shape[1]
        return centred * (weight * scale), None, None
