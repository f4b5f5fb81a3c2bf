"""FREE's networks: a refiner of features, and the centres that it is held to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from gzsl_bench import Run, Task
from gzsl_bench.stacked import Linear, StackedAdam, Table, per_run
from gzsl_bench_feature_gan.adaptive import AdaptiveConfig, AdaptivePenalty
from gzsl_bench_feature_gan.f_vaegan import Encoder


class Parts(Encoder):
    """The encoder, and what FREE trains beside it.

    Attributes:
        hidden: features [D] -> leaky ReLU -> [K]: the refiner's first layer.
        heads: [K] -> [2 A]: its second, a mean and what gives a standard deviation.
        centres: [R, S, A] of the seen classes' means.
        penalty: weight of the critic's penalty.
    """

    def __init__(
        self,
        task: Task,
        runs: Sequence[Run],
        noise: int,
        config: AdaptiveConfig,
        how: dict[str, Any],
    ) -> None:
        (features, attributes), classes = (
            (rows.shape[1] for rows in (task.features, task.attributes)),
            task.seen.numel(),
        )
        super().__init__(runs, features + attributes, config.encoder_hidden, noise, how)
        units, betas = config.generator_hidden, (config.beta1, config.beta2)
        self.hidden = Linear(
            runs, "refiner/hidden", features, units, activation="leaky_relu", **how
        )
        self.heads = Linear(runs, "refiner/heads", units, 2 * attributes, **how)
        self.centres = Table(runs, "centres", classes, attributes, **{**how, "std": 1.0})
        self.places = task.seen.new_zeros(task.num_classes)
        self.places[task.seen] = torch.arange(classes, device=task.device)
        self.refiner_adam = StackedAdam(
            [([self.hidden, self.heads], per_run(runs, "refiner_lr"))], betas=betas
        )
        self.centre_adam = StackedAdam([([self.centres], per_run(runs, "lr"))], betas=betas)
        self.refined, self.weight, self.margin, self.own_share, penalty = (
            self.gamma.new_tensor(per_run(runs, field))
            for field in ("refined", "centres", "margin", "own_share", "penalty")
        )
        self.penalty = AdaptivePenalty(penalty)

    def refine(
        self, features: torch.Tensor, noise: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Features [R, B, D], noise [R, B, A] -> means and class embeddings [R, B, A]."""
        mu, spread = self.heads(self.hidden(features)).chunk(2, -1)
        return mu, torch.sigmoid(mu + noise * torch.sigmoid(spread))

    def margin_loss(
        self, mu: torch.Tensor, own: torch.Tensor, other: torch.Tensor | None
    ) -> torch.Tensor:
        """Mean of max(0, margin + g d(own centre) - (1 - g) d(other centre)): [R].

        Args:
            mu: [R, B, A].
            own: [R, B] places of the rows' classes among the seen ones.
            other: [R, B] places of others; None: the nearest.
        """
        centres, share = self.centres(), self.own_share[:, None]
        distances = mu.square().sum(-1, keepdim=True) + centres.square().sum(-1)[:, None]
        distances = distances - 2 * mu @ centres.mT
        to_own = distances.gather(-1, own[:, :, None])[:, :, 0]
        if other is None:
            to_other = distances.scatter(-1, own[:, :, None], torch.inf).amin(-1)
        else:
            to_other = distances.gather(-1, other[:, :, None])[:, :, 0]
        excess = self.margin[:, None] + share * to_own - (1 - share) * to_other
        return excess.clamp(min=0).mean(-1)
