"""What several methods compute from the same training rows, once per task.

Each function goes to ``task.shared``; results are read-only and in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gzsl_bench import Task

#: Columns of X'X that are computed at a time.
_BLOCK = 512


@dataclass(frozen=True, eq=False)
class Gram:
    """X'X of the training features X [N, D].

    Attributes:
        lower: [D, D], of which the lower triangle counts.
        rows: N.
        mean: [D], taken off every row before; None where rows are as they are.
    """

    lower: torch.Tensor
    rows: int
    mean: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class Tridiagonal:
    """X'X = Q T Q' with T tridiagonal: half the work of eigenvectors, and T + c I is as simple.

    Attributes:
        diagonal: [D] of T.
        beside: [D - 1], T's other two diagonals.
        reflectors: [D - 1, D - 1] and
        scales: [D - 1], Householder reflectors of Q without its first row and column (1, 0, ...).
    """

    diagonal: torch.Tensor
    beside: torch.Tensor
    reflectors: torch.Tensor
    scales: torch.Tensor

    def turn(self, columns: torch.Tensor, *, back: bool = False) -> torch.Tensor:
        """Q' ``columns`` [D, K], or Q ``columns`` on the way back."""
        rest = torch.ormqr(self.reflectors, self.scales, columns[1:], transpose=not back)
        return torch.cat([columns[:1], rest])


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


def gram(task: Task) -> Gram:
    """X'X, what closed forms spend most of their time on."""
    return _gram(task.features.double(), None)


def scatter(task: Task) -> Gram:
    """The same of rows about their mean: what is left to a classifier with a bias."""
    features = task.features.double()
    mean = features.mean(0)
    return _gram(features - mean, mean)


def _gram(features: torch.Tensor, mean: torch.Tensor | None) -> Gram:
    """The lower triangle in columns of blocks: torch has no product that knows of symmetry."""
    size = features.shape[1]
    lower = features.new_zeros(size, size)
    for start in range(0, size, _BLOCK):
        columns = slice(start, start + _BLOCK)
        torch.mm(features[:, start:].T, features[:, columns], out=lower[start:, columns])
    return Gram(lower, len(features), mean)


def tridiagonal(task: Task) -> Tridiagonal:
    """The tridiagonal form of X'X: one for all penalties (LAPACK's, which torch does not offer)."""
    from scipy.linalg import lapack

    lower = task.shared(gram).lower
    packed = lower.cpu().numpy().copy(order="F")
    if len(packed) == 1:  # LAPACK's wrapper wants an off-diagonal
        nothing = lower.new_zeros(0)
        return Tridiagonal(lower[0], nothing, nothing.view(0, 0), nothing)
    work = int(lapack.dsytrd_lwork(len(packed), lower=1)[0])
    packed, *rest, _ = lapack.dsytrd(packed, lower=1, lwork=work, overwrite_a=1)
    diagonal, beside, scales, reflectors = (
        torch.from_numpy(part).to(lower.device) for part in (*rest, packed[1:, :-1])
    )
    return Tridiagonal(diagonal, beside, reflectors, scales)


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
