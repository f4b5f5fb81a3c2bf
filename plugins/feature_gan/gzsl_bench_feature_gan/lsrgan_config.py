"""Hyper-parameters of LsrGAN, and the released values of each data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from gzsl_bench import stackable
from gzsl_bench_feature_gan.config import GANConfig


class LsrGANConfig(GANConfig):
    """Hyper-parameters of LsrGAN (released code: clswgan.py); defaults are CUB's."""

    epochs: int = Field(40, ge=1, description="epochs of ceil(rows / batch) generator steps each")
    evaluate_every: int = Field(1, ge=0, description="score after every so many epochs")
    seen_epochs: int = Field(50, ge=1, description="epochs of the classifier on real features")
    seen_batch: int = Field(100, ge=1, description="rows in a step of it")
    classifier: Literal["joint", "softmax"] = Field(
        "joint", description="what is scored: the jointly trained one, or f-CLSWGAN's final softmax"
    )
    classification: float = stackable(0.01, "weight of the seen classes' NLL", ge=0)
    halved_at: int | None = Field(
        None, ge=1, description="epochs after which that weight is halved; none: never"
    )
    unseen_classification: float = stackable(0.03, "weight of the unseen classes' NLL", ge=0)
    centroids: float = stackable(1.0, "weight of class means' distances to centroids", ge=0)
    sr_loss: Literal["off", "grad"] = Field(
        "off", description="the SR-loss of the paper; off: as released, where it has no gradient"
    )
    similarity: float = stackable(20.0, "weight of the SR-loss", ge=0)
    neighbours: int = Field(20, ge=1, description="seen classes that a class is compared with")
    band: float = stackable(0.1, "half the width of the band of similarities (paper: eps)", ge=0)
    recalled: bool = Field(
        True, description="the unseen step repeats the seen step's gradient, as released"
    )


_AWA = {
    "lr": 1e-5, "epochs": 18, "samples": 1800, "classification": 1e-3, "halved_at": 15,
    "unseen_classification": 0.1, "band": 0.15,
}  # fmt: skip
#: The released scripts for generalized zero-shot learning.  There are none of AWA2, which takes
#: AWA1's, and aPY, which takes those of Yue et al. (2024) and f-CLSWGAN's rate.
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "CUB": {"lr": 1e-4, "epochs": 40, "samples": 300},
    "SUN": {
        "lr": 2e-4, "epochs": 20, "samples": 400, "classification": 0.03,
        "unseen_classification": 0.01, "similarity": 10.0,
    },
    "AWA1": _AWA,
    "AWA2": _AWA,
    "APY": {"lr": 1e-5, "epochs": 18, "samples": 1600},
}  # fmt: skip
