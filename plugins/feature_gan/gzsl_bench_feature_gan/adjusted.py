"""ZLA's classifier: cosines with prototypes of all classes, trained with the classes' priors."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional as F

from gzsl_bench import Scorer, Task
from gzsl_bench.stacked import (
    GANNetworks,
    Generator,
    Phase,
    Progress,
    Shuffles,
    StackedAdam,
    as_they_are,
    generated_latents,
    per_run,
    train_alternating,
)


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

    def __init__(self, networks: GANNetworks, name: str) -> None:
        make, self.classes = networks.make, networks.embeddings
        hidden = make.config.prototype_hidden
        self.layers = [
            make.linear(f"{name}/hidden", make.attributes, hidden, "leaky_relu"),
            make.linear(f"{name}/output", hidden, make.features),
        ]

    def __call__(self, runs: int) -> torch.Tensor:
        """[R, C, D] of length 1."""
        hidden = self.layers[0](self.classes.expand(runs, -1, -1))
        return F.normalize(self.layers[1](hidden), dim=-1)


class AdjustedClassifier:
    """Trains prototypes anew whenever it is called; their epochs become checkpoints.

    Attributes:
        units: what a training is worth in a progress bar: its steps.
    """

    def __init__(self, networks: GANNetworks, config: Any) -> None:
        """Make room for the generated features."""
        task, runs = networks.task, networks.runs
        self._networks, self._config = networks, config
        self._made = task.unseen.repeat_interleave(config.samples)
        self._labels = torch.cat([task.labels, self._made])
        self._batch = min(config.classifier_batch or config.samples, len(self._labels))
        self._steps = math.ceil(len(self._labels) / self._batch)
        self._real = F.normalize(task.features, dim=1)
        self._own = self._real.new_empty(len(runs), len(self._made), self._real.shape[1])
        self._run = torch.arange(len(runs), device=task.device)[:, None]
        self._priors = log_priors(task, *networks.make.values("ratio")).unsqueeze(1)
        self.units = self._steps * config.classifier_epochs

    def __call__(self, epoch: int, progress: Progress) -> None:
        """After GAN epoch ``epoch``, from 1."""
        config, networks, runs = self._config, self._networks, self._networks.runs
        ones, total = self._fill(epoch), config.classifier_epochs
        offered = generated_latents(networks, ones)
        name = f"classifier/{epoch}"
        prototypes = Prototypes(networks, name)
        order = Shuffles(runs, f"{name}/shuffle", len(self._labels))
        optimizer = StackedAdam(
            [(prototypes.layers, per_run(runs, "classifier_lr"))],
            betas=(config.beta1, config.beta2), weight_decay=config.weight_decay,
        )  # fmt: skip

        def draw(count: int) -> list[torch.Tensor]:
            drawn = [order.draw(run, count, self._batch) for run in range(len(runs))]
            return [torch.stack(drawn, 1).to(self._real.device)]

        def loss(_: Any, turn: int, picked: torch.Tensor) -> dict[str, torch.Tensor]:
            units = prototypes(len(runs))
            logits = self._rows(picked) @ units.mT / config.temperature + self._priors
            found = logits.log_softmax(-1).gather(-1, self._labels[picked][..., None])
            return {"loss": -found.mean((1, 2))}

        def offer(checkpoint: int) -> None:
            progress.advance(self._steps)
            with torch.no_grad():
                units = prototypes(len(runs))
            for run, unit, latents in zip(runs, units, offered, strict=True):
                score = lambda x, unit=unit: F.normalize(x, dim=1) @ unit.t()  # noqa: E731
                if not run.failure:
                    run.checkpoint(checkpoint, Scorer(as_they_are, score, latents))

        done, halved = (epoch - 1) * total, min(config.halved_after, total)
        for epochs, before in ((halved, done), (total - halved, done + halved)):
            train_alternating(
                runs, [Phase(optimizer, loss, "classifier/")], epochs=epochs, steps=self._steps,
                draw=draw, after_epoch=offer, before=before,
            )  # fmt: skip
            optimizer.rescale(0.5)

    def _fill(self, epoch: int) -> list[Generator]:
        """Generate features of unseen classes; the runs' generators."""
        networks, classes = self._networks, self._networks.embeddings[self._made]
        ones = [networks.generator.of(number) for number in range(len(networks.runs))]
        for run, one, into in zip(networks.runs, ones, self._own, strict=True):
            one.features(classes, run.generator(f"synthetic/{epoch}"), into)
        self._own.copy_(F.normalize(self._own, dim=-1))
        return ones

    def _rows(self, picked: torch.Tensor) -> torch.Tensor:
        """[R, B, D] rows that ``picked`` [R, B] names, real ones counted first."""
        real = len(self._real)
        return torch.where(
            (picked < real)[..., None],
            self._real[picked.clamp(max=real - 1)],
            self._own[self._run, (picked - real).clamp(min=0)],
        )
