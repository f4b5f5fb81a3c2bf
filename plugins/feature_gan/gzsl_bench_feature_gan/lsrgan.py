"""LsrGAN: a generator that learns of unseen classes from their similarity to seen ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import Field

from gzsl_bench import Scorer, stackable
from gzsl_bench.stacked import (
    Batch,
    FeatureGAN,
    GANNetworks,
    Linear,
    Maker,
    Phase,
    Progress,
    Several,
    Shuffles,
    as_they_are,
    frozen,
    generated_latents,
    generator_terms,
    train_alternating,
    unseen_classes,
)
from gzsl_bench_feature_gan.config import GANConfig, spec
from gzsl_bench_feature_gan.similarity import Similarity


class LsrGANConfig(GANConfig):
    """Hyper-parameters of LsrGAN (released code: clswgan.py); defaults are CUB's."""

    epochs: int = Field(40, ge=1, description="epochs of ceil(rows / batch) generator steps each")
    evaluate_every: int = Field(1, ge=0, description="score after every so many epochs")
    seen_epochs: int = Field(50, ge=1, description="epochs of the classifier on real features")
    seen_batch: int = Field(100, ge=1, description="rows in a step of it")
    classifier: Literal["joint", "softmax"] = Field(
        "joint", description="what is scored: the jointly trained one, or f-CLSWGAN's final softmax"
    )
    classification: float = stackable(0.01, "weight of the seen classes' NLL", ge=0)
    halved_at: int | None = Field(
        None, ge=1, description="epochs after which that weight is halved; none: never"
    )
    unseen_classification: float = stackable(0.03, "weight of the unseen classes' NLL", ge=0)
    centroids: float = stackable(1.0, "weight of class means' distances to centroids", ge=0)
    sr_loss: Literal["off", "grad"] = Field(
        "off", description="the SR-loss of the paper; off: as released, where it has no gradient"
    )
    similarity: float = stackable(20.0, "weight of the SR-loss", ge=0)
    neighbours: int = Field(20, ge=1, description="seen classes that a class is compared with")
    band: float = stackable(0.1, "half the width of the band of similarities (paper: eps)", ge=0)
    recalled: bool = Field(
        True, description="the unseen step repeats the seen step's gradient, as released"
    )


_AWA = {
    "lr": 1e-5, "epochs": 18, "samples": 1800, "classification": 1e-3, "halved_at": 15,
    "unseen_classification": 0.1, "band": 0.15,
}  # fmt: skip
#: The released scripts for generalized zero-shot learning.  There are none of AWA2, which takes
#: AWA1's, and aPY, which takes those of Yue et al. (2024) and f-CLSWGAN's rate.
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "CUB": {"lr": 1e-4, "epochs": 40, "samples": 300},
    "SUN": {
        "lr": 2e-4, "epochs": 20, "samples": 400, "classification": 0.03,
        "unseen_classification": 0.01, "similarity": 10.0,
    },
    "AWA1": _AWA,
    "AWA2": _AWA,
    "APY": {"lr": 1e-5, "epochs": 18, "samples": 1600},
}  # fmt: skip


class Joint:
    """The softmax of all classes, trained on real features of seen ones, and its Adam.

    Both go on beside the GAN, as released.  The moments matter: the second ones of this training,
    whose loss has weight 1 and which an unseen class's row hardly takes part in, scale thousands of
    steps after it, when the weights are 0.1 to 0.001.

    Attributes:
        layer: features [D] -> logits [C].
        adam: its optimiser.
    """

    def __init__(self, make: Maker) -> None:
        task, runs, config = make.task, make.runs, make.config
        rows = task.labels.numel()
        batch, shuffles = min(config.seen_batch, rows), Shuffles(runs, "seen/shuffle", rows)
        self.layer = make.linear("joint", make.features, task.num_classes)
        self.adam = make.adam([self.layer], "classifier_lr")

        def draw(steps: int) -> list[torch.Tensor]:
            drawn = [shuffles.draw(number, steps, batch) for number in range(len(runs))]
            return [torch.stack(drawn, 1).to(task.device)]

        def loss(
            factors: Sequence[torch.Tensor], turn: int, picked: torch.Tensor
        ) -> dict[str, torch.Tensor]:
            return {"loss": self.nll(task.features[picked], task.labels[picked])}

        train_alternating(
            runs,
            [Phase(self.adam, loss, "seen/")],
            epochs=config.seen_epochs,
            steps=math.ceil(rows / batch),
            draw=draw,
        )

    def nll(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """[R] mean over a batch: features [R, B, D], ids of their classes [R, B]."""
        logs = self.layer(features).log_softmax(-1)
        return -logs.gather(-1, labels[..., None]).mean((1, 2))


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
