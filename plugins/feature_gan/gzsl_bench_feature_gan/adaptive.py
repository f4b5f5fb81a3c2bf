"""What TF-VAEGAN's released code and those derived from it have in common beside f-VAEGAN."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import Field

from gzsl_bench.stacked import Batch, GANNetworks, Terms
from gzsl_bench_feature_gan.f_vaegan import FVAEGAN, FVAEGANConfig


class AdaptivePenalty:
    """The weight of a critic's penalty, which follows the penalty's mean over a step.

    It grows by a tenth where the mean is above 1.05 and shrinks where it is below 1.001, which
    holds the gradient's norm near 2 (released code: opt.lambda1).

    Attributes:
        weight: [R] as it is now; changed in place.
    """

    def __init__(self, start: torch.Tensor) -> None:
        """Begin at ``start`` [R]."""
        self.weight, self._sum = start.clone(), torch.zeros_like(start)

    def seen(self, penalty: torch.Tensor) -> None:
        """A step of the critic had this ``penalty`` [R], without its weight."""
        self._sum.add_(penalty.detach())

    def adapt(self, steps: int) -> None:
        """After ``steps`` steps of the critic."""
        mean, weight = self._sum / steps, self.weight
        less = torch.where(mean < 1.001, weight / 1.1, weight)
        weight.copy_(torch.where(mean > 1.05, weight * 1.1, less))
        self._sum.zero_()


def weighted_l1(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Mean over a batch of sum |d|^3 / ||d||, d = found - wanted [R, B, A]: [R].

    A distance is weighed by its square over the norm of all; the weights are no constants
    (released code: WeightedL1).
    """
    distance = (found - wanted).abs()
    norm = torch.linalg.vector_norm(distance, dim=-1, keepdim=True)
    norm = norm.clamp(min=torch.finfo(norm.dtype).tiny)  # no distance at all has no error
    error: torch.Tensor = (distance.pow(3) / norm).sum(-1).mean(-1)
    return error


class AdaptiveConfig(FVAEGANConfig):
    """f-VAEGAN's hyper-parameters and one more."""

    adaptive_penalty: bool = Field(
        True, description="the penalty's weight follows its mean; else it stays as it is"
    )


class AdaptiveVAEGAN(FVAEGAN):
    """f-VAEGAN whose penalty has a weight that adapts; ``networks.parts.penalty`` holds it."""

    Config: ClassVar[type[AdaptiveConfig]] = AdaptiveConfig

    def critic_losses(self, networks: GANNetworks, batch: Batch) -> dict[str, torch.Tensor]:
        """With the penalty's weight as it is now."""
        penalty: AdaptivePenalty = networks.parts.penalty
        terms = super().critic_losses(networks, replace(batch, factors=[penalty.weight]))
        penalty.seen(terms["penalty"])
        return terms

    def generator_losses(
        self, networks: GANNetworks, batch: Batch, more: Terms
    ) -> dict[str, torch.Tensor]:
        """After the penalty's weight was adapted to the critic's steps."""
        penalty: AdaptivePenalty = networks.parts.penalty
        if self.config.adaptive_penalty:
            penalty.adapt(self.config.critic_steps)
        terms = super().generator_losses(networks, batch, more)
        return terms | {"penalty_weight": penalty.weight}
