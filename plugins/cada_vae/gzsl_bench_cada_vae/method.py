"""CADA-VAE as a method of the harness (released code: vaemodel.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from gzsl_bench import DatasetInfo, Run
from gzsl_bench.stacked import (
    CrossModalNetworks,
    CrossModalVAE,
    Linear,
    kl_divergence,
    l1_error,
    per_run,
    reparameterize,
    wasserstein_distance,
)
from gzsl_bench_cada_vae.config import CADAVAEConfig, defaults


class CADAVAE(CrossModalVAE[CrossModalNetworks]):
    """Cross- and distribution-aligned VAEs (Schönfeld et al., CVPR 2019), as released."""

    Config = CADAVAEConfig
    networks = CrossModalNetworks
    warm_ups = ("kl", "cross", "distance")

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, Any]:
        """The released values of ``dataset``; CUB's for data sets outside the paper."""
        return defaults(dataset)

    def groups(
        self, runs: Sequence[Run], networks: CrossModalNetworks
    ) -> list[tuple[Sequence[Linear], Sequence[float]]]:
        """One learning rate."""
        return [(networks.autoencoder_layers, per_run(runs, "lr"))]

    def losses(
        self,
        networks: CrossModalNetworks,
        features: torch.Tensor,
        attributes: torch.Tensor,
        labels: torch.Tensor,
        draws: Sequence[torch.Tensor],
        weights: Sequence[torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        """See :func:`cada_vae_losses`."""
        noise_visual, noise_attribute = draws
        return cada_vae_losses(
            networks, features, attributes, noise_visual, noise_attribute, weights
        )


def cada_vae_losses(
    model: CrossModalNetworks,
    features: torch.Tensor,
    attributes: torch.Tensor,
    noise_visual: torch.Tensor,
    noise_attribute: torch.Tensor,
    weights: Sequence[torch.Tensor],
) -> dict[str, torch.Tensor]:
    """Every term of one step, and their weighted sum under ``loss`` (released code: vaemodel.py).

    All terms are sums over batch and dimensions.  One latent sample per modality serves its own and
    the cross-reconstruction.  The released code adds the cross term only ``if`` it is positive: a
    sum of absolute values always is, so nothing is gated here.

    Args:
        model: the networks.
        features: [R, B, D] images.
        attributes: [R, B, A] embeddings of the images' classes.
        noise_visual: [R, B, 1] standard normal numbers.
        noise_attribute: [R, B, 1] standard normal numbers.
        weights: [R] each: KL, cross-reconstruction, distance in this epoch.
    """
    kl_weight, cross_weight, distance_weight = weights
    mu_v, logvar_v = model.visual_encoder(features)
    mu_a, logvar_a = model.attribute_encoder(attributes)
    z_v = reparameterize(mu_v, logvar_v, noise_visual)
    z_a = reparameterize(mu_a, logvar_a, noise_attribute)

    # Both latents go through each decoder in one product.
    both = torch.cat([z_v, z_a], dim=1)
    features_of_v, features_of_a = model.visual_decoder(both).chunk(2, dim=1)
    attributes_of_v, attributes_of_a = model.attribute_decoder(both).chunk(2, dim=1)
    reconstruction = l1_error(features, features_of_v) + l1_error(attributes, attributes_of_a)
    cross = l1_error(features, features_of_a) + l1_error(attributes, attributes_of_v)
    kl = kl_divergence(mu_v, logvar_v) + kl_divergence(mu_a, logvar_a)
    distance = wasserstein_distance(mu_v, logvar_v, mu_a, logvar_a)
    loss = reconstruction + kl_weight * kl + cross_weight * cross + distance_weight * distance
    return {
        "reconstruction": reconstruction,
        "cross_reconstruction": cross,
        "kl": kl,
        "distance": distance,
        "loss": loss,
    }
