"""RGEN: parts of the image, and what they are to one another (Xie et al., ECCV 2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from pydantic import Field

from gzsl_bench import DatasetInfo, MethodSpec, Run, Task, stackable
from gzsl_bench.hooks.run import ScoreFunction
from gzsl_bench.stacked import StackedSGD, in_blocks, per_run
from gzsl_bench_attention.apn import grid_distances
from gzsl_bench_attention.aren import PartsConfig, attention_masks, part_features, restarts
from gzsl_bench_attention.training import (
    Head,
    RegionMethod,
    cross_entropy,
    layer,
    unit,
)


class RGENConfig(PartsConfig):
    """Hyper-parameters of RGEN; no code was released, so most are of this plugin."""

    batch: int = Field(64, ge=1, description="images in a step; all of them where there are fewer")
    epochs: int = Field(30, ge=1, description="epochs of rows // batch steps each")
    lr: float = stackable(1e-3, "learning rate at the beginning of a period", gt=0)
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD")
    weight_decay: float = Field(5e-4, ge=0, description="weight decay of SGD")
    period: int = Field(
        10, ge=1, description="epochs of the first cosine period; each one is twice the last"
    )
    threshold: float = Field(
        0.0,
        ge=0,
        le=1,
        description="a mask whose largest value is below this share of the image's largest is"
        " dropped",
    )
    nodes: int = Field(256, ge=1, description="numbers of a part after each graph convolution")
    transfer: float = stackable(
        0.1, "weight of the loss that relates seen classes to unseen ones", ge=0
    )
    balance: float = stackable(
        0.1, "weight of the squared gap of the best seen and the best unseen score", ge=0
    )
    ridge: float = Field(
        1.0, gt=0, description="ridge of the least squares that relate seen classes to unseen ones"
    )
    compact: float = Field(0.1, ge=0, description="weight of masks away from their peak")
    diverse: float = Field(0.1, ge=0, description="weight of masks that lie on one another")


def relations(parts: torch.Tensor) -> torch.Tensor:
    """[R, B, K, K] edges: cosines of parts [R, B, K, C], none below 0, symmetrically normalised."""
    nodes = unit(parts)
    edges = torch.relu(nodes @ nodes.mT)
    scale = edges.sum(-1).clamp(min=1e-12).rsqrt()
    return scale[..., None] * edges * scale[..., None, :]


def spread(masks: torch.Tensor, distances: torch.Tensor) -> torch.Tensor:
    """[R, B] mean, over masks [R, B, P, K] and regions, of a mask times distance to its peak."""
    peaks = masks.detach().argmax(2)
    return (masks * distances[peaks].mT).mean((2, 3))


def overlap(masks: torch.Tensor) -> torch.Tensor:
    """[R, B] mean, over masks [R, B, P, K] and regions, of a mask times the largest other one."""
    if masks.shape[3] == 1:
        return masks.new_zeros(masks.shape[:2])
    first, second = masks.topk(2, dim=3).values.chunk(2, 3)
    return (masks * torch.where(masks == first, second, first)).mean((2, 3))


def similarities(
    classes: torch.Tensor, seen: torch.Tensor, unseen: torch.Tensor, ridge: float
) -> torch.Tensor:
    """[S, U] how much of each seen class is in each unseen one: shares that add up to 1.

    Coefficients of the ridge regression of a seen class's embedding on those of unseen classes;
    negative ones become 0, and a class that has no other has no shares.

    Args:
        classes: [C, A] embeddings.
        seen: [S] ids.
        unseen: [U] ids.
        ridge: of the regression.
    """
    of_seen, of_unseen = classes[seen].double(), classes[unseen].double()
    gram = of_unseen @ of_unseen.T
    gram.diagonal().add_(ridge)
    found = torch.linalg.solve(gram, of_unseen @ of_seen.T).T.clamp(min=0)
    shares: torch.Tensor = found / found.sum(1, keepdim=True).clamp(min=1e-12)
    return shares.to(classes)


class RGENHead(Head):
    """Masks, two graph convolutions and two linear maps to attributes for every run."""

    optimizer: StackedSGD

    def __init__(
        self, task: Task, runs: Sequence[Run], embeddings: torch.Tensor, config: RGENConfig
    ) -> None:
        assert task.regions is not None
        self.config = config
        _, regions, channels = task.regions.shape
        width, parts = embeddings.shape[1], config.parts
        self.parameters = [
            *layer(runs, "masks", channels, parts, embeddings),
            layer(runs, "parts", parts * channels, width, embeddings)[0],
            layer(runs, "first", channels, config.nodes, embeddings)[0],
            layer(runs, "second", config.nodes, config.nodes, embeddings)[0],
            layer(runs, "nodes", parts * config.nodes, width, embeddings)[0],
        ]
        self.distances = grid_distances(regions, embeddings)
        self.classes, self.seen, self.unseen = unit(embeddings), task.seen, task.unseen
        self.shares = similarities(self.classes, task.seen, task.unseen, config.ridge)
        self.transfer = embeddings.new_tensor(per_run(runs, "transfer"))
        self.balance = embeddings.new_tensor(per_run(runs, "balance"))
        self.optimizer = StackedSGD(
            self.parameters,
            per_run(runs, "lr"),
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )

    def begin_step(self, done: float) -> None:
        """See :func:`.aren.restarts`."""
        self.optimizer.schedule(restarts(done, self.config.period))

    def respond(self, maps: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        """[R, B, 2 A + 2] attributes by parts and by relations, spread and overlap of masks."""
        weight, bias, last, first, second, of_nodes = parameters
        masks = attention_masks(maps, weight, bias, self.config.threshold)
        parts = part_features(maps, masks)
        edges = relations(parts)
        nodes = torch.relu(edges @ parts @ first.mT[:, None])
        nodes = torch.relu(edges @ nodes @ second.mT[:, None])
        constraints = torch.stack([spread(masks, self.distances), overlap(masks)], -1)
        attributes = [parts.flatten(2) @ last.mT, nodes.flatten(2) @ of_nodes.mT]
        return torch.cat([*attributes, constraints], -1)

    def losses(
        self, maps: torch.Tensor, labels: torch.Tensor, *draws: torch.Tensor
    ) -> Mapping[str, torch.Tensor]:
        """Each branch's losses, added, and the constraints of the masks."""
        config = self.config
        found = in_blocks(self.respond, maps, self.parameters, config.block)
        places = torch.searchsorted(self.seen, labels)
        terms = {
            name: torch.zeros_like(self.transfer)
            for name in ("cross_entropy", "transfer", "balance")
        }
        for values in found[..., :-2].chunk(2, -1):
            seen = values @ self.classes[self.seen].T
            unseen = values @ self.classes[self.unseen].T
            related = -(self.shares[places] * unseen.log_softmax(-1)).sum(-1)
            terms["cross_entropy"] = terms["cross_entropy"] + cross_entropy(seen, places)
            terms["transfer"] = terms["transfer"] + related.mean(-1)
            gap = (seen.amax(-1) - unseen.amax(-1)).square()
            terms["balance"] = terms["balance"] + gap.mean(-1)
        compact, diverse = found[..., -2:].mean(1).unbind(-1)
        terms |= {"compactness": compact, "diversity": diverse}
        weighted = self.transfer * terms["transfer"] + self.balance * terms["balance"]
        constraints = config.compact * compact + config.diverse * diverse
        return {**terms, "loss": terms["cross_entropy"] + weighted + constraints}

    def scores_of(self, run: int) -> ScoreFunction:
        """The two branches' scores, added."""
        own = [tensor.detach()[run : run + 1].clone() for tensor in self.parameters]

        def scores(maps: torch.Tensor) -> torch.Tensor:
            one, other = self.respond(maps[None], *own)[0, :, :-2].chunk(2, -1)
            return (one + other) @ self.classes.T

        return scores


class RGEN(RegionMethod):
    """Parts, as AREN's, and a graph of their likeness; both give attributes, and these classes.

    The paper trains the backbone, too: here it is frozen.  No code was released, so nearly all is
    filled in: weights of all terms, optimiser and schedule (AREN's), the constraints of the masks
    (distance to their peak, overlap with the largest other mask), width of the graph convolutions,
    edges (cosines, none below 0) and their normalisation, cross-entropy over seen classes, and the
    ridge, the cut at 0 and the scaling of class similarities.
    """

    Config = RGENConfig

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, object]:
        """The same for every data set."""
        return {}

    def head(self, task: Task, runs: Sequence[Run], embeddings: torch.Tensor) -> RGENHead:
        """See :class:`RGENHead`."""
        return RGENHead(task, runs, embeddings, self.config)


SPEC = MethodSpec(
    name="rgen",
    factory=RGEN,
    citation="Xie et al., Region Graph Embedding Network for Zero-Shot Learning, ECCV 2020",
    version="2",
    fidelity="approximation",
    family="Region attention",
    precisions=("float32", "tf32"),
    needs=("regions",),
    summary="Parts of the image as nodes of a graph, beside the parts themselves.",
)
