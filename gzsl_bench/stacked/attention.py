"""Attention over the regions of an image, for many runs as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.autograd.function import once_differentiable


def unit_regions(maps: torch.Tensor) -> torch.Tensor:
    """``maps`` [..., P, C] with regions of length 1 (zeros stay), changed in place: they are large.

    Raises:
        RuntimeError: maps that autograd follows.
    """
    lengths = torch.linalg.vector_norm(maps, dim=-1, keepdim=True)
    return maps.div_(lengths.clamp_(min=1e-12))


def region_products(maps: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Products of every region with every vector of its run: a 1 x 1 convolution.

    Args:
        maps: [R, B, P, C].
        vectors: [R, K, C].

    Returns:
        [R, B, P, K].
    """
    runs, batch, regions, channels = maps.shape
    found = maps.reshape(runs, batch * regions, channels) @ vectors.mT
    return found.view(runs, batch, regions, -1)


def in_blocks(
    compute: Callable[..., torch.Tensor],
    maps: torch.Tensor,
    parameters: Sequence[torch.Tensor],
    size: int,
) -> torch.Tensor:
    """``compute(maps, *parameters)`` [R, B, ...], for ``size`` images at a time.

    What lies between maps and result can take as much memory as the maps.  Here it is kept for one
    block alone: the backward pass computes it again.

    Args:
        compute: treats every image by itself, draws nothing, and has no parameters but those given.
        maps: [R, B, P, C], constants.
        parameters: whatever ``compute`` takes a gradient by.
        size: images of a block; a batch that is no larger is computed as ever.
    """
    if maps.shape[1] <= size or not torch.is_grad_enabled():
        return torch.cat([compute(part, *parameters) for part in torch.split(maps, size, 1)], 1)
    return _Blocks.apply(compute, size, maps, *parameters)  # type: ignore[no-untyped-call, no-any-return]


class _Blocks(torch.autograd.Function):
    """See :func:`in_blocks`.

    ``torch.utils.checkpoint`` does as much, but what it keeps refers to itself in a circle, and
    the maps with it: they then lie about until Python looks for such circles.
    """

    @staticmethod
    def forward(
        ctx: Any,
        compute: Callable[..., torch.Tensor],
        size: int,
        maps: torch.Tensor,
        *parameters: torch.Tensor,
    ) -> torch.Tensor:
        ctx.compute, ctx.size = compute, size
        ctx.save_for_backward(maps, *parameters)
        return torch.cat([compute(part, *parameters) for part in torch.split(maps, size, 1)], 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        maps, *parameters = ctx.saved_tensors
        found = [torch.zeros_like(parameter) for parameter in parameters]
        parts = zip(torch.split(maps, ctx.size, 1), torch.split(grad, ctx.size, 1), strict=True)
        for part, of_part in parts:
            with torch.enable_grad():
                own = [parameter.detach().requires_grad_() for parameter in parameters]
                result = ctx.compute(part, *own)
            slopes = torch.autograd.grad(result, own, of_part, allow_unused=True)
            for total, slope in zip(found, slopes, strict=True):
                if slope is not None:
                    total.add_(slope)
        return None, None, None, *found
