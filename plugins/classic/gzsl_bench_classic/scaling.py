"""Scaling of features as part of a recipe.

Margins and learning rates of DeViSE and SJE were chosen together with the scale of the features,
and differently on each data set.  What a method declares as its preprocessing is one for all data
sets; so these recipes bring their own, on top of what the harness does (by default nothing).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import torch
from pydantic import Field

Scaling: TypeAlias = Literal["none", "l2", "zscore"]


def scaling_field(default: Scaling) -> Any:
    """The configuration field ``scaling``."""
    return Field(
        default,
        description="features as they are, each row to unit length, or each dimension to mean 0 "
        "and deviation 1 over the training rows; on top of the harness's preprocessing",
    )


def fit_scaling(scaling: Scaling, rows: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Fit ``scaling`` on training rows [N, D]; the result takes and gives rows [n, D]."""
    if scaling == "none":
        return unchanged
    if scaling == "l2":
        return torch.nn.functional.normalize
    exact = rows.double()
    mean, deviation = exact.mean(0), exact.std(0, correction=0)
    # A constant dimension has a deviation of rounding errors; dividing by it would make noise.
    constant = rows.amax(0) == rows.amin(0)
    deviation = deviation.masked_fill(constant | (deviation == 0), 1)
    mean, deviation = mean.float(), deviation.float()
    return lambda x: (x - mean) / deviation


def unchanged(features: torch.Tensor) -> torch.Tensor:
    """The features as they are; all checkpoints share it."""
    return features
