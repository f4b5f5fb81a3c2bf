"""The decoder of TF-VAEGAN and ZeroDiff: class embeddings from features."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F

from gzsl_bench.stacked import Linear, Maker
from gzsl_bench_feature_gan.adaptive import weighted_l1


class Decoder:
    """Features [D] -> leaky ReLU -> hidden units [K] -> class embeddings [A] of unit length.

    Attributes:
        hidden: the first layer.
        output: the second.
    """

    def __init__(self, make: Maker) -> None:
        """As many hidden units as the generator has."""
        units = make.config.generator_hidden
        self.hidden = make.linear("decoder/hidden", make.features, units, "leaky_relu")
        self.output = make.linear("decoder/output", units, make.attributes)

    @property
    def layers(self) -> list[Linear]:
        """What an optimiser needs."""
        return [self.hidden, self.output]

    def error(self, features: torch.Tensor, attributes: torch.Tensor) -> torch.Tensor:
        """[R] weighted L1 error of the class embeddings [R, B, A] decoded from [R, B, D]."""
        return weighted_l1(F.normalize(self.output(self.hidden(features)), dim=-1), attributes)

    def of(self, run: int) -> Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
        """Features of one run -> hidden units and class embeddings, for inference."""
        hidden, output = self.hidden.of(run), self.output.of(run)

        def decode(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            units = hidden(features)
            return units, F.normalize(output(units), dim=-1)

        return decode
