"""LsrGAN: a generator that learns of unseen classes from their similarity to seen ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from pydantic import Field
from torch.nn import functional as F

from gzsl_bench import DatasetInfo, MethodSpec, Run, Scorer, Task, stackable
from gzsl_bench.stacked import (
    FeatureGAN,
    GANNetworks,
    Linear,
    Phase,
    Progress,
    Several,
    StackedAdam,
    as_they_are,
    class_means,
    frozen,
    generated_latents,
    generator_terms,
    per_run,
    trained_softmax,
    unseen_classes,
)
from gzsl_bench_feature_gan.config import GANConfig


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


def similarity_loss(
    means: torch.Tensor, present: torch.Tensor, centroids: torch.Tensor,
    wanted: torch.Tensor, near: torch.Tensor, band: torch.Tensor,
) -> torch.Tensor:  # fmt: skip
    """[R] squared distances to the band around wanted similarities, summed over present classes.

    Args:
        means: [R, K, D] means of generated features.
        present: [R, K].
        centroids: [S, D] of real features.
        wanted: [K, N] similarities of class embeddings to the nearest seen classes'.
        near: [K, N] places of those in ``centroids``.
        band: [R] half its width.
    """
    found = F.normalize(means, dim=-1) @ F.normalize(centroids, dim=-1).t()
    found = found.gather(2, near.expand(len(means), -1, -1))
    outside = ((found - wanted).abs() - band[:, None, None]).clamp(min=0).square().mean(2)
    return torch.where(present, outside, 0).sum(1)


class LsrGAN(FeatureGAN):
    """A WGAN-GP and one softmax of all classes, which learns with it and is the classifier.

    After a step of the generator on seen classes comes, from the second epoch on, one of generator
    and softmax on generated features of unseen classes.  In the released code the SR-loss, which
    holds the similarity of a class mean to seen centroids near that of their embeddings, is
    computed without a gradient: ``sr_loss="grad"`` is the paper's.

    Released code draws unseen classes as the test set has them; here they are uniform.  Filled in:
    the joint softmax's rate is ``classifier_lr``, its moments begin after its training on real
    features, and it is constant in the seen step.
    """

    Config = LsrGANConfig
    generator_draws = 2

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, Any]:
        """The released values of ``dataset``; CUB's where there are none."""
        return RECIPES.get(dataset.name, {})

    @classmethod
    def axes(cls, config: Any) -> Mapping[str, int]:
        """GAN epochs alone, unless a classifier of its own is trained after them."""
        both = super().axes(config)
        return both if config.classifier == "softmax" else {"gan_epoch": both["gan_epoch"]}

    def networks(self, task: Task, runs: Sequence[Run]) -> GANNetworks:
        """Beside them the softmax of all classes, trained on real features of seen ones."""
        config: LsrGANConfig = self.config
        trained = trained_softmax(
            task, runs, task.labels, task.num_classes, epochs=config.seen_epochs,
            batch=config.seen_batch, rates=per_run(runs, "classifier_lr"),
            betas=(config.beta1, config.beta2), std=config.init_std,
        )  # fmt: skip
        layer = Linear(
            runs, "joint", task.features.shape[1], task.num_classes,
            device=task.device, dtype=task.features.dtype,
        )  # fmt: skip
        with torch.no_grad():
            layer.weight.copy_(trained.weight)
            layer.bias.copy_(trained.bias)
        return replace(super().networks(task, runs), encoder=layer)

    def evaluation(
        self, task: Task, runs: list[Run], networks: GANNetworks
    ) -> tuple[Callable[[int, Progress], None], int]:
        """The joint softmax as it is: the number of a checkpoint is that of the GAN epoch."""
        if self.config.classifier == "softmax":
            return super().evaluation(task, runs, networks)

        def evaluate(epoch: int, progress: Progress) -> None:
            offered = generated_latents(networks, runs)
            for number, (run, latents) in enumerate(zip(runs, offered, strict=True)):
                one: Linear = networks.encoder.of(number)
                score = lambda features, one=one: one(features[None])[0]  # noqa: E731
                run.checkpoint(epoch, Scorer(as_they_are, score, latents))

        return evaluate, 0

    def weights(self, task: Task, runs: Sequence[Run]) -> Callable[[int], list[torch.Tensor]]:
        """Of penalty and seen classes' NLL, which may be halved."""
        of_penalty, at = super().weights(task, runs), self.config.halved_at
        classification = task.features.new_tensor(per_run(runs, "classification"))
        return lambda epoch: [
            *of_penalty(epoch), classification / (2 if at is not None and epoch >= at else 1)
        ]  # fmt: skip

    def draws(
        self, task: Task, runs: Sequence[Run], networks: GANNetworks
    ) -> Callable[[int], list[torch.Tensor]]:
        """Unseen classes [steps, R, B]."""
        return unseen_classes(task, runs, min(self.config.batch, task.labels.numel()))

    def phases(self, task: Task, runs: Sequence[Run], networks: GANNetworks) -> list[Phase]:
        """Critic, generator on seen classes, generator and softmax on unseen ones."""
        config: LsrGANConfig = self.config
        generator, embeddings = networks.generator, networks.embeddings
        joint: Linear = networks.encoder
        turns, new = config.critic_steps, task.features.new_tensor
        unseen_weight, centre_weight, weight, band = (
            new(per_run(runs, name))
            for name in ("unseen_classification", "centroids", "similarity", "band")
        )
        centroids = class_means(task.features[None], task.labels[None], task.seen)[0][0]
        unit = F.normalize(embeddings, dim=1)
        nearest = (unit @ unit[task.seen].t()).topk(min(config.neighbours, task.seen.numel()))

        def nll(features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            return -joint(features).log_softmax(-1).gather(-1, labels[..., None]).mean((1, 2))

        def similar(
            features: torch.Tensor, labels: torch.Tensor, ids: torch.Tensor
        ) -> torch.Tensor:
            means, present = class_means(features, labels, ids)
            wanted, near = nearest.values[ids], nearest.indices[ids]
            return similarity_loss(means, present, centroids, wanted, near, band)

        def of_seen(
            factors: Sequence[torch.Tensor], turn: int, *drawn: torch.Tensor
        ) -> dict[str, torch.Tensor]:
            def terms(
                generated: torch.Tensor, attributes: torch.Tensor, labels: torch.Tensor
            ) -> Any:
                means, present = class_means(generated, labels, task.seen)
                off = torch.where(present[..., None], means - centroids, 0)
                distance = torch.linalg.vector_norm(off, dim=-1).mean(1)
                with frozen(joint):
                    found = {"classification": (factors[1], nll(generated, labels))}
                found["centroids"] = centre_weight, distance
                if config.sr_loss == "grad":
                    found["similarity"] = weight, similar(generated, labels, task.seen)
                return found

            labels = task.labels[drawn[0][:, -1]]
            noise = drawn[1][:, turns]
            return generator_terms(
                networks.critic, generator, embeddings[labels], labels, noise, terms
            )

        def of_unseen(
            factors: Sequence[torch.Tensor], turn: int, *drawn: torch.Tensor
        ) -> dict[str, torch.Tensor]:
            picked, labels = drawn[0][:, -1], drawn[3]
            generated = generator(drawn[1][:, -1], embeddings[labels])
            terms = {
                "classification": nll(generated, labels),
                "real": nll(task.features[picked], task.labels[picked]),
            }
            loss = unseen_weight * terms["classification"] + factors[1] * terms["real"]
            if config.sr_loss == "grad":
                terms["similarity"] = similar(generated, labels, task.unseen)
                loss = loss + weight * terms["similarity"]
            return terms | {"loss": loss}

        of_generator = self.adam(runs, generator.layers, config.beta1)
        of_joint = StackedAdam(
            [([joint], per_run(runs, "classifier_lr"))], betas=(config.beta1, config.beta2)
        )
        both, recalls = Several(of_generator, of_joint), of_generator if config.recalled else None
        return [
            self.critic_phase(task, runs, networks),
            Phase(of_generator, of_seen, "generator/"),
            Phase(both, of_unseen, "unseen/", recalls=recalls, since=1),
        ]


SPEC = MethodSpec(
    name="lsrgan",
    factory=LsrGAN,
    citation="Vyas et al., Leveraging Seen and Unseen Semantic Relationships for Generative "
    "Zero-Shot Learning, ECCV 2020",
    version="1",
    fidelity="approximation",
    family="Generative: GAN",
    preprocessing="minmax",
    precisions=("float32", "tf32"),
    latents=True,
    summary="A WGAN and a softmax of all classes learn together, from unseen embeddings, too.",
)
