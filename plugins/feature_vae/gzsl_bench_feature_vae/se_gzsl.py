"""SE-GZSL: a VAE's generator that a regressor to class embeddings guides (Verma et al., 2018)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field

from gzsl_bench import MethodSpec, Run, Task, stackable
from gzsl_bench.stacked import (
    Decoder,
    Encoder,
    Generators,
    Phase,
    Progress,
    StackedAdam,
    frozen,
    kl_divergence,
    normals,
    per_run,
    subsets,
    train_alternating,
)
from gzsl_bench_feature_vae.synthesis import STEP_COST, FeatureVAE, SynthesisConfig

#: Bytes of noise drawn at once for each run.
DRAWN = 24 << 20


class SEGZSLConfig(SynthesisConfig):
    """Hyper-parameters of SE-GZSL, filled in throughout; the same on every data set."""

    batch: int = Field(64, ge=1, description="rows in a step; all of them where there are fewer")
    epochs: int = Field(50, ge=1, description="epochs of ceil(rows / batch) steps each")
    latent: int = Field(100, ge=1, description="dimensions of the latent space")
    encoder_hidden: int = Field(512, ge=1, description="hidden units of the encoder")
    generator_hidden: int = Field(1024, ge=1, description="hidden units of the generator")
    regressor_hidden: int = Field(512, ge=1, description="hidden units of the regressor")
    generated: float = stackable(
        0.1, "weight of generated features in the regressor's loss (paper: lambda_R)", ge=0
    )
    consistency: float = stackable(
        0.1, "weight of the class embedding read off generated features (lambda_c)", ge=0
    )
    prior: float = stackable(
        0.1, "weight of the likelihood with latents of the prior (lambda_reg)", ge=0
    )
    independence: float = stackable(
        0.1, "weight of the generated features' KL term (lambda_E)", ge=0
    )
    unseen_consistency: bool = Field(
        False, description="the consistency is asked of all classes, unseen ones too"
    )
    samples: int = Field(300, ge=1, description="generated features of each unseen class")
    unit_length: bool = Field(False, description="the classifier sees rows of length 1")


class SENetworks:
    """Encoder, generator and regressor of a stack."""

    def __init__(
        self, runs: Sequence[Run], config: Any, features: int, attributes: int, how: dict[str, Any]
    ) -> None:
        latent = config.latent
        self.encoder = Encoder(runs, "encoder", features, config.encoder_hidden, latent, **how)
        self.generator = Decoder(
            runs, "generator", latent + attributes, config.generator_hidden, features, **how
        )
        self.regressor = Decoder(
            runs, "regressor", features, config.regressor_hidden, attributes, **how
        )

    def make(self, latents: torch.Tensor, attributes: torch.Tensor) -> torch.Tensor:
        """Latents [R, B, Z], embeddings [R, B, A] -> features [R, B, D]."""
        return self.generator(torch.cat([latents, attributes], -1))


def error(target: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    """-log N(target; output, 1) but for its constant, a mean over rows [R, B, K]: [R]."""
    return 0.5 * (target - output).square().sum(-1).mean(-1)


def regressor_terms(
    networks: SENetworks,
    features: torch.Tensor,
    attributes: torch.Tensor,
    noise: torch.Tensor,
    weight: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """Terms [R] of a step of the regressor, on real and on generated features.

    Args:
        networks: those of the stack; the generator is constant here.
        features: [R, B, D] images.
        attributes: [R, B, A] embeddings of their classes.
        noise: [R, B, Z] standard normal numbers.
        weight: [R] of the generated features.
    """
    with torch.no_grad():
        made = networks.make(noise, attributes)
    real = error(attributes, networks.regressor(features))
    generated = error(attributes, networks.regressor(made))
    return {"real": real, "generated": generated, "loss": real + weight * generated}


def vae_terms(
    networks: SENetworks, features: torch.Tensor, attributes: torch.Tensor, noise: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Reconstruction error and KL term [R]; noise [R, B, Z] is the posterior's."""
    mu, logvar = networks.encoder(features)
    made = networks.make(mu + torch.exp(0.5 * logvar) * noise, attributes)
    return error(features, made), kl_divergence(mu, logvar) / features.shape[1]


def generator_terms(
    networks: SENetworks,
    features: torch.Tensor,
    attributes: torch.Tensor,
    noises: torch.Tensor,
    weights: Sequence[torch.Tensor],
    imagined: torch.Tensor | None = None,
) -> dict[str, torch.Tensor]:
    """Terms [R] of a step of encoder and generator.

    Args:
        networks: those of the stack; the regressor is constant here.
        features: [R, B, D] images.
        attributes: [R, B, A] embeddings of their classes.
        noises: [2, R, B, Z] standard normal numbers: of the posterior, of the prior.
        weights: [R] each: consistency, likelihood with the prior's latents, independence.
        imagined: [R, B, A] embeddings to ask the consistency of; those of the images if None.
    """
    reconstruction, kl = vae_terms(networks, features, attributes, noises[0])
    made = networks.make(noises[1], attributes)
    asked, wanted = (made, attributes)
    if imagined is not None:
        asked, wanted = networks.make(noises[1], imagined), imagined
    with frozen(*networks.regressor.layers):
        consistency = error(wanted, networks.regressor(asked))
    prior = error(features, made)
    independence = kl_divergence(*networks.encoder(made)) / features.shape[1]
    loss = reconstruction + kl
    for weight, term in zip(weights, (consistency, prior, independence), strict=True):
        loss = loss + weight * term
    return {
        "reconstruction": reconstruction,
        "kl": kl,
        "consistency": consistency,
        "prior": prior,
        "independence": independence,
        "loss": loss,
    }


class SEGZSL(FeatureVAE):
    """Encoder q(z|x), generator of features from z and the class, regressor back to the class.

    The regressor learns from real and generated features; then encoder and generator learn, beside
    the VAE's loss, that generated features lead back to their class, that the generator explains
    the images with latents of the prior, too, and that the encoder finds nothing of the class in
    what was generated.  No code was released.  Filled in: the widths, all weights (0.1), unit
    variance of every likelihood, one step of each for a batch, Adam, epochs, 300 features a class
    and a linear softmax on real and generated features.
    """

    Config: ClassVar[type[SEGZSLConfig]] = SEGZSLConfig

    def networks(self, task: Task, runs: Sequence[Run], how: dict[str, Any]) -> SENetworks:
        """See :class:`SENetworks`."""
        widths = task.features.shape[1], task.attributes.shape[1]
        return SENetworks(runs, self.config, *widths, how)

    def train_networks(
        self, task: Task, runs: Sequence[Run], networks: Any, steps: int, progress: Progress
    ) -> None:
        """A step of the regressor and one of encoder and generator for every batch."""
        config, rates = self.config, per_run(runs, "lr")
        imagining = Generators(runs, "imagined")
        real = self.batches(task, runs, 3)

        def draw(count: int) -> list[torch.Tensor]:
            def classes(stream: torch.Generator) -> torch.Tensor:
                size = (count, min(config.batch, task.labels.numel()))
                return torch.randint(task.num_classes, size, generator=stream)

            more = [imagining.block(classes, task.device)] if config.unseen_consistency else []
            return [*real(count), *more]

        def of_regressor(
            weights: Sequence[torch.Tensor], turn: int, picked: torch.Tensor, *drawn: torch.Tensor
        ) -> Mapping[str, torch.Tensor]:
            attributes = task.attributes[task.labels[picked]]
            return regressor_terms(
                networks, task.features[picked], attributes, drawn[0][:, 2], weights[0]
            )

        def of_generator(
            weights: Sequence[torch.Tensor], turn: int, picked: torch.Tensor, *drawn: torch.Tensor
        ) -> Mapping[str, torch.Tensor]:
            attributes = task.attributes[task.labels[picked]]
            return generator_terms(
                networks, task.features[picked], attributes, drawn[0][:, :2].transpose(0, 1),
                weights[1:], *(task.attributes[classes] for classes in drawn[1:]),
            )  # fmt: skip

        generator = [*networks.encoder.layers, *networks.generator.layers]
        names = ("generated", "consistency", "prior", "independence")
        weights = [task.features.new_tensor(per_run(runs, name)) for name in names]
        train_alternating(
            runs,
            [
                Phase(
                    StackedAdam([(networks.regressor.layers, rates)]), of_regressor, "regressor/"
                ),
                Phase(StackedAdam([(generator, rates)]), of_generator, "generator/"),
            ],
            epochs=config.epochs,
            steps=steps,
            weights=lambda epoch: weights,
            draw=draw,
            after_epoch=lambda epoch: progress.advance(steps * STEP_COST),
            at_once=self.at_once(3),
        )

    def batches(
        self, task: Task, runs: Sequence[Run], noises: int, prefix: str = ""
    ) -> Callable[[int], list[torch.Tensor]]:
        """Steps -> rows [steps, R, B] and noise [steps, R, noises, B, Z]."""
        rows, latent = task.labels.numel(), self.config.latent
        batch = min(self.config.batch, rows)
        picks, noise = Generators(runs, f"{prefix}batches"), Generators(runs, f"{prefix}noise")
        return lambda steps: [
            subsets(picks, rows, batch, steps, task.device),
            normals(noise, (noises, batch, latent), steps, task.device).to(task.features.dtype),
        ]

    def at_once(self, noises: int) -> int:
        """Steps to draw for at once."""
        config: SEGZSLConfig = self.config
        return max(1, DRAWN // (4 * noises * config.batch * config.latent))


SPEC = MethodSpec(
    name="se_gzsl",
    factory=SEGZSL,
    citation="Verma et al., Generalized Zero-Shot Learning via Synthesized Examples, CVPR 2018",
    version="1",
    fidelity="approximation",
    family="Generative: VAE",
    preprocessing="minmax",
    precisions=("float32", "tf32"),
    latents=True,
    summary="A VAE makes features that a regressor must lead back to the class.",
)
