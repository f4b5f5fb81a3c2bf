"""DAZLE: every attribute attends to regions of the image (Huynh and Elhamifar, CVPR 2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import Field

from gzsl_bench import Config as BaseConfig
from gzsl_bench import DatasetInfo, MethodSpec, NotApplicable, Run, Task, stackable
from gzsl_bench.hooks.run import ScoreFunction
from gzsl_bench.stacked import (
    StackedRMSprop,
    in_blocks,
    per_run,
    region_products,
    unit_regions,
)
from gzsl_bench_attention.training import (
    Head,
    RegionConfig,
    RegionMethod,
    cross_entropy,
    parameter,
    unit,
)


class DAZLEConfig(RegionConfig):
    """Hyper-parameters of DAZLE (released code: its notebooks)."""

    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of RMSprop")
    weight_decay: float = Field(1e-4, ge=0, description="weight decay of RMSprop")
    calibration: float = stackable(
        0.1, "weight of the loss that asks for probability of unseen classes", ge=0
    )
    margin: float = stackable(
        1.0, "added to scores of unseen classes, taken from those of seen ones", ge=0
    )
    words: Literal["given", "random"] = Field(
        "given",
        description="where the word vectors of attributes start: the data set's, or random numbers",
    )
    word_dims: int = Field(300, ge=1, description="numbers in a random word vector")
    unit_words: bool = Field(False, description="word vectors have length 1 wherever they are used")
    gate: bool = Field(True, description="weigh attributes by a second attention")
    clip_negative: bool = Field(False, description="negative class embeddings are set to 0")


def attribute_vectors(
    words: torch.Tensor, matrices: Sequence[torch.Tensor], unit_words: bool
) -> torch.Tensor:
    """[R, 3 A, C] what regions are multiplied with.

    Args:
        words: [R, A, W] vectors of the attributes.
        matrices: [R, W, C] each: scores of attributes in regions, attention to regions, and
            attention to attributes.
        unit_words: take words of length 1.
    """
    vectors = unit(words) if unit_words else words
    return torch.cat([vectors @ matrix for matrix in matrices], 1)


def class_scores(
    maps: torch.Tensor, vectors: torch.Tensor, classes: torch.Tensor, gate: bool
) -> torch.Tensor:
    """[R, B, C] scores without margin.

    What the released code computes as attribute features (means of regions, as wide as these) only
    ever meets one vector an attribute, so products are taken first: [P, A] an image, not [A, C].

    Args:
        maps: [R, B, P, C] regions of length 1.
        vectors: [R, 3 A, C], see :func:`attribute_vectors`.
        classes: [C, A] embeddings of length 1.
        gate: weigh attributes.
    """
    products = region_products(maps, vectors)
    score, attention, gates = products.chunk(3, -1)
    attention = attention.softmax(2)
    evidence = (attention * score).sum(2)
    if gate:
        evidence = evidence * torch.sigmoid((attention * gates).sum(2))
    return evidence @ classes.T


def dazle_losses(
    scores: torch.Tensor,
    labels: torch.Tensor,
    unseen: torch.Tensor,
    margin: torch.Tensor,
    calibration: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """Terms [R] of a step; ``loss`` is minimised.

    Cross-entropy over all classes, without the margin; and -log of the *batch's mean* of the
    probability that goes to unseen classes with the margin (released code; not the mean of logs).

    Args:
        scores: [R, B, C].
        labels: [R, B].
        unseen: [C] 1 for unseen classes, -1 for seen ones.
        margin: [R].
        calibration: [R] weight of the second term.
    """
    entropy = cross_entropy(scores, labels)
    moved = scores + margin[:, None, None] * unseen
    of_unseen = moved.masked_fill(unseen < 0, float("-inf")).logsumexp(-1) - moved.logsumexp(-1)
    share = of_unseen.logsumexp(-1) - torch.log(torch.ones_like(of_unseen).sum(-1))
    return {
        "cross_entropy": entropy,
        "calibration": -share,
        "loss": entropy - calibration * share,
    }


class DAZLEHead(Head):
    """Words and three matrices for every run."""

    def __init__(
        self, task: Task, runs: Sequence[Run], embeddings: torch.Tensor, config: DAZLEConfig
    ) -> None:
        assert task.regions is not None
        self.config = config
        channels, width = task.regions.shape[2], embeddings.shape[1]
        if config.words == "random":
            # Of about length 1, as rows of an embedding matrix often start.
            std = config.word_dims**-0.5
            words = parameter(runs, "words", (width, config.word_dims), std, embeddings)
        else:
            assert task.words is not None
            # Of length 1 where they start, as released, whatever is done to them on use.
            words = unit(task.words.to(embeddings)).expand(len(runs), -1, -1).clone()
        shape = words.shape[2], channels
        stds = {"scores": 1.0, "regions": 0.0, "attributes": 0.0}
        self.parameters = [
            words,
            *(parameter(runs, name, shape, std, embeddings) for name, std in stds.items()),
        ]
        self.classes = unit(embeddings.clamp(min=0) if config.clip_negative else embeddings)
        self.unseen = embeddings.new_full((len(embeddings),), -1.0)
        self.unseen[task.unseen] = 1.0
        self.margin = embeddings.new_tensor(per_run(runs, "margin"))
        self.calibration = embeddings.new_tensor(per_run(runs, "calibration"))
        self.optimizer = StackedRMSprop(
            self.parameters,
            per_run(runs, "lr"),
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )

    def ready(self, maps: torch.Tensor) -> torch.Tensor:
        """Regions of length 1."""
        return unit(maps) if maps.requires_grad else unit_regions(maps)

    def scores(self, maps: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """See :func:`class_scores`."""
        return class_scores(maps, vectors, self.classes, self.config.gate)

    def losses(
        self, maps: torch.Tensor, labels: torch.Tensor, *draws: torch.Tensor
    ) -> Mapping[str, torch.Tensor]:
        """See :func:`dazle_losses`."""
        words, *matrices = self.parameters
        vectors = attribute_vectors(words, matrices, self.config.unit_words)
        scores = in_blocks(self.scores, maps, [vectors], self.config.block)
        return dazle_losses(scores, labels, self.unseen, self.margin, self.calibration)

    def scores_of(self, run: int) -> ScoreFunction:
        """With the margin, in testing too: a calibrated stacking of twice its size."""
        words, *matrices = (tensor.detach()[run : run + 1] for tensor in self.parameters)
        own = attribute_vectors(words, matrices, self.config.unit_words)
        margin = self.margin[run] * self.unseen
        return lambda maps: self.scores(maps[None], own)[0] + margin


class DAZLE(RegionMethod):
    """Attributes attend to regions with their word vectors; a second attention weighs attributes.

    The backbone is frozen in the paper, too.  Given word vectors start at length 1 and are trained;
    a balanced batch has different classes and equally many images of each (40 of AWA2's 40 classes,
    for a batch of 50), as released.  Filled in: values for other data sets, which are CUB's.  FLO
    has no attributes: there the sentence embedding's principal components stand for them and word
    vectors start at random, which is not the published method.
    """

    Config = DAZLEConfig
    trains_backbone = False

    @classmethod
    def differs(cls, config: BaseConfig) -> str:
        """Word vectors that start at random, and reduced embeddings."""
        assert isinstance(config, DAZLEConfig)
        random = ["word vectors that start at random"] if config.words == "random" else []
        return "; ".join([*random, *filter(None, [super().differs(config)])])

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, Any]:
        """The released values of AWA2, CUB and SUN, AWA1 as AWA2; FLO's are of this plugin."""
        if dataset.name in ("AWA1", "AWA2"):
            return {
                "momentum": 0.0,
                "balanced": True,
                "unit_words": True,
                "clip_negative": True,
            }
        if dataset.name == "SUN":
            return {"epochs": 100, "balanced": True, "gate": False}
        if dataset.name == "FLO":
            return {"words": "random", "embedding_dims": 64}
        return {}

    def head(self, task: Task, runs: Sequence[Run], embeddings: torch.Tensor) -> DAZLEHead:
        """See :class:`DAZLEHead`.

        Raises:
            NotApplicable: there are no word vectors, or none of the components of embeddings.
        """
        config: DAZLEConfig = self.config
        if config.words == "given" and task.words is None:
            raise NotApplicable(
                "it needs word vectors of the attributes (`words` of a dataset.yaml); with `words:"
                " random` they start at random"
            )
        if config.words == "given" and config.embedding_dims is not None:
            raise NotApplicable(
                "principal components of the class embedding have no word vectors; with `words:"
                " random` they start at random"
            )
        return DAZLEHead(task, runs, embeddings, config)


SPEC = MethodSpec(
    name="dazle",
    factory=DAZLE,
    citation="Huynh and Elhamifar, Fine-Grained Generalized Zero-Shot Learning via Dense"
    " Attribute-Based Attention, CVPR 2020",
    version="2",
    fidelity="approximation",
    family="Region attention",
    precisions=("float32", "tf32"),
    needs=("regions",),
    wants=("words",),
    summary="Every attribute attends to regions; scores of unseen classes get a margin.",
)
