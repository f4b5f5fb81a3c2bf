"""DAP and its Bayes rule by hand."""

from __future__ import annotations

import math

import pytest
import torch
from gzsl_bench_classic.binary import CLIP, BinaryAttributes, binary_attributes
from gzsl_bench_classic.dap import DAP, SPEC

from gzsl_bench import DatasetInfo, NotApplicable, Task


def with_attributes(task, attributes):
    return Task(task.features, task.labels, attributes, task.seen, task.unseen)


def test_the_product_by_hand():
    # Three classes, two attributes; two thirds of the seen classes have the first, one third the
    # second.  For p = (0.9, 0.2): class (1, 0) gets 0.9/(2/3) * 0.8/(2/3), and so on.
    table = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    rule = BinaryAttributes(table, torch.tensor([2 / 3, 1 / 3], dtype=torch.float64))
    scores = rule.scores(torch.tensor([[0.9, 0.2]]).double()).exp()
    expected = [0.9 / (2 / 3) * 0.8 / (2 / 3), 0.9 / (2 / 3) * 0.2 / (1 / 3), 0.1 * 3 * 0.8 * 1.5]
    assert scores[0].tolist() == pytest.approx(expected)


def test_probabilities_are_clipped():
    rule = BinaryAttributes(torch.tensor([[1.0], [0.0]]).double(), torch.tensor([0.5]).double())
    (scores,) = rule.scores(torch.tensor([[0.0]])).tolist()
    assert scores == pytest.approx([math.log(CLIP / 0.5), math.log((1 - CLIP) / 0.5)])


def test_attributes_that_say_nothing_are_dropped(easy):
    task, _, _ = easy
    attributes = task.attributes.clone()
    attributes[:, 0] = 1  # all have it
    attributes[task.seen, 1] = 0  # no seen class has it, though an unseen one may
    found = binary_attributes(with_attributes(task, attributes), "none", "DAP")
    assert torch.equal(found.table, attributes[:, 2:].double())
    assert torch.equal(found.prior, attributes[task.seen][:, 2:].double().mean(0))


def test_strengths_are_thresholded_at_the_mean_over_seen_classes(easy, train_on):
    task, _, _ = easy
    strengths = torch.where(task.attributes > 0, 70.0, 5.0)
    strengths[task.unseen] *= 1000  # would move a mean over all classes above every seen value
    found = binary_attributes(with_attributes(task, strengths), "mean", "DAP")
    assert torch.equal(found.table[task.seen], task.attributes[task.seen].double())
    assert bool((found.table[task.unseen] == 1).all())


def test_not_applicable_without_binary_attributes(easy, train_on):
    task, test, _ = easy
    half = with_attributes(task, 0.5 * task.attributes)
    with pytest.raises(NotApplicable, match="DAP needs binary class attributes"):
        train_on(SPEC, half)
    # Halved strengths give the same table, so the same scores.
    assert torch.equal(train_on(SPEC, half, binarize="mean")(test), train_on(SPEC, task)(test))
    same = with_attributes(task, torch.ones_like(task.attributes))
    with pytest.raises(NotApplicable, match="has none"):
        train_on(SPEC, same)


def test_known_strengths_are_thresholded_by_default():
    assert DAP.defaults(DatasetInfo("CUB", "res101", "att")) == {"binarize": "mean"}
    assert DAP.defaults(DatasetInfo("CUB", "res101", "sentences.npy")) == {}
    assert DAP.defaults(DatasetInfo("FLO", "res101", "att")) == {}


def test_classifiers_equal_those_of_scikit_learn(easy, train_on):
    linear_model = pytest.importorskip("sklearn.linear_model")
    task, test, _ = easy
    trained = train_on(SPEC, task, cost=10.0)
    present = trained.scorer.embed(test)
    x = task.features.double().numpy()
    for column in (0, 4):
        targets = task.attributes[task.labels][:, column].numpy()
        one = linear_model.LogisticRegression(C=10.0, tol=1e-10, max_iter=5000).fit(x, targets)
        expected = one.predict_proba(test.double().numpy())[:, 1]
        assert present[:, column].tolist() == pytest.approx(expected.tolist(), abs=5e-5)
