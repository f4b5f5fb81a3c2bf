"""LisGAN's second stage: sure predictions of test images train the classifier (transductive)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from pydantic import Field

from gzsl_bench import Scorer
from gzsl_bench.hooks.run import ScoreFunction
from gzsl_bench.stacked import (
    GANNetworks,
    Progress,
    RestartedClassifier,
    as_they_are,
    generated_latents,
    per_run,
)
from gzsl_bench_feature_gan.config import spec
from gzsl_bench_feature_gan.f_vaegan_d2 import unlabelled
from gzsl_bench_feature_gan.lisgan import LisGAN, LisGANConfig


class LisGANCascadeConfig(LisGANConfig):
    """Hyper-parameters of LisGAN with its cascade; defaults are CUB's."""

    ratio: float = Field(
        0.6, gt=0, le=1, description="share of the test images that the first stage labels"
    )
    second_epochs: int = Field(50, ge=1, description="epochs of the classifier on these, too")


def sureness(logs: torch.Tensor) -> torch.Tensor:
    """[N] entropies of log-probabilities [N, C] scaled to sum to one, as released.

    Not of the probabilities: the surer a prediction, the more alike are the logarithms of all
    other classes, and the larger is this.
    """
    entropies: torch.Tensor = torch.special.entr(logs / logs.sum(1, keepdim=True))
    return entropies.sum(1)


def cascade(first: ScoreFunction, second: ScoreFunction, threshold: torch.Tensor) -> ScoreFunction:
    """Log-probabilities of the first stage where it is sure, else of the second."""

    def score(features: torch.Tensor) -> torch.Tensor:
        logs = first(features)
        return torch.where((sureness(logs) > threshold)[:, None], logs, second(features))

    return score


class LisGANCascade(LisGAN):
    """LisGAN, whose classifier labels the surest test images and learns from them.

    Test images, seen and unseen mixed, are ranked by :func:`sureness`; the first 60 % keep their
    labels (``ratio``; the released commands name others, which the code does not pass on) and join
    the training set, on which the classifier goes on for 50 epochs.  Its last epoch is what counts,
    so a checkpoint is a GAN epoch.  Otherwise than released: the first stage's last epoch labels,
    where the released code takes the one that is best on the test set, and Adam's moments begin
    anew, where they go on there.
    """

    Config = LisGANCascadeConfig

    @classmethod
    def axes(cls, config: Any) -> Mapping[str, int]:
        """GAN epochs alone."""
        return {"gan_epoch": config.epochs}

    def evaluation(self, networks: GANNetworks) -> tuple[Callable[[int, Progress], None], int]:
        """Both stages."""
        config: LisGANCascadeConfig = self.config
        task, runs = networks.task, networks.runs
        images, made = unlabelled(task), task.unseen.repeat_interleave(config.samples)
        chosen = max(1, int(config.ratio * len(images)))

        def softmax(labels: torch.Tensor) -> RestartedClassifier:
            return RestartedClassifier(
                runs, task.features, task.labels, task.num_classes, own_labels=labels,
                rates=per_run(runs, "classifier_lr"), betas=(config.beta1, config.beta2),
                batch=config.classifier_batch or config.samples, std=config.init_std,
            )  # fmt: skip

        def logs(weight: torch.Tensor, bias: torch.Tensor) -> ScoreFunction:
            return lambda features: torch.addmm(bias, features, weight.t()).log_softmax(1)

        def evaluate(epoch: int, progress: Progress) -> None:
            first = softmax(made)
            for number, (run, own) in enumerate(zip(runs, first.own, strict=True)):
                one, stream = networks.generator.of(number), run.generator(f"synthetic/{epoch}")
                one.features(networks.embeddings[made], stream, own)
            first.restart(f"classifier/{epoch}")
            for _ in range(config.classifier_epochs):
                first.train_epoch()
            progress.advance(first.steps * config.classifier_epochs)
            second = softmax(made.new_zeros(len(runs), len(made) + chosen))
            second.own[:, : len(made)], second.own_labels[:, : len(made)] = first.own, made
            stages: list[tuple[Any, torch.Tensor]] = []
            for number, weight in enumerate(first.weight.clone()):
                label = logs(weight, first.bias[number].clone())
                found = label(images)
                order = sureness(found).sort(descending=True)
                surest = order.indices[:chosen]
                second.own[number, len(made) :] = images[surest]
                second.own_labels[number, len(made) :] = found[surest].argmax(1)
                # Between two images, so that rounding moves none of them to the other side.
                after = order.values[chosen:].max() if chosen < len(images) else found.new_zeros(())
                stages.append((label, (order.values[chosen - 1] + after) / 2))
            second.restart(f"cascade/{epoch}", like=first)
            for _ in range(config.second_epochs):
                second.train_epoch()
            progress.advance(first.steps * config.second_epochs)
            finite, offered = second.finite(), generated_latents(networks)
            for number, (run, (label, threshold)) in enumerate(zip(runs, stages, strict=True)):
                if not finite[number]:
                    run.fail(f"the classifier is not finite after GAN epoch {epoch}")
                score = cascade(label, logs(second.weight[number], second.bias[number]), threshold)
                run.checkpoint(epoch, Scorer(as_they_are, score, offered[number]))

        batch = config.classifier_batch or config.samples
        steps = -(-(len(task.labels) + len(made)) // min(batch, len(task.labels) + len(made)))
        return evaluate, steps * (config.classifier_epochs + config.second_epochs)


SPEC = spec(
    name="lisgan_cascade",
    factory=LisGANCascade,
    citation="Li et al., Leveraging the Invariant Side of Generative Zero-Shot Learning, CVPR 2019",
    setting="transductive",
    summary="LisGAN whose classifier learns from the test images that it is surest of, too.",
)
