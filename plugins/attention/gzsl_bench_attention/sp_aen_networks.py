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

#: Of all leaky ReLUs: the default of the released ``leaky_relu``, which no call overrides.
SLOPE = 0.3


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
    weight_decay: float = Field(5e-6, ge=0, description="of weights of E, F and the decoder")
    clip: float = Field(
        10.0, gt=0, description="largest norm of a run's gradient of one weight or bias in a step"
    )
    margin: float = stackable(0.2, "by which the own class is to win", ge=0)
    violators: Literal["random", "mean", "max"] = Field(
        "random",
        description="one class within the margin, the mean over all others, or the worst of them",
    )
    ranking: float = stackable(1000.0, "weight of the ranking loss", ge=0)
    adversarial: float = stackable(50.0, "weight of the critic's scores", ge=0)
    penalty: float = stackable(
        10.0, "weight of the critic's gradient penalty, beside its scores", ge=0
    )
    reconstruction: float = stackable(3.0, "weight of the reconstruction", ge=0)
    length: float = stackable(2.0, "weight of (|F(x)| - 1)^2", ge=0)
    sigmoid: bool = Field(True, description="the critic ends in a sigmoid, as released")
    other_images: bool = Field(
        False, description="F's images in a step are not E's; in the released code they are"
    )
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
        of: ``random``, ``mean`` or ``max`` of these classes; 0 where there are none.  The mean is
            over all other classes, also those that do not come close.
    """
    place = own[..., None]
    hinge = (margin[:, None, None] + scores - scores.gather(-1, place)).clamp(min=0)
    hinge = hinge.scatter(-1, place, 0.0)
    if of == "max":
        return hinge.amax(-1).mean(-1)
    if of == "mean":
        return (hinge.sum(-1) / max(1, hinge.shape[-1] - 1)).mean(-1)
    violating = hinge > 0
    count = violating.sum(-1)
    # Rounding must not reach the count itself.
    chosen = torch.minimum((draws * count).long(), (count - 1).clamp(min=0))[..., None]
    violating = violating & (violating.cumsum(-1) == chosen + 1)
    return (hinge * violating).sum(-1).mean(-1)


def made(runs: Sequence[Run], name: str, inputs: int, outputs: int, **how: Any) -> Linear:
    """A layer with weights from N(0, 2 / inputs), as the released ``fc`` asks for (MSRA)."""
    return Linear(runs, name, inputs, outputs, std=(2 / inputs) ** 0.5, **how)


def mapped(layers: Sequence[Linear], x: torch.Tensor) -> torch.Tensor:
    """Rows [R, B, in] through layers that end in a leaky ReLU each."""
    for layer in layers:
        x = leaky_relu(layer(x), SLOPE)
    return x


class SigmoidCritic:
    """K -> K leaky ReLU -> 1, through a sigmoid or not; its gradient is a formula.

    The penalty is on what comes before the sigmoid, as released.  Almost everywhere the slopes of
    the leaky ReLU are constants, so it needs no second backward pass.
    """

    def __init__(self, runs: Sequence[Run], width: int, sigmoid: bool, like: torch.Tensor) -> None:
        self.sigmoid = sigmoid
        self.parameters = []
        for name, outputs in (("hidden", width), ("output", 1)):
            start = made(runs, f"critic/{name}", width, outputs, dtype=like.dtype)
            for values in (start.weight, start.bias):
                self.parameters.append(values.detach().to(like.device, copy=True).contiguous())

    def __call__(self, z: torch.Tensor, *, constant: bool = False) -> torch.Tensor:
        """[R, B, K] -> [R, B]; ``constant``: without gradients by the parameters."""
        hidden, bias, output, last = (p.detach() if constant else p for p in self.parameters)
        scores = (leaky_relu(z @ hidden.mT + bias[:, None], SLOPE) * output).sum(-1) + last
        return scores.sigmoid() if self.sigmoid else scores

    def penalty(self, z: torch.Tensor) -> torch.Tensor:
        """[R] mean of (|dD/dz| - 1)^2 at constant rows [R, B, K], D without its sigmoid."""
        hidden, bias, output, _ = self.parameters
        above = (z @ hidden.mT + bias[:, None] > 0).to(z.dtype)
        slopes = SLOPE + (1 - SLOPE) * above
        gradient = (slopes * output) @ hidden
        off = torch.linalg.vector_norm(gradient, dim=-1) - 1
        mean: torch.Tensor = off.square().mean(-1)
        return mean


class Clipped:
    """An optimiser that first bounds the norm of each run's gradient of each tensor [R, ...].

    Args:
        optimizer: moves the parameters.
        gradients: of each tensor.
        limit: the largest norm.
        decayed: gradients, of those above, and the weights that are added to them before.
        decay: times these weights; the released code has them in the loss.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        gradients: Sequence[torch.Tensor],
        limit: float,
        decayed: Sequence[tuple[torch.Tensor, torch.Tensor]] = (),
        decay: float = 0.0,
    ) -> None:
        self._optimizer, self._limit, self._gradients = optimizer, limit, list(gradients)
        self._decayed, self._decay = list(decayed), decay

    def begin(self) -> None:
        """See :meth:`gzsl_bench.stacked.StackedAdam.begin`."""
        self._optimizer.begin()

    def step(self) -> None:
        """Decay, bound, and move the parameters."""
        for gradient, weights in self._decayed:
            gradient.add_(weights, alpha=self._decay)
        for gradient in self._gradients:
            of_run = tuple(range(1, gradient.ndim))
            norm = torch.linalg.vector_norm(gradient, dim=of_run, keepdim=True)
            gradient.mul_((self._limit / norm.clamp(min=1e-12)).clamp(max=1))
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
        how: dict[str, Any] = {"device": features.device, "dtype": features.dtype}
        self.embedder, self.keeper, self.decoder = (
            [
                made(runs, f"{name}/hidden", inputs, hidden, **how),
                made(runs, f"{name}/output", hidden, outputs, **how),
            ]
            for name, inputs, outputs in (
                ("embedder", width, dims), ("keeper", width, dims), ("decoder", dims, width)
            )
        )  # fmt: skip
        self.critic = SigmoidCritic(runs, dims, config.sigmoid, features)
        betas = config.beta1, 0.999
        self.of_keeper, self.of_embedder = (
            StackedAdam([(layers, rates)], betas=betas, moving=True)
            for layers in (self.keeper + self.decoder, self.embedder)
        )
        self.of_critic = ElementwiseAdam(self.critic.parameters, rates, betas=betas)
        self.dropout, self.clip, self.decay = config.dropout, config.clip, config.weight_decay

    def _steps(self, optimizer: Optimizer, layers: Sequence[Linear]) -> Clipped:
        gradients = [grad for layer in layers for grad in (layer.weight_grad, layer.bias_grad)]
        decayed = [(layer.weight_grad, layer.weight.detach()) for layer in layers]
        return Clipped(optimizer, gradients, self.clip, decayed, self.decay)

    def keeper_steps(self) -> Clipped:
        """The optimiser of F and the decoder."""
        return self._steps(self.of_keeper, self.keeper + self.decoder)

    def embedder_steps(self) -> Clipped:
        """The optimiser of E."""
        return self._steps(self.of_embedder, self.embedder)

    def critic_steps(self) -> Clipped:
        """The optimiser of the critic."""
        gradients = [p.grad for p in self.critic.parameters if p.grad is not None]
        return Clipped(self.of_critic, gradients, self.clip)

    def embed(self, x: torch.Tensor, inputs: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """E of x [R, B, D], by the inputs and hidden units that are kept."""
        first = mapped(self.embedder[:1], dropout(x, inputs, self.dropout))
        return mapped(self.embedder[1:], dropout(first, hidden, self.dropout))

    def keep(self, x: torch.Tensor) -> torch.Tensor:
        """F of x [R, B, D]."""
        return mapped(self.keeper, x)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """What the decoder makes of z [R, B, K]."""
        return mapped(self.decoder, z)
