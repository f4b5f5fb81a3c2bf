"""LsrGAN: a generator that learns of unseen classes from their similarity to seen ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from gzsl_bench import Scorer
from gzsl_bench.stacked import (
    Batch,
    FeatureGAN,
    GANNetworks,
    Linear,
    Maker,
    Phase,
    Progress,
    Several,
    as_they_are,
    frozen,
    generated_latents,
    generator_terms,
    unseen_classes,
)
from gzsl_bench_feature_gan.config import spec
from gzsl_bench_feature_gan.joint import Joint
from gzsl_bench_feature_gan.lsrgan_config import RECIPES, LsrGANConfig
from gzsl_bench_feature_gan.similarity import Similarity


class LsrGAN(FeatureGAN):
    """A WGAN-GP and one softmax of all classes, which learns with it and is the classifier.

    After a step of the generator on seen classes comes, from the second epoch on, one of generator
    and softmax on generated features of unseen classes.  In the released code the SR-loss, which
    holds the similarity of a class mean to seen centroids near that of their embeddings, is
    computed without a gradient: ``sr_loss="grad"`` is the paper's.

    Released code draws unseen classes as the test set has them; here they are uniform.  As there,
    the joint softmax is constant in the seen step and keeps the Adam of its training on real
    features, of which 1e-3, here ``classifier_lr``, is the rate.  Version 1 began the moments anew.
    """

    Config = LsrGANConfig
    recipes = RECIPES

    def generator_draws(self, networks: GANNetworks) -> int:
        """For the step on seen classes, and for that on unseen ones."""
        return 2

    @classmethod
    def axes(cls, config: Any) -> Mapping[str, int]:
        """GAN epochs alone, unless a classifier of its own is trained after them."""
        both = super().axes(config)
        return both if config.classifier == "softmax" else {"gan_epoch": both["gan_epoch"]}

    def parts(self, make: Maker) -> Joint:
        """The softmax of all classes, trained on real features of seen ones."""
        return Joint(make)

    def evaluation(self, networks: GANNetworks) -> tuple[Callable[[int, Progress], None], int]:
        """The joint softmax as it is: the number of a checkpoint is that of the GAN epoch."""
        if self.config.classifier == "softmax":
            return super().evaluation(networks)

        def evaluate(epoch: int, progress: Progress) -> None:
            offered = generated_latents(networks)
            for number, (run, latents) in enumerate(zip(networks.runs, offered, strict=True)):
                one: Linear = networks.parts.layer.of(number)
                score = lambda features, one=one: one(features[None])[0]  # noqa: E731
                run.checkpoint(epoch, Scorer(as_they_are, score, latents))

        return evaluate, 0

    def weights(self, networks: GANNetworks) -> Callable[[int], list[torch.Tensor]]:
        """Of penalty and seen classes' NLL, which may be halved."""
        penalty, whole = networks.make.values("penalty", "classification")
        at = self.config.halved_at
        return lambda epoch: [penalty, whole / (2 if at is not None and epoch >= at else 1)]

    def draws(self, networks: GANNetworks) -> Callable[[int], list[torch.Tensor]]:
        """Unseen classes [steps, R, B]."""
        return unseen_classes(networks)

    def phases(self, networks: GANNetworks) -> list[Phase]:
        """Critic, generator on seen classes, generator and softmax on unseen ones."""
        config: LsrGANConfig = self.config
        task, generator, embeddings = networks.task, networks.generator, networks.embeddings
        joint: Joint = networks.parts
        unseen_weight, centre_weight, weight, band = networks.make.values(
            "unseen_classification", "centroids", "similarity", "band"
        )
        similarity = Similarity(networks, config.neighbours, band)

        def held(generated: torch.Tensor, batch: Batch) -> Mapping[str, Any]:
            distance = similarity.distance(generated, batch.labels)
            with frozen(joint.layer):
                found = {"classification": (batch.factors[1], joint.nll(generated, batch.labels))}
            found["centroids"] = centre_weight, distance
            if config.sr_loss == "grad":
                found["similarity"] = weight, similarity.loss(generated, batch.labels, task.seen)
            return found

        def of_unseen(batch: Batch) -> dict[str, torch.Tensor]:
            labels = batch.own[0]
            generated = generator(batch.noises[:, 1], embeddings[labels])
            terms = {
                "classification": joint.nll(generated, labels),
                "real": joint.nll(batch.features, batch.labels),
            }
            loss = unseen_weight * terms["classification"] + batch.factors[1] * terms["real"]
            if config.sr_loss == "grad":
                terms["similarity"] = similarity.loss(generated, labels, task.unseen)
                loss = loss + weight * terms["similarity"]
            return terms | {"loss": loss}

        of_seen = self.after_turns(
            networks, lambda batch: generator_terms(networks.critic, generator, batch, held)
        )
        adam = self.adam(networks, generator.layers)
        both = Several(adam, joint.adam)
        return [
            self.critic_phase(networks),
            Phase(adam, of_seen, "generator/"),
            Phase(
                both, self.after_turns(networks, of_unseen), "unseen/",
                recalls=adam if config.recalled else None, since=1,
            ),
        ]  # fmt: skip


SPEC = spec(
    name="lsrgan",
    factory=LsrGAN,
    citation="Vyas et al., Leveraging Seen and Unseen Semantic Relationships for Generative "
    "Zero-Shot Learning, ECCV 2020",
    version="2",
    summary="A WGAN and a softmax of all classes learn together, from unseen embeddings, too.",
)
