"""Stochastic gradient descent on bilinear rankings, one image at a time, for many runs at once.

DeViSE, SJE, ALE and LATEM score F(x, c) = x'W a_c and change W after every single image by a
matrix of rank one.  Done literally, an epoch is N passes over W.  The same numbers, but for
rounding, come from blocks of images: within a block, image j sees W through x_j'W alone, and an
update of image i, W += w x_i (a_y - a_c)', adds w (x_i'x_j) (a_y - a_c) to that.  So one matrix
product scores the whole block with the W from before it, the products x_i'x_j carry each update
to the images that follow, and a second matrix product adds the block's updates to W.

The matrix products are made run by run (they fill a core), the small steps in between for all runs
at once; each of those is elementwise, so no run's numbers depend on its company.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from gzsl_bench import (
    BatchedMethod,
    Config,
    DatasetInfo,
    NotApplicable,
    Run,
    Scorer,
    Task,
    stackable,
)
from gzsl_bench.stacked import Progress, per_run
from gzsl_bench_classic.scaling import fit_scaling

Array: TypeAlias = NDArray[Any]

#: Images in a block.  The products x_i'x_j cost 64 multiplications for each number of an image, W
#: costs as many as it has columns; longer blocks carry every update to more images.
BLOCK = 64


class RankingConfig(Config):
    """What the bilinear rankings have in common."""

    epochs: int = Field(50, ge=1, description="passes over the images; each ends in a checkpoint")
    lr: float = stackable(0.1, "learning rate of plain SGD, one image a step", gt=0)
    margin: float = stackable(1.0, "by how much the true class has to win", gt=0)


class Embedding:
    """The class embeddings at unit length, and the shortest coordinates for the maps.

    A map W [D, A] acts through W a_c alone.  Where there are fewer classes than attributes it is
    kept as its products with all C embeddings, otherwise as it is: M = W Z' with M columns either
    way.  An update along a_c then moves a map along ``moves[c]``.

    Attributes:
        unit: [C, A] embeddings divided by their length.
        width: M, the smaller of C and A.
        moves: [S, M] what adding x a_c' adds to a map, for the seen classes in ascending order.
        kernel: [S, S] products a_c'a_d of seen classes.
    """

    def __init__(self, task: Task) -> None:
        classes = task.attributes
        lengths = torch.linalg.vector_norm(classes, dim=1, keepdim=True)
        self.unit = classes / lengths.masked_fill(lengths == 0, 1)
        self.seen = task.seen
        self.compact = len(classes) < classes.shape[1]
        products = self.unit @ self.unit.T
        self.width = min(classes.shape)
        self.moves = (products if self.compact else self.unit)[self.seen]
        self.kernel: Array = products[self.seen][:, self.seen].cpu().numpy()

    def encode(self, maps: torch.Tensor) -> torch.Tensor:
        """[..., A] -> [..., M]."""
        return maps @ self.unit.T if self.compact else maps

    def scores(self, projected: torch.Tensor) -> torch.Tensor:
        """[..., M] products of features with a map -> scores of all classes [..., C]."""
        return projected if self.compact else projected @ self.unit.T

    def seen_scores(self, projected: torch.Tensor) -> torch.Tensor:
        """[..., M] -> scores of the seen classes [..., S]."""
        return projected[..., self.seen] if self.compact else projected @ self.unit[self.seen].T


class Maps:
    """``latent`` bilinear maps for each run: [D, latent * M], kept apart so that each is aligned.

    Entries of W are drawn with mean 0 and variance 1 / D, so columns have unit length on average.
    """

    def __init__(
        self, runs: Sequence[Run], features: torch.Tensor, embedding: Embedding, latent: int = 1
    ) -> None:
        self.features, self.embedding, self.latent = features, embedding, latent
        dimensions, attributes = features.shape[1], embedding.unit.shape[1]
        self.weights: list[torch.Tensor] = []
        for run in runs:
            stream = run.generator("init")
            drawn = torch.randn(dimensions, latent, attributes, generator=stream)
            encoded = embedding.encode((drawn / dimensions**0.5).to(features.device))
            self.weights.append(encoded.reshape(dimensions, -1).contiguous())

    def project(self, rows: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor], Array]:
        """Score a block with the maps as they are.

        Args:
            rows: [R, B] row numbers.

        Returns:
            For each run the images [B, D] and their products with its maps [B, latent, M]; and the
            products of the images with each other, [R, B, B].
        """
        images = [self.features.index_select(0, picked) for picked in rows.to(self.features.device)]
        projected = [
            (x @ weight).view(len(x), self.latent, -1)
            for x, weight in zip(images, self.weights, strict=True)
        ]
        products = np.stack([(x @ x.T).cpu().numpy() for x in images])
        return images, projected, products

    def add(self, run: int, images: torch.Tensor, moves: torch.Tensor) -> None:
        """Add the updates of a block: images [B, D] times moves [B, latent * M]."""
        self.weights[run].addmm_(images.T, moves)

    def scores(self, run: int, features: torch.Tensor) -> torch.Tensor:
        """Scores [N, C]: the best map of a run counts."""
        projected = (features @ self.weights[run]).view(len(features), self.latent, -1)
        return self.embedding.scores(projected).amax(1)


#: (slack [R, S], step) -> rival [R] and weight [R] of each run's update, 0 for none.
Choice: TypeAlias = Callable[[Array, int], tuple[Array, Array]]


def rank_block(
    scores: Array,
    products: Array,
    labels: Array,
    kernel: Array,
    rates: Array,
    margins: Array,
    choose: Choice,
) -> tuple[Array, Array, Array]:
    """The steps of one block: for each image a rival class c, then W += weight x (a_y - a_c)'.

    Args:
        scores: [R, B, S] scores of the seen classes before the block; changed in place.
        products: [R, B, B] products of the images.
        labels: [R, B] true classes, numbered among the seen ones.
        kernel: [S, S] products of the class embeddings.
        rates: [R] learning rates.
        margins: [R] margins.
        choose: picks the rivals from the slack margin + F(x, c) - F(x, y), -inf for the true class.

    Returns:
        Rivals [R, B], weights [R, B] with the learning rate in them, and the slack of every step
        [R, B, S].
    """
    count, length, _ = scores.shape
    runs = np.arange(count)
    rivals = np.zeros((count, length), np.int64)
    weights = np.zeros((count, length), scores.dtype)
    slacks = np.empty_like(scores)
    towards = kernel[labels]
    for i in range(length):
        true, slack = labels[:, i], slacks[:, i]
        floor = scores[runs, i, true] - margins
        np.subtract(scores[:, i], floor[:, None], out=slack)
        slack[runs, true] = -np.inf
        rival, weight = choose(slack, i)
        if not weight.any():
            continue
        weight = weight * rates
        rivals[:, i], weights[:, i] = rival, weight
        move = towards[:, i] - kernel[rival]
        carried = products[:, i, i + 1 :] * weight[:, None]
        scores[:, i + 1 :] += carried[:, :, None] * move[:, None, :]
    return rivals, weights, slacks


class RankingMethod(BatchedMethod):
    """SGD that moves W by a multiple of x (a_y - a_c)', c a rival that the method chooses.

    Attributes:
        recipes: values chosen together for a data set, by its name; CUB's serve all others.
    """

    Config = RankingConfig
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]]

    @classmethod
    def defaults(cls, dataset: DatasetInfo) -> Mapping[str, Any]:
        """The recipe of ``dataset``."""
        return cls.recipes.get(dataset.name, cls.recipes["CUB"])

    @abstractmethod
    def chooser(self, streams: Sequence[torch.Generator], labels: Array, classes: int) -> Choice:
        """Draw what a block needs, and say how a rival is chosen.

        Args:
            streams: one a run, at their places.
            labels: [R, B] true classes, numbered among the seen ones.
            classes: S, the number of seen classes.
        """

    @abstractmethod
    def losses(self, slacks: Array) -> Array:
        """The objective of every image [R, B] from its slack [R, B, S]."""

    def fit_batch(self, task: Task, runs: Sequence[Run]) -> None:
        """Train ``runs``; every epoch becomes a checkpoint."""
        refuse_single_class(task)
        embed = fit_scaling(getattr(self.config, "scaling", "none"), task.features)
        embedding = Embedding(task)
        maps = Maps(runs, embed(task.features), embedding)
        labels = torch.searchsorted(task.seen, task.labels).cpu()
        orders, draws = ([run.generator(name) for run in runs] for name in ("order", "rivals"))
        rates, margins = (np.array(per_run(runs, n), np.float32) for n in ("lr", "margin"))
        classes = len(task.seen)

        def block(rows: torch.Tensor) -> Array:
            true = labels[rows].numpy()
            images, projected, products = maps.project(rows)
            scores = [embedding.seen_scores(p[:, 0]).cpu().numpy() for p in projected]
            choose = self.chooser(draws, true, classes)
            rivals, weights, slacks = rank_block(
                np.stack(scores), products, true, embedding.kernel, rates, margins, choose
            )
            for r, x in enumerate(images):
                which = np.flatnonzero(weights[r])  # late in training a few images of a block
                if len(which):
                    chosen = (weights[r, which], true[r, which], rivals[r, which], which)
                    weight, towards, away, places = on(task.device, *chosen)
                    moves = embedding.moves[towards] - embedding.moves[away]
                    maps.add(r, x[places], weight[:, None] * moves)
            return np.stack([self.losses(slacks).sum(1), (weights > 0).sum(1)])

        train_epochs(runs, orders, len(labels), self.config.epochs, block, maps, embed)


def train_epochs(
    runs: Sequence[Run],
    orders: Sequence[torch.Generator],
    rows: int,
    epochs: int,
    block: Callable[[torch.Tensor], Array],
    maps: Maps,
    embed: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    """Visit every image once in an epoch, in a new order each time; report, offer a checkpoint.

    Args:
        runs: the stack.
        orders: a stream for each run.
        rows: N, the number of images.
        epochs: number of epochs.
        block: row numbers [R, B] -> sums over the block [2, R]: losses, and how many steps updated.
        maps: what is trained.
        embed: shared by all scorers.
    """
    progress = Progress(runs, epochs)
    for epoch in range(1, epochs + 1):
        order = torch.stack([torch.randperm(rows, generator=stream) for stream in orders])
        sums = np.zeros((2, len(runs)))
        # A run that diverges is told by its loss, below.
        with np.errstate(all="ignore"):
            for part in torch.split(order, BLOCK, dim=1):
                sums += block(part)
        for r, run in enumerate(runs):
            loss, updates = (sums[:, r] / rows).tolist()
            if not np.isfinite(loss) or not bool(maps.weights[r].isfinite().all()):
                run.fail(f"the loss or the weights are not finite in epoch {epoch}")
            if run.failure:
                continue
            run.log(epoch, loss=loss, updates=updates)
            run.checkpoint(epoch, Scorer(embed, partial(maps.scores, r)))
        progress.advance(1)
        if all(run.failure for run in runs):
            return


def refuse_single_class(task: Task) -> None:
    """A ranking needs a wrong class.

    Raises:
        NotApplicable: there is one seen class.
    """
    if len(task.seen) < 2:
        raise NotApplicable("a ranking needs training rows of at least two classes, not of one")


def on(device: torch.device, *arrays: Array) -> list[torch.Tensor]:
    """Copies of ``arrays`` on ``device``; they begin at cache lines, as a product's kernel asks."""
    return [torch.tensor(array, device=device) for array in arrays]


def wrong_classes(drawn: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Numbers below S - 1 -> classes other than ``labels``, which broadcasts against them."""
    return drawn + (drawn >= labels)
