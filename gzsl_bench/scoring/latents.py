"""How images and class samples lie beside one another in the space that a method made for both.

A plane drawn by t-SNE shows neighbourhoods and distorts everything else.  These two numbers are
taken in the latent space itself, from all points.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gzsl_bench.hooks.metric import FloatArray, IntArray

#: Neighbours of a point that are looked at.
NEIGHBOURS = 10
#: Distances held at once.
_CHUNK = 1 << 22


def modality_mixing(
    visual: FloatArray, semantic: FloatArray, neighbours: int = NEIGHBOURS
) -> float:
    """Mean share of a point's nearest neighbours that come from the other modality.

    For point i of all n = N + M points, by Euclidean distance and without itself, let o_i be how
    many of its k nearest belong to the other modality; the result is mean_i(o_i / k) with
    k = min(``neighbours``, n - 1).  0: the modalities lie apart.  About 0.5: they are mixed, where
    both have equally many points.  Points tied at the k-th distance share the places that are left:
    each counts by (places left) / (points tied), so the order of the points plays no part.

    Args:
        visual: [N, K] latents of images.
        semantic: [M, K] samples of classes.
        neighbours: k.

    Raises:
        ValueError: there are fewer than two points.
    """
    points = np.concatenate([visual, semantic]).astype(np.float64)
    modality = np.repeat([0, 1], [len(visual), len(semantic)])
    k = min(neighbours, len(points) - 1)
    if k < 1:
        raise ValueError("two points at least are needed")
    total = 0.0
    for rows, distances in _chunks(points, points):
        distances[np.arange(len(rows)), rows] = np.inf  # nobody is its own neighbour
        limit = np.partition(distances, k - 1, axis=1)[:, k - 1 : k]
        closer, tied = distances < limit, distances == limit
        other = modality[rows, None] != modality
        left = (k - closer.sum(1)) / tied.sum(1)
        total += float(((closer & other).sum(1) + left * (tied & other).sum(1)).sum())
    return total / (k * len(points))


def nearest_class_accuracy(
    visual: FloatArray, labels: IntArray, semantic: FloatArray, classes: IntArray
) -> float:
    """Share of images whose nearest class mean is their own class's, averaged per class.

    The mean of a class is that of its semantic samples, m_c = mean of s_j over j with class c.  An
    image v is given to argmin_c |v - m_c| (the lowest class id of equals), among the classes that
    have samples; the accuracy of each class with images is averaged over these classes.

    Args:
        visual: [N, K] latents of images.
        labels: [N] their classes.
        semantic: [M, K] samples.
        classes: [M] their classes.
    """
    ids, place = np.unique(classes, return_inverse=True)
    sums = np.zeros((len(ids), semantic.shape[1]))
    np.add.at(sums, place, semantic.astype(np.float64))
    means = sums / np.bincount(place)[:, None]
    given = np.empty(len(visual), dtype=np.int64)
    for rows, distances in _chunks(visual.astype(np.float64), means):
        given[rows] = ids[distances.argmin(1)]
    right = given == labels
    return float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))


def _chunks(points: FloatArray, others: FloatArray) -> Iterator[tuple[IntArray, FloatArray]]:
    """Row numbers and their distances [n, M] to ``others``, a bounded number at once.

    Pair by pair, without the shortcut |a|^2 - 2ab + |b|^2: equal points are exactly equally far.
    """
    from scipy.spatial.distance import cdist

    step = max(1, _CHUNK // len(others))
    for start in range(0, len(points), step):
        rows = np.arange(start, min(start + step, len(points)))
        yield rows, cdist(points[rows], others)
