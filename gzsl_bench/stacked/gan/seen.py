"""What real features of seen classes are like, for a generator to be held to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from gzsl_bench.hooks.run import Run
from gzsl_bench.hooks.task import Task
from gzsl_bench.stacked.layers import linear
from gzsl_bench.stacked.restarted import RestartedClassifier


def seen_places(task: Task) -> torch.Tensor:
    """[C] place of each seen class in ``task.seen``; of the others 0."""
    places = task.seen.new_zeros(task.num_classes)
    places[task.seen] = torch.arange(task.seen.numel(), device=task.device)
    return places


def class_means(
    features: torch.Tensor, labels: torch.Tensor, classes: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Means of a batch's features by class.

    Args:
        features: [R, B, D].
        labels: [R, B] their classes.
        classes: [K] those wanted.

    Returns:
        [R, K, D] means, zero where the batch has none of a class; [R, K] whether it has.
    """
    member = (labels.unsqueeze(1) == classes[:, None]).to(features)
    counts = member.sum(2, keepdim=True)
    return member @ features / counts.clamp(min=1), counts[:, :, 0] > 0


def trained_softmax(
    task: Task,
    runs: Sequence[Run],
    labels: torch.Tensor,
    classes: int,
    *,
    epochs: int,
    batch: int,
    rates: Sequence[float],
    betas: tuple[float, float],
    std: float,
) -> RestartedClassifier:
    """A softmax trained on real features (streams ``seen/init``, ``seen/shuffle``).

    Args:
        task: the real features.
        runs: the stack.
        labels: [N] what is to be told.
        classes: number of outputs.
        epochs: of its training.
        batch: rows in a step.
        rates: learning rate of every run.
        betas: of its Adam.
        std: standard deviation of its initial weights.
    """
    classifier = RestartedClassifier(
        runs, task.features, labels, classes, rates=rates, betas=betas, batch=batch, std=std
    )
    classifier.restart("seen")
    for _ in range(epochs):
        classifier.train_epoch()
    return classifier


def seen_loss(
    task: Task,
    runs: Sequence[Run],
    *,
    epochs: int,
    batch: int,
    lr: float,
    betas: tuple[float, float],
    std: float,
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """NLL of a softmax among seen classes, trained here on real features and constant afterwards.

    Every run trains one of its own (streams ``seen/init``, ``seen/shuffle``), though runs of one
    seed could share it: it takes seconds of the hour that a GAN takes, and runs of other seeds must
    not, for their spread would then be too small.

    Args:
        task: the real features.
        runs: the stack.
        epochs: of this classifier.
        batch: rows in a step.
        lr: its learning rate.
        betas: of its Adam.
        std: standard deviation of its initial weights.

    Returns:
        Features [R, B, D] and ids of seen classes [R, B] -> the mean NLL [R].
    """
    classes, places = task.seen.numel(), seen_places(task)
    classifier = trained_softmax(
        task, runs, places[task.labels], classes, epochs=epochs, batch=batch,
        rates=[lr] * len(runs), betas=betas, std=std,
    )  # fmt: skip
    weight, bias = classifier.weight.clone(), classifier.bias.clone()

    def loss(features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        logs = torch.log_softmax(linear(features, weight, bias), -1)
        return -logs.gather(-1, places[labels].unsqueeze(-1)).mean((1, 2))

    return loss
