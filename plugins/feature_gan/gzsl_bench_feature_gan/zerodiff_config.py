"""ZeroDiff's hyper-parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from gzsl_bench import stackable
from gzsl_bench_feature_gan.adaptive import AdaptiveConfig
from gzsl_bench_feature_gan.config import looks


class ZeroDiffConfig(AdaptiveConfig):
    """Hyper-parameters of ZeroDiff (released code: zerodiff_DFG_train.py); defaults are AWA2's."""

    lr: float = stackable(5e-4, "learning rate of critics, generator and encoder", gt=0)
    samples: int = Field(5400, ge=1, description="generated features of each unseen class")
    evaluate_every: int = looks(5)
    diffusion_steps: int = Field(4, ge=1, description="steps of noise (paper: T)")
    rate_first: float = Field(0.1, gt=0, description="rate of noise at the first time")
    rate_last: float = Field(20.0, gt=0, description="rate of noise at the last time")
    time_width: int | None = Field(
        None, ge=2, description="width of embedded times; none: that of a class embedding"
    )
    vae: float = stackable(1.0, "weight of reconstruction and KL term", ge=0)
    distillation: float = stackable(5.0, "weight of the critics' mutual distillation", ge=0)
    distillation_power: float = Field(
        1.5, ge=0, description="power of sqrt(alpha bar) that it is weighed with"
    )
    decoded: float = stackable(1.0, "weight of decoded class embeddings' error", ge=0)
    decoder_lr: float = stackable(1e-4, "learning rate of the decoder", gt=0)
    progressive: bool = Field(
        False, description="synthesise in all steps, from the last on; else in one"
    )
    classifier_input: Literal["V", "VS"] = Field(
        "V", description="features alone, or what the decoder makes of them beside"
    )
    second: bool = Field(
        True,
        description="generate features given those of a second set, where the data set's entry"
        " names one; else the first set stands alone",
    )


#: Numbers of samples of f-CLSWGAN's scripts: the released ones are known for AWA2 alone.
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "CUB": {"samples": 300},
    "SUN": {"samples": 400},
    "FLO": {"samples": 1200, "time_width": 64},
}
