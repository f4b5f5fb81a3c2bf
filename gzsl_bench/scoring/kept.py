"""Predictions as a record keeps them, and what can be computed from them again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gzsl_bench.errors import RecordError
from gzsl_bench.hooks.metric import FloatArray, IntArray, Predictions
from gzsl_bench.scoring.metrics import per_class_accuracy

Arrays = Mapping[str, np.ndarray]
_LISTS = ("labels", "seen", "unseen", "checkpoints", "scored")
_CLASSES = ("predicted", "predicted_seen", "predicted_unseen")
_SCORES = ("best_seen", "best_unseen")


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
    kept = whole(arrays)
    seen, unseen = (kept[name].astype(np.int64) for name in ("seen", "unseen"))
    places = np.flatnonzero(kept["checkpoints"] == number)
    if not places.size:
        raise RecordError(f"the predictions hold no checkpoint {number}")
    index = int(places[0])
    found = {name: kept[name][index].astype(np.int64) for name in _CLASSES}
    found["labels"] = kept["labels"].astype(np.int64)
    both = np.concatenate([seen, unseen])
    known = {"labels": both, "predicted": both, "predicted_seen": seen, "predicted_unseen": unseen}
    for name, classes in known.items():
        if not found[name].size or not np.isin(found[name], classes).all():
            raise RecordError(f"the predictions' {name} holds no classes of this data set")
    for classes in (seen, unseen):
        if not np.isin(found["labels"], classes).any():
            raise RecordError("the predictions have no test row of the seen or the unseen classes")
    if not kept["scored"].size:
        return Predictions(seen=seen, unseen=unseen, **found)
    scores = {name: kept[name][index].astype(np.float64) for name in _SCORES}
    if not all(np.isfinite(values).all() for values in scores.values()):
        raise RecordError(f"the predictions' scores of checkpoint {number} are not finite")
    rounded = bool(kept["rounded"])
    return Predictions(seen=seen, unseen=unseen, **found, **scores, rounded=rounded)


def class_accuracies(predictions: Predictions) -> ClassAccuracies:
    """Per-class accuracies of one checkpoint, of the classes that have test rows."""
    labels = predictions.labels
    unseen = predictions.unseen[np.isin(predictions.unseen, labels)]
    seen = predictions.seen[np.isin(predictions.seen, labels)]
    return ClassAccuracies(
        unseen=per_class_accuracy(labels, predictions.predicted, unseen),
        seen=per_class_accuracy(labels, predictions.predicted, seen),
        zsl=per_class_accuracy(labels, predictions.predicted_unseen, unseen),
        unseen_ids=unseen,
        seen_ids=seen,
    )
