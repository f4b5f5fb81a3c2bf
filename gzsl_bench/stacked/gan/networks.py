"""What is trained: a generator of features, its critic, and what a method has beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from gzsl_bench.hooks.run import Run
from gzsl_bench.hooks.task import Task
from gzsl_bench.stacked.adam import StackedAdam
from gzsl_bench.stacked.critic import Critic
from gzsl_bench.stacked.layers import Activation, Linear, Parameters
from gzsl_bench.stacked.runs import HasStreams, per_run

#: Rows generated at once; it bounds the memory that noise and hidden layers take.
CHUNK = 2048


class Generator:
    """Noise beside class embeddings -> Linear -> leaky ReLU -> Linear -> features."""

    def __init__(
        self,
        runs: Sequence[HasStreams],
        name: str,
        noise: int,
        attributes: int,
        hidden: int,
        features: int,
        *,
        output: Activation = "relu",
        std: float = 0.02,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Normal weights and zero biases.

        Args:
            runs: the stack.
            name: prefix of the layers' streams.
            noise: Z, width of the noise.
            attributes: A, width of the class embeddings.
            hidden: hidden units.
            features: D, width of what is generated.
            output: activation of the features.
            std: standard deviation of the initial weights.
            device: where the parameters live.
            dtype: their type.
        """
        how: dict[str, Any] = {"std": std, "device": device, "dtype": dtype}
        self.noise = noise
        self.hidden = Linear(
            runs, f"{name}/hidden", noise + attributes, hidden, activation="leaky_relu", **how
        )
        self.output = Linear(runs, f"{name}/output", hidden, features, activation=output, **how)

    @property
    def layers(self) -> list[Linear]:
        """What an optimiser needs."""
        return [self.hidden, self.output]

    def of(self, run: int) -> Generator:
        """The generator of one run, for inference."""
        one = object.__new__(Generator)
        one.noise = self.noise
        one.hidden, one.output = self.hidden.of(run), self.output.of(run)
        return one

    def __call__(self, noise: torch.Tensor, attributes: torch.Tensor) -> torch.Tensor:
        """Noise [R, B, Z] and embeddings [R, B, A] -> features [R, B, D]."""
        return self.output(self.hidden(torch.cat([noise, attributes], -1)))

    @torch.no_grad()
    def features(
        self, attributes: torch.Tensor, stream: torch.Generator, into: torch.Tensor
    ) -> torch.Tensor:
        """Fill ``into`` [M, D] with features of ``attributes`` [M, A]; of one run alone."""
        for rows, part in zip(
            torch.split(attributes, CHUNK), torch.split(into, CHUNK), strict=True
        ):
            noise = torch.randn(len(rows), self.noise, generator=stream).to(rows)
            part.copy_(self(noise[None], rows[None])[0])
        return into


@dataclass(frozen=True, eq=False)
class Maker:
    """Makes the networks of a stack and their optimisers, all in the same way.

    Attributes:
        task: what they are for.
        runs: the stack.
        config: the method's.
        embeddings: [C, A] class embeddings as the networks see them.
    """

    task: Task
    runs: Sequence[Run]
    config: Any
    embeddings: torch.Tensor

    @property
    def features(self) -> int:
        """D, width of the features."""
        return self.task.features.shape[1]

    @property
    def attributes(self) -> int:
        """A, width of the class embeddings."""
        return self.embeddings.shape[1]

    @property
    def noise(self) -> int:
        """Z, width of the noise."""
        return int(self.config.noise or self.attributes)

    @property
    def batch(self) -> int:
        """B, rows in a step: all where there are fewer than configured."""
        return min(int(self.config.batch), self.task.labels.numel())

    @property
    def how(self) -> dict[str, Any]:
        """Standard deviation of initial weights, device and type."""
        features = self.task.features
        return {"std": self.config.init_std, "device": features.device, "dtype": features.dtype}

    def linear(
        self, name: str, inputs: int, outputs: int, activation: Activation | None = None
    ) -> Linear:
        """A layer."""
        return Linear(self.runs, name, inputs, outputs, activation=activation, **self.how)

    def critic(self, name: str, features: int, attributes: int, hidden: int) -> Critic:
        """A critic of ``features`` numbers, given ``attributes`` numbers."""
        return Critic(self.runs, name, features, attributes, hidden, **self.how)

    def generator(self, given: int, output: Activation) -> Generator:
        """The generator, of noise beside ``given`` numbers."""
        hidden = self.config.generator_hidden
        return Generator(
            self.runs, "generator", self.noise, given, hidden, self.features,
            output=output, **self.how,
        )  # fmt: skip

    def values(self, *fields: str) -> list[torch.Tensor]:
        """[R] for each of the fields: what the runs' configurations say."""
        return [self.task.features.new_tensor(per_run(self.runs, field)) for field in fields]

    def adam(
        self,
        layers: Sequence[Parameters],
        rate: str = "lr",
        *,
        beta1: float | None = None,
        moving: bool = False,
    ) -> StackedAdam:
        """An optimiser whose rates stand in the field ``rate``; see :class:`.StackedAdam`."""
        betas = self.config.beta1 if beta1 is None else beta1, self.config.beta2
        return StackedAdam([(layers, per_run(self.runs, rate))], betas=betas, moving=moving)


@dataclass(frozen=True, eq=False)
class GANNetworks:
    """What is trained for a stack.

    Attributes:
        make: what they were made by.
        generator: makes features.
        critic: tells them from real ones.
        parts: what a method adds; None for a plain GAN.
    """

    make: Maker
    generator: Generator
    critic: Critic
    parts: Any = None

    @property
    def task(self) -> Task:
        """What they are for."""
        return self.make.task

    @property
    def runs(self) -> Sequence[Run]:
        """The stack."""
        return self.make.runs

    @property
    def embeddings(self) -> torch.Tensor:
        """[C, A] class embeddings as they see them."""
        return self.make.embeddings
