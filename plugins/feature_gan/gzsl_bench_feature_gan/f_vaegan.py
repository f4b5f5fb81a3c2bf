"""f-VAEGAN-D2, the inductive model: a VAE and a WGAN that share a generator (Xian et al., 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch.nn import functional as F

from gzsl_bench import DatasetInfo, MethodSpec, Run, Task, stackable
from gzsl_bench.stacked import (
    FeatureGAN,
    GANNetworks,
    Linear,
    Several,
    StackedAdam,
    Terms,
    frozen,
    kl_divergence,
    per_run,
)
from gzsl_bench_feature_gan.config import GANConfig


class FVAEGANConfig(GANConfig):
    """Hyper-parameters of f-VAEGAN-D2; defaults are CUB's."""

    epochs: int = Field(300, ge=1, description="epochs of ceil(rows / batch) generator steps each")
    encoder_hidden: int = Field(4096, ge=1, description="hidden units of the encoder")
    encoder_beta1: float = Field(0.9, ge=0, lt=1, description="first beta of the encoder's Adam")
    gamma: float = stackable(10.0, "weight of the adversarial term beside the VAE's", ge=0)
    encoded_noise: bool = Field(
        True, description="the critic sees reconstructions; else features made from noise"
    )
    evaluate_every: int = Field(
        20,
        ge=0,
        description="train a classifier after every so many GAN epochs and after the last;"
        " 0: after the last alone",
    )


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

    def __init__(
        self, runs: Sequence[Run], inputs: int, hidden: int, noise: int, how: Mapping[str, Any]
    ) -> None:
        widths = (inputs, hidden, 2 * noise)
        self.layers = [
            Linear(runs, f"encoder/{name}", a, b, activation="leaky_relu", **how)
            for name, a, b in zip(("first", "second"), widths[:-1], widths[1:], strict=True)
        ]
        self.layers.append(Linear(runs, "encoder/heads", 2 * noise, 2 * noise, **how))
        self.gamma = self.layers[0].flat.new_tensor(per_run(runs, "gamma"))

    def __call__(
        self, features: torch.Tensor, attributes: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """[R, B, D], [R, B, A] -> means and log-variances [R, B, Z]."""
        x = torch.cat([features, attributes], -1)
        for layer in self.layers:
            x = layer(x)
        mu, logvar = x.chunk(2, -1)
        return mu, logvar


class FVAEGAN(FeatureGAN):
    """The generator is a VAE's decoder, too; D2, a critic of unlabelled features, is left out.

    Minimised per row: the binary cross-entropy of the reconstruction, summed over dimensions, the
    KL term, and gamma times -D.  Class embeddings have unit length.  The authors' code was not
    read: networks and values are TF-VAEGAN's, whose code has this model as its first pass; the
    penalty's weight stays 10, as in the paper, where TF-VAEGAN adapts it.  Its factor before the
    critic's whole loss, of which Adam sees nothing, is left out.
    """

    Config: ClassVar[type[FVAEGANConfig]] = FVAEGANConfig
    output: ClassVar[Any] = "sigmoid"
    generator_draws = 2

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, Any]:
        """TF-VAEGAN's values of ``dataset``; CUB's where there are none."""
        return RECIPES.get(dataset.name, {})

    def embeddings(self, task: Task) -> torch.Tensor:
        """At unit length."""
        return F.normalize(task.attributes, dim=1)

    def encoder(
        self, runs: Sequence[Run], features: int, attributes: int, noise: int, how: dict[str, Any]
    ) -> Encoder:
        """Of features beside class embeddings."""
        return Encoder(runs, features + attributes, self.config.encoder_hidden, noise, how)

    def latent(
        self,
        networks: GANNetworks,
        features: torch.Tensor,
        attributes: torch.Tensor,
        noise: torch.Tensor,
    ) -> torch.Tensor:
        """A sample of the encoder's posterior, or noise where ``encoded_noise`` is off."""
        if not self.config.encoded_noise:
            return noise
        encoder: Encoder = networks.encoder
        mu, logvar = encoder(features, attributes)
        return mu + noise * torch.exp(0.5 * logvar)

    def generator_losses(
        self,
        networks: GANNetworks,
        features: torch.Tensor,
        attributes: torch.Tensor,
        labels: torch.Tensor,
        noises: torch.Tensor,
        more: Terms,
    ) -> dict[str, torch.Tensor]:
        """Terms [R] of a step of encoder and generator."""
        generator, rows = networks.generator, features.shape[1]
        mu, logvar = networks.encoder(features, attributes)
        made = generator(mu + noises[:, 0] * torch.exp(0.5 * logvar), attributes)
        error = F.binary_cross_entropy((made + 1e-12).clamp(max=1), features, reduction="none")
        reconstruction = error.sum((1, 2)) / rows
        kl = kl_divergence(mu, logvar) / rows
        if not self.config.encoded_noise:
            made = self.from_noise(networks, noises[:, 1], attributes, made)
        with frozen(*networks.critic.layers):
            adversarial = -networks.critic(made, attributes).mean(1)
        terms = {"reconstruction": reconstruction, "kl": kl, "adversarial": adversarial}
        loss = reconstruction + kl + networks.encoder.gamma * adversarial
        for name, (weight, value) in more(made, attributes, labels).items():
            terms[name], loss = value, loss + weight * value
        return terms | {"loss": loss}

    def from_noise(
        self,
        networks: GANNetworks,
        noise: torch.Tensor,
        attributes: torch.Tensor,
        reconstruction: torch.Tensor,
    ) -> torch.Tensor:
        """[R, B, D] what the critic judges in the generator's step instead of reconstructions."""
        return networks.generator(noise, attributes)

    def optimizer(self, runs: Sequence[Run], networks: GANNetworks) -> StackedAdam | Several:
        """The generator's, and the encoder's with betas of its own."""
        return Several(
            self.adam(runs, networks.generator.layers, self.config.beta1),
            self.adam(runs, networks.encoder.layers, self.config.encoder_beta1),
        )


SPEC = MethodSpec(
    name="f_vaegan",
    factory=FVAEGAN,
    citation="Xian et al., f-VAEGAN-D2: A Feature Generating Framework for Any-Shot Learning, "
    "CVPR 2019",
    version="1",
    fidelity="approximation",
    family="Generative: GAN",
    preprocessing="minmax",
    precisions=("float32", "tf32"),
    latents=True,
    summary="A VAE and a WGAN share the network that makes features of unseen classes.",
)
