"""ESZSL: an embarrassingly simple approach to zero-shot learning, in closed form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field

from gzsl_bench import Config, Method, MethodSpec, Run, Scorer, Task, hookimpl


class ESZSLConfig(Config):
    """Hyper-parameters of ESZSL."""

    feature_penalty: float = Field(1.0, gt=0, description="gamma, added to the diagonal of X'X")
    attribute_penalty: float = Field(0.1, gt=0, description="lambda, added to the diagonal of S'S")
    targets: Literal["01", "pm1"] = Field(
        "01", description="target of a row's other classes: 0 (public code) or -1 (paper)"
    )


class ESZSL(Method):
    """V = (X'X + gamma I)^-1 X'Y S (S'S + lambda I)^-1 with score x'V a (Romera-Paredes, Eq. 5).

    X [N, D] are the features, S [K, A] the embeddings of the K seen classes (others play no part
    in the fit), Y [N, K] the targets.  Everything is solved and scored in float64.
    """

    Config = ESZSLConfig

    def fit(self, task: Task, run: Run) -> Scorer:
        """Solve for the [D, A] matrix between features and class embeddings."""
        features, attributes = task.features.double(), task.attributes.double()
        classes = attributes[task.seen]
        target = (task.labels[:, None] == task.seen).double()
        if self.config.targets == "pm1":
            target = 2 * target - 1
        left = features.T @ features
        left.diagonal().add_(self.config.feature_penalty)
        right = classes.T @ classes
        right.diagonal().add_(self.config.attribute_penalty)
        fitted = torch.linalg.solve(left, features.T @ (target @ classes))
        weights = torch.linalg.solve(right, fitted, left=False)
        return Scorer(embed=lambda x: x.double() @ weights, score=lambda e: e @ attributes.T)


@hookimpl
def gzsl_bench_methods() -> Iterator[MethodSpec]:
    """The one method of this plugin."""
    yield MethodSpec(
        name="eszsl",
        factory=ESZSL,
        citation="Romera-Paredes and Torr, An embarrassingly simple approach to zero-shot learning, ICML 2015",  # noqa: E501
        version="1",
        fidelity="paper",
        preprocessing="minmax",
        deterministic=True,
        summary="Bilinear compatibility between features and class embeddings, in closed form.",
    )
