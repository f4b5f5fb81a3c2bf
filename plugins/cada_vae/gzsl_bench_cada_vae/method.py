"""CADA-VAE as a method of the harness: the autoencoders, then the latent classifier."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch

from gzsl_bench import BatchedMethod, DatasetInfo, Run, Task
from gzsl_bench.hooks.run import ScoreFunction
from gzsl_bench.stacked import (
    Encoder,
    Generators,
    Progress,
    SoftmaxClassifier,
    StackedAdam,
    WarmUp,
    embed_in_chunks,
    lanes,
    latent_training_set,
    normals,
    per_run,
    precision_of,
    sampled_latents,
    subsets,
    train,
    train_on_latents,
)
from gzsl_bench_cada_vae.config import CADAVAEConfig, defaults
from gzsl_bench_cada_vae.networks import CADAVAEModel, cada_vae_losses

#: What a step of the autoencoders takes, in steps of the final classifier; for progress bars only.
STEP_COST = 200


class CADAVAE(BatchedMethod):
    """Cross- and distribution-aligned VAEs (Schönfeld et al., CVPR 2019), as released."""

    Config = CADAVAEConfig

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, Any]:
        """The released values of ``dataset``; CUB's for data sets outside the paper."""
        return defaults(dataset)

    def fit_batch(self, task: Task, runs: Sequence[Run]) -> None:
        """Train ``runs``; every classifier epoch becomes a checkpoint."""
        for stack in lanes(runs, task.device):
            self._fit_stack(task, stack)

    def _fit_stack(self, task: Task, runs: list[Run]) -> None:
        config: CADAVAEConfig = self.config
        model = CADAVAEModel(
            runs,
            config,
            features=task.features.shape[1],
            attributes=task.attributes.shape[1],
            device=task.device,
            precision=precision_of(runs),
        )
        steps = math.ceil(task.labels.numel() / config.batch)
        latents = task.seen.numel() * config.seen_samples
        latents += task.unseen.numel() * config.unseen_samples
        classifier_units = max(1, latents // config.classifier_batch)
        progress = Progress(
            runs,
            config.epochs * steps * STEP_COST + config.classifier_epochs * classifier_units,
        )
        self._train_autoencoders(task, runs, model, steps, progress)
        if all(run.failure for run in runs):
            return

        def encode(encoder: Encoder, run: int, rows: torch.Tensor) -> torch.Tensor:
            return embed_in_chunks(encoder.of(run).statistics, rows)

        inputs, labels = latent_training_set(
            task,
            runs,
            lambda run, rows: encode(model.visual_encoder, run, rows),
            lambda run, rows: encode(model.attribute_encoder, run, rows),
            seen_samples=config.seen_samples,
            unseen_samples=config.unseen_samples,
        )
        classifier = SoftmaxClassifier(
            runs,
            inputs,
            labels,
            task.num_classes,
            rates=per_run(runs, "classifier_lr"),
            betas=(config.classifier_beta1, config.classifier_beta2),
            batch=config.classifier_batch,
            gain=config.init_gain,
        )
        embeds = [_embed(model.visual_encoder.of(r)) for r in range(len(runs))]
        train_on_latents(
            runs,
            classifier,
            embeds,
            latents=[
                sampled_latents(task, run, embed, partial(encode, model.attribute_encoder, r))
                for r, (run, embed) in enumerate(zip(runs, embeds, strict=True))
            ],
            epochs=config.classifier_epochs,
            progress=progress,
            units=classifier_units,
        )

    def _train_autoencoders(
        self, task: Task, runs: list[Run], model: CADAVAEModel, steps: int, progress: Progress
    ) -> None:
        config: CADAVAEConfig = self.config
        device, rows = task.device, task.labels.numel()
        batch = min(config.batch, rows)
        optimizer = StackedAdam([(model.layers, per_run(runs, "lr"))], amsgrad=True)
        schedules = [
            WarmUp(per_run(runs, "kl_factor"), config.kl_start, config.kl_end),
            WarmUp(per_run(runs, "cross_factor"), config.cross_start, config.cross_end),
            WarmUp(per_run(runs, "distance_factor"), config.distance_start, config.distance_end),
        ]
        batches = Generators(runs, "batches")
        noises = [Generators(runs, f"noise/{name}") for name in ("visual", "attribute")]

        def draw(count: int) -> list[torch.Tensor]:
            return [
                subsets(batches, rows, batch, count, device),
                *(normals(stream, (batch, 1), count, device) for stream in noises),
            ]

        def loss(
            weights: Sequence[torch.Tensor],
            picked: torch.Tensor,
            noise_visual: torch.Tensor,
            noise_attribute: torch.Tensor,
        ) -> Mapping[str, torch.Tensor]:
            features, attributes = task.features[picked], task.attributes[task.labels[picked]]
            return cada_vae_losses(
                model, features, attributes, noise_visual, noise_attribute, weights
            )

        train(
            runs,
            optimizer,
            epochs=config.epochs,
            steps=steps,
            weights=lambda epoch: [schedule.at(epoch, device) for schedule in schedules],
            draw=draw,
            loss=loss,
            after_epoch=lambda: progress.advance(steps * STEP_COST),
        )


def _embed(encoder: Encoder) -> ScoreFunction:
    """Features [N, D] -> means [N, L]: no noise at test time."""
    return lambda features: embed_in_chunks(lambda x: encoder(x)[0], features)
