"""CE-GZSL: a WGAN beside an embedding learned by contrast (Han et al., CVPR 2021)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from pydantic import Field

from gzsl_bench import DatasetInfo, MethodSpec, Run, Task, stackable
from gzsl_bench.stacked import (
    FeatureGAN,
    GANNetworks,
    Phase,
    Several,
    StackedAdam,
    Terms,
    embed_in_chunks,
    frozen,
    per_run,
)
from gzsl_bench_feature_gan.comparator import Parts
from gzsl_bench_feature_gan.config import GANConfig


class CEGZSLConfig(GANConfig):
    """Hyper-parameters of CE-GZSL (released code: CE_GZSL.py); defaults are CUB's."""

    batch: int = Field(2048, ge=1, description="rows in a step; all of them where there are fewer")
    epochs: int = Field(2000, ge=1, description="epochs of ceil(rows / batch) generator steps each")
    samples: int = Field(100, ge=1, description="generated features of each unseen class")
    evaluate_every: int = Field(
        100,
        ge=0,
        description="train a classifier after every so many GAN epochs and after the last;"
        " 0: after the last alone",
    )
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

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, Any]:
        """The authors' values of ``dataset``; CUB's where there are none."""
        return RECIPES.get(dataset.name, {})

    def adam(self, runs: Sequence[Run], layers: Sequence[Any], beta1: float) -> StackedAdam:
        """At rates that decay."""
        betas = (beta1, self.config.beta2)
        return StackedAdam([(layers, per_run(runs, "lr"))], betas=betas, moving=True)

    def networks(self, task: Task, runs: Sequence[Run]) -> GANNetworks:
        """With embedding and comparator."""
        networks = super().networks(task, runs)
        return replace(networks, encoder=Parts(task, runs, self.config, networks.embeddings))

    def critic_losses(
        self,
        networks: GANNetworks,
        features: torch.Tensor,
        attributes: torch.Tensor,
        labels: torch.Tensor,
        noise: torch.Tensor,
        mix: torch.Tensor,
        penalty_factor: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """And the losses of embedding and comparator on real features."""
        terms = super().critic_losses(
            networks, features, attributes, labels, noise, mix, penalty_factor
        )
        instances, classes = networks.encoder.losses(features, labels)
        loss = terms["loss"] + instances + classes
        return terms | {"instances": instances, "classes": classes, "loss": loss}

    def generator_losses(
        self,
        networks: GANNetworks,
        features: torch.Tensor,
        attributes: torch.Tensor,
        labels: torch.Tensor,
        noises: torch.Tensor,
        more: Terms,
    ) -> dict[str, torch.Tensor]:
        """With both on generated features, which are contrasted with real ones, too."""
        parts: Parts = networks.encoder

        def guided(
            generated: torch.Tensor, attributes: torch.Tensor, labels: torch.Tensor
        ) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
            with frozen(parts.embedding, parts.projection, *parts.comparator.layers):
                instances, classes = parts.losses(generated, labels, features)
            return {"instances": (parts.instances, instances), "classes": (parts.classes, classes)}

        return super().generator_losses(networks, features, attributes, labels, noises, guided)

    def phases(self, task: Task, runs: Sequence[Run], networks: GANNetworks) -> list[Phase]:
        """Embedding and comparator step with the critic."""
        parts, config = networks.encoder, self.config
        critic, generator = super().phases(task, runs, networks)
        comparator = self.adam(runs, parts.comparator.layers, config.beta1)
        embedding = self.adam(runs, [parts.embedding, parts.projection], config.beta1)
        parts.adams = [critic.optimizer, generator.optimizer, embedding, comparator]
        together = replace(
            critic,
            optimizer=Several(critic.optimizer, embedding, comparator),
            recalls=comparator if config.accumulated else None,
        )
        return [together, generator]

    def epoch_done(self, networks: GANNetworks, epoch: int) -> None:
        """Rates decay; gradients that added up are cleared."""
        parts: Parts = networks.encoder
        if epoch % self.config.decay_every == 0:
            for adam in parts.adams:
                adam.rescale(self.config.decay)
        for layer in parts.comparator.layers:
            if layer.grad is not None:
                layer.grad.zero_()

    def representation(
        self, networks: GANNetworks, run: int
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """Embedded features."""
        embedding = networks.encoder.embedding.of(run)
        return lambda features: embed_in_chunks(embedding, features)


SPEC = MethodSpec(
    name="ce_gzsl",
    factory=CEGZSL,
    citation="Han et al., Contrastive Embedding for Generalized Zero-Shot Learning, CVPR 2021",
    version="1",
    fidelity="approximation",
    family="Generative: GAN",
    preprocessing="minmax",
    precisions=("float32", "tf32"),
    latents=True,
    summary="A WGAN and an embedding learned by contrast, in which a softmax is trained.",
)
