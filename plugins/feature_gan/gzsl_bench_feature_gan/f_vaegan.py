"""f-VAEGAN-D2, the inductive model: a VAE and a WGAN that share a generator (Xian et al., 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch.nn import functional as F

from gzsl_bench import Task, stackable
from gzsl_bench.stacked import (
    Batch,
    FeatureGAN,
    GANNetworks,
    Maker,
    Optimizer,
    Several,
    Terms,
    frozen,
    kl_divergence,
    with_more,
)
from gzsl_bench_feature_gan.config import GANConfig, looks, spec


class FVAEGANConfig(GANConfig):
    """Hyper-parameters of f-VAEGAN-D2; defaults are CUB's."""

    epochs: int = Field(300, ge=1, description="epochs of ceil(rows / batch) generator steps each")
    encoder_hidden: int = Field(4096, ge=1, description="hidden units of the encoder")
    encoder_beta1: float = Field(0.9, ge=0, lt=1, description="first beta of the encoder's Adam")
    gamma: float = stackable(10.0, "weight of the adversarial term beside the VAE's", ge=0)
    encoded_noise: bool = Field(
        True, description="the critic sees reconstructions; else features made from noise"
    )
    evaluate_every: int = looks(20)


#: The released scripts of TF-VAEGAN, whose first pass without feedback is this model; AWA1 takes
#: AWA2's, aPY FLO's.
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "CUB": {"lr": 1e-4, "epochs": 300, "samples": 300},
    "SUN": {"lr": 1e-3, "epochs": 400, "samples": 400, "classifier_lr": 5e-4, "gamma": 1.0},
    "AWA1": {"lr": 1e-5, "epochs": 120, "samples": 1800},
    "AWA2": {"lr": 1e-5, "epochs": 120, "samples": 1800},
    "APY": {"lr": 1e-4, "epochs": 500, "samples": 1200, "encoded_noise": False},
    "FLO": {"lr": 1e-4, "epochs": 500, "samples": 1200, "encoded_noise": False},
}


class Encoder:
    """Features beside class embeddings -> Linear -> leaky ReLU, twice -> mean and log-variance.

    Attributes:
        gamma: [R] weight of the adversarial term beside what the encoder learns from.
    """

    def __init__(self, make: Maker) -> None:
        inputs, heads = make.features + make.attributes, 2 * make.noise
        hidden = make.config.encoder_hidden
        self.layers = [
            make.linear("encoder/first", inputs, hidden, "leaky_relu"),
            make.linear("encoder/second", hidden, heads, "leaky_relu"),
            make.linear("encoder/heads", heads, heads),
        ]
        (self.gamma,) = make.values("gamma")

    def __call__(
        self, features: torch.Tensor, attributes: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """[R, B, D], [R, B, A] -> means and log-variances [R, B, Z]."""
        x = torch.cat([features, attributes], -1)
        for layer in self.layers:
            x = layer(x)
        mu, logvar = x.chunk(2, -1)
        return mu, logvar


def vae_terms(
    features: torch.Tensor, made: torch.Tensor, mu: torch.Tensor, logvar: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Means over a batch of the cross-entropies of reconstructions, and of the KL term: [R]."""
    error = F.binary_cross_entropy((made + 1e-12).clamp(max=1), features, reduction="none")
    rows = features.shape[1]
    return {
        "reconstruction": error.sum((1, 2)) / rows, "kl": kl_divergence(mu, logvar) / rows
    }  # fmt: skip


class FVAEGAN(FeatureGAN):
    """The generator is a VAE's decoder, too; D2, a critic of unlabelled features, is left out.

    Minimised per row: the binary cross-entropy of the reconstruction, summed over dimensions, the
    KL term, and gamma times -D.  Class embeddings have unit length.  The authors' code was not
    read: networks and values are TF-VAEGAN's, whose code has this model as its first pass; the
    penalty's weight stays 10, as in the paper, where TF-VAEGAN adapts it.  Its factor before the
    critic's whole loss, of which Adam sees nothing, is left out.
    """

    Config: ClassVar[type[FVAEGANConfig]] = FVAEGANConfig
    recipes = RECIPES
    output: ClassVar[Any] = "sigmoid"

    def embeddings(self, task: Task) -> torch.Tensor:
        """At unit length."""
        return F.normalize(task.attributes, dim=1)

    def parts(self, make: Maker) -> Encoder:
        """The encoder."""
        return Encoder(make)

    def latent(self, networks: GANNetworks, batch: Batch) -> torch.Tensor:
        """A sample of the encoder's posterior, or noise where ``encoded_noise`` is off."""
        if not self.config.encoded_noise:
            return batch.noise
        encoder: Encoder = networks.parts
        mu, logvar = encoder(batch.features, batch.attributes)
        return mu + batch.noise * torch.exp(0.5 * logvar)

    def generator_draws(self, networks: GANNetworks) -> int:
        """For reconstructions, and for features made from noise."""
        return 2

    def generator_losses(
        self, networks: GANNetworks, batch: Batch, more: Terms
    ) -> dict[str, torch.Tensor]:
        """Terms [R] of a step of encoder and generator."""
        encoder: Encoder = networks.parts
        mu, logvar = encoder(batch.features, batch.attributes)
        made = networks.generator(mu + batch.noise * torch.exp(0.5 * logvar), batch.attributes)
        terms = vae_terms(batch.features, made, mu, logvar)
        if not self.config.encoded_noise:
            made = self.from_noise(networks, batch, made)
        with frozen(*networks.critic.layers):
            terms["adversarial"] = -networks.critic(made, batch.attributes).mean(1)
        loss = terms["reconstruction"] + terms["kl"] + encoder.gamma * terms["adversarial"]
        return with_more(terms, loss, made, batch, more)

    def from_noise(
        self, networks: GANNetworks, batch: Batch, reconstruction: torch.Tensor
    ) -> torch.Tensor:
        """[R, B, D] what the critic judges in the generator's step instead of reconstructions."""
        return networks.generator(batch.noises[:, 1], batch.attributes)

    def optimizer(self, networks: GANNetworks) -> Optimizer:
        """The generator's, and the encoder's with betas of its own."""
        encoder = self.adam(networks, networks.parts.layers, beta1=self.config.encoder_beta1)
        return Several(super().optimizer(networks), encoder)


SPEC = spec(
    name="f_vaegan",
    factory=FVAEGAN,
    citation="Xian et al., f-VAEGAN-D2: A Feature Generating Framework for Any-Shot Learning, "
    "CVPR 2019",
    summary="A VAE and a WGAN share the network that makes features of unseen classes.",
)
