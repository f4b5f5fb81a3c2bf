"""E-PGN's maps between class embeddings and features, and distances to the prototypes made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from gzsl_bench import Latents, Run, Scorer, Task
from gzsl_bench.stacked import Linear, as_they_are, dropout


class Networks:
    """Embeddings -> features, features -> embeddings, and the discriminator of pairs of both."""

    def __init__(self, runs: Sequence[Run], task: Task, config: Any) -> None:
        features, attributes = task.features.shape[1], task.attributes.shape[1]
        pairs = features + attributes

        def layer(name: str, inputs: int, outputs: int, activation: Any) -> Linear:
            made = Linear(
                runs, name, inputs, outputs,
                activation=activation, device=task.device, dtype=task.features.dtype,
            )  # fmt: skip
            with torch.no_grad():
                for run, weight in zip(runs, made.weight, strict=True):
                    drawn, std = torch.empty(outputs, inputs), config.init_std
                    stream = run.generator(f"init/{name}")
                    weight.copy_(
                        torch.nn.init.trunc_normal_(drawn, 0, std, -2 * std, 2 * std, stream)
                    )
                made.bias.fill_(0.01)
            return made

        self.generator = [
            layer("generator/hidden", attributes, config.hidden, "tanh"),
            layer("generator/output", config.hidden, features, "relu"),
        ]
        self.regressor = [
            layer("regressor/hidden", features, config.hidden, config.regressor_activation),
            layer("regressor/output", config.hidden, attributes, "relu"),
        ]
        self.critic = [
            layer("critic/hidden", pairs, config.critic_hidden, "relu"),
            layer("critic/output", config.critic_hidden, 1, None),
        ]
        self.rates = config.regressor_dropout, config.critic_dropout

    def prototypes(self, embeddings: torch.Tensor) -> torch.Tensor:
        """[R, K, A] -> [R, K, D]."""
        return self.generator[1](self.generator[0](embeddings))

    def regress(self, features: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """[R, B, D] -> [R, B, A], by the hidden units that are kept [R, B, H]."""
        return self.regressor[1](dropout(self.regressor[0](features), kept, self.rates[0]))

    def judge(self, x: torch.Tensor, a: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """Logits [R, B] of pairs being real, by the hidden units that are kept."""
        hidden = self.critic[0](torch.cat([x, a], -1))
        return self.critic[1](dropout(hidden, kept, self.rates[1])).squeeze(-1)


def closeness(x: torch.Tensor, prototypes: torch.Tensor) -> torch.Tensor:
    """Negative mean squared distances [..., B, K] of x [..., B, D] to prototypes [..., K, D]."""
    squares = prototypes.square().mean(-1).unsqueeze(-2) + x.square().mean(-1, keepdim=True)
    return 2 / x.shape[-1] * (x @ prototypes.mT) - squares


def nearest(prototypes: torch.Tensor) -> Scorer:
    """Of prototypes [C, D] the nearer the better."""
    latents = Latents(visual=as_they_are, semantic=lambda classes: prototypes[classes])
    return Scorer(as_they_are, lambda features: closeness(features, prototypes), latents)
