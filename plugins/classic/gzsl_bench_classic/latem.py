"""LATEM: latent embeddings for zero-shot classification (Xian et al., CVPR 2016)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from pydantic import Field

from gzsl_bench import BatchedMethod, MethodSpec, Run, Task, stackable
from gzsl_bench.stacked import per_run
from gzsl_bench_classic.ranking import (
    Array,
    Embedding,
    Maps,
    RankingConfig,
    on,
    refuse_single_class,
    train_epochs,
    wrong_classes,
)
from gzsl_bench_classic.scaling import unchanged


class LATEMConfig(RankingConfig):
    """Hyper-parameters of LATEM."""

    epochs: int = Field(10, ge=1, description="passes over the images; each ends in a checkpoint")
    lr: float = stackable(1e-3, "learning rate of plain SGD, one image a step", gt=0)
    margin: float = stackable(1.0, "by how much the true class has to win (paper: 1)", gt=0)
    maps: int = Field(6, ge=1, description="K, the number of bilinear maps (paper: 2 to 10)")


class LATEM(BatchedMethod):
    """Piece-wise bilinear compatibility F(x, c) = max_k x'W_k a_c, k = 1 ... K.

    For each image one wrong seen class c is drawn; i is the best map for c and j the one for the
    true class y.  If 1 + F(x, c) > F(x, y), then W_i -= lr x a_c' and W_j += lr x a_y'.  Images
    come in a new random order in every epoch; entries of W_k are drawn from N(0, 1/D), embeddings
    have unit length, features are standardised by dimension.  K, rate and epochs are those of a
    public re-implementation; the paper chooses K by validation or by pruning.
    """

    Config = LATEMConfig

    def fit_batch(self, task: Task, runs: Sequence[Run]) -> None:
        """Train ``runs``; every epoch becomes a checkpoint."""
        refuse_single_class(task)
        embedding = Embedding(task)
        maps = Maps(runs, task.features, embedding, self.config.maps)
        labels = torch.searchsorted(task.seen, task.labels).cpu()
        orders, draws = ([run.generator(name) for run in runs] for name in ("order", "rivals"))
        rates, margins = (np.array(per_run(runs, n), np.float32) for n in ("lr", "margin"))
        wrong = len(task.seen) - 1

        def block(rows: torch.Tensor) -> Array:
            true, length = labels[rows], rows.shape[1]
            drawn = [torch.randint(wrong, (length,), generator=stream) for stream in draws]
            # What an image's step looks at: its true class and the one drawn.
            pairs = torch.stack([true, wrong_classes(torch.stack(drawn), true)], dim=2).numpy()
            images, projected, products = maps.project(rows)
            scores = [pair_scores(embedding, *one) for one in zip(projected, pairs, strict=True)]
            picked, weights, slacks = latent_block(
                np.stack(scores), products, pairs, embedding.kernel, rates, margins
            )
            for r, x in enumerate(images):
                which = np.flatnonzero(weights[r])  # late in training a few images of a block
                if len(which):
                    chosen = (weights[r, which], picked[r, which], pairs[r, which], which)
                    weight, best, classes, places = on(task.device, *chosen)
                    moves = weight[:, None, None] * embedding.moves[classes]
                    change = x.new_zeros(len(which), maps.latent, embedding.width)
                    each = torch.arange(len(which), device=task.device)
                    change[each, best[:, 0]] += moves[:, 0]
                    change[each, best[:, 1]] -= moves[:, 1]
                    maps.add(r, x[places], change.view(len(which), -1))
            return np.stack([np.maximum(slacks, 0).sum(1), (weights > 0).sum(1)])

        train_epochs(runs, orders, len(labels), self.config.epochs, block, maps, unchanged)


def pair_scores(embedding: Embedding, projected: torch.Tensor, pairs: Array) -> Array:
    """Scores [K, B, 2] of the two classes of each image in every map.

    Args:
        embedding: the class embeddings.
        projected: [B, K, M] products of the images with the maps.
        pairs: [B, 2] classes, numbered among the seen ones.
    """
    (chosen,) = on(projected.device, pairs)
    classes = embedding.seen[chosen]
    if embedding.compact:
        shape = (-1, projected.shape[1], -1)
        scores = projected.gather(2, classes[:, None, :].expand(shape))
    else:
        scores = projected @ embedding.unit[classes].mT
    return np.ascontiguousarray(scores.transpose(0, 1).cpu().numpy())


def latent_block(
    scores: Array, products: Array, pairs: Array, kernel: Array, rates: Array, margins: Array
) -> tuple[Array, Array, Array]:
    """The steps of one block.

    Args:
        scores: [R, K, B, 2] scores of the true and of the drawn class in every map, before the
            block; changed in place.
        products: [R, B, B] products of the images.
        pairs: [R, B, 2] true and drawn class of each image.
        kernel: [S, S] products of the class embeddings.
        rates: [R] learning rates.
        margins: [R] margins.

    Returns:
        The maps that are best for the true and for the drawn class [R, B, 2], weights [R, B], the
        learning rate or 0, and margin + F(x, c) - F(x, y) as each step met it [R, B].
    """
    count, _, length, _ = scores.shape
    runs = np.arange(count)
    picked = np.zeros((count, length, 2), np.int64)
    weights, slacks = np.zeros((2, count, length), scores.dtype)
    # What adding x_i a_c' to a map adds to the score of class d of image j: [R, B, B, c, d].
    similar = kernel[pairs[:, :, None, :, None], pairs[:, None, :, None, :]]
    carried = products[..., None, None] * similar
    for i in range(length):
        here = scores[:, :, i]
        best = here.argmax(1)
        true, drawn = best[:, 0], best[:, 1]
        slack = margins + here[runs, drawn, 1] - here[runs, true, 0]
        weight = np.where(slack > 0, rates, 0)
        picked[:, i], weights[:, i], slacks[:, i] = best, weight, slack
        if not weight.any():
            continue
        after = weight[:, None, None, None] * carried[:, i, i + 1 :]
        scores[runs, true, i + 1 :] += after[:, :, 0]
        scores[runs, drawn, i + 1 :] -= after[:, :, 1]
    return picked, weights, slacks


SPEC = MethodSpec(
    name="latem",
    factory=LATEM,
    citation="Xian et al., Latent Embeddings for Zero-Shot Classification, CVPR 2016",
    version="1",
    fidelity="paper",
    family="Embedding",
    preprocessing="zscore",
    summary="Several bilinear maps of which the best one counts, trained with a ranking hinge.",
)
