"""DASCN's dual GAN: class embeddings from features, and their critic."""

from __future__ import annotations

import torch

from gzsl_bench.stacked import Maker


class Dual:
    """Features -> class embeddings, and the critic of these."""

    def __init__(self, make: Maker) -> None:
        config, features, attributes = make.config, make.features, make.attributes
        self.layers = [
            make.linear("dual/hidden", features, config.dual_hidden, "leaky_relu"),
            make.linear("dual/output", config.dual_hidden, attributes),
        ]
        self.critic = make.critic("dual/critic", attributes, 0, config.dual_critic_hidden)

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """[R, B, D] -> [R, B, A]."""
        return self.layers[1](self.layers[0](features))
