"""CVAE-ZSL: features of a class from a conditional VAE (Mishra et al., CVPR Workshops 2018)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from pydantic import Field

from gzsl_bench import MethodSpec, Run, Task, stackable
from gzsl_bench.stacked import (
    Decoder,
    Encoder,
    Generators,
    Linear,
    Progress,
    StackedAdam,
    dropout,
    keeps,
    normals,
    per_run,
    train,
)
from gzsl_bench_feature_vae.synthesis import STEP_COST, FeatureVAE, SynthesisConfig


class CVAEConfig(SynthesisConfig):
    """Hyper-parameters of CVAE-ZSL (released code: trainCVAE.py), the same on every data set."""

    encoder_hidden: int = Field(512, ge=1, description="units of the encoder's two hidden layers")
    decoder_hidden: int = Field(1024, ge=1, description="hidden units of the decoder")
    dropout: float = Field(0.7, ge=0, lt=1, description="share dropped after the first of them")
    kl: float = stackable(1.0, "weight of the KL term beside the mean squared error", ge=0)
    shared_noise: bool = Field(
        True, description="one noise vector for all rows of a step; else one a row"
    )


class CVAENetworks:
    """Encoder and decoder of a stack, both of them given the class embedding, too."""

    def __init__(
        self, runs: Sequence[Run], config: Any, features: int, attributes: int, how: dict[str, Any]
    ) -> None:
        inputs, hidden = features + attributes, config.encoder_hidden
        self.first = Linear(runs, "encoder/first", inputs, hidden, activation="relu", **how)
        self.encoder = Encoder(runs, "encoder", hidden, hidden, config.latent, **how)
        self.generator = Decoder(
            runs, "decoder", config.latent + attributes, config.decoder_hidden, features, **how
        )

    @property
    def layers(self) -> list[Linear]:
        """What an optimiser needs."""
        return [self.first, *self.encoder.layers, *self.generator.layers]


def cvae_losses(
    networks: CVAENetworks,
    features: torch.Tensor,
    attributes: torch.Tensor,
    noise: torch.Tensor,
    kept: torch.Tensor,
    share: torch.Tensor,
    rate: float,
    kl_weight: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """Terms [R] of one step; ``loss`` is minimised.

    A row's reconstruction error is a *mean* over dimensions, its KL term a sum (released code).

    Args:
        networks: those of the stack.
        features: [R, B, D] images.
        attributes: [R, B, A] embeddings of their classes.
        noise: [R, 1, Z] (as released) or [R, B, Z] standard normal numbers.
        kept: [R, B, H] units that dropout keeps.
        share: [R, B] weights of the rows, 1 / rows or, where a batch is filled up, 0.
        rate: of dropout.
        kl_weight: [R].
    """
    hidden = dropout(networks.first(torch.cat([features, attributes], -1)), kept, rate)
    mu, logvar = networks.encoder(hidden)
    z = mu + torch.exp(0.5 * logvar) * noise
    made = networks.generator(torch.cat([z, attributes], -1))
    reconstruction = ((made - features).square().mean(-1) * share).sum(-1)
    kl = (0.5 * (logvar.exp() + mu.square() - 1 - logvar).sum(-1) * share).sum(-1)
    return {"reconstruction": reconstruction, "kl": kl, "loss": reconstruction + kl_weight * kl}


class CVAE(FeatureVAE):
    """A VAE of features given their class; unseen classes' features come from its decoder.

    The authors' code is for zero-shot learning on CUB: it trains on all images of seen classes and
    an SVM on 200 generated features of each unseen class.  Filled in for the generalized task:
    images of seen classes that are tested are held out, and the classifier learns from the real
    training rows, too.  It is a linear softmax here; ``classifier: svm`` is the authors' (C = 100,
    RBF).  Other data sets take CUB's values.
    """

    Config = CVAEConfig

    def networks(self, task: Task, runs: Sequence[Run], how: dict[str, Any]) -> CVAENetworks:
        """See :class:`CVAENetworks`."""
        widths = task.features.shape[1], task.attributes.shape[1]
        return CVAENetworks(runs, self.config, *widths, how)

    def train_networks(
        self, task: Task, runs: Sequence[Run], networks: Any, steps: int, progress: Progress
    ) -> None:
        """Shuffled passes over the training rows; the last batch of a pass may be smaller."""
        config: CVAEConfig = self.config

        def loss(
            factors: Sequence[torch.Tensor],
            picked: torch.Tensor,
            share: torch.Tensor,
            noise: torch.Tensor,
            kept: torch.Tensor,
        ) -> Mapping[str, torch.Tensor]:
            attributes = task.attributes[task.labels[picked]]
            return cvae_losses(
                networks, task.features[picked], attributes, noise, kept, share, config.dropout,
                factors[0],
            )  # fmt: skip

        weight = task.features.new_tensor(per_run(runs, "kl"))
        train(
            runs,
            StackedAdam([(networks.layers, per_run(runs, "lr"))]),
            epochs=config.epochs,
            steps=steps,
            weights=lambda epoch: [weight],
            draw=self._draws(task, runs),
            loss=loss,
            after_epoch=lambda: progress.advance(steps * STEP_COST),
        )

    def _draws(self, task: Task, runs: Sequence[Run]) -> Callable[[int], list[torch.Tensor]]:
        """What the steps of a whole pass take: rows, their shares, noise and dropout's masks."""
        config: CVAEConfig = self.config
        rows, device, dtype = task.labels.numel(), task.device, task.features.dtype
        batch = min(config.batch, rows)
        shuffles, noises, masks = (
            Generators(runs, purpose) for purpose in ("batches", "noise", "dropout")
        )
        drawn = 1 if config.shared_noise else batch

        def draw(steps: int) -> list[torch.Tensor]:
            # A batch that the last rows do not fill takes rows of the same pass, with share 0.
            place = torch.arange(steps * batch, device=device).view(steps, 1, batch)
            inside = (place < rows).to(dtype).expand(steps, len(runs), batch)
            order = shuffles.block(
                lambda stream: torch.randperm(rows, generator=stream)[
                    (torch.arange(steps * batch) % rows).view(steps, batch)
                ],
                device,
            )
            return [
                order,
                inside / inside.sum(-1, keepdim=True),
                normals(noises, (drawn, config.latent), steps, device).to(dtype),
                keeps(masks, (batch, config.encoder_hidden), config.dropout, steps, device),
            ]

        return draw


SPEC = MethodSpec(
    name="cvae",
    factory=CVAE,
    citation="Mishra et al., A Generative Model for Zero Shot Learning Using Conditional "
    "Variational Autoencoders, CVPR Workshops 2018",
    version="1",
    fidelity="approximation",
    family="Generative: VAE",
    preprocessing="none",
    precisions=("float32", "tf32"),
    latents=True,
    summary="A VAE given the class makes features of unseen classes for a classifier.",
)
