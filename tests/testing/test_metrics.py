"""The checks of metric plugins: built-in ones pass, planted faults fail theirs and no other."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from gzsl_bench import MetricSpec
from gzsl_bench.builtin.metrics import gzsl_bench_metrics
from gzsl_bench.testing import MetricConformance, check_metric
from gzsl_bench.testing.metrics import KINDS, _predictions


class TestHarmonicMean(MetricConformance):
    metric = "harmonic_mean"


@pytest.mark.parametrize("spec", list(gzsl_bench_metrics()), ids=lambda spec: spec.name)
def test_built_in_metrics_pass(spec):
    report = check_metric(spec)
    assert report.passed, report.text()
    assert {each.outcome for each in report.results} == {"ok"}


def test_the_predictions_are_what_they_are_called():
    metrics = {spec.name: spec.compute for spec in gzsl_bench_metrics()}
    right, wrong = _predictions("right"), _predictions("wrong")
    for name in ("acc_unseen", "acc_seen", "zsl_acc", "harmonic_mean", "ausuc"):
        assert metrics[name](right) == pytest.approx(1)
        assert metrics[name](wrong) == 0
    assert metrics["unseen_as_seen"](wrong) == metrics["seen_as_unseen"](wrong) == 1
    assert set(_predictions("all one class").predicted.tolist()) == {0}
    one = _predictions("one unseen class")
    assert one.unseen.size == 1
    assert one.from_unseen.sum() == 1
    for kind in KINDS:  # what is predicted agrees with the scores
        found = _predictions(kind)
        best = found.best_unseen > found.best_seen
        np.testing.assert_array_equal(best, np.isin(found.predicted, found.unseen))


def right(p):
    return float((p.predicted == p.labels).mean())


def _changes(p):
    if p.best_seen is not None:
        np.abs(p.best_seen, out=p.best_seen)
    return right(p)


COUNTER = itertools.count()

PLANTED = {
    "nameless": (MetricSpec("Share Right", right, summary="x"), "described", "the name 'Share R"),
    "silent": (MetricSpec("right", right), "described", "summary is empty"),
    "no number": (
        MetricSpec("right", lambda p: right(p) / (p.unseen.size - 1) if p.unseen.size > 1
                   else float("nan"), summary="x"),
        "is_finite",
        "of the kind 'one unseen class' it gives nan; say what 0/0 means",
    ),
    "fails": (
        MetricSpec("right", lambda p: 1 / int((p.predicted != p.labels).sum()), summary="x"),
        "is_finite",
        "of the kind 'right' it fails: ZeroDivisionError",
    ),
    "percent": (
        MetricSpec("right", lambda p: 100 * right(p), summary="x"),
        "share_lies_between_0_and_1",
        "give a share and let the harness multiply",
    ),
    "order": (
        MetricSpec("right", lambda p: float((p.predicted == p.labels)[:20].mean()), summary="x"),
        "row_order_plays_no_part",
        "with the rows in another order",
    ),
    "changes": (MetricSpec("right", _changes, summary="x"), "input_is_left_alone", "best_seen in"),
    "counts": (
        MetricSpec("right", lambda p: right(p) + 1e-6 * next(COUNTER), summary="x", percent=False),
        "same_twice",
        "asked twice",
    ),
    "draws": (
        MetricSpec("right", lambda p: right(p) + 0 * np.random.rand(), summary="x"),
        "no_global_random_state",
        r"numpy\.random",
    ),
    "needs scores": (
        MetricSpec("gap", lambda p: float((p.best_seen > p.best_unseen).mean()), summary="x"),
        "scores_as_declared",
        "it fails: TypeError.*declare needs_scores=True",
    ),
    "direction": (
        MetricSpec("right", right, summary="x", higher_is_better=False),
        "direction_as_declared",
        "gives 1 where all is right and 0 where all is wrong, but declares higher_is_better=False",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_planted_faults_fail_their_check_and_no_other(name):
    spec, check, reason = PLANTED[name]
    report = check_metric(spec)
    found = {each.name: each.reason for each in report.failures}
    assert list(found) == [check], report.text()
    assert re.search(reason, found[check]), found[check]


def test_numbers_that_are_no_shares():
    spec = MetricSpec("errors", lambda p: 84 * (1 - right(p)), summary="x", percent=False,
                      higher_is_better=False)  # fmt: skip
    report = check_metric(spec)
    assert report.passed, report.text()
    assert report.result("share_lies_between_0_and_1").outcome == "not applicable"
