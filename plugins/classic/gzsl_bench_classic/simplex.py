"""Class embeddings as mixtures of other classes' embeddings: quadratic programs, solved exactly."""

from __future__ import annotations

import torch

#: Gradient steps between two attempts to guess which weights are zero, and at most.
_STEPS, _ROUNDS = 100, 200
#: How far a multiplier may be on the wrong side of zero, beside the size of the problem.
_SLACK = 1e-10


def mixtures(points: torch.Tensor, corners: torch.Tensor, ridge: float) -> torch.Tensor:
    """The w on the simplex that minimise ||a - sum_s w_s a_s||^2 / 2 + (ridge / 2) ||w||^2.

    Accelerated projected gradient steps find which weights are zero; the others then follow from
    one linear system, and are right where the optimality conditions hold.

    Args:
        points: a, [C, A].
        corners: a_s, [S, A].
        ridge: greater than 0, so that the solution is unique.

    Returns:
        [C, S] float64, rows on the simplex.
    """
    points, corners = points.double(), corners.double()
    gram = corners @ corners.T
    gram.diagonal().add_(ridge)
    linear = points @ corners.T
    steepest = float(torch.linalg.eigvalsh(gram)[-1])
    root = (ridge / steepest) ** 0.5
    momentum = (1 - root) / (1 + root)

    weights = project(linear / steepest)
    ahead = weights
    exact = torch.zeros_like(weights)
    todo = list(range(len(points)))
    for _ in range(_ROUNDS):
        for _ in range(_STEPS):
            before, weights = weights, project(ahead - (ahead @ gram - linear) / steepest)
            ahead = weights + momentum * (weights - before)
        for point in list(todo):
            solved = _on_support(gram, linear[point], weights[point] > 0)
            if solved is not None:
                exact[point] = solved
                todo.remove(point)
        if not todo:
            return exact
    exact[todo] = weights[todo]
    return exact


def project(rows: torch.Tensor) -> torch.Tensor:
    """The nearest point of the simplex to each row of [C, S]."""
    ordered = rows.sort(1, descending=True).values
    excess = ordered.cumsum(1) - 1
    count = torch.arange(1, rows.shape[1] + 1, dtype=rows.dtype, device=rows.device)
    kept = (ordered * count > excess).sum(1, keepdim=True)
    shift = excess.gather(1, kept - 1) / kept
    return (rows - shift).clamp_(min=0.0)


def _on_support(
    gram: torch.Tensor, linear: torch.Tensor, support: torch.Tensor
) -> torch.Tensor | None:
    """The minimiser if ``support`` [S] holds its nonzero weights, otherwise None."""
    chosen = support.nonzero()[:, 0]
    size = len(chosen)
    system = gram.new_ones(size + 1, size + 1)
    system[:size, :size] = gram[chosen][:, chosen]
    system[size, size] = 0
    right = torch.cat([linear[chosen], linear.new_ones(1)])
    solved = torch.linalg.solve(system, right)
    weights = torch.zeros_like(linear)
    weights[chosen] = solved[:size]
    # Gradient plus the constraint's multiplier: 0 on the support, at least 0 off it.
    multipliers = gram @ weights - linear + solved[size]
    slack = _SLACK * (1 + linear.abs().max())
    if bool((weights < -slack).any()) or bool((multipliers[~support] < -slack).any()):
        return None
    return weights.clamp_(min=0.0)
