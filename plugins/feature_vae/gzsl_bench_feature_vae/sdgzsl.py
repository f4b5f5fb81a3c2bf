"""SDGZSL: features split into what the class says and what it does not (Chen et al., ICCV 2021)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from gzsl_bench import BatchedMethod, DatasetInfo, Latents, MethodSpec, Run, Task
from gzsl_bench.stacked import (
    Generators,
    Parameters,
    Phase,
    Progress,
    Several,
    SoftmaxClassifier,
    StackedAdam,
    embed_in_chunks,
    keeps,
    lanes,
    normals,
    per_run,
    permutations,
    subsets,
    train_alternating,
    train_on_latents,
)
from gzsl_bench_feature_vae.sdgzsl_config import RECIPES, SDGZSLConfig
from gzsl_bench_feature_vae.sdgzsl_networks import (
    Masks,
    SDNetworks,
    sdgzsl_losses,
)

#: What a step takes, in steps of the classifier; for progress bars only.
STEP_COST = 10
#: Bytes of random numbers drawn at once for each run.
DRAWN = 48 << 20


class SDGZSL(BatchedMethod):
    """A conditional VAE makes features; an autoencoder splits them; a softmax learns one part.

    A relation network ties the semantic part to the class embedding, a discriminator of mixed parts
    keeps the two independent.  Epoch k of the classifier after epoch e is checkpoint
    (e - 1) * classifier_epochs + k.  The released code looks every 200 to 400 steps and prints the
    best H on the test set over all looks and epochs: ``best_test`` does so over those here, after
    every 20th epoch.  Otherwise than there an epoch's batches are independent, not a pass over the
    rows, and it ends with a whole turn of the discriminator's cycle; the classifier leaves an
    incomplete batch out and begins uniform.
    """

    Config = SDGZSLConfig

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, Any]:
        """The released values of ``dataset``; those of CUB with sentences where there are none."""
        if dataset.name == "CUB" and dataset.attributes != "att":
            return {}
        return RECIPES.get(dataset.name, {})

    def fit_batch(self, task: Task, runs: Sequence[Run]) -> None:
        """Train ``runs``; epochs of classifiers become checkpoints."""
        for stack in lanes(runs, task.device):
            self._fit_stack(task, stack)

    def _fit_stack(self, task: Task, runs: list[Run]) -> None:
        config: SDGZSLConfig = self.config
        widths = task.features.shape[1], task.attributes.shape[1]
        how = {"device": task.device, "dtype": task.features.dtype}
        networks = SDNetworks(runs, config, *widths, how)
        turns = config.discriminator_every + 1
        cycles = math.ceil(task.labels.numel() / config.batch / turns)
        every = config.evaluate_every or config.epochs
        looks = [e for e in range(1, config.epochs + 1) if e % every == 0 or e == config.epochs]
        rows = task.labels.numel() + task.unseen.numel() * config.samples
        units = max(1, rows // (config.classifier_batch or config.samples))
        total = config.epochs * cycles * turns * STEP_COST
        progress = Progress(runs, total + len(looks) * config.classifier_epochs * units)

        def after_epoch(epoch: int) -> None:
            progress.advance(cycles * turns * STEP_COST)
            if epoch in looks and not all(run.failure for run in runs):
                self._classify(task, runs, networks, epoch, progress, units)

        names = ("correlation", "relation", "discriminator")
        correlation, *constant = (task.features.new_tensor(per_run(runs, name)) for name in names)

        def rising(epoch: int) -> list[torch.Tensor]:
            """Of the KL term, the correlation, the relation errors, the discriminator."""
            kl = torch.full_like(correlation, min(1.0, config.kl_warmup * epoch))
            return [kl, correlation * min(1.0, config.correlation_warmup * epoch), *constant]

        train_alternating(
            runs,
            self._phases(task, runs, networks),
            epochs=config.epochs,
            steps=cycles,
            weights=rising,
            draw=self._draws(task, runs),
            after_epoch=after_epoch,
            at_once=max(1, DRAWN // (turns * config.batch * (4 * config.hidden + 2 * widths[0]))),
        )

    def _draws(self, task: Task, runs: Sequence[Run]) -> Callable[[int], list[torch.Tensor]]:
        """Cycles -> rows, noise and masks of every turn, and orders for the discriminator's."""
        config: SDGZSLConfig = self.config
        rows, turns = task.labels.numel(), config.discriminator_every + 1
        batch, device = min(config.batch, rows), task.device
        wide = config.semantic + config.unrelated + config.hidden + task.features.shape[1]
        shapes = {
            "encoder": (batch, config.hidden),
            "variance": (batch, config.latent),
            "decoder": (3, batch, config.hidden),
            "autoencoder": (2, batch, wide),
        }
        batches, noises = Generators(runs, "batches"), Generators(runs, "noise")
        masks = [
            (Generators(runs, f"dropout/{name}"), (turns, *shape), rate)
            for (name, shape), rate in zip(shapes.items(), self._rates(), strict=True)
        ]
        orders = [
            Generators(runs, f"permutations/{source}/{part}")
            for source in ("made", "real")
            for part in ("semantic", "unrelated")
        ]

        def draw(cycles: int) -> list[torch.Tensor]:
            picked = subsets(batches, rows, batch, cycles * turns, device)
            noise = normals(noises, (turns, batch, config.latent), cycles, device)
            mixed = [permutations(stream, batch, cycles, device) for stream in orders]
            return [
                picked.view(cycles, turns, len(runs), batch).transpose(1, 2),
                noise.to(task.features.dtype),
                *(keeps(stream, shape, rate, cycles, device) for stream, shape, rate in masks),
                torch.stack(mixed, 2).view(cycles, len(runs), 2, 2, batch),
            ]

        return draw

    def _rates(self) -> tuple[float, float, float, float]:
        config: SDGZSLConfig = self.config
        return (
            config.encoder_dropout,
            config.variance_dropout,
            config.decoder_dropout,
            config.autoencoder_dropout,
        )

    def _phases(self, task: Task, runs: Sequence[Run], networks: SDNetworks) -> list[Phase]:
        """Steps with the correlation, then one in which the discriminator learns beside the rest.

        Its loss moves the discriminator alone, that of the rest everything but it.
        """
        config: SDGZSLConfig = self.config
        last = config.discriminator_every

        def losses(
            weights: Sequence[torch.Tensor],
            turn: int,
            drawn: Sequence[torch.Tensor],
            orders: torch.Tensor | None = None,
        ) -> Mapping[str, torch.Tensor]:
            picked, noise, *kept = (block[:, turn] for block in drawn[:6])
            masks = Masks(kept[0], kept[1], kept[2], kept[3], self._rates())
            labels = task.labels[picked]
            return sdgzsl_losses(
                networks, task.features[picked], task.attributes[labels], labels, noise, masks,
                weights, orders,
            )  # fmt: skip

        def adam(layers: Sequence[Parameters]) -> StackedAdam:
            return StackedAdam([(layers, per_run(runs, "lr"))], weight_decay=config.weight_decay)

        rest = adam(networks.layers)
        together = Several(rest, adam([networks.parts["discriminator"]]))
        return [
            Phase(rest, lambda w, turn, *drawn: losses(w, turn, drawn), repeat=last),
            Phase(
                together, lambda w, _, *drawn: losses(w, last, drawn, drawn[6]), "discriminator/"
            ),
        ]

    def _classify(
        self,
        task: Task,
        runs: Sequence[Run],
        networks: SDNetworks,
        epoch: int,
        progress: Progress,
        units: int,
    ) -> None:
        """A classifier of the semantic units as they are now."""
        config: SDGZSLConfig = self.config
        made = task.unseen.repeat_interleave(config.samples)
        embeds, latents, inputs = [], [], []
        for number, run in enumerate(runs):
            space = Semantic(task, run, networks.of(number), config.latent)
            embeds.append(space.embed)
            latents.append(Latents(visual=space.embed, semantic=space.generated))
            own = space.generated(made, f"synthetic/{epoch}")
            inputs.append(torch.cat([space.embed(task.features), own]))
        classifier = SoftmaxClassifier(
            runs,
            torch.stack(inputs),
            torch.cat([task.labels, made]),
            task.num_classes,
            rates=per_run(runs, "classifier_lr"),
            betas=(config.classifier_beta1, 0.999),
            batch=config.classifier_batch or config.samples,
            purpose=f"classifier/{epoch}",
        )
        train_on_latents(
            runs,
            classifier,
            embeds,
            latents=latents,
            epochs=config.classifier_epochs,
            before=(epoch - 1) * config.classifier_epochs,
            progress=progress,
            units=units,
        )


class Semantic:
    """The semantic units of one run: of features, and of features made of classes."""

    def __init__(self, task: Task, run: Run, networks: SDNetworks, latent: int) -> None:
        self._task, self._run, self._networks, self._latent = task, run, networks, latent

    def embed(self, features: torch.Tensor) -> torch.Tensor:
        """[N, D] -> [N, S]."""
        kept = self._networks.semantic
        return embed_in_chunks(lambda x: self._networks.split(x)[..., :kept], features)

    @torch.no_grad()
    def generated(self, classes: torch.Tensor, purpose: str = "visualize/features") -> torch.Tensor:
        """Classes [M] -> [M, S], by noise from the run's stream ``purpose``."""
        stream = self._run.generator(purpose)
        noise = torch.randn(len(classes), self._latent, generator=stream).to(self._task.features)
        rows = torch.cat([noise, self._task.attributes[classes]], 1)
        latent, networks, kept = self._latent, self._networks, self._networks.semantic
        return embed_in_chunks(
            lambda x: networks.split(networks.decode(x[..., :latent], x[..., latent:]))[..., :kept],
            rows,
        )


SPEC = MethodSpec(
    name="sdgzsl",
    factory=SDGZSL,
    citation="Chen et al., Semantics Disentangling for Generalized Zero-Shot Learning, ICCV 2021",
    version="2",
    fidelity="approximation",
    family="Generative: VAE",
    preprocessing="minmax",
    precisions=("float32", "tf32"),
    latents=True,
    summary="A VAE makes features, and a classifier learns the part of them that says the class.",
)
