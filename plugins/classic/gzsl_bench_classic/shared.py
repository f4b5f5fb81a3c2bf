"""What several methods compute from the same training rows, once per task.

Each function goes to ``task.shared``; results are read-only and in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gzsl_bench import Task


@dataclass(frozen=True, eq=False)
class GramEigen:
    """X'X = Q diag(values) Q' of the training features X [N, D].

    Attributes:
        values: [D], ascending; what rounding made negative is 0.
        vectors: [D, D], one eigenvector a column.
        rows: N.
        mean: [D], taken off every row before; None where rows are as they are.
    """

    values: torch.Tensor
    vectors: torch.Tensor
    rows: int
    mean: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class ClassStatistics:
    """Moments of the training rows of each seen class, in the order of ``task.seen``.

    Attributes:
        counts: [S] number of rows.
        sums: [S, D].
        means: [S, D].
        variances: [S, D], with divisor n (maximum likelihood), so that one row gives 0.
        index: [N] which seen class a training row belongs to, 0..S-1.
    """

    counts: torch.Tensor
    sums: torch.Tensor
    means: torch.Tensor
    variances: torch.Tensor
    index: torch.Tensor


def gram_eigen(task: Task) -> GramEigen:
    """Eigenvalues and eigenvectors of X'X, the one factorisation closed forms need."""
    return _eigen(task.features.double(), None)


def scatter_eigen(task: Task) -> GramEigen:
    """The same of rows about their mean: what is left to a classifier with a bias."""
    features = task.features.double()
    mean = features.mean(0)
    return _eigen(features - mean, mean)


def _eigen(features: torch.Tensor, mean: torch.Tensor | None) -> GramEigen:
    values, vectors = torch.linalg.eigh(features.T @ features)
    return GramEigen(values.clamp(min=0.0), vectors, len(features), mean)


def class_statistics(task: Task) -> ClassStatistics:
    """Count, sum, mean and variance of every seen class."""
    features = task.features.double()
    index = torch.searchsorted(task.seen, task.labels)
    counts = torch.bincount(index, minlength=len(task.seen)).double()
    sums = features.new_zeros(len(task.seen), features.shape[1]).index_add_(0, index, features)
    means = sums / counts[:, None]
    squares = (features - means[index]).square_()
    variances = torch.zeros_like(sums).index_add_(0, index, squares) / counts[:, None]
    return ClassStatistics(counts, sums, means, variances, index)
