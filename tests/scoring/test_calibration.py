"""Calibrated stacking: the protocol's vector, brute force over gammas, and what a record keeps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gzsl_bench.errors import RecordError
from gzsl_bench.hooks.metric import Predictions
from gzsl_bench.scoring.calibration import Bias, best_gamma, calibrate
from gzsl_bench.scoring.kept import kept_predictions
from gzsl_bench.scoring.metrics import ausuc, harmonic_mean, zsl_acc


def predictions(scores, labels, seen, unseen) -> Predictions:
    scores, labels = np.asarray(scores, float), np.asarray(labels)
    seen, unseen = np.asarray(seen), np.asarray(unseen)
    return Predictions(
        labels=labels,
        seen=seen,
        unseen=unseen,
        predicted=scores.argmax(1),
        predicted_seen=seen[scores[:, seen].argmax(1)],
        predicted_unseen=unseen[scores[:, unseen].argmax(1)],
        best_seen=scores[:, seen].max(1),
        best_unseen=scores[:, unseen].max(1),
    )


def gamma_and_h(folds) -> tuple[float, float]:
    found = best_gamma(folds)
    return found.gamma, found.h


#: The vector of protocol.md, section 7.
SCORES = [
    [3, 1, 2, 0.5],
    [1, 2.5, 0, 3],
    [2, 0.5, 1, 0],
    [4, 1, 3, 2],
    [0, 1, 0.5, 2],
    [1, 3, 2.5, 0],
]
LABELS, SEEN, UNSEEN = [0, 1, 0, 2, 3, 2], [0, 1], [2, 3]
VECTOR = predictions(SCORES, LABELS, SEEN, UNSEEN)


def test_the_vector_of_the_protocol():
    assert ausuc(VECTOR) == pytest.approx(0.6875, abs=1e-15)
    gamma, h = gamma_and_h([VECTOR])
    # Between -1 and -0.5: U = 1/2, S = 1, H = 2/3.
    assert gamma == -0.75
    assert h == pytest.approx(2 / 3, abs=1e-15)
    better = calibrate(VECTOR, gamma)
    assert better.predicted.tolist() == [0, 1, 0, 0, 3, 1]
    assert harmonic_mean(better) == pytest.approx(2 / 3, abs=1e-15)
    assert zsl_acc(better) == zsl_acc(VECTOR)
    assert ausuc(better) == pytest.approx(0.6875, abs=1e-15)


def test_the_mean_over_folds_decides_not_each_fold_alone():
    # H by stretches of gamma.  First: seen row flips at 1, unseen row at -2 -> H = 1 on (-2, 1).
    first = predictions([[2.0, 1.0], [0.0, 2.0]], [0, 1], [0], [1])
    # Second: seen row flips at 3, unseen row at 0.5 -> H = 1 on (0.5, 3).
    second = predictions([[4.0, 1.0], [2.5, 2.0]], [0, 1], [0], [1])
    assert gamma_and_h([first]) == (0.0, 1.0)
    assert gamma_and_h([second]) == (1.75, 1.0)
    # Both are right on (0.5, 1) only.
    assert gamma_and_h([first, second]) == (0.75, 1.0)


def test_the_best_h_without_each_fold():
    first = predictions([[2.0, 1.0], [0.0, 2.0]], [0, 1], [0], [1])  # H = 1 on (-2, 1)
    third = predictions([[5.0, 1.0], [4.0, 2.0]], [0, 1], [0], [1])  # H = 1 on (2, 4)
    # Together one of the two is always at 0; alone each reaches 1.
    assert best_gamma([first, third], [1, 2]) == Bias(0.0, 0.5, (1.0, 1.0))
    # Two seeds of one fold are left out together.
    assert best_gamma([first, first, third], [1, 1, 2]).without == (1.0, 1.0)
    assert best_gamma([first, third], [1, 1]).without == ()


def test_no_bias_where_none_helps():
    # 0 lies within the best stretch (-1, 1): plain prediction is as good as any.
    fine = predictions([[2.0, 1.0], [0.0, 1.0]], [0, 1], [0], [1])
    assert gamma_and_h([fine]) == (0.0, 1.0)
    # Nothing is ever right: any bias is as bad as none.
    seen, unseen = [0, 1], [2, 3]
    hopeless = predictions([[0, 1, 0, 0.5], [0, 1, 0, 0.5]], [0, 2], seen, unseen)
    assert gamma_and_h([hopeless]) == (0.0, 0.0)


def test_of_two_best_stretches_the_one_nearer_to_zero_counts():
    # Two rows a class.  Differences: seen 6 and -1, unseen -4 and 3.
    # (-4,-1): U 1/2, S 1; (-1,3): U 1/2, S 1/2; (3,6): U 1, S 1/2.  H: 2/3, 1/2, 2/3.
    found = predictions(
        [[6.0, 0.0], [0.0, 1.0], [0.0, 4.0], [3.0, 0.0]], [0, 0, 1, 1], [0], [1]
    )  # fmt: skip
    assert gamma_and_h([found]) == (-2.5, pytest.approx(2 / 3))


def test_ties_go_to_the_first_class_as_in_plain_prediction():
    # Seen 1, unseen 0 and 2: the tied row belongs to the smaller id, whichever side it is on.
    found = predictions([[1.0, 1.0, 0.0], [0.0, 2.0, 2.0]], [0, 1], [1], [0, 2])
    assert found.predicted.tolist() == [0, 1]
    assert calibrate(found, 0.0).predicted.tolist() == [0, 1]
    assert calibrate(found, 1e-9).predicted.tolist() == [0, 2]
    assert calibrate(found, -1e-9).predicted.tolist() == [1, 1]


def test_without_scores_nothing_is_calibrated():
    bare = Predictions(*(np.array([0, 1]),) * 6)
    with pytest.raises(ValueError, match="needs scores"):
        calibrate(bare, 1.0)
    with pytest.raises(ValueError, match="needs scores"):
        best_gamma([bare])
    with pytest.raises(ValueError, match="there are none"):
        best_gamma([])


@st.composite
def cases(draw):
    """Few score levels, so that ties within and between folds are common."""
    classes = draw(st.integers(2, 5))
    cut = draw(st.integers(1, classes - 1))
    ids = draw(st.permutations(range(classes)))
    folds = []
    for _ in range(draw(st.integers(1, 3))):
        labels = draw(st.lists(st.sampled_from(range(classes)), max_size=8)) + list(range(classes))
        row = st.lists(st.integers(0, 4), min_size=classes, max_size=classes)
        folds.append((np.array([draw(row) for _ in labels], float), np.array(labels)))
    return folds, np.sort(ids[:cut]), np.sort(ids[cut:])


def brute_h(scores, labels, seen, unseen, gamma) -> float:
    """Subtract gamma from the columns of seen classes, predict, count in loops."""
    shifted = scores.copy()
    shifted[:, seen] -= gamma
    guess = shifted.argmax(1)
    u, s = (
        np.mean([(guess[labels == c] == c).mean() for c in part if (labels == c).any()])
        for part in (unseen, seen)
    )
    return float(2 * u * s / (u + s)) if u + s else 0.0


@given(cases())
@settings(max_examples=150)
def test_no_gamma_is_better_than_the_best(case):
    folds, seen, unseen = case
    gamma, h = gamma_and_h([predictions(x, y, seen, unseen) for x, y in folds])
    assert abs(gamma) < 5
    # Scores are whole numbers, so a quarter beyond each half reaches every stretch.
    tried = [
        np.mean([brute_h(x, y, seen, unseen, g) for x, y in folds])
        for g in np.arange(-5.5, 6, 0.5) + 0.25
    ]
    assert h == pytest.approx(max(tried), abs=1e-12)
    if gamma % 1:  # within a stretch; on a border ties decide
        again = np.mean([brute_h(x, y, seen, unseen, gamma) for x, y in folds])
        assert again == pytest.approx(h, abs=1e-12)


@given(cases(), st.sampled_from([-2.0, -0.5, 0.0, 0.25, 1.0, 3.5]))
@settings(max_examples=100)
def test_calibrated_predictions_equal_shifted_scores(case, gamma):
    folds, seen, unseen = case
    for scores, labels in folds:
        shifted = scores.copy()
        shifted[:, seen] -= gamma
        found = calibrate(predictions(scores, labels, seen, unseen), gamma)
        np.testing.assert_array_equal(found.predicted, shifted.argmax(1))
        np.testing.assert_array_equal(found.best_seen, shifted[:, seen].max(1))
        np.testing.assert_array_equal(found.best_unseen, shifted[:, unseen].max(1))


def arrays() -> dict[str, np.ndarray]:
    return {
        "labels": np.array([0, 1]),
        "seen": np.array([0]),
        "unseen": np.array([1]),
        "checkpoints": np.array([5, 9]),
        "predicted": np.array([[0, 0], [0, 1]], np.uint8),
        "predicted_seen": np.array([[0, 0], [0, 0]], np.uint8),
        "predicted_unseen": np.array([[1, 1], [1, 1]], np.uint8),
        "scored": np.array([5, 9]),
        "best_seen": np.array([[0.1, 0.2], [0.3, 0.4]], np.float32),
        "best_unseen": np.array([[0.5, 0.6], [0.7, 0.8]], np.float32),
    }


def test_predictions_come_back_as_they_were_kept():
    found = kept_predictions(arrays(), 9)
    assert found.predicted.tolist() == [0, 1]
    assert found.predicted.dtype == np.int64
    assert found.best_seen.dtype == np.float64
    assert found.best_seen.tolist() == np.array([0.3, 0.4], np.float32).tolist()
    assert found.best_unseen.tolist() == np.array([0.7, 0.8], np.float32).tolist()
    with pytest.raises(RecordError, match="hold no checkpoint 7"):
        kept_predictions(arrays(), 7)


def test_scores_kept_as_float32_give_the_curve_they_gave_when_scored():
    # In float32 both differences would be 1, and the two rows would flip together.
    seen, unseen = np.float32([1.0, 1.0]), np.float32([1e-9, 0.0])
    wide = Predictions(
        labels=np.array([0, 1]), seen=np.array([0]), unseen=np.array([1]),
        predicted=np.array([0, 0]), predicted_seen=np.array([0, 0]),
        predicted_unseen=np.array([1, 1]),
        best_seen=seen.astype(float), best_unseen=unseen.astype(float),
    )  # fmt: skip
    narrow = Predictions(
        wide.labels, wide.seen, wide.unseen, wide.predicted, wide.predicted_seen,
        wide.predicted_unseen, seen, unseen,
    )  # fmt: skip
    assert ausuc(wide) == ausuc(narrow) == 0.0
