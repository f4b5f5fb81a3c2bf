"""Metrics against numbers worked out by hand, properties, and a brute-force sweep."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gzsl_bench.builtin.metrics import gzsl_bench_metrics
from gzsl_bench.errors import PluginError
from gzsl_bench.hooks.metric import MetricSpec, Predictions
from gzsl_bench.scoring.evaluate import evaluate
from gzsl_bench.scoring.metrics import (
    acc_seen,
    acc_unseen,
    ausuc,
    harmonic,
    harmonic_mean,
    mean_class_accuracy,
    per_class_accuracy,
    seen_as_unseen,
    seen_unseen_curve,
    unseen_as_seen,
    zsl_acc,
)
from gzsl_bench.scoring.summary import Summary, summarize


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


#: The vector of protocol.md, section 7.
VECTOR = predictions(
    [
        [3, 1, 2, 0.5],
        [1, 2.5, 0, 3],
        [2, 0.5, 1, 0],
        [4, 1, 3, 2],
        [0, 1, 0.5, 2],
        [1, 3, 2.5, 0],
    ],
    [0, 1, 0, 2, 3, 2],
    [0, 1],
    [2, 3],
)


def test_the_vector_of_the_protocol():
    unseen, seen = seen_unseen_curve(VECTOR)
    # Differences -1, -.5, .5 and three times 1: five points.
    assert list(zip(unseen, seen, strict=True)) == [
        (0, 1), (0.5, 1), (0.5, 0.5), (0.75, 0.5), (1, 0)
    ]  # fmt: skip
    assert ausuc(VECTOR) == pytest.approx(0.6875, abs=1e-15)
    assert (acc_unseen(VECTOR), acc_seen(VECTOR), harmonic_mean(VECTOR)) == (0.5, 0.5, 0.5)
    assert zsl_acc(VECTOR) == 1.0


def test_a_class_counts_once_however_many_rows_it_has():
    # Class 0: 3 of 4 right, class 1: 0 of 1.  Per class 0.375, per row 0.6.
    labels, guess = np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 2, 0])
    assert per_class_accuracy(labels, guess, np.array([0, 1])).tolist() == [0.75, 0.0]
    assert mean_class_accuracy(labels, guess, np.array([0, 1])) == 0.375


def test_classes_without_rows_do_not_count():
    labels, guess = np.array([0, 0]), np.array([0, 1])
    assert np.isnan(per_class_accuracy(labels, guess, np.array([3]))).all()
    assert mean_class_accuracy(labels, guess, np.array([0, 3])) == 0.5


@pytest.mark.parametrize(
    ("unseen", "seen", "expected"), [(0, 0, 0), (0, 1, 0), (1, 0, 0), (0.2, 0.6, 0.3), (1, 1, 1)]
)
def test_harmonic(unseen, seen, expected):
    assert harmonic(unseen, seen) == pytest.approx(expected, abs=1e-15)


def test_u_s_h_t1_by_hand():
    # Seen 0, 2; unseen 1, 3.  Rows of class 0: right, right, called 1.  Class 2: called 3.
    # Class 1: right, called 0 (though 3 is best among unseen).  Class 3: called 2 (3 best unseen).
    scores = [
        [9, 0, 0, 0],
        [9, 1, 0, 0],
        [5, 6, 0, 0],
        [0, 0, 5, 6],
        [0, 9, 0, 0],
        [9, 1, 0, 2],
        [0, 1, 9, 2],
    ]
    found = predictions(scores, [0, 0, 0, 2, 1, 1, 3], [0, 2], [1, 3])
    assert acc_seen(found) == pytest.approx((2 / 3 + 0) / 2)
    assert acc_unseen(found) == pytest.approx((1 / 2 + 0) / 2)
    assert zsl_acc(found) == pytest.approx((1 / 2 + 1) / 2)
    assert harmonic_mean(found) == pytest.approx(2 * (1 / 3) * (1 / 4) / (1 / 3 + 1 / 4))
    values = evaluate(found, {m.name: m for m in gzsl_bench_metrics()})
    assert values["acc_seen"] == pytest.approx(100 / 3)
    assert list(values) == [
        "acc_unseen", "acc_seen", "harmonic_mean", "zsl_acc", "ausuc",
        "unseen_as_seen", "seen_as_unseen",
    ]  # fmt: skip


def test_no_row_right_gives_zero_not_nan():
    found = predictions([[0, 1.0], [1.0, 0]], [0, 1], [0], [1])
    assert harmonic_mean(found) == 0.0


@st.composite
def cases(draw):
    """Few score levels, so that ties within the sorted differences are common."""
    classes = draw(st.integers(2, 6))
    cut = draw(st.integers(1, classes - 1))
    ids = draw(st.permutations(range(classes)))
    labels = draw(st.lists(st.sampled_from(range(classes)), max_size=12)) + list(range(classes))
    levels = draw(st.sampled_from([3, 1000]))
    numbers = st.integers(0, levels)
    row = st.lists(numbers, min_size=classes, max_size=classes, unique=levels > 3)
    scores = [draw(row) for _ in labels]
    return np.array(scores, float), np.array(labels), np.sort(ids[:cut]), np.sort(ids[cut:])


def brute_force(scores, labels, seen, unseen) -> float:
    """Predict anew for a bias below, between and above all differences."""
    bias = np.unique(scores[:, seen].max(1) - scores[:, unseen].max(1))
    gammas = [bias[0] - 1, *((bias[1:] + bias[:-1]) / 2), bias[-1] + 1]
    points = []
    for gamma in gammas:
        shifted = scores.copy()
        shifted[:, seen] -= gamma
        guess = shifted.argmax(1)
        point = []
        for part in (unseen, seen):
            present = [c for c in part if (labels == c).any()]
            point.append(np.mean([(guess[labels == c] == c).mean() for c in present]))
        points.append(point)
    return sum(
        (after[0] - before[0]) * (after[1] + before[1]) / 2
        for before, after in itertools.pairwise(points)
    )


@given(cases())
@settings(max_examples=150)
def test_ausuc_equals_a_brute_force_sweep(case):
    assert ausuc(predictions(*case)) == pytest.approx(brute_force(*case), abs=1e-12)


@given(cases())
@settings(max_examples=60)
def test_the_curve_ends_where_the_parts_do(case):
    found = predictions(*case)
    unseen, seen = seen_unseen_curve(found)
    assert (np.diff(unseen) >= -1e-12).all()
    assert (np.diff(seen) <= 1e-12).all()
    assert unseen[0] == 0
    assert unseen[-1] == pytest.approx(zsl_acc(found))
    assert seen[-1] == pytest.approx(0, abs=1e-12)
    among_seen = mean_class_accuracy(found.labels, found.predicted_seen, found.seen)
    assert seen[0] == pytest.approx(among_seen)


@given(cases(), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_order_of_rows_and_names_of_classes_change_nothing(case, random):
    scores, labels, seen, unseen = case
    # Distinct scores within a row: then no tie is decided by the class id.
    scores = scores + np.argsort(np.argsort(scores, axis=1), axis=1) * 1e-3
    before = evaluate(predictions(scores, labels, seen, unseen), _metrics())
    rows = list(range(len(labels)))
    random.shuffle(rows)
    new = list(range(scores.shape[1]))
    random.shuffle(new)  # class c is now called new[c]
    renamed = np.empty_like(scores)
    renamed[:, new] = scores
    new = np.array(new)
    after = evaluate(
        predictions(renamed[rows], new[labels][rows], np.sort(new[seen]), np.sort(new[unseen])),
        _metrics(),
    )
    assert after == pytest.approx(before, abs=1e-9)


def _metrics():
    return {m.name: m for m in gzsl_bench_metrics()}


def test_metrics_that_need_scores_are_left_out_without_them():
    bare = Predictions(
        VECTOR.labels,
        VECTOR.seen,
        VECTOR.unseen,
        VECTOR.predicted,
        VECTOR.predicted_seen,
        VECTOR.predicted_unseen,
    )
    assert "ausuc" not in evaluate(bare, _metrics())
    with pytest.raises(ValueError, match="scores"):
        ausuc(bare)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_metric_that_is_not_finite_is_refused(bad):
    with pytest.raises(PluginError, match=r"'odd' gave .* finite"):
        evaluate(VECTOR, {"odd": MetricSpec("odd", lambda p: bad)})


def test_a_metric_that_fails_is_named():
    with pytest.raises(PluginError, match="metric 'odd' fails: ZeroDivisionError"):
        evaluate(VECTOR, {"odd": MetricSpec("odd", lambda p: 1 / 0)})


def test_only_shares_are_multiplied_by_a_hundred():
    metrics = {
        "share": MetricSpec("share", lambda p: 0.25),
        "count": MetricSpec("count", lambda p: 7, percent=False),
    }
    assert evaluate(VECTOR, metrics) == {"share": 25.0, "count": 7.0}


def test_summarize():
    # Mean 4, squared deviations 4 + 0 + 4, divided by n - 1 = 2.
    assert summarize([2.0, 4.0, 6.0]) == Summary(mean=4.0, sd=2.0, n=3)
    assert summarize([5.5]) == Summary(mean=5.5, sd=None, n=1)


def test_confusion_of_the_parts_by_hand():
    # Classes 0, 1 seen and 2, 3 unseen.  Of class 2 (4 rows) one is called 0 and one 3; of class 3
    # (1 row) the row is called 1; of class 0 (2 rows) one is called 2; class 1 is right.
    labels = [2, 2, 2, 2, 3, 0, 0, 1]
    called = [0, 3, 2, 2, 1, 2, 0, 1]
    found = predictions(np.eye(4)[called], labels, [0, 1], [2, 3])
    assert unseen_as_seen(found) == pytest.approx((1 / 4 + 1) / 2)
    assert seen_as_unseen(found) == pytest.approx((1 / 2 + 0) / 2)


@given(cases())
@settings(max_examples=60)
def test_confusion_accuracy_and_the_rest_make_one(case):
    found = predictions(*case)
    within = np.isin(found.predicted, found.unseen) & (found.predicted != found.labels)
    rest = np.mean(
        [within[found.labels == c].mean() for c in found.unseen if (found.labels == c).any()]
    )
    assert acc_unseen(found) + unseen_as_seen(found) + rest == pytest.approx(1)


def test_every_built_in_metric_says_what_it_is():
    for spec in gzsl_bench_metrics():
        about = spec.about()
        assert about["summary"].endswith(".")
        assert about["unit"] == "%"
        assert about["higher_is_better"] is (spec.name not in ("unseen_as_seen", "seen_as_unseen"))
    assert MetricSpec("x", len, percent=False, unit="nats").about()["unit"] == "nats"
