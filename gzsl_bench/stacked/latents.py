"""Latent training sets for the final classifier."""

from __future__ import annotations

from collections.abc import Callable

import torch

from gzsl_bench.stacked.draws import Generators, normals
from gzsl_bench.stacked.gaussian import reparameterize

#: Rows encoded at once; it bounds the memory that hidden layers take.
CHUNK = 8192


def first_rows(labels: torch.Tensor, classes: torch.Tensor, count: int) -> torch.Tensor:
    """[K * count] row numbers: the first ``count`` rows of each class in file order.

    A class with fewer rows is tiled (0, 1, 2, 0, 1, ...).  The released code calls these random;
    they are not (CADA-VAE, released code: vaemodel.py).
    """
    picked = []
    for label in classes.tolist():
        rows = torch.nonzero(labels == label).flatten()
        picked.append(rows[torch.arange(count, device=rows.device) % rows.numel()])
    return torch.cat(picked)


def class_mean_repeats(classes: torch.Tensor, count: int) -> torch.Tensor:
    """[K * count] class ids, each ``count`` times in a row."""
    return classes.repeat_interleave(count)


def encode_in_chunks(
    encode: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor, chunk: int = CHUNK
) -> torch.Tensor:
    """``encode`` [1, n, D] -> [1, n, K] applied to ``rows`` [N, D], a chunk at a time: [N, K]."""
    parts = [encode(part.unsqueeze(0))[0] for part in rows.split(chunk)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def sample_latents(
    statistics: torch.Tensor, picked: torch.Tensor, generators: Generators, run: int
) -> torch.Tensor:
    """Noisy latents of the rows ``picked``, one noise number per sample.

    Rows that are picked many times (tiled images, the one embedding of a class) are encoded once.

    Args:
        statistics: [N, 2 L] means and log-variances of distinct rows.
        picked: [M] row numbers into ``statistics``.
        generators: the noise streams.
        run: whose stream.

    Returns:
        [M, L] samples.
    """
    mu, logvar = statistics[picked].chunk(2, dim=-1)
    stream = generators.streams[run]
    noise = torch.randn(picked.numel(), 1, generator=stream, dtype=torch.float32)
    return reparameterize(mu, logvar, noise.to(mu))
