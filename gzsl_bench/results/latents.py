"""What is drawn of a latent space: points thinned out, laid flat, and measured before that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gzsl_bench.errors import SuiteError
from gzsl_bench.hooks.metric import FloatArray, IntArray
from gzsl_bench.records.latents import KeptLatents
from gzsl_bench.scoring.latents import modality_mixing, nearest_class_accuracy
from gzsl_bench.wording import counted

#: Parts in the order of the columns: the claim is about unseen classes.
PARTS = ("unseen", "seen")
#: Most images of a panel, and as many samples, that t-SNE lays flat.
MOST = 2000
#: What t-SNE and the thinning out draw from: the same latents give the same picture.
SEED = 0


@dataclass(frozen=True, eq=False)
class Measured:
    """One method on one data set, one of the two parts.

    Attributes:
        label: the method's.
        part: ``unseen`` or ``seen``.
        images: number of test images, and of samples.
        classes: number of classes with test images.
        mixing: see :func:`~gzsl_bench.scoring.latents.modality_mixing`; of all points of the part.
        nearest: see :func:`~gzsl_bench.scoring.latents.nearest_class_accuracy`, in percent.
    """

    label: str
    part: str
    images: int
    classes: int
    mixing: float
    nearest: float


@dataclass(frozen=True, eq=False)
class Plane:
    """A part laid flat.

    Attributes:
        measured: what is true of all of its points.
        visual: [n, 2] images.
        labels: [n] their classes.
        semantic: [n, 2] samples.
        sampled: [n] their classes.
    """

    measured: Measured
    visual: FloatArray
    labels: IntArray
    semantic: FloatArray
    sampled: IntArray


def measure(label: str, part: str, kept: KeptLatents) -> Measured:
    """The two numbers of a part, in the latent space itself."""
    visual, labels, semantic, classes = kept.part(part)
    return Measured(
        label,
        part,
        len(labels),
        len(np.unique(labels)),
        modality_mixing(visual, semantic),
        100 * nearest_class_accuracy(visual, labels, semantic, classes),
    )


def refuse_perplexity(
    perplexity: float, labels: IntArray, unseen: IntArray, most: int, where: str
) -> None:
    """Tell before anything trains that t-SNE could not lay a part flat.

    Args:
        perplexity: of t-SNE.
        labels: [N] of the test images; there are as many samples of each class.
        unseen: ids of the unseen classes.
        most: images, and samples, that are drawn at most.
        where: what to call the data set.

    Raises:
        SuiteError: there are too few points for the perplexity.
    """
    hidden = np.isin(labels, unseen)
    for part, mine in zip(PARTS, (labels[hidden], labels[~hidden]), strict=True):
        drawn = len(thinned(mine, most))
        if not perplexity < 2 * drawn:
            more = "" if drawn == len(mine) else f" by --points {most}, which may be more"
            raise SuiteError(
                f"--perplexity {perplexity:g} must be below the number of points, and of the"
                f" {part} classes of {where} {counted(drawn, 'image')} and as many samples are"
                f" drawn{more}"
            )


def flatten(measured: Measured, kept: KeptLatents, perplexity: float, most: int = MOST) -> Plane:
    """Lay the points of a part flat, images and samples together.

    Args:
        measured: of the same part.
        kept: the latents.
        perplexity: of t-SNE; below the number of points, see :func:`refuse_perplexity`.
        most: images, and samples, that are drawn at most.
    """
    visual, labels, semantic, classes = kept.part(measured.part)
    images, samples = thinned(labels, most), thinned(classes, most)
    flat = project(np.concatenate([visual[images], semantic[samples]]), perplexity)
    n = len(images)
    return Plane(measured, flat[:n], labels[images], flat[n:], classes[samples])


def thinned(labels: IntArray, most: int) -> IntArray:
    """Row numbers: all of them, or about ``most``, every class by the same share.

    A class of n_c of N rows keeps floor(most n_c / N), at least one; which, is drawn once for all.
    """
    if len(labels) <= most:
        return np.arange(len(labels))
    stream = np.random.default_rng(SEED)
    kept = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        count = max(1, most * len(rows) // len(labels))
        kept.append(stream.choice(rows, count, replace=False))
    return np.sort(np.concatenate(kept))


def project(points: FloatArray, perplexity: float) -> FloatArray:
    """[n, K] -> [n, 2] by t-SNE, begun from the principal components."""
    from sklearn.manifold import TSNE

    points = points.astype(np.float32)
    if points.shape[1] == 1:  # principal components want two axes
        points = np.hstack([points, np.zeros_like(points)])
    flat: Any = TSNE(
        n_components=2, perplexity=perplexity, init="pca", random_state=SEED
    ).fit_transform(points)
    return np.asarray(flat, dtype=np.float64)


def plain(found: Sequence[Measured]) -> list[dict[str, Any]]:
    """For JSON."""
    return [
        {"part": m.part, "classes": m.classes, "images": m.images, "modality_mixing": m.mixing,
         "nearest_class_accuracy": m.nearest}
        for m in found
    ]  # fmt: skip
