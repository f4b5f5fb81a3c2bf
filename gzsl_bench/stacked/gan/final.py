"""The classifier after a GAN epoch: a softmax on real features beside generated ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from gzsl_bench.hooks.run import Latents, Run, ScoreFunction
from gzsl_bench.stacked.gan.networks import CHUNK, GANNetworks, Generator
from gzsl_bench.stacked.latents import train_on_latents
from gzsl_bench.stacked.loop import Progress
from gzsl_bench.stacked.restarted import RestartedClassifier
from gzsl_bench.stacked.runs import per_run


def as_they_are(features: torch.Tensor) -> torch.Tensor:
    """The features themselves."""
    return features


class FinalSoftmax:
    """Trains a softmax of all classes anew whenever it is called; its epochs become checkpoints.

    Epoch k after GAN epoch e is checkpoint (e - 1) * classifier_epochs + k.

    Attributes:
        units: what a training is worth in a progress bar: the classifier's steps.
    """

    def __init__(
        self,
        networks: GANNetworks,
        synthesiser: Callable[[], Generator],
        representation: Callable[[int], ScoreFunction | None],
    ) -> None:
        """Make room for the generated features.

        Args:
            networks: those of the stack.
            synthesiser: gives what makes features of unseen classes.
            representation: number of a run -> what its classifier sees of features [N, D]: [N, L];
                None: the features.
        """
        task, config = networks.task, networks.make.config
        self._networks, self._epochs = networks, config.classifier_epochs
        self._synthesiser, self._representation = synthesiser, representation
        self._made = task.unseen.repeat_interleave(config.samples)
        features, labels, own, represent = task.features, task.labels, self._made, representation(0)
        if represent is not None:
            # Every run has features of its own, of real rows, too.
            features, labels = represent(features[:1])[:0], labels[:0]
            own = torch.cat([task.labels, self._made])
        self._classifier = RestartedClassifier(
            networks.runs,
            features,
            labels,
            task.num_classes,
            own_labels=own,
            rates=per_run(networks.runs, "classifier_lr"),
            betas=(config.beta1, config.beta2),
            batch=config.classifier_batch or config.samples,
            std=config.init_std,
        )
        self.units = self._classifier.steps * self._epochs

    def __call__(self, epoch: int, progress: Progress) -> None:
        """After GAN epoch ``epoch``, from 1."""
        runs, classifier, epochs = self._networks.runs, self._classifier, self._epochs
        synthesiser = self._synthesiser()
        ones = [synthesiser.of(number) for number in range(len(runs))]
        represents = [self._representation(number) for number in range(len(runs))]
        for run, one, represent, own in zip(runs, ones, represents, classifier.own, strict=True):
            self._fill(own, one, represent, run.generator(f"synthetic/{epoch}"))
        classifier.restart(f"classifier/{epoch}")
        embeds = [represent or as_they_are for represent in represents]
        train_on_latents(
            runs,
            classifier,
            embeds,
            latents=generated_latents(self._networks, ones, embeds),
            epochs=epochs,
            before=(epoch - 1) * epochs,
            progress=progress,
            units=classifier.steps,
        )

    def _fill(
        self,
        own: torch.Tensor,
        generator: Generator,
        represent: ScoreFunction | None,
        stream: torch.Generator,
    ) -> None:
        """``own`` becomes what one run's classifier learns from beside shared rows."""
        features, classes = self._networks.task.features, self._networks.embeddings[self._made]
        if represent is None:
            generator.features(classes, stream, own)
            return
        into = features.new_empty(len(classes), features.shape[1])
        generated = generator.features(classes, stream, into)
        parts = own.tensor_split([len(features)])
        for rows, into in zip((features, generated), parts, strict=True):
            for some, part in zip(torch.split(rows, CHUNK), torch.split(into, CHUNK), strict=True):
                part.copy_(represent(some))


def generated_latents(
    networks: GANNetworks,
    generators: Sequence[Generator] = (),
    embeds: Sequence[ScoreFunction] = (),
) -> list[Latents]:
    """For every run: what its classifier sees of real features, and of generated ones.

    Args:
        networks: those of the stack.
        generators: of each run; none: the stack's.
        embeds: features [N, D] -> [N, L] of each run; none: as they are.
    """

    def of(run: Run, generator: Generator, embed: ScoreFunction) -> Latents:
        def semantic(classes: torch.Tensor) -> torch.Tensor:
            into = networks.embeddings.new_empty(len(classes), generator.output.outputs)
            stream = run.generator("visualize/features")
            return embed(generator.features(networks.embeddings[classes], stream, into))

        return Latents(visual=embed, semantic=semantic)

    runs = networks.runs
    generators = generators or [networks.generator.of(number) for number in range(len(runs))]
    embeds = embeds or [as_they_are] * len(runs)
    return [of(*each) for each in zip(runs, generators, embeds, strict=True)]
