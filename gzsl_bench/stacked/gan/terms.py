"""What critic and generator minimise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch

from gzsl_bench.stacked.critic import Critic
from gzsl_bench.stacked.gan.batch import Batch
from gzsl_bench.stacked.gan.networks import Generator
from gzsl_bench.stacked.layers import frozen


class Terms(Protocol):
    """What a method adds to the generator's loss."""

    def __call__(
        self, generated: torch.Tensor, batch: Batch
    ) -> Mapping[str, tuple[torch.Tensor | float, torch.Tensor]]:
        """By name a weight, [R] or one number, and what it weighs [R].

        Args:
            generated: [R, B, D] features.
            batch: whose classes they are of.
        """


def critic_terms(
    critic: Critic,
    generator: Generator,
    features: torch.Tensor,
    attributes: torch.Tensor,
    noise: torch.Tensor,
    mix: torch.Tensor,
    penalty_factor: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """Terms [R] of a critic's step: E[D(x~)] - E[D(x)] + factor (|grad D| - 1)^2 is minimised.

    Args:
        critic: the critic.
        generator: the generator; constant here.
        features: [R, B, D] real features.
        attributes: [R, B, A] embeddings of their classes.
        noise: [R, B, Z] standard normal numbers.
        mix: [R, B, 1] uniform numbers: share of the real feature where the penalty is taken.
        penalty_factor: [R].
    """
    with torch.no_grad():
        generated = generator(noise, attributes)
    real, fake, penalty = critic.losses(features, generated, attributes, mix)
    return {
        "wasserstein": real - fake,
        "penalty": penalty,
        "loss": fake - real + penalty_factor * penalty,
    }


def generator_terms(
    critic: Critic, generator: Generator, batch: Batch, more: Terms
) -> dict[str, torch.Tensor]:
    """Terms [R] of a generator's step: -E[D(x~)] and what ``more`` weighs is minimised.

    Args:
        critic: the critic; constant here.
        generator: the generator.
        batch: classes and noise.
        more: the method's own terms.
    """
    generated = generator(batch.noise, batch.attributes)
    with frozen(*critic.layers):
        loss = -critic(generated, batch.attributes).mean(1)
    return with_more({"adversarial": loss}, loss, generated, batch, more)


def with_more(
    terms: dict[str, torch.Tensor],
    loss: torch.Tensor,
    generated: torch.Tensor,
    batch: Batch,
    more: Terms,
) -> dict[str, torch.Tensor]:
    """``terms`` and ``loss`` [R], to which ``more`` is added."""
    for name, (weight, value) in more(generated, batch).items():
        terms[name], loss = value, loss + weight * value
    return terms | {"loss": loss}
