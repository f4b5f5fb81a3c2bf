"""SAE: semantic auto-encoder (Kodirov, Xiang and Gong), in closed form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional

from gzsl_bench import (
    BatchedMethod,
    Config,
    DatasetInfo,
    MethodSpec,
    Run,
    Scorer,
    Task,
    stackable,
)
from gzsl_bench_classic.shared import (
    ClassStatistics,
    Tridiagonal,
    class_statistics,
    tridiagonal,
)

#: (to_attributes_penalty, to_features_penalty), chosen for GZSL by mvp18 on validation classes.
_PENALTIES = {
    "CUB": (80.0, 0.2),
    "AWA1": (3.2, 0.8),
    "AWA2": (0.8, 0.2),
    "APY": (0.16, 2.56),
    "SUN": (0.32, 0.08),
}


class SAEConfig(Config):
    """Hyper-parameters of SAE."""

    direction: Literal["to_attributes", "to_features"] = Field(
        "to_attributes",
        description="compare projected features with class embeddings (F to S), or features with"
        " projected class embeddings (S to F)",
    )
    to_attributes_penalty: float = stackable(
        1.0, "lambda, weight of the encoder's error, where F to S is scored", gt=0
    )
    to_features_penalty: float = stackable(
        0.2, "lambda, weight of the encoder's error, where S to F is scored", gt=0
    )

    @property
    def penalty(self) -> float:
        """The lambda of the direction in use."""
        return (
            self.to_attributes_penalty
            if self.direction == "to_attributes"
            else self.to_features_penalty
        )


def solve(
    form: Tridiagonal, classes: ClassStatistics, attributes: torch.Tensor, penalty: float
) -> torch.Tensor:
    """W [A, D] that minimises ||X - W'S||^2 + lambda ||W X - S||^2, X [D, N], S [A, N].

    With SS' = U diag(alpha) U' and XX' = Q T Q' its Sylvester equation
    SS' W + W (lambda XX') = (1 + lambda) S X' falls into A systems for the rows w_i of U'W,
    (alpha_i I + lambda T) (Q' w_i) = (1 + lambda) Q' (X S' u_i), each solved in O(D).  Where
    alpha_i is 0 so is S' u_i, and w_i = 0 is the solution of least norm.

    Args:
        form: of XX'.
        classes: statistics of the seen classes.
        attributes: [S, A] embeddings of the seen classes.
        penalty: lambda.
    """
    from scipy.linalg import solve_banded

    alpha, axes = torch.linalg.eigh(attributes.T @ (classes.counts[:, None] * attributes))
    tiny = torch.finfo(torch.float64).eps * max(len(alpha), len(form.diagonal))
    kept = alpha > tiny * alpha[-1]
    alpha, axes = alpha[kept], axes[:, kept]
    # X S' u is made of S' u: the other way round, rounding would leave the range of X.
    right = form.turn(classes.sums.T @ ((1 + penalty) * attributes @ axes)).cpu().numpy()
    bands = functional.pad(penalty * form.beside, (1, 1)).cpu().numpy()
    bands = np.stack([bands[:-1], penalty * form.diagonal.cpu().numpy(), bands[1:]])
    solved = np.empty_like(right)
    for column, shift in enumerate(alpha.tolist()):
        shifted = bands.copy()
        shifted[1] += shift
        solved[:, column] = solve_banded((1, 1), shifted, right[:, column], overwrite_ab=True)
    rows = form.turn(torch.from_numpy(solved).to(axes.device), back=True)
    found: torch.Tensor = axes @ rows.T
    return found


class SAE(BatchedMethod):
    """A linear auto-encoder whose code is the class embedding, with tied weights W [A, D].

    Features x are compared with class embeddings a_c [C, A] by cosine, with the rows of W at unit
    length: cos(W x, a_c), or cos(x, W' a_c).  Training rows have unit length.

    The released demos score per sample, one of them with a ridge regression before and z-scores
    over the test samples; neither is done here.
    """

    Config = SAEConfig
    stacks_on_cpu = True

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, Any]:
        """The penalties of a public re-implementation (mvp18), chosen on validation classes."""
        if dataset.name not in _PENALTIES:
            return {}
        forth, back = _PENALTIES[dataset.name]
        return {"to_attributes_penalty": forth, "to_features_penalty": back}

    def fit_batch(self, task: Task, runs: Sequence[Run]) -> list[Scorer]:
        """Solve the Sylvester equation for every penalty with one tridiagonal form."""
        attributes = task.attributes.double()
        parts = task.shared(tridiagonal), task.shared(class_statistics), attributes[task.seen]
        configs: list[Any] = [run.config for run in runs]
        return [_scorer(config, attributes, solve(*parts, config.penalty)) for config in configs]


def _scorer(config: SAEConfig, attributes: torch.Tensor, found: torch.Tensor) -> Scorer:
    weights = functional.normalize(found, dim=1)
    if config.direction == "to_features":
        prototypes = functional.normalize(attributes @ weights, dim=1)
        return Scorer(
            embed=lambda x: functional.normalize(x.double(), dim=1),
            score=lambda e: e @ prototypes.T,
        )
    targets = functional.normalize(attributes, dim=1)
    return Scorer(
        embed=lambda x: functional.normalize(x.double() @ weights.T, dim=1),
        score=lambda e: e @ targets.T,
    )


SPEC = MethodSpec(
    name="sae",
    factory=SAE,
    citation="Kodirov, Xiang and Gong, Semantic autoencoder for zero-shot learning, CVPR 2017",
    version="2",
    fidelity="official-code",
    family="Embedding",
    preprocessing="l2",
    deterministic=True,
    summary="A linear auto-encoder through the class embedding, solved as a Sylvester equation.",
)
