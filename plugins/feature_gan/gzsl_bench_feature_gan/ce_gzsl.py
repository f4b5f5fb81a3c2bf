"""CE-GZSL: a WGAN beside an embedding learned by contrast (Han et al., CVPR 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from pydantic import Field

from gzsl_bench import stackable
from gzsl_bench.hooks.run import ScoreFunction
from gzsl_bench.stacked import (
    Batch,
    FeatureGAN,
    GANNetworks,
    Maker,
    Parameters,
    Phase,
    Several,
    StackedAdam,
    Terms,
    embed_in_chunks,
    frozen,
)
from gzsl_bench_feature_gan.comparator import Parts
from gzsl_bench_feature_gan.config import GANConfig, looks, spec


class CEGZSLConfig(GANConfig):
    """Hyper-parameters of CE-GZSL (released code: CE_GZSL.py); defaults are CUB's."""

    batch: int = Field(2048, ge=1, description="rows in a step; all of them where there are fewer")
    epochs: int = Field(2000, ge=1, description="epochs of ceil(rows / batch) generator steps each")
    samples: int = Field(100, ge=1, description="generated features of each unseen class")
    evaluate_every: int = looks(100)
    embedded: int = Field(2048, ge=1, description="width of the embedding, which is classified")
    projected: int = Field(512, ge=1, description="width of its projection, which is contrasted")
    comparator_hidden: int = Field(2048, ge=1, description="hidden units of the comparator")
    instances: float = stackable(1e-3, "weight of the contrastive loss of generated rows", ge=0)
    classes: float = stackable(1e-3, "weight of the comparator's loss of generated rows", ge=0)
    instance_temperature: float = Field(0.1, gt=0, description="divides similarities of rows")
    class_temperature: float = Field(0.1, gt=0, description="divides the comparator's scores")
    decay: float = Field(0.99, gt=0, le=1, description="factor of the rates, every so many epochs")
    decay_every: int = Field(100, ge=1, description="that many epochs")
    accumulated: bool = Field(
        True, description="the comparator's gradients add up over an epoch, as released"
    )


#: The authors' values.  Batches of all but CUB are those that users report or, for AWA1 and FLO,
#: AWA2's; aPY has no values and takes AWA2's.
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "CUB": {"batch": 2048, "samples": 100},
    "SUN": {
        "batch": 1024, "samples": 100, "lr": 5e-5, "comparator_hidden": 1024, "instances": 0.01,
        "classes": 0.01,
    },
    "AWA1": {"batch": 4096, "samples": 1800, "decay_every": 50},
    "AWA2": {"batch": 4096, "samples": 2400, "decay_every": 10},
    "APY": {"batch": 4096, "samples": 2400, "decay_every": 10},
    "FLO": {
        "batch": 4096, "samples": 600, "noise": 512, "comparator_hidden": 1024, "instances": 0.01,
        "classes": 0.01,
    },
}  # fmt: skip


class CEGZSL(FeatureGAN):
    """A WGAN-GP, and an embedding in which rows of a class are near and their class is told.

    Embedding and comparator learn from real features with the critic, and guide the generator; the
    classifier sees embedded features.  Class embeddings are as the file has them.  As released, the
    comparator's gradients are cleared once in an epoch.  Filled in: the batches of SUN, AWA and FLO
    and all values of aPY.
    """

    Config = CEGZSLConfig
    recipes = RECIPES

    def adam(
        self, networks: GANNetworks, layers: Sequence[Parameters], **settings: Any
    ) -> StackedAdam:
        """At rates that decay."""
        return super().adam(networks, layers, moving=True, **settings)

    def parts(self, make: Maker) -> Parts:
        """Embedding and comparator."""
        return Parts(make)

    def critic_losses(self, networks: GANNetworks, batch: Batch) -> dict[str, torch.Tensor]:
        """And the losses of embedding and comparator on real features."""
        terms = super().critic_losses(networks, batch)
        instances, classes = networks.parts.losses(batch.features, batch.labels)
        loss = terms["loss"] + instances + classes
        return terms | {"instances": instances, "classes": classes, "loss": loss}

    def more_terms(self, networks: GANNetworks) -> Terms:
        """Both losses of generated features, which are contrasted with real ones, too."""
        parts: Parts = networks.parts

        def guided(generated: torch.Tensor, batch: Batch) -> Mapping[str, Any]:
            with frozen(parts.embedding, parts.projection, *parts.comparator.layers):
                instances, classes = parts.losses(generated, batch.labels, batch.features)
            return {"instances": (parts.instances, instances), "classes": (parts.classes, classes)}

        return guided

    def phases(self, networks: GANNetworks) -> list[Phase]:
        """Embedding and comparator step with the critic."""
        parts: Parts = networks.parts
        critic, generator = super().phases(networks)
        comparator = self.adam(networks, parts.comparator.layers)
        embedding = self.adam(networks, [parts.embedding, parts.projection])
        parts.adams = [critic.optimizer, generator.optimizer, embedding, comparator]
        together = replace(
            critic,
            optimizer=Several(critic.optimizer, embedding, comparator),
            recalls=comparator if self.config.accumulated else None,
        )
        return [together, generator]

    def epoch_done(self, networks: GANNetworks, epoch: int) -> None:
        """Rates decay; gradients that added up are cleared."""
        parts: Parts = networks.parts
        if epoch % self.config.decay_every == 0:
            for adam in parts.adams:
                adam.rescale(self.config.decay)
        for layer in parts.comparator.layers:
            if layer.grad is not None:
                layer.grad.zero_()

    def representation(self, networks: GANNetworks, run: int) -> ScoreFunction:
        """Embedded features."""
        embedding = networks.parts.embedding.of(run)
        return lambda features: embed_in_chunks(embedding, features)


SPEC = spec(
    name="ce_gzsl",
    factory=CEGZSL,
    citation="Han et al., Contrastive Embedding for Generalized Zero-Shot Learning, CVPR 2021",
    summary="A WGAN and an embedding learned by contrast, in which a softmax is trained.",
)
