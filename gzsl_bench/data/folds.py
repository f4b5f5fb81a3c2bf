"""Validation folds: the task once more in small, made of its training rows alone.

A fold hides some of the seen classes; they play the unseen ones.  Of the other classes one row in
five is held out and plays the test rows of seen classes.  Where the data set ships class lists (or
its plugin folds), those say which classes fold i hides.  Elsewhere classes are ranked by a hash of
their class embedding, and rows are always drawn by a hash of their features: content is all that a
fold depends on, so neither the order of rows nor the numbering of classes changes it.  (Names would
do as well, but not every data set has them, and renaming a class must not change a result.)

The shipped ``train_loc`` and ``val_loc`` are not used here either: they hold seen test images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gzsl_bench.data.gzsl import GZSLData
from gzsl_bench.data.identity import SHORT, index_set_digest, order_digest, row_chunks
from gzsl_bench.errors import DataError

#: Part of the key of every fold's cells, beside the hash of its classes and rows: raise it when the
#: same fold makes another task.
NUMERICS = 1
_DOMAIN = b"gzsl-bench/fold/1"
#: At most this part of the seen classes is hidden, and this part of a class's rows held out.
_HIDDEN, _HELD_OUT = 3, 5
SHIPPED, DERIVED = "shipped", "derived"

Ids = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Fold:
    """One validation fold, in the data set's own class and row numbers.

    Attributes:
        number: counted from 1.
        source: ``shipped`` with the data set, or ``derived`` from its content.
        seen: ascending ids of the classes that keep training rows.
        unseen: ascending ids of the seen classes that play the unseen ones.
        train: training rows, in the order of ``trainval``.
        test_seen: ascending rows held out of ``seen``.
        test_unseen: ascending rows of ``unseen``.
    """

    number: int
    source: str
    seen: Ids
    unseen: Ids
    train: Ids
    test_seen: Ids
    test_unseen: Ids

    @property
    def content(self) -> str:
        """Hash of the classes and rows on each side: 16 hex digits."""
        parts = (
            index_set_digest(self.seen),
            index_set_digest(self.unseen),
            order_digest(self.train),
            index_set_digest(self.test_seen),
            index_set_digest(self.test_unseen),
        )
        return hashlib.sha256("\n".join([_DOMAIN.decode(), *parts]).encode()).hexdigest()[:SHORT]

    def describe(self) -> dict[str, Any]:
        """The fold as part of a cell's identity."""
        return {
            "fold": self.number,
            "seen_classes": int(self.seen.size),
            "unseen_classes": int(self.unseen.size),
            "content": self.content,
            "code": NUMERICS,
        }

    def split(self, data: GZSLData) -> GZSLData:
        """The fold as data of their own, in class numbers without gaps; other rows have -1."""
        classes = np.union1d(self.seen, self.unseen)
        numbers = np.full(data.num_classes, -1, dtype=np.int64)
        numbers[classes] = np.arange(classes.size)
        return replace(
            data,
            labels=numbers[data.labels],
            attributes=data.attributes[classes],
            trainval=self.train,
            test_seen=self.test_seen,
            test_unseen=self.test_unseen,
            class_names=data.class_names and tuple(data.class_names[c] for c in classes),
            folds=(),
        )


def validation_folds(data: GZSLData, numbers: Iterable[int]) -> tuple[Fold, ...]:
    """The folds of these numbers, counted from 1; only training rows are read.

    Args:
        data: any data object.
        numbers: fold i is the same whatever other folds are asked for.

    Raises:
        DataError: there are too few seen classes or training rows.
    """
    marks = _row_marks(data)
    labels = data.labels[data.trainval]
    return tuple(_fold(data, labels, marks, number) for number in numbers)


def _fold(data: GZSLData, labels: Ids, marks: Sequence[bytes], number: int) -> Fold:
    if number <= len(data.folds):
        shipped = data.folds[number - 1]
        source = SHIPPED
        seen = np.intersect1d(shipped.train, data.seen)
        unseen = np.intersect1d(shipped.val, data.seen)
    else:
        source = DERIVED
        unseen = _hidden(data, labels, marks, number)
        seen = np.setdiff1d(data.seen, unseen)
    held = np.zeros(len(labels), dtype=bool)
    for c in seen:
        mine = np.flatnonzero(labels == c)
        # One in five, rounded; every class is scored if it can be, and none is left untrained.
        share = min(max(1, (mine.size + _HELD_OUT // 2) // _HELD_OUT), mine.size - 1)
        drawn = sorted(mine.tolist(), key=lambda i: (_hash(b"row %d" % number, marks[i]), i))
        held[drawn[:share]] = True
    if not held.any():
        raise DataError(
            f"data set {data.name!r} has one training row a class, but a validation fold holds rows"
            " out and needs at least two of some class"
        )
    kept = np.isin(labels, seen)
    return Fold(
        number=number,
        source=source,
        seen=seen,
        unseen=unseen,
        train=data.trainval[kept & ~held],
        test_seen=np.sort(data.trainval[held]),
        test_unseen=np.sort(data.trainval[np.isin(labels, unseen)]),
    )


def _hidden(data: GZSLData, labels: Ids, marks: Sequence[bytes], number: int) -> Ids:
    """Ascending ids of the classes that a derived fold hides.

    A ranking of the seen classes is cut into pieces; when it is used up, the next one is drawn, so
    at least the first three folds hide different classes.
    """
    seen = data.seen
    count = min(data.unseen.size, seen.size // _HIDDEN)
    if count == 0:
        raise DataError(
            f"data set {data.name!r} has {seen.size} seen and {data.unseen.size} unseen classes,"
            f" but a validation fold needs at least {_HIDDEN} and 1"
        )
    turn, piece = divmod(number - 1, seen.size // count)

    def rank(c: int) -> tuple[bytes, bytes, int]:
        # Adding 0 turns -0 into 0; classes with equal embeddings are told apart by their rows.
        vector = (data.attributes[c] + 0.0).astype("<f8").tobytes()
        rows = b"".join(sorted(marks[i] for i in np.flatnonzero(labels == c).tolist()))
        return _hash(b"class %d" % turn, vector), _hash(b"twin %d" % turn, rows), c

    order = sorted(seen.tolist(), key=rank)
    return np.sort(np.array(order[piece * count : (piece + 1) * count], dtype=np.int64))


def _row_marks(data: GZSLData) -> list[bytes]:
    """A hash of the features of each training row, in the order of ``trainval``."""
    rows, width = data.trainval, 4 * data.features.shape[1]
    marks = []
    for part in row_chunks(len(rows), width):
        block = np.ascontiguousarray(data.features[rows[part]], dtype="<f4")
        marks += [_hash(b"features", row.tobytes()) for row in block]
    return marks


def _hash(purpose: bytes, content: bytes) -> bytes:
    return hashlib.blake2b(_DOMAIN + b"\n" + purpose + b"\n" + content, digest_size=16).digest()
