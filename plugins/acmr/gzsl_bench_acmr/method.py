"""ACMR as a method of the harness: training of the autoencoders, then of the latent classifier."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch

from gzsl_bench import BatchedMethod, DatasetInfo, Run, Task
from gzsl_bench.hooks.run import ScoreFunction
from gzsl_bench.stacked import (
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
    permutations,
    precision_of,
    sampled_latents,
    subsets,
    train,
    train_on_latents,
)
from gzsl_bench_acmr.config import ACMRConfig, defaults
from gzsl_bench_acmr.losses import StepDraws, acmr_losses
from gzsl_bench_acmr.networks import ACMRModel, Modality

#: What a step of the autoencoders takes, in steps of the final classifier; for progress bars only.
STEP_COST = 200


class ACMR(BatchedMethod):
    """Aligned Cross-Modal Representation (Fang et al., AAAI 2022), after the released code.

    One deviation: the released code draws a new channel shuffle for each of the two test sets; here
    test rows come in one call, and a run's shuffle for them is drawn once.
    """

    Config = ACMRConfig

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, Any]:
        """The released values of ``dataset``; CUB's for data sets outside the paper."""
        return defaults(dataset)

    def fit_batch(self, task: Task, runs: Sequence[Run]) -> None:
        """Train ``runs``; every classifier epoch but the first becomes a checkpoint."""
        for stack in lanes(runs, task.device):
            self._fit_stack(task, stack)

    def _fit_stack(self, task: Task, runs: list[Run]) -> None:
        config: ACMRConfig = self.config
        model = ACMRModel(
            runs,
            config,
            features=task.features.shape[1],
            attributes=task.attributes.shape[1],
            classes=task.num_classes,
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
        inputs, labels = self._latents(task, runs, model)
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
        embeds = [self._embed(run, model.visual.encoder_of(r)) for r, run in enumerate(runs)]
        train_on_latents(
            runs,
            classifier,
            embeds,
            latents=[
                sampled_latents(task, run, embed, partial(self._semantic, runs, model, r))
                for r, (run, embed) in enumerate(zip(runs, embeds, strict=True))
            ],
            epochs=config.classifier_epochs,
            first_checkpoint=2,
            progress=progress,
            units=classifier_units,
        )

    def _train_autoencoders(
        self, task: Task, runs: list[Run], model: ACMRModel, steps: int, progress: Progress
    ) -> None:
        config: ACMRConfig = self.config
        device, rows = task.device, task.labels.numel()
        batch, channels = min(config.batch, rows), 2 * config.latent
        optimizer = StackedAdam(
            [
                (model.autoencoder_layers, per_run(runs, "vae_lr")),
                (model.gate_layers, per_run(runs, "iem_lr")),
                (model.heads, per_run(runs, "vsa_lr")),
            ],
            amsgrad=True,
        )
        schedules = [
            WarmUp(per_run(runs, "kl_factor"), config.kl_start, config.kl_end),
            WarmUp(per_run(runs, "distance_factor"), config.distance_start, config.distance_end),
            WarmUp(
                per_run(runs, "classification_factor"),
                config.classification_start,
                config.classification_end,
            ),
        ]
        batches = Generators(runs, "batches")
        noises = [Generators(runs, f"noise/{name}") for name in ("visual", "attribute")]
        shuffles = [Generators(runs, f"permutations/{name}") for name in ("visual", "attribute")]

        def draw(count: int) -> list[torch.Tensor]:
            return [
                subsets(batches, rows, batch, count, device),
                *(normals(stream, (batch, 1), count, device) for stream in noises),
                *(permutations(stream, channels, count, device) for stream in shuffles),
            ]

        def loss(
            weights: Sequence[torch.Tensor], picked: torch.Tensor, *numbers: torch.Tensor
        ) -> Mapping[str, torch.Tensor]:
            labels = task.labels[picked]
            features, attributes = task.features[picked], task.attributes[labels]
            return acmr_losses(model, features, attributes, labels, StepDraws(*numbers), weights)

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

    def _latents(
        self, task: Task, runs: list[Run], model: ACMRModel
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The classifier's training set; one shuffle for all images, one for all embeddings."""
        return latent_training_set(
            task,
            runs,
            lambda r, rows: self._encode(runs[r], model.visual.encoder_of(r), "visual", rows),
            partial(self._semantic, runs, model),
            seen_samples=self.config.seen_samples,
            unseen_samples=self.config.unseen_samples,
        )

    def _semantic(
        self, runs: list[Run], model: ACMRModel, r: int, rows: torch.Tensor
    ) -> torch.Tensor:
        """[U, 2 L] gated statistics of embeddings [U, A], always by the run's one shuffle."""
        return self._encode(runs[r], model.attribute.encoder_of(r), "attribute", rows)

    def _encode(self, run: Run, one: Modality, name: str, rows: torch.Tensor) -> torch.Tensor:
        """[N, 2 L] gated statistics of rows that the classifier trains on."""
        shuffle = self._shuffle(run, f"latents/{name}", rows.device)
        return embed_in_chunks(lambda x: one.statistics(x, shuffle), rows)

    def _shuffle(self, run: Run, purpose: str, device: torch.device) -> torch.Tensor:
        """[1, 2 L] the channel shuffle of one forward call outside training."""
        stream = Generators([run], f"permutations/{purpose}")
        return permutations(stream, 2 * self.config.latent, 1, device)[0]

    def _embed(self, run: Run, visual: Modality) -> ScoreFunction:
        """Features [N, D] -> gated means [N, L]: no noise at test time."""
        shuffle = self._shuffle(run, "test", run.device)
        latent = self.config.latent
        return lambda features: embed_in_chunks(
            lambda x: visual.statistics(x, shuffle)[:, :, :latent], features
        )
