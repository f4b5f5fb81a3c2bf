"""DAP: direct attribute prediction (Lampert, Nickisch and Harmeling)."""

from __future__ import annotations

from pydantic import Field

from gzsl_bench import MethodSpec, Run, Scorer, Task
from gzsl_bench_classic.binary import BinaryConfig, BinaryMethod, binary_attributes
from gzsl_bench_classic.linear import fit_linear, logistic_loss
from gzsl_bench_classic.shared import scatter


class DAPConfig(BinaryConfig):
    """Hyper-parameters of DAP."""

    cost: float = Field(
        10.0, gt=0, description="C, weight of an attribute's summed log-loss beside ||w||^2 / 2"
    )


class DAP(BinaryMethod):
    """argmax_c prod_m p(a_m = a_m^c | x) / p(a_m = a_m^c), one classifier per binary attribute.

    Every row carries the attributes of its class.  p(a_m = 1 | x) is a logistic regression on
    features [N, D]; the prior p(a_m = 1) is the share of seen classes with the attribute; class
    priors are equal.

    Filled in: the original trains non-linear support vector machines and makes probabilities of
    their outputs by Platt scaling on held-out rows; a logistic regression on network features gives
    them directly.  GBU's threshold for continuous attributes is the mean; over which classes is
    not said, and here it is the seen ones.
    """

    Config = DAPConfig

    def fit(self, task: Task, run: Run) -> Scorer:
        """Fit all M attribute classifiers at once."""
        attributes = binary_attributes(task, self.config.binarize, "DAP")
        targets = attributes.table[task.labels]
        logits = fit_linear(
            task.features,
            task.shared(scatter),
            logistic_loss(targets),
            targets.shape[1],
            penalty=1 / (self.config.cost * len(targets)),
            curvature=0.25,
            report=run.progress,
        )
        return Scorer(embed=lambda x: logits(x).sigmoid(), score=attributes.scores)


SPEC = MethodSpec(
    name="dap",
    factory=DAP,
    citation="Lampert, Nickisch and Harmeling, Attribute-based classification for zero-shot visual object categorization, TPAMI 2014",  # noqa: E501
    version="2",
    fidelity="approximation",
    family="Embedding",
    preprocessing="l2",
    deterministic=True,
    summary="One logistic regression per binary attribute, and the Bayes rule over classes.",
)
