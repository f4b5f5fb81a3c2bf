"""ZLA: zero-shot logit adjustment on features of a WGAN (Chen et al., IJCAI 2022)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

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
    Shuffles,
    StackedAdam,
    as_they_are,
    generated_latents,
    per_run,
    train_alternating,
)
from gzsl_bench_feature_gan.config import GANConfig


class ZLAConfig(GANConfig):
    """Hyper-parameters of ZLA (released code); defaults are CUB's."""

    batch: int = Field(512, ge=1, description="rows in a step; all of them where there are fewer")
    epochs: int = Field(2000, ge=1, description="epochs of ceil(rows / batch) generator steps each")
    reused_noise: bool = Field(
        True, description="the generator's step uses the critic's last noise again, as released"
    )
    samples: int = Field(10, ge=1, description="generated features of each unseen class")
    prototype_hidden: int = Field(1024, ge=1, description="hidden units of the classifier")
    temperature: float = Field(0.04, gt=0, description="of its cosines")
    ratio: float = stackable(30.0, "prior of seen classes over that of unseen ones", gt=0)
    classifier_epochs: int = Field(60, ge=1, description="epochs of the classifier")
    halved_after: int = Field(30, ge=1, description="epochs of it after which its rate is halved")
    classifier_batch: int | None = Field(
        512, ge=1, description="rows in a step of the classifier; none: `samples`"
    )
    classifier_lr: float = stackable(1e-4, "learning rate of the classifier", gt=0)
    weight_decay: float = Field(1e-4, ge=0, description="of the classifier")
    evaluate_every: int = Field(
        100,
        ge=0,
        description="train a classifier after every so many GAN epochs and after the last;"
        " 0: after the last alone",
    )


#: The released ratios; CUB's is for sentences, that of its attributes is 45.  AWA1 has none and
#: takes AWA2's, FLO takes CUB's.
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "SUN": {"ratio": 60.0},
    "AWA1": {"ratio": 1000.0},
    "AWA2": {"ratio": 1000.0},
    "APY": {"ratio": 300.0},
}


def log_priors(task: Task, ratio: torch.Tensor) -> torch.Tensor:
    """[R, C]: of seen classes their share of the rows, of unseen ones equal shares.

    Args:
        task: the training rows.
        ratio: [R] prior of all seen classes together over that of all unseen ones.
    """
    counts = torch.bincount(task.labels, minlength=task.num_classes).to(ratio)
    seen = (counts / counts.sum()).log() + (ratio / (ratio + 1)).log()[:, None]
    seen[:, task.unseen] = -(ratio + 1).log()[:, None] - math.log(task.unseen.numel())
    return seen


class Prototypes:
    """Class embeddings -> Linear -> leaky ReLU -> Linear -> what features are compared with."""

    def __init__(
        self, runs: Sequence[Run], name: str, networks: GANNetworks, hidden: int, std: float
    ) -> None:
        self.classes = networks.embeddings
        widths = self.classes.shape[1], hidden, networks.generator.output.outputs
        how: dict[str, Any] = {
            "std": std, "device": self.classes.device, "dtype": networks.embeddings.dtype
        }  # fmt: skip
        self.layers = [
            Linear(runs, f"{name}/hidden", *widths[:2], activation="leaky_relu", **how),
            Linear(runs, f"{name}/output", *widths[1:], **how),
        ]

    def __call__(self, runs: int) -> torch.Tensor:
        """[R, C, D] of length 1."""
        hidden = self.layers[0](self.classes.expand(runs, -1, -1))
        return F.normalize(self.layers[1](hidden), dim=-1)


class ZLA(FeatureGAN):
    """A plain WGAN-GP; prototypes of all classes are trained by the cosine, with priors added.

    The classifier sees 10 generated features of each unseen class beside the real ones.  Its
    training logits are cosines over a temperature, plus the log of the class's share of its domain
    and of the domain's prior; test scores are cosines alone.  Class embeddings are as in the file;
    the published numbers of CUB are for sentences, not normalised.

    Filled in: the classifier's initial weights (those of the GAN's layers) and batches (in one
    shuffle after another), and when one is trained, of 2000 GAN epochs.
    """

    Config = ZLAConfig

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, Any]:
        """The released ratio of ``dataset``; CUB's where there is none."""
        if (dataset.name, dataset.attributes) == ("CUB", "att"):
            return {"ratio": 45.0}
        return RECIPES.get(dataset.name, {})

    def phases(self, task: Task, runs: Sequence[Run], networks: GANNetworks) -> list[Phase]:
        """The generator's step may use noise again."""
        critic, generator = super().phases(task, runs, networks)
        turns = self.config.critic_steps

        def loss(
            factors: Sequence[torch.Tensor], turn: int, *drawn: torch.Tensor
        ) -> Mapping[str, torch.Tensor]:
            last = drawn[1][:, :turns]
            noises = torch.cat([last, last[:, -1:]], 1)
            return generator.loss(factors, turn, drawn[0], noises, *drawn[2:])

        return [critic, replace(generator, loss=loss) if self.config.reused_noise else generator]

    def evaluation(
        self, task: Task, runs: list[Run], networks: GANNetworks
    ) -> tuple[Callable[[int, Progress], None], int]:
        """Prototypes, trained anew."""
        config: ZLAConfig = self.config
        made = task.unseen.repeat_interleave(config.samples)
        labels, shared = torch.cat([task.labels, made]), len(task.labels)
        batch = min(config.classifier_batch or config.samples, len(labels))
        steps, total = math.ceil(len(labels) / batch), config.classifier_epochs
        real = F.normalize(task.features, dim=1)
        own = task.features.new_empty(len(runs), len(made), task.features.shape[1])
        number = torch.arange(len(runs), device=task.device)[:, None]
        priors = log_priors(task, real.new_tensor(per_run(runs, "ratio"))).unsqueeze(1)

        def evaluate(epoch: int, progress: Progress) -> None:
            ones = [networks.generator.of(number) for number in range(len(runs))]
            for run, one, into in zip(runs, ones, own, strict=True):
                one.features(networks.embeddings[made], run.generator(f"synthetic/{epoch}"), into)
            own.copy_(F.normalize(own, dim=-1))
            offered = generated_latents(networks, runs, ones, [as_they_are] * len(runs))
            name, width = f"classifier/{epoch}", config.prototype_hidden
            prototypes = Prototypes(runs, name, networks, width, config.init_std)
            order = Shuffles(runs, f"{name}/shuffle", len(labels))
            optimizer = StackedAdam(
                [(prototypes.layers, per_run(runs, "classifier_lr"))],
                betas=(config.beta1, config.beta2), weight_decay=config.weight_decay,
            )  # fmt: skip

            def draw(count: int) -> list[torch.Tensor]:
                drawn = [order.draw(run, count, batch) for run in range(len(runs))]
                return [torch.stack(drawn, 1).to(task.device)]

            def loss(_: Any, turn: int, picked: torch.Tensor) -> dict[str, torch.Tensor]:
                x = torch.where(
                    (picked < shared)[..., None],
                    real[picked.clamp(max=shared - 1)],
                    own[number, (picked - shared).clamp(min=0)],
                )
                logits = x @ prototypes(len(runs)).mT / config.temperature + priors
                found = logits.log_softmax(-1).gather(-1, labels[picked][..., None])
                return {"loss": -found.mean((1, 2))}

            def offer(checkpoint: int) -> None:
                progress.advance(steps)
                with torch.no_grad():
                    units = prototypes(len(runs))
                for run, unit, latents in zip(runs, units, offered, strict=True):
                    score = lambda x, unit=unit: F.normalize(x, dim=1) @ unit.t()  # noqa: E731
                    if not run.failure:
                        run.checkpoint(checkpoint, Scorer(as_they_are, score, latents))

            done, halved = (epoch - 1) * total, min(config.halved_after, total)
            for epochs, before in ((halved, done), (total - halved, done + halved)):
                train_alternating(
                    runs, [Phase(optimizer, loss, "classifier/")], epochs=epochs, steps=steps,
                    draw=draw, after_epoch=offer, before=before,
                )  # fmt: skip
                optimizer.rescale(0.5)

        return evaluate, steps * total


SPEC = MethodSpec(
    name="zla",
    factory=ZLA,
    citation="Chen et al., Zero-Shot Logit Adjustment, IJCAI 2022",
    version="1",
    fidelity="approximation",
    family="Generative: GAN",
    preprocessing="minmax",
    precisions=("float32", "tf32"),
    latents=True,
    summary="A WGAN's features train prototypes of all classes with the prior of seen ones.",
)
