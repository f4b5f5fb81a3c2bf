"""Predictions as a record keeps them, and what can be computed from them again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gzsl_bench.errors import RecordError
from gzsl_bench.hooks.metric import FloatArray, IntArray, Predictions
from gzsl_bench.scoring.metrics import per_class_accuracy

Arrays = Mapping[str, np.ndarray]


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


def kept_predictions(arrays: Arrays, number: int) -> Predictions:
    """What ``predictions.npz`` says of one checkpoint; with scores where they were kept.

    Args:
        arrays: what :meth:`~gzsl_bench.engine.sink.CellSink.arrays` gave.
        number: the checkpoint's number.

    Raises:
        RecordError: the file does not hold this checkpoint, or is none of ours.
    """
    try:
        index = _position(arrays["checkpoints"], number)
        if index is None:
            raise RecordError(f"the predictions hold no checkpoint {number}")
        scored = _position(arrays["scored"], number)
        return Predictions(
            labels=arrays["labels"].astype(np.int64),
            seen=arrays["seen"].astype(np.int64),
            unseen=arrays["unseen"].astype(np.int64),
            predicted=arrays["predicted"][index].astype(np.int64),
            predicted_seen=arrays["predicted_seen"][index].astype(np.int64),
            predicted_unseen=arrays["predicted_unseen"][index].astype(np.int64),
            best_seen=None if scored is None else arrays["best_seen"][scored].astype(np.float64),
            best_unseen=None
            if scored is None
            else arrays["best_unseen"][scored].astype(np.float64),
        )
    except (KeyError, IndexError) as error:
        raise RecordError(f"the predictions lack {error}") from None


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


def _position(numbers: np.ndarray, wanted: int) -> int | None:
    there = np.flatnonzero(numbers == wanted)
    return int(there[0]) if there.size else None
