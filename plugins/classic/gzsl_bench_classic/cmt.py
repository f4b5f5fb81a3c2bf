"""CMT and CMT*: zero-shot learning through cross-modal transfer (Socher et al., NIPS 2013)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field

from gzsl_bench import Config, MethodSpec, Run, Task, stackable
from gzsl_bench.stacked import Linear, SoftmaxClassifier, per_run, precision_of
from gzsl_bench_classic.novelty import Detector, make_detector
from gzsl_bench_classic.ridge import RidgeMethod, ScoreFunction, squared_distances


class CMTConfig(Config):
    """Hyper-parameters of CMT."""

    hidden: int = Field(200, ge=1, description="hidden units (usual: 50 to 500)")
    epochs: int = Field(50, ge=1, description="passes over the images; each ends in a checkpoint")
    batch: int = Field(64, ge=1, description="images in a step; all of them where there are fewer")
    lr: float = stackable(1e-3, "learning rate of Adam (usual: 1e-4 to 1e-1)", gt=0)
    penalty: float = stackable(1e-3, "weight of half the squares of all weights", ge=0)


class CMTStarConfig(CMTConfig):
    """Hyper-parameters of CMT*."""

    detector: Detector = Field("gaussian", description="how images of unseen classes are told")
    quantile: float = stackable(
        0.95, "share of training images that are not novel (usual: 0.90 to 0.99)", gt=0, lt=1
    )
    neighbours: int = Field(20, ge=1, description="k of LoOP, the outlier probability")
    extent: float = stackable(3.0, "lambda of LoOP", gt=0)
    seen_lr: float = stackable(
        1e-3, "learning rate of the softmax classifier of seen classes", gt=0
    )
    seen_batch: int = Field(16, ge=1, description="images in a step of that classifier")


class CMT(RidgeMethod):
    """phi(x) = W1 tanh(W2 x), the nearest class embedding wins.

    Minimises the sum over training images of ||a_y - W1 tanh(W2 x)||^2, as a mean over batches, and
    penalty / 2 times the squares of W1 and W2.  Filled in: Adam, batches, width, rate and penalty
    (the sources give ranges), Xavier-uniform weights, standardised features (tanh saturates on raw
    ones).
    """

    Config: ClassVar[type[CMTConfig]] = CMTConfig

    def fit_stack(self, task: Task, runs: list[Run]) -> None:
        """Every epoch becomes a checkpoint."""
        network = Network(
            runs, task.features.shape[1], self.config.hidden, task.attributes.shape[1]
        )

        def error(picked: torch.Tensor) -> torch.Tensor:
            return cmt_error(network(task.features[picked]), task.attributes[task.labels[picked]])

        scorers = self.scorers(task, runs, network)
        self.train(task, runs, network.layers, error, scorers, biases=False)

    def scorers(
        self, task: Task, runs: Sequence[Run], network: Network
    ) -> Callable[[], Callable[[int], ScoreFunction]]:
        """What is called after every epoch: it gives, for a run's place, its score function."""

        def of(run: int) -> ScoreFunction:
            return lambda x: -squared_distances(network.map(run, x), task.attributes)

        return lambda: of


class CMTStar(CMT):
    """CMT, and a decision before it: images that look novel go to the unseen classes, others not.

    A detector measures how novel phi(x) is; what exceeds the ``quantile`` of the training images'
    own novelty goes to the nearest unseen class, the rest to a seen class by a softmax classifier
    of the features, trained for an epoch whenever phi is.  Which of the two detectors the GBU
    benchmark used is not known: isotropic Gaussians are the default here, LoOP is the other.
    Scores put the best seen class at 0 and the best unseen one at novelty - threshold, so a bias
    against seen classes moves the threshold.
    """

    Config = CMTStarConfig

    def scorers(
        self, task: Task, runs: Sequence[Run], network: Network
    ) -> Callable[[], Callable[[int], ScoreFunction]]:
        """Train the classifier for an epoch; fit the detector where it is asked for."""
        labels = torch.searchsorted(task.seen, task.labels)
        classifier = SoftmaxClassifier(
            runs,
            task.features.expand(len(runs), -1, -1),
            labels,
            len(task.seen),
            rates=per_run(runs, "seen_lr"),
            batch=self.config.seen_batch,
            purpose="seen",
        )

        def of(run: int) -> ScoreFunction:
            config = runs[run].config
            novelty = make_detector(config, network.map(run, task.features), labels, task)

            def score(x: torch.Tensor) -> torch.Tensor:
                mapped = network.map(run, x)
                return gated(
                    task,
                    classifier.scores(run, x),
                    -squared_distances(mapped, task.attributes[task.unseen]),
                    novelty(mapped),
                )

            return score

        def after_epoch() -> Callable[[int], ScoreFunction]:
            classifier.train_epoch()
            return of

        return after_epoch


class Network:
    """W1 tanh(W2 x) for all runs of a stack; its layers' biases stay 0."""

    def __init__(self, runs: Sequence[Run], inputs: int, hidden: int, outputs: int) -> None:
        how: dict[str, Any] = {"device": runs[0].device, "precision": precision_of(runs)}
        self.layers = [
            Linear(runs, "inner", inputs, hidden, **how),
            Linear(runs, "outer", hidden, outputs, **how),
        ]

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Features [R, B, D] -> [R, B, A]."""
        inner, outer = self.layers
        return outer(inner(features).tanh())

    @torch.no_grad()
    def map(self, run: int, features: torch.Tensor) -> torch.Tensor:
        """Features [N, D] -> [N, A] in one run."""
        inner, outer = (layer.of(run) for layer in self.layers)
        return outer(inner(features[None]).tanh())[0]


def cmt_error(mapped: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Mean over the batch of ||a_y - phi(x)||^2: [R, B, A] -> [R]."""
    return (mapped - classes).square().sum(2).mean(1)


def gated(
    task: Task, seen: torch.Tensor, unseen: torch.Tensor, novelty: torch.Tensor
) -> torch.Tensor:
    """Scores [N, C] whose best seen class is at 0 and whose best unseen class at ``novelty``.

    Args:
        task: tells which classes are seen.
        seen: [N, S] scores among the seen classes.
        unseen: [N, U] scores among the unseen classes.
        novelty: [N] above the threshold (positive) or below it.
    """
    scores = seen.new_empty(len(seen), task.num_classes)
    scores[:, task.seen] = seen - seen.amax(1, keepdim=True)
    scores[:, task.unseen] = unseen - unseen.amax(1, keepdim=True) + novelty[:, None]
    return scores


CITATION = "Socher et al., Zero-Shot Learning Through Cross-Modal Transfer, NIPS 2013"
SPEC = MethodSpec(
    name="cmt",
    factory=CMT,
    citation=CITATION,
    version="1",
    fidelity="approximation",
    family="Embedding",
    preprocessing="zscore",
    precisions=("float32", "tf32", "bf16"),
    summary="A network maps features into the space of class embeddings; the nearest one wins.",
)
STAR_SPEC = MethodSpec(
    name="cmt_star",
    factory=CMTStar,
    citation=CITATION,
    version="1",
    fidelity="approximation",
    family="Embedding",
    preprocessing="zscore",
    precisions=("float32", "tf32", "bf16"),
    summary="CMT after a detector of novel images: seen classes for the others, unseen for those.",
)
