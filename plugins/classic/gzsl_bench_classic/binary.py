"""Binary class attributes, and the Bayes rule that DAP and IAP share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from pydantic import Field

from gzsl_bench import Config, DatasetInfo, Method, NotApplicable, Task

Binarize: TypeAlias = Literal["none", "mean"]

#: Data sets whose ``att`` holds attribute strengths, which GBU thresholds at the mean.
_STRENGTHS = ("CUB", "SUN", "AWA1", "AWA2", "APY")
#: Probabilities are kept this far from 0 and 1.
CLIP = 1e-6


@dataclass(frozen=True, eq=False)
class BinaryAttributes:
    """Attributes that tell seen classes apart.

    Attributes:
        table: [C, M] of 0 and 1, float64.
        prior: [M], share of the seen classes that have the attribute; neither 0 nor 1.
    """

    table: torch.Tensor
    prior: torch.Tensor

    def scores(self, present: torch.Tensor) -> torch.Tensor:
        """Sum of log p(a_m = a_m^c | x) / p(a_m = a_m^c) over m: the log-posterior plus a constant.

        Args:
            present: p(a_m = 1 | x), [N, M].

        Returns:
            [N, C] float64.
        """
        present = present.double().clamp(CLIP, 1 - CLIP)
        have = present.log() - self.prior.log()
        lack = torch.log1p(-present) - torch.log1p(-self.prior)
        return have @ self.table.T + lack @ (1 - self.table).T


class BinaryConfig(Config):
    """What DAP and IAP do with a class embedding that is not binary."""

    binarize: Binarize = Field(
        "none",
        description="where the class embedding is not 0/1: refuse (none), or 1 above the mean over"
        " the seen classes (mean)",
    )


class BinaryMethod(Method):
    """A method of binary class attributes."""

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, Any]:
        """Known attribute strengths are thresholded at their means."""
        known = dataset.name in _STRENGTHS and dataset.attributes in ("att", "original_att")
        return {"binarize": "mean"} if known else {}


def binary_attributes(task: Task, how: Binarize, method: str) -> BinaryAttributes:
    """The task's class embedding as binary attributes.

    An embedding of zeros and ones is taken as it is.  Attributes that all seen classes share (or
    lack) say nothing, and are dropped.

    Args:
        task: whose embeddings to take.
        how: ``mean`` sets an attribute of other values to 1 where it exceeds its mean over the seen
            classes; ``none`` refuses it.
        method: who asks, for the message.

    Raises:
        NotApplicable: the embedding is not binary and may not be made so, or has no attribute
            that tells seen classes apart.
    """
    values = task.attributes.double()
    if not bool(((values == 0) | (values == 1)).all()):
        if how == "none":
            raise NotApplicable(
                f"{method} needs binary class attributes, and this class embedding holds other"
                " values than 0 and 1; if they are attribute strengths, `binarize: mean` sets each"
                " to 1 above its mean"
            )
        values = (values > values[task.seen].mean(0)).double()
    prior = values[task.seen].mean(0)
    telling = (prior > 0) & (prior < 1)
    if not bool(telling.any()):
        raise NotApplicable(
            f"{method} needs an attribute that some seen classes have and others lack, and this"
            " class embedding has none"
        )
    return BinaryAttributes(values[:, telling], prior[telling])
