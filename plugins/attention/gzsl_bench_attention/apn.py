"""APN: a prototype for every attribute, found somewhere in the image (Xu et al., NeurIPS 2020)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field

from gzsl_bench import DatasetInfo, MethodSpec, Run, Task, stackable
from gzsl_bench.hooks.run import ScoreFunction
from gzsl_bench.stacked import ElementwiseAdam, in_blocks, per_run, region_products
from gzsl_bench_attention.training import (
    Head,
    RegionConfig,
    RegionMethod,
    cross_entropy,
)


class APNConfig(RegionConfig):
    """Hyper-parameters of APN (released scripts: CUB, GZSL)."""

    batch: int = Field(64, ge=1, description="images in a step; all of them where there are fewer")
    epochs: int = Field(30, ge=1, description="epochs of rows // batch steps each")
    lr: float = stackable(1e-4, "learning rate; times 0.8 every 10 epochs", gt=0)
    pool: Literal["max", "mean"] = Field("max", description="over regions, in the global head")
    twice: bool = Field(
        True, description="probabilities go through the loss's softmax once more, as released"
    )
    attributes: float = Field(1e-2, ge=0, description="weight of the global regression")
    norm: float = Field(5e-5, ge=0, description="weight of the global prototypes' size")
    local: float = Field(1.0, ge=0, description="weight of the local head's classification")
    local_attributes: float = Field(1e-1, ge=0, description="weight of the local regression")
    local_norm: float = Field(4e-2, ge=0, description="weight of the local prototypes' size")
    grouped: bool = Field(True, description="use groups of attributes where the data set has them")
    by_channel: bool = Field(
        False,
        description="size of grouped prototypes: the norm of each channel in each group (paper),"
        " not of each group alone (released code)",
    )
    compactness: float = Field(
        1e-9, ge=0, description="weight of similarity far from its peak, where groups are given"
    )
    compact_from: int = Field(6, ge=0, description="epoch (from 0) from which on it counts")


def grid_distances(regions: int, like: torch.Tensor) -> torch.Tensor:
    """[P, P] squared distances of regions, which lie row by row in a square."""
    side = math.ceil(math.sqrt(regions))
    places = torch.arange(regions, device=like.device)
    grid = torch.stack([places // side, places % side], 1).to(like.dtype)
    return (grid[:, None] - grid[None]).square().sum(-1)


def responses(
    maps: torch.Tensor,
    base: torch.Tensor,
    prototypes: torch.Tensor,
    distances: torch.Tensor,
    pool: str,
) -> torch.Tensor:
    """[R, B, 2 A + 1] attributes of the base head and of the prototypes, and how spread they are.

    Args:
        maps: [R, B, P, C].
        base: [R, A, C].
        prototypes: [R, A, C].
        distances: [P, P].
        pool: ``max`` or ``mean`` over regions, of the base head.
    """
    whole = region_products(maps, base)
    similarity = region_products(maps, prototypes)
    peak, where = similarity.max(2)
    spread = (torch.sigmoid(similarity) * distances[where].mT).sum((2, 3))
    pooled = whole.amax(2) if pool == "max" else whole.mean(2)
    return torch.cat([pooled, peak, spread[..., None]], -1)


def sizes(
    vectors: torch.Tensor, groups: torch.Tensor | None, by_channel: bool = False
) -> torch.Tensor:
    """[R] norm of vectors [R, A, C]; where groups [G, A] are given, the sum of the groups' norms.

    So it is in the released code, which adds 1e-8 to every channel's square.  ``by_channel`` sums
    the norms of each channel in each group instead, as in the paper: that leaves a channel to few
    groups.
    """
    if groups is None:
        return vectors.square().sum((1, 2)).clamp(min=1e-12).sqrt()
    squares = groups @ vectors.square() + 1e-8
    return squares.sqrt().sum((1, 2)) if by_channel else squares.sum(2).sqrt().sum(1)


def start(runs: Sequence[Run], name: str, shape: Sequence[int], like: torch.Tensor) -> torch.Tensor:
    """[R, *shape] numbers drawn evenly between 0 and 2e-4, of each run's stream ``init/<name>``."""
    drawn = [torch.rand(*shape, generator=run.generator(f"init/{name}")) for run in runs]
    return torch.stack(drawn).to(like).mul_(2e-4)


class APNHead(Head):
    """Two prototypes of every attribute for every run."""

    optimizer: ElementwiseAdam

    def __init__(
        self, task: Task, runs: Sequence[Run], embeddings: torch.Tensor, config: APNConfig
    ) -> None:
        assert task.regions is not None
        self.config, self.classes, self.seen = config, embeddings, task.seen
        shape = embeddings.shape[1], task.regions.shape[2]
        names = ("base", "prototypes")
        self.parameters = [start(runs, name, shape, embeddings) for name in names]
        self.groups = None
        if task.groups is not None and config.grouped and config.embedding_dims is None:
            ids = torch.unique(task.groups)
            self.groups = (task.groups == ids[:, None]).to(embeddings)
        self.distances = grid_distances(task.regions.shape[1], embeddings)
        self.compactness = embeddings.new_zeros(())
        self.optimizer = ElementwiseAdam(self.parameters, per_run(runs, "lr"), betas=(0.5, 0.999))

    def begin_epoch(self, epoch: int) -> None:
        """A new Adam each epoch, as released; the rate falls every 10 epochs."""
        self.optimizer.restart()
        self.optimizer.schedule(0.8 ** (epoch // 10))
        counts = self.groups is not None and epoch >= self.config.compact_from
        self.compactness.fill_(self.config.compactness if counts else 0.0)

    def losses(
        self, maps: torch.Tensor, labels: torch.Tensor, *draws: torch.Tensor
    ) -> Mapping[str, torch.Tensor]:
        """Classification and regression by both heads, sizes of prototypes, compactness."""
        config = self.config
        found = in_blocks(self.respond, maps, self.parameters, config.block)
        width = self.classes.shape[1]
        places = torch.searchsorted(self.seen, labels)
        wanted, seen = self.classes[labels], self.classes[self.seen]
        total = self.compactness * found[..., -1].sum(-1)
        terms = {}
        for name, values, weights, vectors in (
            ("global", found[..., :width], (1.0, config.attributes, config.norm), 0),
            (
                "local",
                found[..., width:-1],
                (config.local, config.local_attributes, config.local_norm),
                1,
            ),
        ):
            logits = values @ seen.T
            classified = cross_entropy(logits.softmax(-1) if config.twice else logits, places)
            regressed = (values - wanted).square().mean((1, 2))
            size = sizes(self.parameters[vectors], self.groups, config.by_channel)
            parts = (classified, regressed, size)
            weighted = [w * part for w, part in zip(weights, parts, strict=True)]
            terms[name] = torch.stack(weighted).sum(0)
            total = total + terms[name]
        return {**terms, "loss": total}

    def respond(self, maps: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        """See :func:`responses`."""
        base, prototypes = parameters
        return responses(maps, base, prototypes, self.distances, self.config.pool)

    def scores_of(self, run: int) -> ScoreFunction:
        """The global head's probabilities of all classes."""
        base = self.parameters[0].detach()[run : run + 1].clone()
        classes, pool = self.classes, self.config.pool

        def scores(maps: torch.Tensor) -> torch.Tensor:
            whole = region_products(maps[None], base)[0]
            pooled = whole.amax(1) if pool == "max" else whole.mean(1)
            return (pooled @ classes.T).softmax(-1)

        return scores


class APN(RegionMethod):
    """Prototypes of attributes are matched with every region; the best match tells the attribute.

    The paper trains the backbone, for which the local head is an aid: at a rate of 1e-6, after some
    epochs of prototypes alone.  Here it is frozen, so both heads learn by themselves, all epochs at
    the prototypes' rate, which falls as the backbone's does.  As released, the compactness is a sum
    over images and attributes and counts only after those epochs, and what should keep groups apart
    is the norm of each group (``by_channel`` is the paper's).  There only seven entries of CUB's
    groups count, one of them twice; here all groups that the data set gives, once.  Batches are
    independent random subsets, rows // batch of them; there an epoch is a shuffle.  The released
    margin between seen and unseen probabilities, chosen on the test set, is left to calibration.
    AWA2's values are those of its script with the local head on.  Filled in: FLO's values.
    """

    Config = APNConfig

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, object]:
        """The released values of CUB, AWA2 (AWA1's, too) and SUN; others as CUB."""
        if dataset.name in ("AWA1", "AWA2"):
            return {
                "pool": "mean",
                "attributes": 1e-4,
                "norm": 5e-4,
                "local_attributes": 1e-2,
                "local_norm": 5e-7,
                "grouped": False,
                "compactness": 0.0,
            }
        if dataset.name == "SUN":
            return {
                "pool": "mean",
                "lr": 1e-3,
                "attributes": 1e-4,
                "norm": 1e-3,
                "local_attributes": 5e-2,
                "local_norm": 5e-3,
                "compactness": 2e-7,
                "compact_from": 5,
            }
        return {"lr": 1e-3, "embedding_dims": 64} if dataset.name == "FLO" else {}

    def head(self, task: Task, runs: Sequence[Run], embeddings: torch.Tensor) -> APNHead:
        """See :class:`APNHead`."""
        return APNHead(task, runs, embeddings, self.config)


SPEC = MethodSpec(
    name="apn",
    factory=APN,
    citation="Xu et al., Attribute Prototype Network for Zero-Shot Learning, NeurIPS 2020",
    version="2",
    fidelity="approximation",
    family="Region attention",
    precisions=("float32", "tf32"),
    needs=("regions",),
    wants=("groups",),
    summary="Prototypes of attributes are matched with regions, beside a global head.",
)
