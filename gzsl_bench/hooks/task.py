"""What a method is allowed to see of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Task:
    """Training rows of seen classes, and the embedding of every class.

    Nothing of the test set is in here, nor the data set's name.  A validation fold is a ``Task``
    like any other: its class ids are dense and truly unseen classes are absent from it.

    Attributes:
        features: [N, D] float32, preprocessed, in the order of ``trainval_loc``.
        labels: [N] int64, class ids in ``0..C-1``; only ids of ``seen`` occur.
        attributes: [C, A] float32, one class embedding a row.
        seen: [S] int64, ascending ids of the classes with training rows.
        unseen: [U] int64, ascending ids of the classes without.
        unlabelled: [M, D] float32 test features in shuffled order; only in a transductive setting,
            otherwise None.
    """

    features: torch.Tensor
    labels: torch.Tensor
    attributes: torch.Tensor
    seen: torch.Tensor
    unseen: torch.Tensor
    unlabelled: torch.Tensor | None = None

    @property
    def num_classes(self) -> int:
        """C, seen and unseen classes together."""
        return int(self.attributes.shape[0])

    @property
    def device(self) -> torch.device:
        """Where all tensors of the task live."""
        return self.features.device
