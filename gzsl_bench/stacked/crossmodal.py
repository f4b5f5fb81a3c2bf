"""Cross-modal VAEs: images and class embeddings in one latent space, and a classifier on it.

The training that CADA-VAE and its successors share.  A method says which networks there are, which
layers learn at which rate, what a step's loss is and how a row is encoded.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import torch

from gzsl_bench.hooks.method import BatchedMethod
from gzsl_bench.hooks.run import Run, ScoreFunction
from gzsl_bench.hooks.task import Task
from gzsl_bench.stacked.adam import StackedAdam
from gzsl_bench.stacked.autoencoder import Decoder, Encoder
from gzsl_bench.stacked.draws import Generators, normals, subsets
from gzsl_bench.stacked.latents import (
    embed_in_chunks,
    latent_training_set,
    sampled_latents,
    train_on_latents,
)
from gzsl_bench.stacked.layers import Linear
from gzsl_bench.stacked.loop import Progress, train
from gzsl_bench.stacked.precision import precision_of
from gzsl_bench.stacked.runs import HasStreams, lanes, per_run
from gzsl_bench.stacked.schedule import WarmUp
from gzsl_bench.stacked.softmax import SoftmaxClassifier

#: What a step of the autoencoders takes, in steps of the final classifier; for progress bars only.
STEP_COST = 200

#: [1, n, D] -> [1, n, 2 L] means and log-variances, of one run.
Statistics = Callable[[torch.Tensor], torch.Tensor]


class CrossModalNetworks:
    """Encoders and decoders of both modalities for a stack of runs.

    Args:
        runs: the stack.
        config: with ``latent``, ``init_gain`` and ``{visual,attribute}_{encoder,decoder}_hidden``.
        features: D, width of an image's features.
        attributes: A, width of a class embedding.
        classes: number of all classes; these networks do not depend on it.
        device: where the parameters live.
        dtype: of the parameters.
        precision: of the products.
    """

    def __init__(
        self,
        runs: Sequence[HasStreams],
        config: Any,
        *,
        features: int,
        attributes: int,
        classes: int = 0,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        precision: str = "float32",
    ) -> None:
        latent = config.latent
        how: dict[str, Any] = {
            "gain": config.init_gain, "device": device, "dtype": dtype, "precision": precision
        }  # fmt: skip

        def encoder(name: str, inputs: int, hidden: int) -> Encoder:
            return Encoder(runs, f"{name}/encoder", inputs, hidden, latent, **how)

        def decoder(name: str, hidden: int, outputs: int) -> Decoder:
            return Decoder(runs, f"{name}/decoder", latent, hidden, outputs, **how)

        self.visual_encoder = encoder("visual", features, config.visual_encoder_hidden)
        self.visual_decoder = decoder("visual", config.visual_decoder_hidden, features)
        self.attribute_encoder = encoder("attribute", attributes, config.attribute_encoder_hidden)
        self.attribute_decoder = decoder("attribute", config.attribute_decoder_hidden, attributes)

    @property
    def autoencoder_layers(self) -> list[Linear]:
        """All layers of encoders and decoders."""
        parts = (
            self.visual_encoder,
            self.visual_decoder,
            self.attribute_encoder,
            self.attribute_decoder,
        )
        return [layer for part in parts for layer in part.layers]


Networks = TypeVar("Networks", bound=CrossModalNetworks)


class CrossModalVAE(BatchedMethod, Generic[Networks]):
    """Training of both autoencoders, then of a softmax classifier on latents of all classes.

    The configuration has the fields of :class:`CrossModalNetworks`, ``batch``, ``epochs``,
    ``{seen,unseen}_samples``, ``classifier_{epochs,batch,lr,beta1,beta2}`` and, for every warm-up,
    ``NAME_{factor,start,end}``.  Epochs have ceil(rows / batch) random batches each.

    Attributes:
        networks: makes the networks of a stack, from the arguments of :class:`CrossModalNetworks`.
        warm_ups: names of the loss weights that grow while training.
        first_checkpoint: earlier epochs of the classifier are trained but not offered.
    """

    networks: ClassVar[Callable[..., Any]]
    warm_ups: ClassVar[tuple[str, ...]]
    first_checkpoint: ClassVar[int] = 1

    @classmethod
    def axes(cls, config: Any) -> Mapping[str, int]:
        """Epochs of the classifier alone."""
        return {"classifier_epoch": config.classifier_epochs}

    @abstractmethod
    def groups(
        self, runs: Sequence[Run], networks: Networks
    ) -> list[tuple[Sequence[Linear], Sequence[float]]]:
        """Layers and their learning rate in every run."""

    @abstractmethod
    def losses(
        self,
        networks: Networks,
        features: torch.Tensor,
        attributes: torch.Tensor,
        labels: torch.Tensor,
        draws: Sequence[torch.Tensor],
        weights: Sequence[torch.Tensor],
    ) -> Mapping[str, torch.Tensor]:
        """Named terms [R] of one step; ``loss`` is minimised.

        Args:
            networks: those of the stack.
            features: [R, B, D] images.
            attributes: [R, B, A] embeddings of the images' classes.
            labels: [R, B] the images' classes.
            draws: [R, B, 1] standard normal numbers for images, the same for embeddings, and what
                :meth:`more_draws` adds.
            weights: [R] each: the warm-ups in this epoch.
        """

    def more_draws(
        self, runs: Sequence[Run], device: torch.device
    ) -> Callable[[int], list[torch.Tensor]]:
        """Steps -> further blocks [steps, R, ...] of random numbers; none by default."""
        return lambda steps: []

    def statistics(
        self, networks: Networks, number: int, run: Run, modality: str, purpose: str
    ) -> Statistics:
        """The trained encoder of one run.

        Args:
            networks: those of the stack.
            number: of the run in the stack.
            run: the run, for random numbers.
            modality: ``visual`` or ``attribute``.
            purpose: ``latents/MODALITY`` for what the classifier learns from, or ``test``.
        """
        encoder: Encoder = getattr(networks, f"{modality}_encoder")
        return encoder.of(number).statistics

    def fit_batch(self, task: Task, runs: Sequence[Run]) -> None:
        """Train ``runs``; an epoch of the classifier becomes a checkpoint."""
        for stack in lanes(runs, task.device):
            self._fit_stack(task, stack)

    def _fit_stack(self, task: Task, runs: list[Run]) -> None:
        config: Any = self.config
        networks: Networks = type(self).networks(
            runs,
            config,
            features=task.features.shape[1],
            attributes=task.attributes.shape[1],
            classes=task.num_classes,
            device=task.device,
            dtype=task.features.dtype,
            precision=precision_of(runs),
        )
        steps = math.ceil(task.labels.numel() / config.batch)
        latents = task.seen.numel() * config.seen_samples
        latents += task.unseen.numel() * config.unseen_samples
        classifier_units = max(1, latents // config.classifier_batch)
        progress = Progress(
            runs, config.epochs * steps * STEP_COST + config.classifier_epochs * classifier_units
        )
        self._train_autoencoders(task, runs, networks, steps, progress)
        if all(run.failure for run in runs):
            return

        def encode(modality: str, number: int, rows: torch.Tensor) -> torch.Tensor:
            purpose = f"latents/{modality}"
            encoder = self.statistics(networks, number, runs[number], modality, purpose)
            return embed_in_chunks(encoder, rows)

        def embed(number: int) -> ScoreFunction:
            """Features [N, D] -> means [N, L]: no noise at test time."""
            encoder = self.statistics(networks, number, runs[number], "visual", "test")
            return lambda features: embed_in_chunks(
                lambda x: encoder(x)[..., : config.latent], features
            )

        def semantic(number: int) -> ScoreFunction:
            return lambda rows: encode("attribute", number, rows)

        inputs, labels = latent_training_set(
            task,
            runs,
            lambda number, rows: encode("visual", number, rows),
            lambda number, rows: encode("attribute", number, rows),
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
        embeds = [embed(number) for number in range(len(runs))]
        train_on_latents(
            runs,
            classifier,
            embeds,
            latents=[
                sampled_latents(task, run, embeds[number], semantic(number))
                for number, run in enumerate(runs)
            ],
            epochs=config.classifier_epochs,
            first_checkpoint=self.first_checkpoint,
            progress=progress,
            units=classifier_units,
        )

    def _train_autoencoders(
        self, task: Task, runs: list[Run], networks: Networks, steps: int, progress: Progress
    ) -> None:
        config: Any = self.config
        device, dtype, rows = task.device, task.features.dtype, task.labels.numel()
        batch = min(config.batch, rows)
        schedules = [
            WarmUp(
                per_run(runs, f"{name}_factor"),
                getattr(config, f"{name}_start"),
                getattr(config, f"{name}_end"),
            )
            for name in self.warm_ups
        ]
        batches = Generators(runs, "batches")
        noises = [Generators(runs, f"noise/{name}") for name in ("visual", "attribute")]
        more = self.more_draws(runs, device)

        def draw(count: int) -> list[torch.Tensor]:
            return [
                subsets(batches, rows, batch, count, device),
                *(normals(stream, (batch, 1), count, device).to(dtype) for stream in noises),
                *more(count),
            ]

        def loss(
            weights: Sequence[torch.Tensor], picked: torch.Tensor, *draws: torch.Tensor
        ) -> Mapping[str, torch.Tensor]:
            labels = task.labels[picked]
            features, attributes = task.features[picked], task.attributes[labels]
            return self.losses(networks, features, attributes, labels, draws, weights)

        train(
            runs,
            StackedAdam(self.groups(runs, networks), amsgrad=True),
            epochs=config.epochs,
            steps=steps,
            weights=lambda epoch: [schedule.at(epoch, device, dtype) for schedule in schedules],
            draw=draw,
            loss=loss,
            after_epoch=lambda: progress.advance(steps * STEP_COST),
        )
