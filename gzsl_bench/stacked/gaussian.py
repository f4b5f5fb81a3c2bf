"""Diagonal Gaussians as latent-space autoencoders use them; every term is one number per run."""

from __future__ import annotations

import torch


def _sum(values: torch.Tensor) -> torch.Tensor:
    """[R, B, D] -> [R].  In two steps: a full reduction of one run would be split by threads."""
    return values.sum(-1).sum(-1)


def kl_divergence(mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    """KL(N(mu, exp(logvar)) || N(0, 1)), summed over batch and dimensions: [R], at least 0."""
    return -0.5 * _sum(1 + logvar - mu.square() - logvar.exp())


def wasserstein_distance(
    mu_a: torch.Tensor,
    logvar_a: torch.Tensor,
    mu_b: torch.Tensor,
    logvar_b: torch.Tensor,
    *,
    floor: float = 0.0,
) -> torch.Tensor:
    """2-Wasserstein distance of diagonal Gaussians, root per sample, summed over the batch: [R].

    sqrt(|mu_a - mu_b|^2 + |exp(logvar_a / 2) - exp(logvar_b / 2)|^2), ACMR Eq. 4; no epsilon.

    At distance zero the gradient is not a number.  Where both may come from one network, a
    ``floor`` of the squared distance (1e-30, say) makes it zero.
    """
    means = (mu_a - mu_b).square().sum(-1)
    deviations = ((0.5 * logvar_a).exp() - (0.5 * logvar_b).exp()).square().sum(-1)
    squared = means + deviations
    return (squared.clamp_min(floor) if floor else squared).sqrt().sum(-1)


def l1_error(target: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    """|target - output| summed over batch and dimensions: [R]."""
    return _sum((target - output).abs())
