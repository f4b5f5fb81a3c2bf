"""One vector an image, and a map of regions, from what a layer gives."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gzsl_bench.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor


def pooled(
    raw: Any, own: Tensor | None, pool: str, prefix: int | None, channels_last: bool, what: str
) -> tuple[Tensor, Tensor | None, str]:
    """Features [B, D] as float32, regions [B, R, C] or None, and the way of pooling in use.

    Regions are in reading order.  ``auto`` takes the backbone's own embedding, else the first token
    of a transformer that has one before its regions, else the mean over regions.

    Args:
        raw: the layer's output: [B, D], [B, T, C] or [B, C, h, w].
        own: [B, D] what the library calls the image's embedding, where it has one.
        pool: ``auto``, ``mean``, ``token`` or ``own``.
        prefix: tokens before those of regions; None where the count has to tell, for regions lie in
            a square.
        channels_last: maps are [B, h, w, C].
        what: how messages call the layer.

    Raises:
        DataError: the output has another shape, or does not fit the way of pooling.
    """
    import torch

    shape = tuple(raw.shape) if isinstance(raw, torch.Tensor) else ()
    token, regions = None, None
    if len(shape) == 2:
        own = raw if own is None else own
    elif len(shape) == 3:
        count = shape[1] - math.isqrt(shape[1]) ** 2 if prefix is None else prefix
        token, regions = (raw[:, 0] if count else None), raw[:, count:]
    elif len(shape) == 4:
        regions = raw.flatten(1, 2) if channels_last else raw.flatten(2).transpose(1, 2)
    else:
        kind = f"shape {list(shape)}" if shape else f"a {type(raw).__name__}"
        raise DataError(
            f"{what} gives {kind}, but [B, D], [B, T, C] or [B, C, h, w] is needed; name another"
            " with --layer"
        )
    if pool == "auto":
        pool = "own" if own is not None else "token" if token is not None else "mean"
    found = {
        "own": own,
        "token": token,
        "mean": None if regions is None else regions.float().mean(1),
    }[pool]
    if found is None:
        raise DataError(f"--pool {pool} does not fit {what}, which gives {list(shape)}; auto does")
    return found.float(), regions, pool
