"""SynC: synthesized classifiers for zero-shot learning (Changpinyo et al.), in two steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import Field
from torch.nn import functional

from gzsl_bench import Config, DatasetInfo, Method, MethodSpec, NotApplicable, Run, Scorer, Task
from gzsl_bench_classic.linear import fit_linear, squared_hinge_loss
from gzsl_bench_classic.shared import class_statistics, gram


class SynCConfig(Config):
    """Hyper-parameters of SynC."""

    penalty: float = Field(
        2.0**-14, gt=0, description="lambda, weight of ||W||^2 / 2 beside the mean squared hinge"
    )
    sharpness: float = Field(
        1.0, gt=0, description="sigma in exp(-sigma distance^2) between class signatures"
    )
    missing_to_zero: bool = Field(
        False, description="negative attributes mean 'unknown' and become 0 (the -1 of AWA)"
    )


class SynC(Method):
    """Classifiers w_c = sum_r s_cr v_r, mixed from base classifiers of phantom classes.

    The phantom classes are the S seen ones, with s_cr = exp(-sigma d(c, r)^2) normalised over r.
    First one-versus-other classifiers W [S, D] of the seen classes minimise
    sum max(0, 1 - y w'x)^2 / (N S) + (lambda / 2) ||W||^2 on rows of unit length; then
    V = pinv(s_seen) W and w_c = s_c V for every class, scored as x'w_c.

    Signatures are class embeddings at unit length over the median of their positive distances.

    That is the released code's fast version with its loss OVO.  Its Crammer-Singer losses are left
    out, and so is the bias its GZSL evaluation subtracts, which ``calibration: true`` gives every
    method.
    """

    Config = SynCConfig

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, Any]:
        """AWA marks unknown attributes by -1."""
        return {"missing_to_zero": True} if dataset.name in ("AWA1", "AWA2") else {}

    def fit(self, task: Task, run: Run) -> Scorer:
        """L-BFGS for W, then two small products."""
        index = task.shared(class_statistics).index
        count = len(task.seen)
        signs = 2 * functional.one_hot(index, count).double() - 1
        seen = fit_linear(
            task.features,
            task.shared(gram),
            squared_hinge_loss(signs),
            count,
            penalty=self.config.penalty,
            curvature=2 / count,
            report=run.progress,
        ).weights.T
        mixture = similarities(
            signatures(task.attributes.double(), self.config.missing_to_zero),
            task.seen,
            self.config.sharpness,
        )
        phantoms = torch.linalg.pinv(mixture[task.seen]) @ seen
        weights = mixture @ phantoms
        return Scorer(embed=lambda x: x.double(), score=lambda x: x @ weights.T)


def signatures(attributes: torch.Tensor, missing_to_zero: bool) -> torch.Tensor:
    """Class embeddings [C, A] at unit length, over the median of their positive distances.

    Raises:
        NotApplicable: all classes have one and the same embedding.
    """
    if missing_to_zero:
        attributes = attributes.clamp(min=0.0)
    rows = functional.normalize(attributes, dim=1)
    distances = functional.pdist(rows)
    positive = distances[distances > 0]
    if len(positive) == 0:
        raise NotApplicable("SynC needs class embeddings that differ, and here all are the same")
    return rows / positive.quantile(0.5)


def similarities(rows: torch.Tensor, seen: torch.Tensor, sharpness: float) -> torch.Tensor:
    """[C, S] weights exp(-sigma ||a_c - a_r||^2), each row summing to 1 over the seen classes r."""
    # Differences, not products: two classes may be near one another.
    distances = torch.cdist(rows, rows[seen], compute_mode="donot_use_mm_for_euclid_dist")
    return (-sharpness * distances.square()).softmax(1)


SPEC = MethodSpec(
    name="sync",
    factory=SynC,
    citation="Changpinyo et al., Synthesized classifiers for zero-shot learning, CVPR 2016",
    version="2",
    fidelity="official-code",
    family="Embedding",
    preprocessing="l2",
    deterministic=True,
    summary="Classifiers of all classes as mixtures of base classifiers of the seen ones.",
)
