"""Predictions read back from what a sink keeps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gzsl_bench.builtin.metrics import gzsl_bench_metrics
from gzsl_bench.engine.sink import CellSink
from gzsl_bench.errors import RecordError
from gzsl_bench.scoring.evaluate import evaluate
from gzsl_bench.scoring.kept import class_accuracies, kept_predictions
from gzsl_bench.scoring.predict import TestSet

METRICS = {spec.name: spec for spec in gzsl_bench_metrics()}


@pytest.fixture
def sink():
    rng = np.random.default_rng(3)
    labels = np.repeat(np.arange(6), [3, 4, 2, 5, 3, 4])
    tests = TestSet(
        torch.from_numpy(rng.normal(size=(labels.size, 4)).astype(np.float32)),
        labels, np.array([0, 1, 2, 3]), np.array([4, 5]), torch.randperm(labels.size),
    )  # fmt: skip
    sink = CellSink(tests, METRICS, lambda done, total: None, lambda: None)
    for number in (1, 2, 3, 4):
        weights = torch.from_numpy(rng.normal(size=(4, 6)).astype(np.float32))
        sink.checkpoint(number, lambda x, w=weights: x @ w)
    return sink


def test_every_kept_number_comes_out_the_same(sink):
    arrays = sink.arrays()
    for row in sink.rows:
        assert evaluate(kept_predictions(arrays, row.number), METRICS) == row.metrics  # bit for bit


def test_scores_of_every_checkpoint_are_there_or_none(sink):
    arrays = sink.arrays()
    for some in (arrays["scored"][::-1], arrays["scored"][:2]):
        with pytest.raises(RecordError, match="not the scores of every checkpoint"):
            kept_predictions(arrays | {"scored": some}, 1)
    short = {name: arrays[name][:2] for name in ("best_seen", "best_unseen")}
    with pytest.raises(RecordError, match="best_seen has shape"):
        kept_predictions(arrays | short, 1)
    none = {name: arrays[name][:0] for name in ("scored", "best_seen", "best_unseen")}
    found = kept_predictions(arrays | none, 1)
    assert found.best_seen is None
    assert np.array_equal(found.predicted, kept_predictions(arrays, 1).predicted)


def test_class_accuracies_average_to_the_metrics(sink):
    arrays = sink.arrays()
    for row in sink.rows:
        by_class = class_accuracies(kept_predictions(arrays, row.number))
        assert by_class.unseen_ids.tolist() == [4, 5]
        assert 100 * by_class.unseen.mean() == pytest.approx(row.metrics["acc_unseen"])
        assert 100 * by_class.seen.mean() == pytest.approx(row.metrics["acc_seen"])
        assert 100 * by_class.zsl.mean() == pytest.approx(row.metrics["zsl_acc"])


def test_what_is_not_there_is_refused(sink):
    arrays = sink.arrays()
    with pytest.raises(RecordError, match="no checkpoint 9"):
        kept_predictions(arrays, 9)
    del arrays["predicted_seen"]
    with pytest.raises(RecordError, match="predicted_seen"):
        kept_predictions(arrays, 1)
