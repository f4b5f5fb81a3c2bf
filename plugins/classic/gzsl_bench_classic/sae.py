"""SAE: semantic auto-encoder (Kodirov, Xiang and Gong), in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch.nn import functional

from gzsl_bench import Config, DatasetInfo, Method, MethodSpec, Run, Scorer, Task
from gzsl_bench_classic.shared import ClassStatistics, GramEigen, class_statistics, gram_eigen

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
    to_attributes_penalty: float = Field(
        1.0, gt=0, description="lambda, weight of the encoder's error, where F to S is scored"
    )
    to_features_penalty: float = Field(
        0.2, gt=0, description="lambda, weight of the encoder's error, where S to F is scored"
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
    eigen: GramEigen, classes: ClassStatistics, attributes: torch.Tensor, penalty: float
) -> torch.Tensor:
    """W [A, D] that minimises ||X - W'S||^2 + lambda ||W X - S||^2, X [D, N], S [A, N].

    Its Sylvester equation SS' W + W (lambda XX') = (1 + lambda) S X' is diagonal in the
    eigenvectors U of SS' and Q of XX': W = U [U'CQ / (alpha_i + lambda beta_j)] Q' with C the right
    side.  Where alpha_i is 0 so is row i of U'CQ, and W is the solution of least norm; likewise
    beta_j and column j.

    Args:
        eigen: of XX'.
        classes: statistics of the S seen classes.
        attributes: [S, A] embeddings of the seen classes.
        penalty: lambda.
    """
    alpha, left = torch.linalg.eigh(attributes.T @ (classes.counts[:, None] * attributes))
    right = (1 + penalty) * (left.T @ (attributes.T @ classes.sums) @ eigen.vectors)
    tiny = torch.finfo(torch.float64).eps * max(right.shape)
    right[alpha <= tiny * alpha.max()] = 0
    right[:, eigen.values <= tiny * eigen.values.max()] = 0
    denominator = alpha.clamp(min=0)[:, None] + penalty * eigen.values
    solved = torch.where(right != 0, right / denominator, 0)
    found: torch.Tensor = left @ solved @ eigen.vectors.T
    return found


class SAE(Method):
    """A linear auto-encoder whose code is the class embedding, with tied weights W [A, D].

    Features x are compared with class embeddings a_c [C, A] by cosine, with the rows of W at unit
    length: cos(W x, a_c), or cos(x, W' a_c).  Training rows have unit length.

    The released demos score per sample, one of them with a ridge regression before and z-scores
    over the test samples; neither is done here.
    """

    Config = SAEConfig

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, Any]:
        """The penalties of a public re-implementation (mvp18), chosen on validation classes."""
        if dataset.name not in _PENALTIES:
            return {}
        forth, back = _PENALTIES[dataset.name]
        return {"to_attributes_penalty": forth, "to_features_penalty": back}

    def fit(self, task: Task, run: Run) -> Scorer:
        """Solve the Sylvester equation with the eigenvectors that closed forms share."""
        attributes = task.attributes.double()
        classes = task.shared(class_statistics)
        found = solve(task.shared(gram_eigen), classes, attributes[task.seen], self.config.penalty)
        weights = functional.normalize(found, dim=1)
        if self.config.direction == "to_features":
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
    version="1",
    fidelity="official-code",
    preprocessing="l2",
    deterministic=True,
    summary="A linear auto-encoder through the class embedding, solved as a Sylvester equation.",
)
