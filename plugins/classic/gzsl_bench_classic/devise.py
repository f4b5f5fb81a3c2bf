"""DeViSE: a deep visual-semantic embedding model (Frome et al., NIPS 2013), its linear map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from gzsl_bench import MethodSpec, stackable
from gzsl_bench_classic.ranking import Array, Choice, RankingConfig, RankingMethod
from gzsl_bench_classic.scaling import Scaling, scaling_field


class DeViSEConfig(RankingConfig):
    """Hyper-parameters of DeViSE; defaults are CUB's."""

    lr: float = stackable(1.0, "learning rate of plain SGD, one image a step", gt=0)
    margin: float = stackable(1.0, "by how much the true class has to win", gt=0)
    scaling: Scaling = scaling_field("l2")


#: Validated by a public re-implementation (mvp18).
RECIPES = {
    "CUB": {"lr": 1.0, "margin": 1.0, "scaling": "l2"},
    "SUN": {"lr": 0.01, "margin": 3.0, "scaling": "none"},
    "AWA1": {"lr": 0.01, "margin": 200.0, "scaling": "zscore"},
    "AWA2": {"lr": 0.001, "margin": 150.0, "scaling": "zscore"},
    "APY": {"lr": 1.0, "margin": 1.0, "scaling": "l2"},
}


class DeViSE(RankingMethod):
    """Pairwise hinge sum_c [margin + F(x, c) - F(x, y)]+ over wrong classes, F(x, c) = x'W a_c.

    As its authors recommend, an image updates W for the first wrong class found to violate the
    margin: W += lr x (a_y - a_c)'.  Filled in: the classes are looked at in an order drawn anew for
    every image, so that no class is favoured (the public code goes by class number); W starts as
    ALE's does, epochs are 50 (the original stops by validation), and data sets without a recipe
    take CUB's.
    """

    Config = DeViSEConfig
    recipes = RECIPES

    def chooser(self, streams: Sequence[torch.Generator], labels: Array, classes: int) -> Choice:
        """The violator that comes first: classes are looked at by falling random keys."""
        runs, length = np.arange(len(labels)), labels.shape[1]
        # Keys of 53 bits: a tie, which argmax would break by class number, does not happen.
        keys = np.stack(
            [
                torch.rand(length, classes, generator=stream, dtype=torch.float64).numpy()
                for stream in streams
            ]
        )

        def choose(slack: Array, step: int) -> tuple[Array, Array]:
            violators = np.where(slack > 0, keys[:, step], -1.0)
            rival = violators.argmax(1)
            return rival, (violators[runs, rival] >= 0).astype(slack.dtype)

        return choose

    def losses(self, slacks: Array) -> Array:
        """The hinges of all wrong classes, summed."""
        losses: Array = np.maximum(slacks, 0).sum(2)
        return losses


SPEC = MethodSpec(
    name="devise",
    factory=DeViSE,
    citation="Frome et al., DeViSE: A Deep Visual-Semantic Embedding Model, NIPS 2013",
    version="1",
    fidelity="approximation",
    family="Embedding",
    preprocessing="none",
    summary="Bilinear compatibility trained with a pairwise hinge: the first violator is corrected.",  # noqa: E501
)
