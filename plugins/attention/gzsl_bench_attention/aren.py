"""AREN: parts of the image that attention finds, in two streams (Xie et al., CVPR 2019)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pydantic import Field
from torch.autograd.function import once_differentiable

from gzsl_bench import DatasetInfo, MethodSpec, Run, Task, stackable
from gzsl_bench.hooks.run import ScoreFunction
from gzsl_bench.stacked import (
    Generators,
    StackedSGD,
    dropout,
    in_blocks,
    keeps,
    per_run,
    region_products,
)
from gzsl_bench_attention.training import (
    Head,
    RegionConfig,
    RegionMethod,
    cross_entropy,
    layer,
    unit,
)


class PartsConfig(RegionConfig):
    """What finding parts takes."""

    parts: int = Field(10, ge=1, description="attention masks")
    threshold: float = Field(
        0.8,
        ge=0,
        le=1,
        description="a mask whose largest value is below this share of the image's largest is"
        " dropped",
    )


class ARENConfig(PartsConfig):
    """Hyper-parameters of AREN (released code)."""

    batch: int = Field(64, ge=1, description="images in a step; all of them where there are fewer")
    epochs: int = Field(70, ge=1, description="epochs of rows // batch steps each")
    lr: float = stackable(1e-3, "learning rate at the beginning of a period", gt=0)
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD")
    weight_decay: float = Field(5e-4, ge=0, description="weight decay of SGD")
    period: int = Field(
        10, ge=1, description="epochs of the first cosine period; each one is twice the last"
    )
    dropout: float = Field(0.4, ge=0, lt=1, description="share of attribute values dropped")
    first_order: float = Field(1.0, ge=0, description="weight of the stream of parts")
    second_order: float = Field(0.0, ge=0, description="weight of the second-order stream")
    compressed: int = Field(20, ge=1, description="channels of the second-order stream")


def attention_masks(
    maps: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, threshold: float
) -> torch.Tensor:
    """[R, B, P, K] sigmoid attention; the masks of an image that are too weak are zeros.

    Args:
        maps: [R, B, P, C].
        weight: [R, K, C].
        bias: [R, K].
        threshold: share of the largest value of all masks that a mask has to reach.
    """
    masks = torch.sigmoid(region_products(maps, weight) + bias[:, None, None])
    highest = masks.detach().amax(2, keepdim=True)
    return masks * (highest >= threshold * highest.amax(3, keepdim=True))


def part_features(maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """[R, B, K, C] largest value of every channel in every masked map.

    Args:
        maps: [R, B, P, C].
        masks: [R, B, P, K].
    """
    return _PartFeatures.apply(maps, masks)  # type: ignore[no-untyped-call, no-any-return]


class _PartFeatures(torch.autograd.Function):
    """The same, with nothing kept of map times mask, which is K times as large as the map."""

    @staticmethod
    def forward(ctx: Any, maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        found = [(maps * masks[..., k, None]).amax(2) for k in range(masks.shape[3])]
        parts = torch.stack(found, 2)
        ctx.save_for_backward(maps, masks, parts)
        return parts

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor]:
        maps, masks, parts = ctx.saved_tensors
        of_masks = torch.empty_like(masks)
        of_maps = torch.zeros_like(maps) if ctx.needs_input_grad[0] else None
        for k in range(masks.shape[3]):
            largest = maps * masks[..., k, None] == parts[:, :, k, None]
            # Equal values share the gradient, as those of torch.amax do.
            share = grad[:, :, k] / largest.to(grad.dtype).sum(2)
            torch.matmul(maps * largest, share[..., None], out=of_masks[..., k, None])
            if of_maps is not None:
                of_maps.add_(masks[..., k, None] * largest * share[:, :, None])
        return of_maps, of_masks


def second_order(maps: torch.Tensor, masks: torch.Tensor, compressed: torch.Tensor) -> torch.Tensor:
    """[R, B, Q, C] largest mean product, over masks, of compressed channels with masked ones.

    Args:
        maps: [R, B, P, C].
        masks: [R, B, P, K].
        compressed: [R, B, P, Q] channels.
    """
    found = (compressed * masks[..., :1]).mT @ maps
    for k in range(1, masks.shape[3]):
        found = torch.maximum(found, (compressed * masks[..., k, None]).mT @ maps)
    return found / maps.shape[2]


def restarts(done: float, period: int) -> float:
    """Share of the rate: it falls along half a cosine and begins anew, for twice as long.

    Args:
        done: epochs that are done, parts of one among them: the rate falls step by step.
        period: epochs of the first half cosine.
    """
    start = 0
    while done >= start + period:
        start, period = start + period, 2 * period
    return (1 + math.cos(math.pi * (done - start) / period)) / 2


class ARENHead(Head):
    """Masks and one or two linear maps to attributes for every run."""

    optimizer: StackedSGD

    def __init__(
        self, task: Task, runs: Sequence[Run], embeddings: torch.Tensor, config: ARENConfig
    ) -> None:
        assert task.regions is not None
        self.config = config
        channels, width = task.regions.shape[2], embeddings.shape[1]
        self.shares = [s for s in (config.first_order, config.second_order) if s]
        self.parameters = [*layer(runs, "masks", channels, config.parts, embeddings)]
        if config.first_order:
            parts = config.parts * channels
            self.parameters.append(layer(runs, "parts", parts, width, embeddings)[0])
        if config.second_order:
            self.parameters += layer(runs, "compressed", channels, config.compressed, embeddings)
            pairs = config.compressed * channels
            self.parameters.append(layer(runs, "pairs", pairs, width, embeddings)[0])
        self.classes, self.seen = unit(embeddings), task.seen
        self.dropped = Generators(runs, "dropout")
        self.optimizer = StackedSGD(
            self.parameters,
            per_run(runs, "lr"),
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )

    def begin_step(self, done: float) -> None:
        """See :func:`restarts`."""
        self.optimizer.schedule(restarts(done, self.config.period))

    def more_draws(self, steps: int, batch: int) -> list[torch.Tensor]:
        """Attribute values that dropout keeps, of each stream."""
        shape = batch, len(self.shares), self.classes.shape[1]
        return [keeps(self.dropped, shape, self.config.dropout, steps, self.classes.device)]

    def attributes(self, maps: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        """[R, B, S, A] what each stream makes of maps [R, B, P, C]."""
        weight, bias, *rest = parameters
        masks = attention_masks(maps, weight, bias, self.config.threshold)
        streams = []
        if self.config.first_order:
            streams.append(part_features(maps, masks).flatten(2) @ rest[0].mT)
        if self.config.second_order:
            *_, weight, bias, last = rest
            compressed = region_products(maps, weight) + bias[:, None, None]
            streams.append(second_order(maps, masks, compressed).flatten(2) @ last.mT)
        return torch.stack(streams, 2)

    def losses(
        self, maps: torch.Tensor, labels: torch.Tensor, *draws: torch.Tensor
    ) -> Mapping[str, torch.Tensor]:
        """Mean of the streams' cross-entropies over seen classes, by their weights."""
        values = in_blocks(self.attributes, maps, self.parameters, self.config.block)
        values = dropout(values, draws[0], self.config.dropout)
        logits = values @ self.classes[self.seen].T
        places = torch.searchsorted(self.seen, labels)
        terms = [cross_entropy(logits[:, :, s], places) for s in range(len(self.shares))]
        weighted = [share * term for share, term in zip(self.shares, terms, strict=True)]
        return {"loss": torch.stack(weighted).sum(0) / sum(self.shares)}

    def scores_of(self, run: int) -> ScoreFunction:
        """The streams' logits of all classes, weighed as their losses are."""
        own = [tensor.detach()[run : run + 1].clone() for tensor in self.parameters]
        shares = self.classes.new_tensor(self.shares) / sum(self.shares)

        def scores(maps: torch.Tensor) -> torch.Tensor:
            values = self.attributes(maps[None], *own)[0]
            return torch.einsum("bsa,s->ba", values, shares) @ self.classes.T

        return scores


class AREN(RegionMethod):
    """Attention finds parts; what they show is mapped to attributes, and these to classes.

    In the paper the backbone is trained, too: here it is frozen, and the heads are trained in full.
    The released code is for zero-shot learning on CUB alone.  Filled in: other data sets have CUB's
    values, and 70 epochs end with a cosine period (it trains for 100).  Batches are independent
    random subsets, rows // batch of them; its epoch is a shuffle with the incomplete last batch.
    A period's first step has the full rate; there it has none.
    """

    Config = ARENConfig

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, object]:
        """On FLO fewer epochs: the maps are small and fixed."""
        return {"epochs": 30} if dataset.name == "FLO" else {}

    def head(self, task: Task, runs: Sequence[Run], embeddings: torch.Tensor) -> ARENHead:
        """See :class:`ARENHead`."""
        return ARENHead(task, runs, embeddings, self.config)


SPEC = MethodSpec(
    name="aren",
    factory=AREN,
    citation="Xie et al., Attentive Region Embedding Network for Zero-Shot Learning, CVPR 2019",
    version="2",
    fidelity="approximation",
    family="Region attention",
    precisions=("float32", "tf32"),
    needs=("regions",),
    summary="Attention masks find parts of the image, whose features are mapped to attributes.",
)
