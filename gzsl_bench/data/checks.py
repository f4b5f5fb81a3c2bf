"""Checks on a split that hold for every data set, whoever made it; one sentence per failure.

Rows and classes are named as the source counts them: from 1 in xlsa17 files, from 0 in arrays that
a plugin hands over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gzsl_bench.data.gzsl import GZSLData
from gzsl_bench.data.identity import row_chunks
from gzsl_bench.data.regions import check_regions, regions_digest
from gzsl_bench.errors import DataError
from gzsl_bench.wording import counted

Rows = NDArray[np.int64]
#: The three parts of a Proposed Split, in the order of the task.
PARTS = ("trainval", "test_seen", "test_unseen")


def check_finite(features: NDArray[np.generic], what: str) -> None:
    """Refuse NaN, Inf and what float32 cannot hold in ``features`` [N, D], in blocks of rows.

    Raises:
        DataError: a number is not finite; ``what`` is how the message calls them.
    """
    width = features.shape[1] * features.dtype.itemsize
    for part in row_chunks(features.shape[0], width):
        block = features[part]
        with np.errstate(over="ignore"):
            finite = np.isfinite(block.astype(np.float32, copy=False))
        if not finite.all():
            row = part.start + int(np.argmax(~finite.all(axis=1)))
            raise DataError(
                f"{what} holds NaN or Inf (first in image {row + 1} of {features.shape[0]}), "
                "but every feature must be a finite float32 number"
            )


def check_split(
    labels: NDArray[np.int64],
    parts: Mapping[str, Rows],
    num_classes: int,
    where: str,
    *,
    keys: Mapping[str, str] | None = None,
    base: int = 1,
    class_name: Callable[[int], str] | None = None,
) -> None:
    """Refuse a split that cannot be right.

    Args:
        labels: [N] 0-based class ids, already known to lie within the classes.
        parts: 0-based row numbers of each of :data:`PARTS`.
        num_classes: C.
        where: what the split was read from, for the messages.
        keys: how the source calls the parts.
        base: what the source counts from, 1 in MATLAB files.
        class_name: how to call class ``c`` in a message.

    Raises:
        DataError: the first thing that is wrong.
    """
    keys = keys or {part: part for part in PARTS}
    _check_range(parts, len(labels), where, keys, base)
    _check_disjoint(parts, where, keys, base)
    call = class_name or (lambda c: f"class {c + base}")
    _check_classes({part: labels[parts[part]] for part in PARTS}, num_classes, where, keys, call)


def _check_disjoint(
    parts: Mapping[str, Rows], where: str, keys: Mapping[str, str], base: int
) -> None:
    """No row twice, be it within a part or in two of them."""
    for part in PARTS:
        values, times = np.unique(parts[part], return_counts=True)
        if (times > 1).any():
            row = int(values[np.argmax(times > 1)]) + base
            raise DataError(
                f"{keys[part]} in {where} lists row {row} {times.max()} times, "
                "but each row may be listed once"
            )
    for first, second in (PARTS[:2], PARTS[::2], PARTS[1:]):
        both = np.intersect1d(parts[first], parts[second])
        if both.size:
            raise DataError(
                f"{keys[first]} and {keys[second]} in {where} overlap in"
                f" {counted(both.size, 'row')} (row {int(both[0]) + base}, for one), but training"
                " and test rows must be disjoint"
            )


def _check_classes(
    labels: Mapping[str, Rows],
    num_classes: int,
    where: str,
    keys: Mapping[str, str],
    call: Callable[[int], str],
) -> None:
    """Seen classes have training rows, unseen ones none, and every class is tested."""
    trained, seen, unseen = (np.unique(labels[part]) for part in PARTS)
    for c in np.setdiff1d(seen, trained)[:1]:
        raise DataError(
            f"{call(int(c))} has rows in {keys['test_seen']} but none in {keys['trainval']} "
            f"({where}), but a seen class needs training rows"
        )
    for c in np.intersect1d(unseen, trained)[:1]:
        raise DataError(
            f"{call(int(c))} has rows in {keys['test_unseen']} and in {keys['trainval']} "
            f"({where}), but an unseen class may have no training rows"
        )
    tested = np.union1d(seen, unseen)
    for c in np.setdiff1d(np.arange(num_classes), tested)[:1]:
        raise DataError(
            f"{call(int(c))} has no test image in {where}, so its accuracy cannot be computed; "
            "every class must occur in a test part"
        )


def _check_range(
    parts: Mapping[str, Rows], count: int, where: str, keys: Mapping[str, str], base: int
) -> None:
    low = min((int(parts[part].min(initial=0)) for part in PARTS), default=0)
    if base == 1 and low == -1:
        part = next(part for part in PARTS if parts[part].min(initial=0) == -1)
        raise DataError(
            f"{keys[part]} in {where} counts rows from 0, but the file format counts them from 1; "
            "a 0-based file must be shifted by one"
        )
    for part in PARTS:
        rows = parts[part]
        if rows.size == 0:
            raise DataError(
                f"{keys[part]} in {where} is empty, but every part needs at least one row"
            )
        outside = rows[(rows < 0) | (rows >= count)]
        if outside.size:
            raise DataError(
                f"{keys[part]} in {where} lists row {int(outside[0]) + base}, but there are "
                f"{count} images, so rows run from {base} to {count - 1 + base}"
            )


def unused_rows(count: int, parts: Mapping[str, Rows], where: str) -> tuple[str, ...]:
    """A warning where some of ``count`` images are in none of the ``parts``."""
    used = sum(len(rows) for rows in parts.values())
    if used == count:
        return ()
    return (f"{count - used} of {count} images are in no list of {where} and are unused",)


def shared_images(data: GZSLData) -> tuple[str, ...]:
    """A warning where test images have the features of a training image, to the last bit."""

    def mark(row: int) -> bytes:  # not the bytes themselves: that would be a copy of all features
        return hashlib.blake2b(data.features[row].tobytes(), digest_size=16).digest()

    trained = {mark(row): int(row) for row in data.trainval}
    tests = np.concatenate([data.test_seen, data.test_unseen])
    pairs = [(int(row), trained[found]) for row in tests if (found := mark(row)) in trained]
    if not pairs:
        return ()
    test, train = pairs[0]
    them = "1 test image has" if len(pairs) == 1 else f"{len(pairs)} test images have"
    return (
        f"{them} exactly the features of a training image (row {test} those of row {train},"
        " counted from 0): is it one photograph, in the test and in the training?",
    )


def embedding_notes(
    matrix: NDArray[np.float64], what: str, call: Callable[[int], str]
) -> tuple[str, ...]:
    """Warnings about class embeddings [C, A] that tell a method nothing, or something untrue.

    Args:
        matrix: the embeddings.
        what: how to call them.
        call: how to call a class.
    """
    found = []
    met: dict[bytes, int] = {}
    for c, row in enumerate(matrix):
        first = met.setdefault(row.tobytes(), c)
        if first != c:
            found.append(
                f"{what} gives {call(first)} and {call(c)} the same vector, "
                "so no method can tell them apart"
            )
            break
    constant = (matrix == matrix[:, :1]).all(axis=1) & (matrix.shape[1] > 1)
    if constant.any():
        c = int(np.argmax(constant))
        found.append(
            f"{what} has nothing but {matrix[c, 0]:g} for {call(c)}{_others(constant)}:"
            " is the vector missing?"
        )
    hole = matrix == -1
    rest = np.unique(matrix[~hole])
    if hole.any() and len(rest) > 1 and rest[0] >= 0:
        classes = hole.any(axis=1)
        found.append(
            f"{what} has -1 for {call(int(np.argmax(classes)))}{_others(classes)} and no other"
            " negative value: does it stand for an unknown one? Methods take it for a number"
        )
    return tuple(found)


def _others(classes: NDArray[np.bool_]) -> str:
    more = int(classes.sum()) - 1
    return f" and {more} other{'s' * (more > 1)}" if more else ""


def check_extras(data: GZSLData, where: str) -> None:
    """Refuse what a data set has besides features and class embedding where its shape is wrong.

    Raises:
        DataError: the first thing that is wrong.
    """
    count, width = data.features.shape[0], data.attributes.shape[1]
    if data.regions is not None:
        check_regions(data.regions, count, f"the region maps {data.regions.name} of {where}")
    for name, array, dimensions, length, dtype, each in (
        ("second features", data.second, 2, count, "float32", "image"),
        ("words", data.words, 2, width, "float64", "dimension of the class embedding"),
        ("groups", data.groups, 1, width, "int64", "dimension of the class embedding"),
    ):
        if array is None:
            continue
        if array.ndim != dimensions or array.dtype != dtype or len(array) != length:
            raise DataError(
                f"the {name} of {where} have type {array.dtype} and shape {array.shape}, but a"
                f" {dimensions}-d {dtype} array with one row for each {each} ({length}) is needed"
            )
        if not np.isfinite(array).all():
            raise DataError(f"the {name} of {where} hold NaN or Inf, but must be finite numbers")


def check_data(data: GZSLData) -> GZSLData:
    """Refuse a data object that breaks the contract, wherever it came from.

    Meant for data of third-party plugins; the readers in here check while they read.

    Args:
        data: the object.

    Returns:
        ``data``, with warnings about its class embeddings where nobody looked at them before.

    Raises:
        DataError: the first thing that is wrong.
    """
    where = f"data set {data.name!r} of its plugin"
    _check_arrays(data, where)
    parts = {part: getattr(data, part) for part in PARTS}
    check_split(data.labels, parts, data.num_classes, where, base=0)
    check_extras(data, where)
    check_finite(data.features, f"features of {where}")
    _check_folds(data, where)
    if data.regions is not None and not data.regions.digest:
        maps = replace(data.regions, digest=regions_digest(data.regions))
        data = replace(data, regions=maps)
    if data.fingerprint:  # a reader in here has looked
        return data
    names = data.class_names
    call = names.__getitem__ if names is not None else "class {}".format
    notes = embedding_notes(data.attributes, f"the class embedding of {where}", call)
    return replace(data, warnings=(*data.warnings, *notes)) if notes else data


def _check_arrays(data: GZSLData, where: str) -> None:
    """Types, shapes and sizes that have to fit."""
    expected = (
        ("features", data.features, 2, "float32"),
        ("labels", data.labels, 1, "int64"),
        ("attributes", data.attributes, 2, "float64"),
        *((part, getattr(data, part), 1, "int64") for part in PARTS),
    )
    for name, array, dimensions, dtype in expected:
        if not isinstance(array, np.ndarray) or array.ndim != dimensions or array.dtype != dtype:
            kind = getattr(array, "dtype", type(array).__name__)
            raise DataError(
                f"{name} of {where} has type {kind} and shape {np.shape(array)}, "
                f"but a {dimensions}-d {dtype} array is needed"
            )
    if len(data.features) != len(data.labels):
        raise DataError(
            f"{where} has {len(data.features)} rows of features but {len(data.labels)} labels, "
            "but each row needs one label"
        )
    outside = data.labels[(data.labels < 0) | (data.labels >= data.num_classes)]
    if outside.size:
        raise DataError(
            f"labels of {where} hold {outside[0]}, but there are {data.num_classes} classes, so "
            f"labels run from 0 to {data.num_classes - 1}"
        )
    if not np.isfinite(data.attributes).all():
        raise DataError(f"attributes of {where} hold NaN or Inf, but must be finite numbers")
    if data.class_names is not None and len(data.class_names) != data.num_classes:
        raise DataError(
            f"{where} has {len(data.class_names)} class names for {data.num_classes} classes"
        )


def _check_folds(data: GZSLData, where: str) -> None:
    """Folds that a plugin gives."""
    for number, fold in enumerate(data.folds, start=1):
        both = np.intersect1d(fold.train, fold.val)
        strange = np.setdiff1d(np.concatenate([fold.train, fold.val]), data.seen)
        if both.size or strange.size or not fold.train.size or not fold.val.size:
            raise DataError(
                f"validation fold {number} of {where} must consist of two disjoint, non-empty sets "
                "of seen classes"
            )
