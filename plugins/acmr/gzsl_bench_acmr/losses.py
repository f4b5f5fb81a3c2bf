"""The loss of ACMR (ACMR, Eq. 9; released code: train.py), one number per run and term."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from gzsl_bench.stacked import (
    Linear,
    kl_divergence,
    l1_error,
    reparameterize,
    wasserstein_distance,
)
from gzsl_bench_acmr.networks import ACMRModel, attend


@dataclass(frozen=True)
class StepDraws:
    """The random numbers of one step, each run's own.

    Attributes:
        noise_visual: [R, B, 1] standard normal numbers.
        noise_attribute: [R, B, 1] standard normal numbers.
        permutation_visual: [R, 2 L] order in which the visual gate reads its channels.
        permutation_attribute: [R, 2 L] order in which the attribute gate reads its channels.
    """

    noise_visual: torch.Tensor
    noise_attribute: torch.Tensor
    permutation_visual: torch.Tensor
    permutation_attribute: torch.Tensor


def classification(z: torch.Tensor, head: Linear, labels: torch.Tensor) -> torch.Tensor:
    """Mean negative log-likelihood of ``labels`` [R, B] given latents ``z`` [R, B, L]: [R].

    The one mean over the batch among the terms: all others are sums (released code: train.py).
    """
    logs = head(z).log_softmax(dim=-1)
    return -logs.gather(2, labels.unsqueeze(2)).squeeze(2).mean(1)


def acmr_losses(
    model: ACMRModel,
    features: torch.Tensor,
    attributes: torch.Tensor,
    labels: torch.Tensor,
    draws: StepDraws,
    weights: Sequence[torch.Tensor],
) -> dict[str, torch.Tensor]:
    """Every term of one step, and their weighted sum under ``loss``.

    Args:
        model: the networks.
        features: [R, B, D] images.
        attributes: [R, B, A] embeddings of the images' classes.
        labels: [R, B] the images' classes.
        draws: noise and permutations.
        weights: [R] each: KL, distance, classification in this epoch.
    """
    kl_weight, distance_weight, classification_weight = weights
    visual = model.statistics("visual", features, draws.permutation_visual)
    attribute = model.statistics("attribute", attributes, draws.permutation_attribute)
    mu_v, logvar_v = visual.chunk(2, dim=-1)
    mu_a, logvar_a = attribute.chunk(2, dim=-1)
    z_v = reparameterize(mu_v, logvar_v, draws.noise_visual)
    z_a = reparameterize(mu_a, logvar_a, draws.noise_attribute)

    reconstruction = l1_error(features, model.visual_decoder(z_v))
    reconstruction = reconstruction + l1_error(attributes, model.attribute_decoder(z_a))
    kl = kl_divergence(mu_v, logvar_v) + kl_divergence(mu_a, logvar_a)
    distance = wasserstein_distance(mu_v, logvar_v, mu_a, logvar_a)
    total = reconstruction + kl_weight * kl + distance_weight * distance
    terms = {"reconstruction": reconstruction, "kl": kl, "distance": distance}
    if model.heads:
        if model.attention == "softmax":
            z_v, z_a = attend(z_v, z_a)
        terms["classification_visual"] = classification(z_v, model.heads[0], labels)
        terms["classification_attribute"] = classification(z_a, model.heads[1], labels)
        total = total + classification_weight * (
            terms["classification_visual"] + terms["classification_attribute"]
        )
    return {**terms, "loss": total}
