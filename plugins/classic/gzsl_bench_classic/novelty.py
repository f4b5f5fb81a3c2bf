"""How novel an image is, seen from the training images' places in the space of class embeddings."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import torch

from gzsl_bench import Task
from gzsl_bench_classic.ridge import squared_distances

Detector: TypeAlias = Literal["gaussian", "loop"]

#: Rows [n, A] -> how novel they are [n]; what is compared with the threshold.
Novelty: TypeAlias = Callable[[torch.Tensor], torch.Tensor]

#: Distances computed at once.
_AT_ONCE = 1 << 24


def make_detector(config: Any, mapped: torch.Tensor, labels: torch.Tensor, task: Task) -> Novelty:
    """Fit the detector that ``config`` names.

    Args:
        config: a ``CMTStarConfig``.
        mapped: [N, A] training images in the space of class embeddings.
        labels: [N] their classes, numbered among the seen ones.
        task: for the class embeddings.

    Returns:
        Rows [n, A] -> [n], positive where they are more novel than the threshold: than the
        quantile of the training images' own novelty.
    """
    if config.detector == "gaussian":
        novelty = gaussian_novelty(mapped, labels, task.attributes[task.seen])
        own = novelty(mapped)
    else:
        novelty, own = loop_novelty(mapped, config.neighbours, config.extent)
    threshold = own.quantile(config.quantile)
    return lambda rows: novelty(rows) - threshold


def gaussian_novelty(mapped: torch.Tensor, labels: torch.Tensor, classes: torch.Tensor) -> Novelty:
    """Minus the largest log density among isotropic Gaussians, one for each seen class.

    A class has its embedding as mean, and the mean squared deviation of its images from it, by
    dimension, as variance.

    Args:
        mapped: [N, A] training images.
        labels: [N] their classes.
        classes: [S, A] embeddings of the seen classes.
    """
    count, width = classes.shape
    errors = (mapped - classes[labels]).square().mean(1)
    # In the order of the rows on every device: no run's numbers may depend on chance.
    member = torch.nn.functional.one_hot(labels, count).to(errors.dtype)
    variance = (member.T @ errors) / member.sum(0)
    variance = variance.clamp(min=1e-6 * float(variance.mean()) + 1e-30)
    offset = width * (2 * math.pi * variance).log()

    def novelty(rows: torch.Tensor) -> torch.Tensor:
        return 0.5 * (squared_distances(rows, classes) / variance + offset).amin(1)

    return novelty


def loop_novelty(
    mapped: torch.Tensor, neighbours: int, extent: float
) -> tuple[Novelty, torch.Tensor]:
    """LoOP, the local outlier probability (Kriegel et al., CIKM 2009), among training images.

    With d(x) the root mean squared distance of x from its k nearest training images,
    plof(x) = d(x) / mean of their d - 1, and LoOP(x) = erf(plof(x) / (lambda sqrt(2 E[plof^2]))).
    The probability is max(0, .) of that; where it would be 0, the order is kept here.

    Args:
        mapped: [N, A] training images.
        neighbours: k; all the others where there are fewer.
        extent: lambda.

    Returns:
        Rows [n, A] -> LoOP [n], and LoOP [N] of the training images among the others.
    """
    k = min(neighbours, len(mapped) - 1)
    distance, places = _nearest(mapped, mapped, k + 1, leave_out_self=True)
    local = distance.square().mean(1).sqrt()
    tiny = torch.finfo(mapped.dtype).tiny

    def plof(distance: torch.Tensor, around: torch.Tensor) -> torch.Tensor:
        return distance / around.mean(1).clamp(min=tiny) - 1

    own = plof(local, local[places])
    scale = (extent * math.sqrt(2) * own.square().mean().sqrt()).clamp(min=tiny)

    def novelty(rows: torch.Tensor) -> torch.Tensor:
        distance, places = _nearest(rows, mapped, k)
        return torch.erf(plof(distance.square().mean(1).sqrt(), local[places]) / scale)

    return novelty, torch.erf(own / scale)


def _nearest(
    rows: torch.Tensor, points: torch.Tensor, k: int, *, leave_out_self: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Distances and places [n, k] of the nearest points.

    Rows that are the points themselves leave themselves out, and get k - 1 neighbours.
    """
    found = []
    size = max(1, _AT_ONCE // len(points))
    for first in range(0, len(rows), size):
        squares = squared_distances(rows[first : first + size], points)
        if leave_out_self:
            here = torch.arange(len(squares), device=rows.device)
            squares[here, first + here] = math.inf
        found.append(squares.topk(k - leave_out_self, dim=1, largest=False))
    squares, places = (torch.cat(parts) for parts in zip(*found, strict=True))
    return squares.sqrt(), places
