"""ConSE: zero-shot learning by convex combination of semantic embeddings (Norouzi et al.)."""

from __future__ import annotations

import torch
from pydantic import Field
from torch.nn import functional

from gzsl_bench import Config, Method, MethodSpec, Run, Scorer, Task
from gzsl_bench_classic.linear import seen_softmax


class ConSEConfig(Config):
    """Hyper-parameters of ConSE."""

    top: int = Field(10, ge=1, description="T, how many seen classes are combined (at most S)")
    cost: float = Field(
        10.0, gt=0, description="C, weight of the summed log-loss beside ||W||^2 / 2"
    )
    temperature: float = Field(1.0, gt=0, description="logits are divided by it before the softmax")


class ConSE(Method):
    """cos(f(x), a_c) with f(x) = sum_{t <= T} p_t a_{y_t} / sum_{t <= T} p_t.

    p_1 >= ... >= p_T are the largest probabilities of a softmax regression among the S seen
    classes, y_t their classes and a_c the class embeddings [C, A].  The classes' order decides
    between equal probabilities.  A confident softmax puts f(x) on a seen embedding, so U is near 0
    by construction.

    Filled in: the paper takes the softmax of a trained network; here it is a linear one on the
    features, with an L2 penalty.
    """

    Config = ConSEConfig

    def fit(self, task: Task, run: Run) -> Scorer:
        """Fit the seen-class softmax, or take IAP's."""
        logits = task.shared(seen_softmax).at(self.config.cost, run)
        attributes = task.attributes.double()
        seen, classes = attributes[task.seen], functional.normalize(attributes, dim=1)
        top = min(self.config.top, len(seen))

        def embed(features: torch.Tensor) -> torch.Tensor:
            likely, where = (logits(features) / self.config.temperature).softmax(1).topk(top)
            mixed = (likely[:, :, None] * seen[where]).sum(1) / likely.sum(1, keepdim=True)
            return functional.normalize(mixed, dim=1)

        return Scorer(embed=embed, score=lambda mixed: mixed @ classes.T)


SPEC = MethodSpec(
    name="conse",
    factory=ConSE,
    citation="Norouzi et al., Zero-shot learning by convex combination of semantic embeddings, ICLR 2014",  # noqa: E501
    version="2",
    fidelity="paper",
    family="Embedding",
    preprocessing="l2",
    deterministic=True,
    summary="The likeliest seen classes' embeddings, averaged; the nearest class by cosine wins.",
)
