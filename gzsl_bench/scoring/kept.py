"""Predictions as a record keeps them, and what can be computed from them again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from gzsl_bench.errors import RecordError
from gzsl_bench.hooks.metric import FloatArray, IntArray, Predictions
from gzsl_bench.scoring.metrics import per_class_accuracy

Arrays = Mapping[str, np.ndarray]
_LISTS = ("labels", "seen", "unseen", "checkpoints", "scored")
_CLASSES = ("predicted", "predicted_seen", "predicted_unseen")
_SCORES = ("best_seen", "best_unseen")
#: Ids of classes below it are looked up in a table.
_LOW = 1 << 20


@dataclass(frozen=True, eq=False)
class ClassAccuracies:
    """Accuracies of one checkpoint by class, as shares; classes without a test row are left out.

    Attributes:
        unseen: [U] accuracy of each unseen class, any class may be predicted.
        seen: [S] accuracy of each seen class, any class may be predicted.
        zsl: [U] accuracy of each unseen class where only unseen classes may be predicted.
        unseen_ids: [U] ids of the unseen classes.
        seen_ids: [S] ids of the seen classes.
    """

    unseen: FloatArray
    seen: FloatArray
    zsl: FloatArray
    unseen_ids: IntArray
    seen_ids: IntArray


def whole(arrays: Arrays) -> dict[str, np.ndarray]:
    """The arrays of ``predictions.npz``, every one of them there and of a shape with the others.

    Scores are those of every checkpoint, or of none where predictions came from elsewhere.

    Raises:
        RecordError: they are none of ours.
    """
    try:
        kept = {name: np.asarray(arrays[name]) for name in (*_LISTS, *_CLASSES, *_SCORES)}
    except KeyError as error:
        raise RecordError(f"the predictions lack {error}") from None
    flag = kept["rounded"] = np.asarray(arrays.get("rounded", False))
    if flag.dtype != bool or flag.ndim:
        raise RecordError(f"the predictions' rounded is {flag.dtype} with {flag.ndim} axes")
    for name, array in kept.items():
        if name == "rounded":
            continue
        axes = 1 if name in _LISTS else 2
        kinds = "f" if name in _SCORES else "iu"
        if array.ndim != axes or array.dtype.kind not in kinds:
            raise RecordError(f"the predictions' {name} is {array.dtype} with {array.ndim} axes")
    rows, checkpoints = kept["labels"].size, kept["checkpoints"].size
    scored = kept["scored"].size
    if scored and not np.array_equal(kept["scored"], kept["checkpoints"]):
        raise RecordError("the predictions have not the scores of every checkpoint")
    for name in (*_CLASSES, *_SCORES):
        shape = (checkpoints if name in _CLASSES else scored, rows)
        if kept[name].shape != shape:
            raise RecordError(f"the predictions' {name} has shape {kept[name].shape}, not {shape}")
    return kept


def kept_predictions(arrays: Arrays, number: int) -> Predictions:
    """What ``predictions.npz`` says of one checkpoint; with scores where they were kept.

    Args:
        arrays: what :meth:`~gzsl_bench.engine.sink.CellSink.arrays` gave.
        number: the checkpoint's number.

    Raises:
        RecordError: the file does not hold this checkpoint, or is none of ours.
    """
    return picked(fitting(among(arrays, [number])), number)


def among(arrays: Arrays, numbers: Collection[int]) -> dict[str, np.ndarray]:
    """The same arrays with some of the checkpoints only.

    Raises:
        RecordError: they do not hold one of these, or are none of ours.
    """
    found = whole(arrays)
    if lacking := set(numbers).difference(found["checkpoints"].tolist()):
        raise RecordError(f"the predictions hold no checkpoint {min(lacking)}")
    wanted = set(numbers)
    rows = [k for k, n in enumerate(found["checkpoints"].tolist()) if n in wanted]
    for name in ("checkpoints", *_CLASSES, *(("scored", *_SCORES) if found["scored"].size else ())):
        found[name] = found[name][rows]
    return found


def picked(kept: Arrays, number: int) -> Predictions:
    """:func:`kept_predictions` of arrays that :func:`fitting` has looked at.

    Raises:
        RecordError: they do not hold this checkpoint.
    """
    places = np.flatnonzero(kept["checkpoints"] == number)
    if not places.size:
        raise RecordError(f"the predictions hold no checkpoint {number}")
    index = int(places[0])
    found = {name: kept[name][index].astype(np.int64) for name in _CLASSES}
    for name in ("labels", "seen", "unseen"):
        found[name] = kept[name].astype(np.int64)
    if not kept["scored"].size:
        return Predictions(**found)
    scores = {name: kept[name][index].astype(np.float64) for name in _SCORES}
    return Predictions(**found, **scores, rounded=bool(kept["rounded"]))


def fitting(arrays: Arrays) -> dict[str, np.ndarray]:
    """:func:`whole` after what :func:`kept_predictions` refuses was looked for at every checkpoint.

    Raises:
        RecordError: they are none of ours.
    """
    kept = whole(arrays)
    _refuse_strangers(kept, kept["seen"], kept["unseen"])
    finite = [np.isfinite(kept[name]).all(axis=1) for name in _SCORES]
    if not np.all(finite):
        number = kept["checkpoints"][np.argmin(np.all(finite, axis=0))]
        raise RecordError(f"the predictions' scores of checkpoint {number} are not finite")
    return kept


def _refuse_strangers(found: Arrays, seen: np.ndarray, unseen: np.ndarray) -> None:
    """Raise a RecordError where labels or predictions are no classes of the data set."""
    both = np.concatenate([seen, unseen])
    known = {"labels": both, "predicted": both, "predicted_seen": seen, "predicted_unseen": unseen}
    for name, classes in known.items():
        if not found[name].size or not _among(found[name], classes).all():
            raise RecordError(f"the predictions' {name} holds no classes of this data set")
    for classes in (seen, unseen):
        if not _among(found["labels"], classes).any():
            raise RecordError("the predictions have no test row of the seen or the unseen classes")


def _among(ids: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Which are among ``classes``: as numpy's isin says, in a tenth of its time."""
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= _LOW:
        return np.isin(ids, classes)
    table = np.zeros(high + 1, dtype=bool)
    table[classes[(classes >= 0) & (classes <= high)]] = True
    return np.asarray(table[ids])


def class_accuracies(predictions: Predictions) -> ClassAccuracies:
    """Per-class accuracies of one checkpoint, of the classes that have test rows."""
    labels = predictions.labels
    highest = max(predictions.seen.max(), predictions.unseen.max())
    there = np.bincount(labels, minlength=int(highest) + 1) > 0
    unseen = predictions.unseen[there[predictions.unseen]]
    seen = predictions.seen[there[predictions.seen]]
    return ClassAccuracies(
        unseen=per_class_accuracy(labels, predictions.predicted, unseen),
        seen=per_class_accuracy(labels, predictions.predicted, seen),
        zsl=per_class_accuracy(labels, predictions.predicted_unseen, unseen),
        unseen_ids=unseen,
        seen_ids=seen,
    )
