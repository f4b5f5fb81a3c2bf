"""DE-VAE: embeddings mapped deeply to features, both encoded by one VAE (Ma and Hu, 2020)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from pydantic import Field

from gzsl_bench import MethodSpec, Run, stackable
from gzsl_bench.stacked import (
    CrossModalNetworks,
    CrossModalVAE,
    Decoder,
    Encoder,
    Linear,
    kl_divergence,
    l1_error,
    per_run,
    reparameterize,
    wasserstein_distance,
)
from gzsl_bench_feature_vae.latent import LatentConfig


class DEVAEConfig(LatentConfig):
    """Hyper-parameters of DE-VAE, CADA-VAE's where it has them; the same on every data set."""

    attribute_encoder_hidden: int = Field(
        1560, ge=1, description="hidden units of the mapped features' encoder, if it is another one"
    )
    embedding_hidden: int = Field(1600, ge=1, description="hidden units of the deep embedding")
    embedding_factor: float = stackable(1.0, "weight of the embedding's squared error", ge=0)
    shared_encoder: bool = Field(True, description="one encoder for features and mapped features")
    detached: bool = Field(
        False, description="the embedding learns from its own error alone, not through the VAE"
    )


class DEVAENetworks(CrossModalNetworks):
    """The deep embedding, one or two encoders and one decoder."""

    def __init__(
        self,
        runs: Sequence[Any],
        config: Any,
        *,
        features: int,
        attributes: int,
        classes: int = 0,
        **how: Any,
    ) -> None:
        how |= {"gain": config.init_gain}
        hidden, latent = config.embedding_hidden, config.latent
        self.embedding = [
            Linear(runs, "embedding/hidden", attributes, hidden, activation="relu", **how),
            Linear(runs, "embedding/output", hidden, features, activation="relu", **how),
        ]
        self.visual_encoder = Encoder(
            runs, "visual/encoder", features, config.visual_encoder_hidden, latent, **how
        )
        self.visual_decoder = Decoder(
            runs, "visual/decoder", latent, config.visual_decoder_hidden, features, **how
        )
        self.attribute_encoder = self.visual_encoder
        if not config.shared_encoder:
            self.attribute_encoder = Encoder(
                runs, "attribute/encoder", features, config.attribute_encoder_hidden, latent, **how
            )

    @property
    def autoencoder_layers(self) -> list[Linear]:
        """All layers, each once."""
        shared = self.attribute_encoder is self.visual_encoder
        return [
            *self.embedding,
            *self.visual_encoder.layers,
            *self.visual_decoder.layers,
            *([] if shared else self.attribute_encoder.layers),
        ]

    def map(self, attributes: torch.Tensor) -> torch.Tensor:
        """[R, B, A] -> [R, B, D]: class embeddings among the features."""
        return self.embedding[1](self.embedding[0](attributes))


def de_vae_losses(
    model: DEVAENetworks,
    features: torch.Tensor,
    attributes: torch.Tensor,
    draws: Sequence[torch.Tensor],
    weights: Sequence[torch.Tensor],
    embedding_weight: torch.Tensor,
    detached: bool = False,
) -> dict[str, torch.Tensor]:
    """Terms [R] of one step, sums over batch and dimensions; ``loss`` is minimised.

    Args:
        model: those of the stack.
        features: [R, B, D] images.
        attributes: [R, B, A] embeddings of their classes.
        draws: [R, B, 1] noise each, for features and mapped features.
        weights: [R] each: KL and distance in this epoch.
        embedding_weight: [R].
        detached: mapped features are constants for the VAE.
    """
    mapped = model.map(attributes)
    embedding = (features - mapped).square().sum(-1).sum(-1)
    mu_v, logvar_v = model.visual_encoder(features)
    mu_a, logvar_a = model.attribute_encoder(mapped.detach() if detached else mapped)
    z_v, z_a = reparameterize(mu_v, logvar_v, draws[0]), reparameterize(mu_a, logvar_a, draws[1])
    of_v, of_a = model.visual_decoder(torch.cat([z_v, z_a], 1)).chunk(2, dim=1)
    reconstruction, cross = l1_error(features, of_v), l1_error(features, of_a)
    kl = kl_divergence(mu_v, logvar_v) + kl_divergence(mu_a, logvar_a)
    distance = wasserstein_distance(mu_v, logvar_v, mu_a, logvar_a, floor=1e-30)
    loss = embedding_weight * embedding + reconstruction + cross
    return {
        "embedding": embedding,
        "reconstruction": reconstruction,
        "cross_reconstruction": cross,
        "kl": kl,
        "distance": distance,
        "loss": loss + weights[0] * kl + weights[1] * distance,
    }


class DEVAE(CrossModalVAE[DEVAENetworks]):
    """A deep network maps class embeddings to features; a VAE encodes real and mapped features.

    Features are reconstructed from latents of both.  No code was released, and the abstract alone
    says what is done.  Filled in: two layers with ReLU map embeddings (1600 hidden units), one
    encoder and one decoder serve both kinds of features, sums of absolute errors, CADA-VAE's
    widths, sampling, KL and distance terms with their warm-ups, and its classifier on 200 latents
    of each seen and 400 of each unseen class, 30 epochs.
    """

    Config = DEVAEConfig
    networks = DEVAENetworks
    warm_ups = ("kl", "distance")

    def groups(
        self, runs: Sequence[Run], networks: DEVAENetworks
    ) -> list[tuple[Sequence[Linear], Sequence[float]]]:
        """One learning rate."""
        layers = networks.autoencoder_layers
        self._embedding = layers[0].flat.new_tensor(per_run(runs, "embedding_factor"))
        return [(layers, per_run(runs, "lr"))]

    def losses(
        self,
        networks: DEVAENetworks,
        features: torch.Tensor,
        attributes: torch.Tensor,
        labels: torch.Tensor,
        draws: Sequence[torch.Tensor],
        weights: Sequence[torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        """See :func:`de_vae_losses`."""
        return de_vae_losses(
            networks, features, attributes, draws, weights, self._embedding, self.config.detached
        )

    def statistics(
        self, networks: DEVAENetworks, number: int, run: Run, modality: str, purpose: str
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """The encoder of one run, of embeddings after they are mapped."""
        encode = super().statistics(networks, number, run, modality, purpose)
        if modality == "visual":
            return encode
        hidden, output = (layer.of(number) for layer in networks.embedding)
        return lambda rows: encode(output(hidden(rows)))


SPEC = MethodSpec(
    name="de_vae",
    factory=DEVAE,
    citation="Ma and Hu, A Variational Autoencoder with Deep Embedding Model for Generalized "
    "Zero-Shot Learning, AAAI 2020",
    version="1",
    fidelity="approximation",
    family="Generative: VAE",
    preprocessing="minmax",
    precisions=("float32", "tf32", "bf16"),
    latents=True,
    summary="Class embeddings are mapped to features, and both are encoded by one VAE.",
)
