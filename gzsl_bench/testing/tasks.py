"""Tiny generated data sets of awkward shapes, and what can be done to one without changing it.

Class embeddings are distinct words of bits with an even number of ones, none of them all zero, so
that methods for binary attributes apply and no two classes differ in a single bit.  Features are a
random linear map of the embedding plus noise, cut off at zero as those of a ReLU network are.

For methods that need more there are region maps whose mean is such a row, each region showing a
part of the embedding, and the rest of what a task may hold.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gzsl_bench.data.gzsl import GZSLData, RegionMaps
from gzsl_bench.data.identity import identify

Ids = NDArray[np.int64]

#: Regions of a generated map, and numbers in a word vector.
REGIONS, WORDS = 4, 8


@dataclass(frozen=True)
class Shape:
    """What a generated data set looks like.

    Attributes:
        name: how checks call it.
        about: what is awkward about it.
        seen: number of seen classes; their ids come first unless ``unseen_first``.
        unseen: number of unseen classes.
        rows: training rows of a seen class.
        tests: test rows of a class.
        bits: length of a class embedding.
        dims: length of a feature.
        noise: of a feature, in units of its spread over classes.
        unseen_first: unseen classes have the low ids.
        single: class 1 has one training row and one test row.
        negative: every feature is negative.
        scalar: the embedding of a class is one number.
        one_space: features are embeddings with noise, of ``bits`` dimensions as these are.
    """

    name: str
    about: str
    seen: int = 6
    unseen: int = 3
    rows: int = 6
    tests: int = 4
    bits: int = 5
    dims: int = 10
    noise: float = 0.25
    unseen_first: bool = False
    single: bool = False
    negative: bool = False
    scalar: bool = False
    one_space: bool = False


EASY = "easy"
#: For methods that apply to nothing else.
ONE_SPACE = "one_space"
#: Every awkward shape by name; the check of the same name trains on it.
SHAPES: Mapping[str, Shape] = {
    shape.name: shape
    for shape in (
        Shape(EASY, "12 seen and 8 unseen classes, little noise", 12, 8, 8, 6, bits=6, dims=16),
        Shape("one_unseen_class", "a single unseen class", unseen=1),
        Shape("one_image_in_a_class", "a seen class with a single training image", single=True),
        Shape("seen_after_unseen", "seen classes whose ids follow the unseen", unseen_first=True),
        Shape("negative_features", "features that are all negative", negative=True),
        Shape("one_dimensional_embeddings", "class embeddings of one number", scalar=True),
        Shape(
            ONE_SPACE,
            "features and class embeddings in one space",
            12,
            8,
            8,
            6,
            6,
            6,
            one_space=True,
        ),
    )
}
#: The shapes that have a check of their own.
AWKWARD = tuple(name for name in SHAPES if name not in (EASY, ONE_SPACE))


def make(name: str) -> GZSLData:
    """The data set of the shape ``name``, or a variant of it: ``easy/fewer rows``."""
    shape, _, variant = name.partition("/")
    data = generate(SHAPES[shape])
    return VARIANTS[variant](data) if variant else data


def generate(shape: Shape) -> GZSLData:
    """The data set of a shape; always the same one."""
    rng = np.random.Generator(np.random.PCG64(2022))
    classes = shape.seen + shape.unseen
    seen = np.arange(shape.seen) + (shape.unseen if shape.unseen_first else 0)
    attributes = _embeddings(shape, classes, seen, rng)
    centred = attributes - attributes.mean(0)
    directions = rng.standard_normal((attributes.shape[1], shape.dims))
    prototypes = centred @ directions
    spread = prototypes.std()
    prototypes /= spread
    trained = np.repeat(seen, [_few(shape, c, shape.rows) for c in seen.tolist()])
    tested = np.repeat(np.arange(classes), [_few(shape, c, shape.tests) for c in range(classes)])
    labels = np.concatenate([rng.permutation(trained), rng.permutation(tested)])
    noise = shape.noise * rng.standard_normal((labels.size, shape.dims))
    features = np.maximum(prototypes[labels] + noise + 2.0, 0.0)
    if shape.one_space:
        features = attributes[labels] + noise
    if shape.negative:
        features = -0.5 - features
    more = np.random.Generator(np.random.PCG64(2023))
    shown = np.arange(attributes.shape[1])[None] % REGIONS == np.arange(REGIONS)[:, None]
    parts = REGIONS * np.einsum("ca,ra,ad->crd", centred, shown, directions / spread)
    maps = parts[labels] + shape.noise * more.standard_normal((labels.size, *parts.shape[1:]))
    maps = np.maximum(maps + 2.0, 0.0)
    second = np.maximum(prototypes[labels] @ more.standard_normal((shape.dims, 7)) + 2.0, 0.0)
    if shape.negative:
        maps, second = -0.5 - maps, -0.5 - second
    rows = np.arange(labels.size)
    held = rows[trained.size :]
    from_seen = np.isin(labels[held], seen)
    return identify(
        GZSLData(
            name=shape.name,
            features=features.astype(np.float32),
            labels=labels,
            attributes=attributes,
            trainval=rows[: trained.size],
            test_seen=held[from_seen],
            test_unseen=held[~from_seen],
            feature_set="generated",
            attribute_set="generated",
            class_names=tuple(f"class {c}" for c in range(classes)),
            regions=RegionMaps("generated", maps.astype(np.float16), digest="generated"),
            second=second.astype(np.float32),
            second_set="generated",
            words=more.standard_normal((attributes.shape[1], WORDS)),
            groups=np.arange(attributes.shape[1]) % 2,
        )
    )


def _few(shape: Shape, c: int, many: int) -> int:
    return 1 if shape.single and c == 1 else many


def _embeddings(
    shape: Shape, classes: int, seen: Ids, rng: np.random.Generator
) -> NDArray[np.float64]:
    """[C, A] embeddings; every bit occurs and is missing among the seen classes."""
    if shape.scalar:
        return rng.permutation(np.arange(1.0, classes + 1))[:, None]
    words = [w for w in itertools.product((0.0, 1.0), repeat=shape.bits) if sum(w) % 2 == 0]
    codes = np.array(words[1:])
    while True:
        found = codes[rng.permutation(len(codes))[:classes]]
        share = found[seen].mean(0)
        if ((share > 0.2) & (share < 0.8)).all():
            return found


def fewer_rows(data: GZSLData) -> GZSLData:
    """Half of the training rows of every class."""
    kept = np.concatenate(
        [
            mine[: max(1, len(mine) // 2)]
            for mine in (data.trainval[data.labels[data.trainval] == c] for c in data.seen)
        ]
    )
    return _anew(data, trainval=np.sort(kept))


def other_labels(data: GZSLData) -> GZSLData:
    """The training rows of every seen class, given to the next one: another training set."""
    following = dict(zip(data.seen.tolist(), np.roll(data.seen, -1).tolist(), strict=True))
    labels = data.labels.copy()
    labels[data.trainval] = [following[c] for c in labels[data.trainval].tolist()]
    return _anew(data, labels=labels)


def new_ids(classes: int) -> Ids:
    """[C] the id that class c gets in :func:`permuted`: odd ones first, in descending order."""
    order = np.concatenate([np.arange(1, classes, 2), np.arange(0, classes, 2)])[::-1]
    found = np.empty(classes, dtype=np.int64)
    found[order] = np.arange(classes)
    return found


def permuted(data: GZSLData) -> GZSLData:
    """The same rows in the same order; classes have other ids (:func:`new_ids`)."""
    ids = new_ids(data.num_classes)
    attributes = np.empty_like(data.attributes)
    attributes[ids] = data.attributes
    assert data.class_names is not None
    names = tuple(data.class_names[c] for c in np.argsort(ids).tolist())
    return _anew(data, labels=ids[data.labels], attributes=attributes, class_names=names)


def _anew(data: GZSLData, **changes: object) -> GZSLData:
    return identify(replace(data, **changes, fingerprint="", provenance={}))  # type: ignore[arg-type]


VARIANTS: Mapping[str, Callable[[GZSLData], GZSLData]] = {
    "fewer rows": fewer_rows,
    "other labels": other_labels,
    "permuted": permuted,
}
