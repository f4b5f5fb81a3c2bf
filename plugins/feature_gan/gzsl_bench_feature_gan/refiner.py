"""FREE's networks: a refiner of features, and the centres that it is held to."""

from __future__ import annotations

import torch

from gzsl_bench.hooks.run import ScoreFunction
from gzsl_bench.stacked import Batch, Maker, Table, seen_places
from gzsl_bench_feature_gan.adaptive import AdaptivePenalty, weighted_l1
from gzsl_bench_feature_gan.f_vaegan import Encoder


class Parts(Encoder):
    """The encoder, and what FREE trains beside it.

    Attributes:
        hidden: features [D] -> leaky ReLU -> [K]: the refiner's first layer.
        heads: [K] -> [2 A]: its second, a mean and what gives a standard deviation.
        centres: [R, S, A] of the seen classes' means.
        places: [C] of classes among the seen ones.
        random: the other centre is that of a random class, not the nearest.
        penalty: weight of the critic's penalty.
    """

    def __init__(self, make: Maker) -> None:
        super().__init__(make)
        units, heads, classes = (
            make.config.generator_hidden, 2 * make.attributes, make.task.seen.numel()
        )  # fmt: skip
        self.hidden = make.linear("refiner/hidden", make.features, units, "leaky_relu")
        self.heads = make.linear("refiner/heads", units, heads)
        how = {**make.how, "std": 1.0}
        self.centres = Table(make.runs, "centres", classes, make.attributes, **how)
        self.places = seen_places(make.task)
        self.random = make.config.other == "random"
        self.refiner_adam = make.adam([self.hidden, self.heads], "refiner_lr")
        self.centre_adam = make.adam([self.centres])
        self.refined, self.weight, self.margin, self.own_share, penalty = make.values(
            "refined", "centres", "margin", "own_share", "penalty"
        )
        self.penalty = AdaptivePenalty(penalty)

    def refine(
        self, features: torch.Tensor, noise: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Features [R, B, D], noise [R, B, A] -> means and class embeddings [R, B, A]."""
        mu, spread = self.heads(self.hidden(features)).chunk(2, -1)
        return mu, torch.sigmoid(mu + noise * torch.sigmoid(spread))

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Of real features: distances to centres, the error of class embeddings, their sum; [R]."""
        mu, found = self.refine(batch.features, batch.own_now(0))
        own, other = self.places[batch.labels], None
        if self.random:
            other = (own + batch.own_now(1)) % self.centres.weight.shape[1]
        terms = {
            "margin": self.margin_loss(mu, own, other),
            "error": weighted_l1(found, batch.attributes),
        }
        return terms | {"loss": self.weight * terms["margin"] + self.refined * terms["error"]}

    def of_run(self, run: int) -> ScoreFunction:
        """Features of one run -> them, the hidden units and the class embedding side by side."""
        hidden, heads = self.hidden.of(run), self.heads.of(run)

        def encode(features: torch.Tensor) -> torch.Tensor:
            units = hidden(features)
            mu, _ = heads(units).chunk(2, -1)
            return torch.cat([features, units, torch.sigmoid(mu)], -1)

        return encode

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
