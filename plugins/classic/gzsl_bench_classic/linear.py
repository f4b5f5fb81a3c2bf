"""Linear classifiers by L-BFGS in float64: softmax, logistic and squared-hinge losses.

All minimise the mean of a loss over rows plus penalty/2 ||W||^2.  The search runs in coordinates in
which the Hessian (of centred rows where there is a bias) is nearly the identity.  One Cholesky
factor gives them, and it takes tens of steps instead of hundreds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch.nn import functional

from gzsl_bench import Run, Task
from gzsl_bench_classic.shared import ClassStatistics, Gram, class_statistics, scatter

#: Scores [N, K] -> (the loss, its gradient [N, K]).
Loss: TypeAlias = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
Report: TypeAlias = Callable[[int, int], None]

MAX_ITERATIONS = 1000
#: Stop where no entry of the gradient (in the coordinates of the search) is larger ...
GRADIENT_TOLERANCE = 1e-7
#: ... or the loss falls by less than this share in a step.
LOSS_TOLERANCE = 1e-10
_MEMORY = 20


@dataclass(frozen=True, eq=False)
class Linear:
    """Scores x W + b of features x [N, D].

    Attributes:
        weights: [D, K] float64.
        bias: [K] float64.
    """

    weights: torch.Tensor
    bias: torch.Tensor

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Scores [N, K] in float64."""
        return features.double() @ self.weights + self.bias


def fit_linear(
    features: torch.Tensor,
    gram: Gram,
    loss: Loss,
    outputs: int,
    *,
    penalty: float,
    curvature: float,
    report: Report | None = None,
) -> Linear:
    """Minimise ``loss(X W + b) + penalty/2 ||W||^2`` over W [D, K] and b [K].

    With L L' = curvature X'X / N + penalty I the search variable is V = L'W, whose Hessian is near
    the identity where ``curvature`` is near the loss's.  By the same equation penalty ||W||^2 is
    ||V||^2 - curvature ||X W||^2 / N, which the scores give; a bias b, kept as curvature^1/2 b
    beside V, cancels in it where the columns of X sum to 0.

    Args:
        features: X [N, D].
        gram: of the same rows.  If about their mean, there is a bias b, without penalty, and X is
            centred; otherwise b is 0.
        loss: convex, with a continuous gradient; means over rows are its own business.
        outputs: K.
        penalty: weight of ||W||^2 / 2.
        curvature: typical second derivative of the loss in one score, times N.
        report: called with (steps done, steps at most).
    """
    from scipy.optimize import minimize

    rows, mean, share = features.double(), gram.mean, curvature / gram.rows
    factor = share * gram.lower
    factor.diagonal().add_(penalty)
    factor = torch.linalg.cholesky(factor)
    if mean is not None:
        rows = rows - mean
    rows = torch.linalg.solve_triangular(factor, rows.T, upper=False).T
    if mean is not None:
        rows = torch.cat([rows, rows.new_full((len(rows), 1), curvature**-0.5)], 1)
    shape = (rows.shape[1], outputs)
    steps = 0

    def objective(flat: Any) -> tuple[float, Any]:
        point = torch.from_numpy(flat).to(rows.device).view(shape)
        scores = rows @ point
        value, slope = loss(scores)
        value = value + 0.5 * (point.square().sum() - share * scores.square().sum())
        gradient = torch.addmm(point, rows.T, slope.sub_(scores, alpha=share))
        return float(value), gradient.flatten().cpu().numpy()

    def step(_: Any) -> None:
        nonlocal steps
        steps += 1
        if report is not None:
            report(steps, MAX_ITERATIONS)

    found = minimize(
        objective,
        torch.zeros(shape, dtype=torch.float64).flatten().numpy(),
        jac=True,
        method="L-BFGS-B",
        callback=step,
        options={
            "maxiter": MAX_ITERATIONS,
            "maxfun": 2 * MAX_ITERATIONS,
            "maxcor": _MEMORY,
            "gtol": GRADIENT_TOLERANCE,
            "ftol": LOSS_TOLERANCE,
        },
    )
    if report is not None:
        report(MAX_ITERATIONS, MAX_ITERATIONS)
    point = torch.from_numpy(found.x).to(rows.device).view(shape)
    weights = torch.linalg.solve_triangular(factor.T, point[: len(factor)], upper=True)
    if mean is None:
        return Linear(weights, weights.new_zeros(outputs))
    return Linear(weights, point[-1] * curvature**-0.5 - mean @ weights)


def softmax_loss(index: torch.Tensor) -> Loss:
    """Mean negative log-likelihood of the classes ``index`` [N]."""

    def loss(scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logs = functional.log_softmax(scores, 1)
        value = -logs.gather(1, index[:, None]).mean()
        slope = logs.exp_()
        slope.scatter_add_(1, index[:, None], slope.new_full((len(index), 1), -1.0))
        return value, slope.div_(len(index))

    return loss


def logistic_loss(targets: torch.Tensor) -> Loss:
    """Mean over rows, sum over columns, of the log-loss of 0/1 ``targets`` [N, K]."""

    def loss(scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        value = functional.softplus(scores).sum() - (scores * targets).sum()
        return value / len(targets), (scores.sigmoid() - targets).div_(len(targets))

    return loss


def squared_hinge_loss(signs: torch.Tensor) -> Loss:
    """Mean over rows and columns of max(0, 1 - signs * scores)^2, signs [N, K] of -1 and 1."""

    def loss(scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        short = (1 - signs * scores).clamp_(min=0.0)
        return short.square().mean(), (-2 / signs.numel()) * signs * short

    return loss


class SeenSoftmax:
    """Softmax regression among the seen classes of one task, fitted once per cost."""

    def __init__(self, features: torch.Tensor, gram: Gram, classes: ClassStatistics) -> None:
        self._features, self._gram, self._classes = features, gram, classes
        self._fitted: dict[float, Linear] = {}

    def at(self, cost: float, run: Run) -> Linear:
        """Logits of the S seen classes; minimises cost * (sum of the NLL) + ||W||^2 / 2."""
        if cost not in self._fitted:
            count = len(self._classes.counts)
            self._fitted[cost] = fit_linear(
                self._features,
                self._gram,
                softmax_loss(self._classes.index),
                count,
                penalty=1 / (cost * self._gram.rows),
                curvature=1 / count,
                report=run.progress,
            )
        return self._fitted[cost]


def seen_softmax(task: Task) -> SeenSoftmax:
    """The seen-class classifier that IAP and ConSE both start from, for ``task.shared``."""
    return SeenSoftmax(task.features, task.shared(scatter), task.shared(class_statistics))
