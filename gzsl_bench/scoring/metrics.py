"""The metrics of generalized zero-shot learning, as published with the Proposed Split.

All are computed per class first: every class counts the same, however many test images it has.
"""

from __future__ import annotations

import numpy as np

from gzsl_bench.hooks.metric import FloatArray, IntArray, Predictions

#: Recorded beside every number that these formulas gave: raise it when the same predictions give
#: another one.  It is in no key, for metrics are computed again from predictions.
NUMERICS = 1


def per_class_accuracy(labels: IntArray, predicted: IntArray, classes: IntArray) -> FloatArray:
    """Share of rows predicted right, one number for every id in ``classes``.

    Args:
        labels: [N] true class ids.
        predicted: [N] predicted class ids.
        classes: [K] ids to report; rows of other classes are ignored.

    Returns:
        [K] shares in [0, 1]; NaN for a class without a row.
    """
    size = int(max(labels.max(initial=-1), classes.max(initial=-1))) + 1
    total = np.bincount(labels, minlength=size)[classes]
    right = np.bincount(labels[labels == predicted], minlength=size)[classes]
    with np.errstate(invalid="ignore"):
        return np.asarray(right / total, dtype=np.float64)


def mean_class_accuracy(labels: IntArray, predicted: IntArray, classes: IntArray) -> float:
    """Unweighted mean of :func:`per_class_accuracy` over the classes that have test rows.

    A share in [0, 1]; 0 where no class has a row.
    """
    found = per_class_accuracy(labels, predicted, classes)
    found = found[~np.isnan(found)]
    return float(found.mean()) if found.size else 0.0


def acc_unseen(predictions: Predictions) -> float:
    """U: per-class accuracy on unseen classes, any class may be predicted."""
    return mean_class_accuracy(predictions.labels, predictions.predicted, predictions.unseen)


def acc_seen(predictions: Predictions) -> float:
    """S: per-class accuracy on seen classes, any class may be predicted."""
    return mean_class_accuracy(predictions.labels, predictions.predicted, predictions.seen)


def harmonic(unseen: float, seen: float) -> float:
    """H = 2US / (U + S), and 0 where both are 0."""
    return 2 * unseen * seen / (unseen + seen) if unseen + seen > 0 else 0.0


def harmonic_mean(predictions: Predictions) -> float:
    """H of unrounded U and S."""
    return harmonic(acc_unseen(predictions), acc_seen(predictions))


def zsl_acc(predictions: Predictions) -> float:
    """T1: per-class accuracy on unseen classes where only unseen classes may be predicted."""
    return mean_class_accuracy(predictions.labels, predictions.predicted_unseen, predictions.unseen)


def bias_sweep(predictions: Predictions) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Accuracies for every bias subtracted from the scores of seen classes (Chao et al. 2016).

    A row flips from its best seen to its best unseen class when the bias passes the difference of
    the two scores, so the exact curve is a sweep over the sorted differences.

    Returns:
        [M] the distinct differences, ascending; [M + 1] U accuracy (ascending) and [M + 1] S
        accuracy (descending), both in [0, 1]: point k holds for a bias between the differences
        k - 1 and k, the first one below all of them.

    Raises:
        ValueError: the predictions carry no scores.
    """
    if predictions.best_seen is None or predictions.best_unseen is None:
        raise ValueError("the seen-unseen curve needs scores, and none were kept")
    labels, unseen_row = predictions.labels, predictions.from_unseen
    # Scores kept as float32 give the same differences as when they were scored.
    bias = np.subtract(predictions.best_seen, predictions.best_unseen, dtype=np.float64)
    # Every row weighs 1 / (rows of its class x classes of its part).
    counts = np.bincount(labels, minlength=int(labels.max()) + 1)
    of_unseen, of_seen = (
        np.count_nonzero(np.bincount(labels[rows])) for rows in (unseen_row, ~unseen_row)
    )
    parts = np.where(unseen_row, of_unseen, of_seen)
    weight = 1.0 / (counts[labels] * parts)
    gain = weight * (unseen_row & (predictions.predicted_unseen == labels))
    loss = weight * (~unseen_row & (predictions.predicted_seen == labels))
    order = np.argsort(bias, kind="stable")
    ordered = bias[order]
    # Rows that flip at the same bias flip together: keep the last of each run of equal values.
    last = np.append(ordered[1:] != ordered[:-1], True)
    gained = np.cumsum(gain[order])[last]
    lost = np.cumsum(loss[order])[last]
    unseen_accuracy = np.concatenate([[0.0], gained])
    seen_accuracy = loss.sum() - np.concatenate([[0.0], lost])
    return ordered[last], unseen_accuracy, seen_accuracy


def seen_unseen_curve(predictions: Predictions) -> tuple[FloatArray, FloatArray]:
    """[M + 1] U and [M + 1] S accuracy of :func:`bias_sweep`: AUSUC is the area under this curve.

    Raises:
        ValueError: the predictions carry no scores.
    """
    _, unseen_accuracy, seen_accuracy = bias_sweep(predictions)
    return unseen_accuracy, seen_accuracy


def ausuc(predictions: Predictions) -> float:
    """Area under the seen-unseen accuracy curve, by the trapezoid rule over the exact sweep."""
    unseen_accuracy, seen_accuracy = seen_unseen_curve(predictions)
    return float(np.trapezoid(seen_accuracy, unseen_accuracy))


def unseen_as_seen(predictions: Predictions) -> float:
    """Share of an unseen class's images called some seen class, averaged over unseen classes."""
    return _called(predictions, predictions.unseen, predictions.seen)


def seen_as_unseen(predictions: Predictions) -> float:
    """Share of a seen class's images called some unseen class, averaged over seen classes."""
    return _called(predictions, predictions.seen, predictions.unseen)


def _called(predictions: Predictions, classes: IntArray, others: IntArray) -> float:
    """Mean over ``classes`` of the share of rows predicted to be any of ``others``.

    Averaged per class like every other metric here, so that acc_unseen + unseen_as_seen + the share
    confused within the unseen classes is 1.
    """
    wrong = np.isin(predictions.predicted, others)
    # A row called one of the others counts as "right" of its own class.
    return mean_class_accuracy(predictions.labels, np.where(wrong, predictions.labels, -1), classes)
