"""What is trained: a generator of features, its critic, and what a method has beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from gzsl_bench.stacked.critic import Critic
from gzsl_bench.stacked.layers import Activation, Linear
from gzsl_bench.stacked.runs import HasStreams

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
class GANNetworks:
    """What is trained for a stack.

    Attributes:
        generator: makes features.
        critic: tells them from real ones.
        embeddings: [C, A] class embeddings as both see them.
        encoder: what a method adds; None for a plain GAN.
    """

    generator: Generator
    critic: Critic
    embeddings: torch.Tensor
    encoder: Any = None
