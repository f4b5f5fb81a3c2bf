"""ESZSL: an embarrassingly simple approach to zero-shot learning, in closed form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import Field

from gzsl_bench import BatchedMethod, Config, MethodSpec, Run, Scorer, Task, hookimpl, stackable


class ESZSLConfig(Config):
    """Hyper-parameters of ESZSL."""

    feature_penalty: float = stackable(1.0, "gamma, added to the diagonal of X'X", gt=0)
    attribute_penalty: float = stackable(0.1, "lambda, added to the diagonal of S'S", gt=0)
    targets: Literal["01", "pm1"] = Field(
        "01", description="target of a row's other classes: 0 (public code) or -1 (paper)"
    )


class ESZSL(BatchedMethod):
    """V = (X'X + gamma I)^-1 X'Y S (S'S + lambda I)^-1 with score x'V a (Romera-Paredes, Eq. 5).

    X [N, D] are the features, S [K, A] the embeddings of the K seen classes (others play no part
    in the fit), Y [N, K] the targets.  Everything is solved and scored in float64.
    """

    Config = ESZSLConfig
    stacks_on_cpu = True  # X'X costs several times what a penalty does

    def fit_batch(self, task: Task, runs: Sequence[Run]) -> list[Scorer | None]:
        """Solve for the [D, A] matrix between features and class embeddings."""
        features, attributes = task.features.double(), task.attributes.double()
        classes = attributes[task.seen]
        target = (task.labels[:, None] == task.seen).double()
        if self.config.targets == "pm1":
            target = 2 * target - 1
        left, right = features.T @ features, classes.T @ classes
        middle = features.T @ (target @ classes)
        solved: dict[float, torch.Tensor] = {}

        def scorer(run: Run) -> Scorer | None:
            config: Any = run.config
            gamma, penalty = config.feature_penalty, config.attribute_penalty
            try:
                if gamma not in solved:
                    solved[gamma] = torch.cholesky_solve(middle, _factor(left, gamma))
                weights = torch.cholesky_solve(solved[gamma].T, _factor(right, penalty)).T
            except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
                run.fail(f"the penalties {gamma:g} and {penalty:g} are lost in rounding")
                return None
            return _scorer(weights, attributes)

        return [scorer(run) for run in runs]

    def restore(self, state: Mapping[str, torch.Tensor]) -> Scorer:
        """A scorer that was kept."""
        return _scorer(state["weights"], state["attributes"])


def _scorer(weights: torch.Tensor, attributes: torch.Tensor) -> Scorer:
    """X -> x'V a for every class; ``weights`` is V [D, A], ``attributes`` [C, A]."""
    return Scorer(
        embed=lambda x: x.double() @ weights,
        score=lambda e: e @ attributes.T,
        state=lambda: {"weights": weights, "attributes": attributes},
    )


def _factor(gram: torch.Tensor, penalty: float) -> torch.Tensor:
    """L with L L' = gram + penalty I."""
    ridge = gram.clone()
    ridge.diagonal().add_(penalty)
    factor: torch.Tensor = torch.linalg.cholesky(ridge)
    return factor


@hookimpl
def gzsl_bench_methods() -> Iterator[MethodSpec]:
    """The one method of this plugin."""
    yield MethodSpec(
        name="eszsl",
        factory=ESZSL,
        citation="Romera-Paredes and Torr, An embarrassingly simple approach to zero-shot learning, ICML 2015",  # noqa: E501
        version="2",
        fidelity="paper",
        family="Embedding",
        preprocessing="minmax",
        deterministic=True,
        summary="Bilinear compatibility between features and class embeddings, in closed form.",
    )
