"""What CADA-VAE's released code does and its paper does not say; its successors inherit it.

Three habits, each kept on purpose (released code: models.py, vaemodel.py): ``exp(logvar)`` is the
standard deviation of a sample although KL and distance read ``logvar`` as the logarithm of a
variance; all coordinates of a sample move together, by one number; and the images that the final
classifier learns from are the first of each class, tiled, where the paper says random ones.
"""

from __future__ import annotations

import torch


def reparameterize(mu: torch.Tensor, logvar: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Sample z = mu + exp(logvar) * noise.

    Args:
        mu: [R, B, L] means.
        logvar: [R, B, L] logarithms.
        noise: [R, B, 1] (as released) or [R, B, L] standard normal numbers.
    """
    return torch.addcmul(mu, logvar.exp(), noise)


def samples(
    statistics: torch.Tensor, picked: torch.Tensor, stream: torch.Generator
) -> torch.Tensor:
    """[M, L] samples of the rows ``picked`` [M] of ``statistics`` [N, 2 L], one number each."""
    mu, logvar = statistics[picked].chunk(2, dim=-1)
    noise = torch.randn(picked.numel(), 1, generator=stream)
    return reparameterize(mu, logvar, noise.to(mu))


def first_rows(labels: torch.Tensor, classes: torch.Tensor, count: int) -> torch.Tensor:
    """[K * count] row numbers: the first ``count`` rows of each class in file order.

    A class with fewer rows is tiled: 0, 1, 2, 0, 1, ...
    """
    picked = [labels.new_empty(0)]
    for label in classes.tolist():
        rows = torch.nonzero(labels == label).flatten()
        picked.append(rows[torch.arange(count, device=rows.device) % rows.numel()])
    return torch.cat(picked)
