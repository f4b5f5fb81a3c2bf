"""Diagonal Gaussians as latent-space autoencoders use them; every term is one number per run."""

from __future__ import annotations

import torch


def _sum(values: torch.Tensor) -> torch.Tensor:
    """[R, B, D] -> [R].  In two steps: a full reduction of one run would be split by threads."""
    return values.sum(-1).sum(-1)


def reparameterize(mu: torch.Tensor, logvar: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Sample z = mu + exp(logvar) * noise (CADA-VAE, released code: models.py, vaemodel.py).

    Two habits of the released code are kept on purpose.  ``exp(logvar)`` is used as the standard
    deviation although KL and distance read ``logvar`` as the logarithm of a variance; and with
    ``noise`` of shape [R, B, 1] all coordinates of a sample move together.

    Args:
        mu: [R, B, L] means.
        logvar: [R, B, L] logarithms.
        noise: [R, B, 1] (as released) or [R, B, L] standard normal numbers.
    """
    return torch.addcmul(mu, logvar.exp(), noise)


def kl_divergence(mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    """KL(N(mu, exp(logvar)) || N(0, 1)), summed over batch and dimensions: [R], at least 0."""
    return -0.5 * _sum(1 + logvar - mu.square() - logvar.exp())


def wasserstein_distance(
    mu_a: torch.Tensor, logvar_a: torch.Tensor, mu_b: torch.Tensor, logvar_b: torch.Tensor
) -> torch.Tensor:
    """2-Wasserstein distance of diagonal Gaussians, root per sample, summed over the batch: [R].

    sqrt(|mu_a - mu_b|^2 + |exp(logvar_a / 2) - exp(logvar_b / 2)|^2), ACMR Eq. 4; no epsilon.
    """
    means = (mu_a - mu_b).square().sum(-1)
    deviations = ((0.5 * logvar_a).exp() - (0.5 * logvar_b).exp()).square().sum(-1)
    return (means + deviations).sqrt().sum(-1)


def l1_error(target: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    """|target - output| summed over batch and dimensions: [R]."""
    return _sum((target - output).abs())
