"""The networks of CADA-VAE and its loss, every parameter with a leading run axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from gzsl_bench.stacked import (
    Decoder,
    Encoder,
    Linear,
    kl_divergence,
    l1_error,
    reparameterize,
    wasserstein_distance,
)
from gzsl_bench.stacked.runs import HasStreams
from gzsl_bench_cada_vae.config import CADAVAEConfig


class CADAVAEModel:
    """Encoders and decoders of both modalities for a stack of runs."""

    def __init__(
        self,
        runs: Sequence[HasStreams],
        config: CADAVAEConfig,
        *,
        features: int,
        attributes: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        precision: str = "float32",
    ) -> None:
        latent = config.latent
        how: dict[str, Any] = {
            "gain": config.init_gain, "device": device, "dtype": dtype, "precision": precision
        }  # fmt: skip

        def encoder(name: str, inputs: int, hidden: int) -> Encoder:
            return Encoder(runs, f"{name}/encoder", inputs, hidden, latent, **how)

        def decoder(name: str, hidden: int, outputs: int) -> Decoder:
            return Decoder(runs, f"{name}/decoder", latent, hidden, outputs, **how)

        self.visual_encoder = encoder("visual", features, config.visual_encoder_hidden)
        self.visual_decoder = decoder("visual", config.visual_decoder_hidden, features)
        self.attribute_encoder = encoder("attribute", attributes, config.attribute_encoder_hidden)
        self.attribute_decoder = decoder("attribute", config.attribute_decoder_hidden, attributes)

    @property
    def layers(self) -> list[Linear]:
        """What the optimiser needs."""
        parts = (
            self.visual_encoder,
            self.visual_decoder,
            self.attribute_encoder,
            self.attribute_decoder,
        )
        return [layer for part in parts for layer in part.layers]


def cada_vae_losses(
    model: CADAVAEModel,
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
