"""TestSet: what a scorer gets to see, what is refused, and the way back to the file's order."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gzsl_bench import Scorer
from gzsl_bench.errors import PluginError
from gzsl_bench.scoring.predict import EmbeddingCache, TestSet

LABELS = np.array([0, 0, 2, 2, 1, 1, 3])
SEEN, UNSEEN = np.array([0, 2]), np.array([1, 3])
#: One-dimensional features that tell the row.
FEATURES = torch.arange(7, dtype=torch.float32)[:, None]
ORDER = torch.tensor([4, 0, 6, 2, 5, 1, 3])


def make_set(order=ORDER) -> TestSet:
    return TestSet(FEATURES, LABELS, SEEN, UNSEEN, order)


def test_rows_come_mixed_in_one_call_and_go_back_in_order():
    seen_by_scorer = []
    table = torch.tensor(np.random.default_rng(0).normal(size=(7, 4)))

    def scorer(features):
        seen_by_scorer.append(features[:, 0].long().tolist())
        return table[features[:, 0].long()]

    found = make_set().predict(scorer, EmbeddingCache())
    assert seen_by_scorer == [ORDER.tolist()]
    np.testing.assert_array_equal(found.labels, LABELS)
    np.testing.assert_array_equal(found.predicted, table.argmax(1).numpy())
    expected = SEEN[table[:, SEEN].argmax(1).numpy()]
    np.testing.assert_array_equal(found.predicted_seen, expected)
    expected = UNSEEN[table[:, UNSEEN].argmax(1).numpy()]
    np.testing.assert_array_equal(found.predicted_unseen, expected)
    np.testing.assert_array_equal(found.best_seen, table[:, SEEN].max(1).values.numpy())
    np.testing.assert_array_equal(found.best_unseen, table[:, UNSEEN].max(1).values.numpy())


def test_ties_go_to_the_first_id():
    found = make_set().predict(lambda x: torch.zeros(len(x), 4), EmbeddingCache())
    assert set(found.predicted.tolist()) == {0}
    assert set(found.predicted_seen.tolist()) == {0}
    assert set(found.predicted_unseen.tolist()) == {1}


def test_scorers_work_without_gradients():
    weight = torch.ones(1, 4, requires_grad=True)
    grads = []

    def scorer(x):
        scores = x @ weight
        grads.append(scores.requires_grad)
        return scores

    make_set().predict(scorer, EmbeddingCache())
    assert grads == [False]


@pytest.mark.parametrize(
    ("scorer", "sentence"),
    [
        (lambda x: torch.zeros(len(x), 3), r"shape \(7, 3\) where \(7, 4\)"),
        (lambda x: torch.zeros(4, len(x)), r"shape \(4, 7\) where \(7, 4\)"),
        (lambda x: torch.zeros(len(x)), r"shape \(7,\)"),
        (lambda x: torch.zeros(len(x), 4, dtype=torch.int64), "int64 scores where floats"),
        (lambda x: torch.full((len(x), 4), float("nan")), "NaN or infinite"),
        (lambda x: torch.full((len(x), 4), float("-inf")), "NaN or infinite"),
        (lambda x: np.zeros((len(x), 4)), "ndarray where a tensor"),
        (lambda x: None, "NoneType where a tensor"),
    ],
)
def test_bad_scores_are_refused_in_a_sentence(scorer, sentence):
    with pytest.raises(PluginError, match=sentence):
        make_set().predict(scorer, EmbeddingCache())


def test_a_single_nan_is_found():
    def scorer(x):
        scores = torch.zeros(len(x), 4)
        scores[3, 2] = float("nan")
        return scores

    with pytest.raises(PluginError, match="NaN"):
        make_set().predict(scorer, EmbeddingCache())


def test_embed_runs_once_for_checkpoints_that_share_it():
    calls = []

    def embed(x):
        calls.append(len(x))
        return x * 2

    tests, cache = make_set(), EmbeddingCache()
    for shift in range(3):
        scorer = Scorer(embed, lambda e, shift=shift: (e + shift) @ torch.eye(1, 4))
        found = tests.predict(scorer, cache)
        np.testing.assert_array_equal(found.best_seen, 2 * np.arange(7) + shift)
    assert calls == [7]
    tests.predict(Scorer(lambda x: embed(x), lambda e: e @ torch.eye(1, 4)), cache)
    assert calls == [7, 7]


def test_scores_are_kept_in_full_precision():
    value = 1 + 2**-40
    found = make_set().predict(
        lambda x: torch.full((len(x), 4), value, dtype=torch.float64), EmbeddingCache()
    )
    assert found.best_seen.dtype == np.float64
    assert set(found.best_seen.tolist()) == {value}


def test_a_scorer_cannot_spoil_the_features_of_the_next_checkpoint():
    tests = make_set()

    def spoil(x):
        scores = x @ torch.eye(1, 4)
        x.add_(100)
        return scores

    def honest(x):
        return x @ torch.eye(1, 4)

    before = make_set().predict(honest, EmbeddingCache())
    try:
        tests.predict(spoil, EmbeddingCache())
    except PluginError:
        return  # refusing it is as good
    after = tests.predict(honest, EmbeddingCache())
    np.testing.assert_array_equal(after.best_seen, before.best_seen)
