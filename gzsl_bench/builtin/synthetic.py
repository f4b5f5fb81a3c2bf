"""Generated data in the true shape of a Proposed Split data set, for benchmarks of speed.

Sizes (images, dimensions, attributes, classes, split sizes, fold sizes) are those published; values
are drawn from a fixed seed.  Class prototypes are a random linear map of the class embedding, rows
are prototypes plus noise, cut off at zero as ReLU features are.  So the problem can be learnt and
transfers to unseen classes, but its accuracies mean nothing beyond that.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gzsl_bench.data import cache as store
from gzsl_bench.data.gzsl import ClassFold, GZSLData
from gzsl_bench.data.identity import array_digest, identify, row_chunks
from gzsl_bench.data.known import KNOWN, KnownDataset
from gzsl_bench.errors import DataError, unknown_name
from gzsl_bench.hooks.dataset import DatasetRequest

#: Names the streams and the cache's entries: raise it when the same shape gets other data.
NUMERICS = 1
_SIGNAL, _NOISE = 0.12, 0.6
_FOLDS = 3
Rng = np.random.Generator


def load(request: DatasetRequest) -> GZSLData:
    """The synthetic data set; ``request.features`` names the shape (``CUB``).

    Raises:
        DataError: no such shape, or another class embedding than ``attributes``.
    """
    if request.features not in KNOWN:
        raise DataError(unknown_name("shape of synthetic", request.features, KNOWN))
    if request.attributes != "attributes":
        raise DataError(
            unknown_name("class embedding of synthetic", request.attributes, ["attributes"])
        )
    known = KNOWN[request.features]
    stream = _streams(known)
    attributes = np.abs(stream("attributes").standard_normal((known.classes, known.attributes)))
    attributes /= np.linalg.norm(attributes, axis=1, keepdims=True)
    order = stream("classes").permutation(known.classes)
    seen, unseen = np.sort(order[: known.seen]), np.sort(order[known.seen :])
    labels, parts = _rows(known, seen, unseen, stream("rows"))
    made = partial(_features, known, attributes, labels, stream)
    name = store.parameter_digest(
        generator="synthetic",
        version=NUMERICS,
        shape=known.name,
        strength=[_SIGNAL, _NOISE],
        numpy=np.__version__,
    )
    cache = request.cache
    entry = made() if cache is None else store.kept(cache, name, made, "synthetic")
    data = GZSLData(
        name=request.name,
        features=entry.features,
        labels=labels,
        attributes=attributes,
        trainval=parts[0],
        test_seen=parts[1],
        test_unseen=parts[2],
        folds=tuple(_fold(known, seen, stream(f"fold {i}")) for i in range(_FOLDS)),
        feature_set=request.features,
        attribute_set=request.attributes,
        provenance={"layout": "generated", "lists": "none", "version": NUMERICS},
        warnings=entry.warnings,
    )
    return identify(data, entry.digest)


def _streams(known: KnownDataset) -> Callable[[str], Rng]:
    """A generator per purpose: drawing more of one changes nothing of another."""

    def stream(purpose: str) -> Rng:
        text = f"gzsl-bench/synthetic/{NUMERICS}/{known.name}/{purpose}"
        return np.random.Generator(np.random.PCG64(zlib.crc32(text.encode())))

    return stream


def _spread(total: int, classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """``total`` labels over ``classes``, as evenly as possible, ascending."""
    return np.sort(np.resize(classes, total))


def _rows(
    known: KnownDataset, seen: NDArray[np.int64], unseen: NDArray[np.int64], rng: Rng
) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """Labels grouped by class, as in the real files, and the three parts in random order."""
    drawn = [
        _spread(known.trainval, seen),
        _spread(known.test_seen, seen),
        _spread(known.test_unseen, unseen),
    ]
    part = np.repeat(np.arange(3), [len(item) for item in drawn])
    labels = np.concatenate(drawn)
    order = np.lexsort((rng.random(known.rows), labels))
    labels, part = labels[order], part[order]
    return labels, [rng.permutation(np.flatnonzero(part == number)) for number in range(3)]


def _features(
    known: KnownDataset,
    attributes: NDArray[np.float64],
    labels: NDArray[np.int64],
    stream: Callable[[str], Rng],
) -> store.Entry:
    centred = attributes - attributes.mean(axis=0)
    centred /= np.sqrt((centred**2).sum(axis=1).mean())
    weights = stream("weights").standard_normal((known.attributes, known.dimensions))
    prototypes = (_SIGNAL * centred @ weights).astype(np.float32)
    features = np.empty((known.rows, known.dimensions), np.float32)
    rng = stream("noise")
    for part in row_chunks(known.rows, 4 * known.dimensions):
        block = features[part]
        rng.standard_normal(out=block, dtype=np.float32)
        block *= np.float32(_NOISE)
        block += prototypes[labels[part]]
        np.maximum(block, 0, out=block)
    return store.Entry(features, labels, array_digest(features, "float32"))


def _fold(known: KnownDataset, seen: NDArray[np.int64], rng: Rng) -> ClassFold:
    order = rng.permutation(seen)
    return ClassFold(
        train=np.sort(order[known.validation :]), val=np.sort(order[: known.validation])
    )
