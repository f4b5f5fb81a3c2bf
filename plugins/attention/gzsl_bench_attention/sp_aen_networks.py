"""What SP-AEN is made of: its settings, maps and critic, and the ranking loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch.nn.functional import leaky_relu

from gzsl_bench import Config, Run, stackable
from gzsl_bench.stacked import ElementwiseAdam, Linear, StackedAdam, dropout, per_run
from gzsl_bench.stacked.adam import Optimizer
from gzsl_bench.stacked.layers import LEAK


class SPAENConfig(Config):
    """Hyper-parameters of SP-AEN (released code)."""

    hidden: int = Field(1024, ge=1, description="hidden units of all maps")
    dropout: float = Field(0.5, ge=0, lt=1, description="share of E's inputs and hidden units lost")
    batch: int = Field(128, ge=1, description="images in a step; all of them where there are fewer")
    steps: int = Field(4000, ge=1, description="steps in an epoch")
    reconstruction_epochs: int = Field(50, ge=1, description="epochs of F and the decoder, first")
    epochs: int = Field(50, ge=1, description="epochs of E and the critic; each is a checkpoint")
    slower_after: int = Field(25, ge=1, description="epochs of either, then rates are a tenth")
    critic_steps: int = Field(5, ge=1, description="steps of the critic before each of E")
    lr: float = stackable(1e-4, "learning rate", gt=0)
    beta1: float = Field(0.5, ge=0, lt=1, description="decay of Adam's first moment")
    weight_decay: float = Field(5e-6, ge=0, description="of E, F and the decoder")
    clip: float = Field(10.0, gt=0, description="largest norm of a run's gradient in a step")
    margin: float = stackable(0.2, "by which the own class is to win", ge=0)
    violators: Literal["random", "mean", "max"] = Field(
        "random", description="classes within the margin that count: one of them, all, the worst"
    )
    ranking: float = stackable(1000.0, "weight of the ranking loss", ge=0)
    adversarial: float = stackable(50.0, "weight of the critic's scores", ge=0)
    penalty: float = stackable(10.0, "weight of the critic's gradient penalty", ge=0)
    reconstruction: float = stackable(3.0, "weight of the reconstruction", ge=0)
    length: float = stackable(2.0, "weight of (|F(x)| - 1)^2", ge=0)
    sigmoid: bool = Field(True, description="the critic ends in a sigmoid, as released")
    other_images: bool = Field(True, description="F's images in a step are not E's")
    clip_negative: bool = Field(False, description="negative class embeddings are set to 0")


def ranking_loss(
    scores: torch.Tensor, own: torch.Tensor, draws: torch.Tensor, margin: torch.Tensor, of: str
) -> torch.Tensor:
    """[R] mean hinge of classes that come within the margin of an image's own.

    Args:
        scores: [R, B, S] products with the embeddings of seen classes.
        own: [R, B] places of the right classes.
        draws: [R, B] numbers in [0, 1) that pick a class for ``random``.
        margin: [R].
        of: ``random``, ``mean`` or ``max`` of these classes; 0 where there are none.
    """
    place = own[..., None]
    hinge = (margin[:, None, None] + scores - scores.gather(-1, place)).clamp(min=0)
    hinge = hinge.scatter(-1, place, 0.0)
    if of == "max":
        return hinge.amax(-1).mean(-1)
    violating = hinge > 0
    count = violating.sum(-1)
    if of == "random":
        # Rounding must not reach the count itself.
        chosen = torch.minimum((draws * count).long(), (count - 1).clamp(min=0))[..., None]
        violating = violating & (violating.cumsum(-1) == chosen + 1)
        count = violating.sum(-1)
    return ((hinge * violating).sum(-1) / count.clamp(min=1)).mean(-1)


class SigmoidCritic:
    """K -> K leaky ReLU -> 1, through a sigmoid or not; its gradient is a formula.

    Almost everywhere the slopes of the leaky ReLU are constants, so the penalty needs no second
    backward pass.
    """

    def __init__(self, runs: Sequence[Run], width: int, sigmoid: bool, like: torch.Tensor) -> None:
        self.sigmoid = sigmoid
        self.parameters = []
        for name, outputs in (("hidden", width), ("output", 1)):
            start = Linear(runs, f"critic/{name}", width, outputs, dtype=like.dtype)
            for values in (start.weight, start.bias):
                self.parameters.append(values.detach().to(like.device, copy=True).contiguous())

    def __call__(self, z: torch.Tensor, *, constant: bool = False) -> torch.Tensor:
        """[R, B, K] -> [R, B]; ``constant``: without gradients by the parameters."""
        hidden, bias, output, last = (p.detach() if constant else p for p in self.parameters)
        scores = (leaky_relu(z @ hidden.mT + bias[:, None], LEAK) * output).sum(-1) + last
        return scores.sigmoid() if self.sigmoid else scores

    def penalty(self, z: torch.Tensor) -> torch.Tensor:
        """[R] mean of (|dD/dz| - 1)^2 at constant rows [R, B, K]."""
        hidden, bias, output, _ = self.parameters
        above = (z @ hidden.mT + bias[:, None] > 0).to(z.dtype)
        slopes = LEAK + (1 - LEAK) * above
        gradient = (slopes * output) @ hidden
        if self.sigmoid:
            scores = self(z)
            gradient = gradient * (scores * (1 - scores))[..., None]
        off = torch.linalg.vector_norm(gradient, dim=-1) - 1
        mean: torch.Tensor = off.square().mean(-1)
        return mean


class Clipped:
    """An optimiser that first bounds the norm of each run's gradient [R, ...]."""

    def __init__(
        self, optimizer: Optimizer, gradients: Sequence[torch.Tensor | None], limit: float
    ) -> None:
        self._optimizer, self._limit = optimizer, limit
        self._gradients = [gradient for gradient in gradients if gradient is not None]

    def begin(self) -> None:
        """See :meth:`gzsl_bench.stacked.StackedAdam.begin`."""
        self._optimizer.begin()

    def step(self) -> None:
        """Bound, and move the parameters."""
        squares = [gradient.flatten(1).square().sum(1) for gradient in self._gradients]
        norm = torch.stack(squares).sum(0).sqrt()
        share = (self._limit / norm.clamp(min=1e-12)).clamp(max=1)
        for gradient in self._gradients:
            gradient.mul_(share.view(-1, *[1] * (gradient.ndim - 1)))
        self._optimizer.step()


class Networks:
    """E, F, the decoder and the critic of a stack, with their optimisers.

    Attributes:
        embedder: E, features -> embeddings.
        keeper: F, the same.
        decoder: embeddings -> features.
        critic: of what E and F give.
    """

    def __init__(
        self, runs: Sequence[Run], features: torch.Tensor, dims: int, config: SPAENConfig
    ) -> None:
        width, hidden, rates = features.shape[1], config.hidden, per_run(runs, "lr")
        how: dict[str, Any] = {
            "activation": "leaky_relu", "device": features.device, "dtype": features.dtype
        }  # fmt: skip
        self.embedder, self.keeper, self.decoder = (
            [
                Linear(runs, f"{name}/hidden", inputs, hidden, **how),
                Linear(runs, f"{name}/output", hidden, outputs, **how),
            ]
            for name, inputs, outputs in (
                ("embedder", width, dims), ("keeper", width, dims), ("decoder", dims, width)
            )
        )  # fmt: skip
        self.critic = SigmoidCritic(runs, dims, config.sigmoid, features)
        betas = config.beta1, 0.999
        self.of_keeper, self.of_embedder = (
            StackedAdam(
                [(layers, rates)], betas=betas, weight_decay=config.weight_decay, moving=True
            )
            for layers in (self.keeper + self.decoder, self.embedder)
        )
        self.of_critic = ElementwiseAdam(self.critic.parameters, rates, betas=betas)
        self.dropout, self.clip = config.dropout, config.clip

    def keeper_steps(self) -> Clipped:
        """The optimiser of F and the decoder."""
        layers = self.keeper + self.decoder
        return Clipped(self.of_keeper, [layer.grad for layer in layers], self.clip)

    def embedder_steps(self) -> Clipped:
        """The optimiser of E."""
        return Clipped(self.of_embedder, [layer.grad for layer in self.embedder], self.clip)

    def critic_steps(self) -> Clipped:
        """The optimiser of the critic."""
        return Clipped(self.of_critic, [p.grad for p in self.critic.parameters], self.clip)

    def embed(self, x: torch.Tensor, inputs: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """E of x [R, B, D], by the inputs and hidden units that are kept."""
        first = self.embedder[0](dropout(x, inputs, self.dropout))
        return self.embedder[1](dropout(first, hidden, self.dropout))

    def keep(self, x: torch.Tensor) -> torch.Tensor:
        """F of x [R, B, D]."""
        return self.keeper[1](self.keeper[0](x))

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """What the decoder makes of z [R, B, K]."""
        return self.decoder[1](self.decoder[0](z))
