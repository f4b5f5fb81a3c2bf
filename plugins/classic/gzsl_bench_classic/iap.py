"""IAP: indirect attribute prediction (Lampert, Nickisch and Harmeling)."""

from __future__ import annotations

from pydantic import Field

from gzsl_bench import MethodSpec, Run, Scorer, Task
from gzsl_bench_classic.binary import BinaryConfig, BinaryMethod, binary_attributes
from gzsl_bench_classic.linear import seen_softmax


class IAPConfig(BinaryConfig):
    """Hyper-parameters of IAP."""

    cost: float = Field(
        10.0, gt=0, description="C, weight of the summed log-loss beside ||W||^2 / 2"
    )
    temperature: float = Field(1.0, gt=0, description="logits are divided by it before the softmax")


class IAP(BinaryMethod):
    """DAP's rule with p(a_m = 1 | x) = sum_k p(k | x) a_m^k over the seen classes k.

    p(k | x) is a softmax regression among the S seen classes.  Prior and binary attributes are
    those of DAP, with the same choices.

    Filled in: the original's p(k | x) comes from support vector machines with probability outputs
    on a feature map of a chi^2 kernel; here from softmax regression on the features themselves.
    """

    Config = IAPConfig

    def fit(self, task: Task, run: Run) -> Scorer:
        """Fit the seen-class softmax, or take ConSE's."""
        attributes = binary_attributes(task, self.config.binarize, "IAP")
        logits = task.shared(seen_softmax).at(self.config.cost, run)
        seen, temperature = attributes.table[task.seen], self.config.temperature
        return Scorer(
            embed=lambda x: (logits(x) / temperature).softmax(1) @ seen, score=attributes.scores
        )


SPEC = MethodSpec(
    name="iap",
    factory=IAP,
    citation="Lampert, Nickisch and Harmeling, Attribute-based classification for zero-shot visual object categorization, TPAMI 2014",  # noqa: E501
    version="2",
    fidelity="approximation",
    family="Embedding",
    preprocessing="l2",
    deterministic=True,
    summary="Attribute posteriors mixed from a seen-class softmax, and the Bayes rule over classes.",  # noqa: E501
)
