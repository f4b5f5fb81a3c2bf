"""A second feature set of the same images, as a condition of what makes the first."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from gzsl_bench import Run
from gzsl_bench.stacked import Generator, Linear, Maker


class SetEmbedding:
    """Features of the second set -> Linear -> SiLU -> Linear."""

    def __init__(self, make: Maker, name: str, features: int, width: int) -> None:
        self.first = make.linear(f"{name}/first", features, width)
        self.last = make.linear(f"{name}/last", width, width)

    @property
    def layers(self) -> list[Linear]:
        """What an optimiser needs."""
        return [self.first, self.last]

    def of(self, run: int) -> SetEmbedding:
        """That of one run, for inference."""
        one = object.__new__(SetEmbedding)
        one.first, one.last = self.first.of(run), self.last.of(run)
        return one

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """[R, B, E] -> [R, B, width]."""
        return self.last(F.silu(self.first(features)))


class SecondSet:
    """What a second feature set of the same images brings.

    Attributes:
        width: of embedded features.
        generator: embeds them for the generator.
        critics: embeds them for the critics.
        critic: of features given those of the second set alone.
        made: makes features of the second set; trained before all else.
    """

    made: Generator

    def __init__(self, make: Maker, width: int) -> None:
        assert make.task.second is not None
        features, self.width = make.task.second.shape[1], width
        self.generator = SetEmbedding(make, "second", features, width)
        self.critics = SetEmbedding(make, "noisy_critic/second", features, width)
        hidden = make.config.critic_hidden
        self.critic = make.critic("second_critic", make.features, width, hidden)


class Stage:
    """A run as one of two trainings sees it; what they report adds up.

    Args:
        run: the run.
        aside: begins the names of its streams and curves; "" for the second training.
        before: what the first one was worth in progress; 0 for itself.
    """

    def __init__(self, run: Run, aside: str = "", before: int = 0) -> None:
        self._run, self._aside, self._before, self.total = run, aside, before, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)

    def generator(self, purpose: str) -> torch.Generator:
        """Of the stage's own stream."""
        return self._run.generator(f"{self._aside}{purpose}")

    def log(self, step: int, **values: float) -> None:
        """Under the stage's own names."""
        self._run.log(step, **{f"{self._aside}{name}": value for name, value in values.items()})

    def progress(self, done: int, total: int) -> None:
        """The second training is taken to be as long as the first while that is under way."""
        self.total = total
        self._run.progress(self._before + done, (self._before or total) + total)


def first_set(images: Any) -> torch.Tensor:
    """Features of the first set, of images or alone."""
    features: torch.Tensor = getattr(images, "features", images)
    return features
