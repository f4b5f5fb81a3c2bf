"""ALE: attribute label embedding (Akata et al., CVPR 2013, TPAMI 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch

from gzsl_bench import MethodSpec, stackable
from gzsl_bench_classic.ranking import Array, Choice, RankingConfig, RankingMethod, wrong_classes


class ALEConfig(RankingConfig):
    """Hyper-parameters of ALE; defaults are CUB's."""

    lr: float = stackable(0.1, "learning rate of plain SGD, one image a step", gt=0)
    margin: float = stackable(1.0, "by how much the true class has to win (paper: 1)", gt=0)


#: From the file names of the models that the GBU benchmark ships.
RATES = {"CUB": 0.1, "SUN": 0.1, "AWA1": 1e-3, "AWA2": 1e-3, "APY": 1e-3}


class ALE(RankingMethod):
    """Weighted approximate ranking: (beta_r / r) sum_c [1 + F(x, c) - F(x, y)]+, F = x'W a_c.

    For each image wrong seen classes are drawn, with replacement, until one violates the margin; if
    that is the n-th draw, the rank r is taken to be floor((C - 1) / n) and W += lr beta_r
    x (a_y - a_c)', beta_r = 1 + 1/2 + ... + 1/r.  After C - 1 draws the image is left alone.
    Entries of W are drawn from N(0, 1/D).  Rates and the 50 epochs are those of the GBU benchmark's
    models, as their file names tell; data sets without one take CUB's.
    """

    Config = ALEConfig
    recipes: ClassVar = {name: {"lr": rate} for name, rate in RATES.items()}

    def chooser(self, streams: Sequence[torch.Generator], labels: Array, classes: int) -> Choice:
        """The first violator among C - 1 draws."""
        runs, length = np.arange(len(labels)), labels.shape[1]
        wrong = classes - 1
        drawn = np.stack(
            [
                wrong_classes(
                    torch.randint(wrong, (length, wrong), generator=stream),
                    torch.from_numpy(true)[:, None],
                ).numpy()
                for stream, true in zip(streams, labels, strict=True)
            ]
        )
        weights = rank_weights(wrong)

        def choose(slack: Array, step: int) -> tuple[Array, Array]:
            looked_at = drawn[:, step]
            violates = slack[runs[:, None], looked_at] > 0
            first = violates.argmax(1)
            weight = np.where(violates[runs, first], weights[wrong // (first + 1)], 0)
            return looked_at[runs, first], weight.astype(slack.dtype)

        return choose

    def losses(self, slacks: Array) -> Array:
        """The weighted ranking loss, r being the number of violators."""
        ranks = (slacks > 0).sum(2)
        weights = rank_weights(slacks.shape[2] - 1)[ranks] / np.maximum(ranks, 1)
        losses: Array = weights * np.maximum(slacks, 0).sum(2)
        return losses


def rank_weights(largest: int) -> Array:
    """beta_0 to beta_largest: beta_r = 1 + 1/2 + ... + 1/r, beta_0 = 0."""
    return np.concatenate([[0.0], np.cumsum(1 / np.arange(1, largest + 1))])


SPEC = MethodSpec(
    name="ale",
    factory=ALE,
    citation="Akata et al., Label-Embedding for Image Classification, TPAMI 2016",
    version="1",
    fidelity="paper",
    family="Embedding",
    preprocessing="l2",
    summary="Bilinear compatibility trained with a weighted approximate ranking loss.",
)
