"""OCD-CVAE: classes generated wider than they are, and set apart again (Keshari et al., 2020)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch.nn import functional as F

from gzsl_bench import MethodSpec, Run, Task, stackable
from gzsl_bench.stacked import (
    Decoder,
    Generators,
    Phase,
    Progress,
    StackedAdam,
    embed_in_chunks,
    normals,
    per_run,
    subsets,
    train_alternating,
)
from gzsl_bench_feature_vae.se_gzsl import (
    DRAWN,
    SEGZSL,
    SEGZSLConfig,
    SENetworks,
    error,
    vae_terms,
)
from gzsl_bench_feature_vae.synthesis import STEP_COST

#: Classes whose features are generated at once to estimate their spread.
CLASSES = 64


class OCDConfig(SEGZSLConfig):
    """Hyper-parameters of OCD-CVAE, filled in throughout; the same on every data set."""

    finetune_epochs: int = Field(20, ge=1, description="epochs that set classes apart, afterwards")
    finetune_lr: float = stackable(1e-4, "learning rate of them", gt=0)
    overcomplete: Literal["interpolated", "inflated"] = Field(
        "interpolated",
        description="hard samples: between a class and its nearest one, or from wider latents",
    )
    spread: float = Field(1.5, gt=0, description="how much wider than generated features they are")
    statistics: int = Field(50, ge=2, description="features a class to estimate mean and spread")
    step_classes: int = Field(16, ge=2, description="classes with hard samples in a step")
    step_samples: int = Field(4, ge=2, description="hard samples of each of them")
    triplet: float = stackable(0.1, "weight of the online batch triplet loss", ge=0)
    margin: float = Field(1.0, ge=0, description="its margin")
    triplets: Literal["hardest", "all"] = Field("hardest", description="the triplets it takes")
    centre: float = stackable(0.1, "weight of the centre loss", ge=0)
    centre_rate: float = Field(0.5, ge=0, le=1, description="how fast the centres move")


def statistics(
    task: Task, generator: Decoder, config: Any, stream: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean and spread [C, D] of every class's generated features, and its nearest class [C]."""
    means, spreads = [], []
    for attributes in torch.split(task.attributes, CLASSES):
        rows = attributes.repeat_interleave(config.statistics, 0)
        noise = torch.randn(len(rows), config.latent, generator=stream).to(rows)
        made = embed_in_chunks(generator, torch.cat([noise, rows], 1))
        made = made.view(len(attributes), config.statistics, -1)
        means.append(made.mean(1))
        spreads.append(made.std(1))
    mean = torch.cat(means)
    gaps = torch.cdist(mean, mean).fill_diagonal_(torch.inf)
    return mean, torch.cat(spreads), gaps.argmin(1)


def hard_samples(
    found: Sequence[torch.Tensor],
    classes: torch.Tensor,
    share: torch.Tensor,
    noise: torch.Tensor,
    spread: float,
) -> torch.Tensor:
    """Features [R, N, D] around points on the way to the nearest class.

    Args:
        found: what :func:`statistics` gives: [R, C, D], [R, C, D], [R, C].
        classes: [R, N] what the samples are labelled.
        share: [R, N, 1] of the nearest class's mean.
        noise: [R, N, D] standard normal numbers.
        spread: times the class's own.
    """
    mean, deviation, nearest = found
    run = torch.arange(len(mean), device=mean.device)[:, None]
    between = torch.lerp(mean[run, classes], mean[run, nearest.gather(1, classes)], share)
    return between + spread * deviation[run, classes] * noise


def separation(
    embedded: torch.Tensor, centres: torch.Tensor, margin: float, hardest: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Online batch triplet loss and centre loss, [R] each.

    Args:
        embedded: [R, G, K, A] of unit length, K of each of G classes.
        centres: [R, G, A] of these classes.
        margin: of squared distances.
        hardest: of each row the farthest of its class and the nearest of others; else the mean over
            all triplets.
    """
    runs, groups, each, width = embedded.shape
    rows, number = embedded.reshape(runs, groups * each, width), groups * each
    gaps = 2 - 2 * rows @ rows.mT
    group = torch.arange(number, device=rows.device) // each
    same = group[:, None] == group
    positive = same & ~torch.eye(number, dtype=torch.bool, device=rows.device)
    if hardest:
        far = torch.where(positive, gaps, -torch.inf).amax(-1)
        near = torch.where(same, torch.inf, gaps).amin(-1)
        triplet = (margin + far - near).relu().mean(-1)
    else:
        losses = (margin + gaps.unsqueeze(3) - gaps.unsqueeze(2)).relu()
        valid = (positive.unsqueeze(2) & ~same.unsqueeze(1)).to(rows.dtype)
        triplet = (losses * valid).sum((1, 2, 3)) / (number * (each - 1) * (number - each))
    centre = 0.5 * (embedded - centres.unsqueeze(2)).square().sum(-1).mean((1, 2))
    return triplet, centre


class OCD(SEGZSL):
    """SE-GZSL, then the networks learn to set apart classes that were generated too wide.

    Hard samples of every class, unseen ones too, lie between its mean and that of the nearest class
    with 1.5 times its spread; a triplet and a centre loss act on what the regressor makes of them.
    The final classifier learns hard samples of unseen classes.  No code was released, the abstract
    and introduction alone were at hand.  Filled in: how hard samples are made, that both losses act
    on the regressor's output at unit length, squared distances, that encoder, generator and
    regressor learn together then, all weights and sizes; what was filled in for SE-GZSL.
    """

    Config = OCDConfig

    def epochs(self) -> int:
        """Both stages."""
        config: OCDConfig = self.config
        return config.epochs + config.finetune_epochs

    def train_networks(
        self, task: Task, runs: Sequence[Run], networks: Any, steps: int, progress: Progress
    ) -> None:
        """SE-GZSL's training, then classes are set apart."""
        super().train_networks(task, runs, networks, steps, progress)
        config: OCDConfig = self.config
        names = ("consistency", "triplet", "centre")
        weights = [task.features.new_tensor(per_run(runs, name)) for name in names]
        layers = [
            layer
            for part in (networks.encoder, networks.generator, networks.regressor)
            for layer in part.layers
        ]
        width = task.features.shape[1] if config.overcomplete == "interpolated" else config.latent
        numbers = 2 * config.batch * config.latent
        numbers += config.step_classes * config.step_samples * width
        train_alternating(
            runs,
            [
                Phase(
                    StackedAdam([(layers, per_run(runs, "finetune_lr"))]),
                    self._separate(task, runs, networks),
                    "finetune/",
                )
            ],
            epochs=config.finetune_epochs,
            steps=steps,
            weights=lambda epoch: weights,
            draw=self._draws(task, runs, width),
            after_epoch=lambda epoch: progress.advance(steps * STEP_COST),
            at_once=max(1, DRAWN // (4 * numbers)),
        )

    def _draws(
        self, task: Task, runs: Sequence[Run], width: int
    ) -> Callable[[int], list[torch.Tensor]]:
        """Steps -> what :meth:`batches` gives, then classes, shares and noise of hard samples."""
        config: OCDConfig = self.config
        real = self.batches(task, runs, 2, "finetune/")
        picks, shares, noises = (
            Generators(runs, f"finetune/{name}") for name in ("classes", "shares", "hard")
        )
        groups = min(config.step_classes, task.num_classes)
        number = groups * config.step_samples

        def uniform(steps: int) -> torch.Tensor:
            return shares.block(
                lambda stream: torch.rand(steps, number, 1, generator=stream), task.device
            )

        return lambda steps: [
            *real(steps),
            subsets(picks, task.num_classes, groups, steps, task.device),
            (0.5 * uniform(steps)).to(task.features.dtype),
            normals(noises, (number, width), steps, task.device).to(task.features.dtype),
        ]

    def _separate(
        self, task: Task, runs: Sequence[Run], networks: SENetworks
    ) -> Callable[..., Mapping[str, torch.Tensor]]:
        """The loss of the second stage; centres begin at the class embeddings' directions."""
        config: OCDConfig = self.config
        found = [
            statistics(
                task, networks.generator.of(number), config, run.generator("finetune/statistics")
            )
            for number, run in enumerate(runs)
        ]
        stacked = [torch.stack(parts) for parts in zip(*found, strict=True)]
        centres = F.normalize(task.attributes, dim=1).repeat(len(runs), 1, 1)

        def loss(
            weights: Sequence[torch.Tensor],
            turn: int,
            picked: torch.Tensor,
            noise: torch.Tensor,
            classes: torch.Tensor,
            share: torch.Tensor,
            hard: torch.Tensor,
        ) -> Mapping[str, torch.Tensor]:
            attributes = task.attributes[task.labels[picked]]
            reconstruction, kl = vae_terms(networks, task.features[picked], attributes, noise[:, 0])
            read = networks.regressor(networks.make(noise[:, 1], attributes))
            consistency = error(attributes, read)
            each = config.step_samples
            labels = classes.repeat_interleave(each, 1)
            if config.overcomplete == "interpolated":
                rows = hard_samples(stacked, labels, share, hard, config.spread)
            else:
                rows = networks.make(config.spread * hard, task.attributes[labels])
            embedded = F.normalize(networks.regressor(rows), dim=-1)
            embedded = embedded.view(len(runs), -1, each, embedded.shape[-1])
            places = classes.unsqueeze(2).expand(-1, -1, centres.shape[2])
            around = centres.gather(1, places)
            triplet, centre = separation(
                embedded, around, config.margin, config.triplets == "hardest"
            )
            shift = (each * around - embedded.detach().sum(2)) / (1 + each)
            centres.scatter_(1, places, around - config.centre_rate * shift)
            total = reconstruction + kl
            for weight, term in zip(weights, (consistency, triplet, centre), strict=True):
                total = total + weight * term
            return {
                "reconstruction": reconstruction,
                "kl": kl,
                "consistency": consistency,
                "triplet": triplet,
                "centre": centre,
                "loss": total,
            }

        return loss

    @torch.no_grad()
    def generate(
        self, task: Task, run: Run, generator: Decoder, classes: torch.Tensor, purpose: str
    ) -> torch.Tensor:
        """Hard samples [M, D] of ``classes`` [M]."""
        config: OCDConfig = self.config
        if config.overcomplete == "inflated":
            noise = torch.randn(len(classes), config.latent, generator=run.generator(purpose))
            rows = [config.spread * noise.to(task.features), task.attributes[classes]]
            return embed_in_chunks(generator, torch.cat(rows, 1))
        stream = run.generator(f"{purpose}/statistics")
        found = [part[None] for part in statistics(task, generator, config, stream)]
        stream = run.generator(purpose)
        share = 0.5 * torch.rand(len(classes), 1, generator=stream)
        noise = torch.randn(len(classes), task.features.shape[1], generator=stream)
        like = task.features
        drawn = (share.to(like)[None], noise.to(like)[None])
        return hard_samples(found, classes[None], *drawn, config.spread)[0]


SPEC = MethodSpec(
    name="ocd",
    factory=OCD,
    citation="Keshari et al., Generalized Zero-Shot Learning Via Over-Complete Distribution, "
    "CVPR 2020",
    version="1",
    fidelity="approximation",
    family="Generative: VAE",
    preprocessing="minmax",
    precisions=("float32", "tf32"),
    latents=True,
    summary="A VAE makes classes wider than they are and learns to set them apart again.",
)
