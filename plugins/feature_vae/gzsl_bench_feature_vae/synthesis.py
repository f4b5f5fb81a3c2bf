"""VAEs that make features: a classifier learns from real rows and generated ones of unseen classes.

What CVAE-ZSL, SE-GZSL and OCD have in common (vae/COMMON, second family).  A method says which
networks there are and how they are trained.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import torch
from pydantic import Field
from torch.nn import functional as F

from gzsl_bench import BatchedMethod, Config, Latents, Run, Scorer, Task, stackable
from gzsl_bench.stacked import (
    Decoder,
    Progress,
    RestartedClassifier,
    embed_in_chunks,
    lanes,
    per_run,
    train_on_latents,
)

#: Rows [N, D] -> [N, K].
Rows: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
#: What a step of the networks takes, in steps of the classifier; for progress bars only.
STEP_COST = 10


class SynthesisConfig(Config):
    """Hyper-parameters of the networks' training and of the classifier after it."""

    batch: int = Field(50, ge=1, description="rows in a step; all of them where there are fewer")
    epochs: int = Field(25, ge=1, description="epochs of ceil(rows / batch) steps each")
    lr: float = stackable(1e-3, "learning rate of the networks", gt=0)
    latent: int = Field(50, ge=1, description="dimensions of the latent space")

    # The final classifier.
    samples: int = Field(200, ge=1, description="generated features of each unseen class")
    seen_samples: int = Field(
        0, ge=0, description="generated features of each seen class, beside the real ones"
    )
    unit_length: bool = Field(True, description="the classifier sees rows of length 1")
    classifier: Literal["softmax", "svm"] = Field(
        "softmax", description="a linear softmax, every epoch a checkpoint, or an SVM with RBF"
    )
    classifier_epochs: int = Field(30, ge=1, description="epochs of the softmax")
    classifier_batch: int = Field(64, ge=1, description="rows in a step of the softmax")
    classifier_lr: float = stackable(1e-3, "learning rate of the softmax", gt=0)
    svm_c: float = Field(100.0, gt=0, description="C of the SVM; its gamma is 1 / features")


class Generative(Protocol):
    """What is trained for a stack.

    Attributes:
        generator: latents beside class embeddings [R, B, Z + A] -> features [R, B, D].
    """

    @property
    def generator(self) -> Decoder:
        """See above."""


class FeatureVAE(BatchedMethod):
    """Networks that generate features, then a classifier on real and generated ones.

    Epoch k of the softmax is checkpoint k; an SVM is checkpoint 1.
    """

    @abstractmethod
    def networks(self, task: Task, runs: Sequence[Run], how: dict[str, Any]) -> Generative:
        """The networks of a stack, made ``how`` its layers are to be made."""

    @abstractmethod
    def train_networks(
        self, task: Task, runs: Sequence[Run], networks: Any, steps: int, progress: Progress
    ) -> None:
        """Train them for ``epochs`` of ``steps``; an epoch advances by ``steps * STEP_COST``."""

    def epochs(self) -> int:
        """How many epochs the networks are trained, of all kinds."""
        count: int = self.config.epochs
        return count

    @torch.no_grad()
    def generate(
        self, task: Task, run: Run, generator: Decoder, classes: torch.Tensor, purpose: str
    ) -> torch.Tensor:
        """Features [M, D] of ``classes`` [M], by noise from the run's stream ``purpose``."""
        noise = torch.randn(len(classes), self.config.latent, generator=run.generator(purpose))
        rows = torch.cat([noise.to(task.features), task.attributes[classes]], 1)
        return embed_in_chunks(generator, rows)

    def fit_batch(self, task: Task, runs: Sequence[Run]) -> None:
        """Train ``runs``; epochs of the classifier become checkpoints."""
        for stack in lanes(runs, task.device):
            self._fit_stack(task, stack)

    def _fit_stack(self, task: Task, runs: list[Run]) -> None:
        config: Any = self.config
        how = {"device": task.device, "dtype": task.features.dtype}
        networks = self.networks(task, runs, how)
        made = torch.cat(
            [
                task.seen.repeat_interleave(config.seen_samples),
                task.unseen.repeat_interleave(config.samples),
            ]
        )
        steps = math.ceil(task.labels.numel() / config.batch)
        units = math.ceil((task.labels.numel() + made.numel()) / config.classifier_batch)
        total = self.epochs() * steps * STEP_COST + config.classifier_epochs * units
        progress = Progress(runs, total)
        self.train_networks(task, runs, networks, steps, progress)
        if all(run.failure for run in runs):
            return
        embed = _unit_length if config.unit_length else _as_they_are
        real = embed(task.features)
        ones = [networks.generator.of(number) for number in range(len(runs))]
        own = torch.stack(
            [
                embed(self.generate(task, run, one, made, "synthetic"))
                for run, one in zip(runs, ones, strict=True)
            ]
        )
        latents = [self._latents(task, *pair, embed) for pair in zip(runs, ones, strict=True)]
        if config.classifier == "svm":
            from gzsl_bench_feature_vae.svm import svm_scores

            labels = torch.cat([task.labels, made])
            for run, rows, offered in zip(runs, own, latents, strict=True):
                if not run.failure:
                    score = svm_scores(torch.cat([real, rows]), labels, task, config.svm_c)
                    run.checkpoint(1, Scorer(embed, score, offered))
            progress.advance(config.classifier_epochs * units)
            return
        classifier = RestartedClassifier(
            runs,
            real,
            task.labels,
            task.num_classes,
            own_labels=made,
            rates=per_run(runs, "classifier_lr"),
            betas=(0.9, 0.999),
            batch=config.classifier_batch,
        )
        classifier.own.copy_(own)
        classifier.restart()
        train_on_latents(
            runs,
            classifier,
            [embed] * len(runs),
            latents=latents,
            epochs=config.classifier_epochs,
            progress=progress,
            units=units,
        )

    def _latents(self, task: Task, run: Run, generator: Decoder, embed: Rows) -> Latents:
        """Real features beside generated ones, as the classifier sees them."""

        def semantic(classes: torch.Tensor) -> torch.Tensor:
            return embed(self.generate(task, run, generator, classes, "visualize/features"))

        return Latents(visual=embed, semantic=semantic)


def _as_they_are(features: torch.Tensor) -> torch.Tensor:
    return features


def _unit_length(features: torch.Tensor) -> torch.Tensor:
    return F.normalize(features, dim=1)
