"""ConSE: the convex combination by hand, and the classifier it shares with IAP."""

from __future__ import annotations

import pytest
import torch
from gzsl_bench_classic import conse, iap
from gzsl_bench_classic.linear import seen_softmax

from gzsl_bench import Task


def test_the_combination_by_hand(easy, train_on):
    task, test, _ = easy
    scores = train_on(conse.SPEC, task, top=3, cost=2.0)(test)
    probabilities = task.shared(seen_softmax)._fitted[2.0](test).softmax(1)
    attributes = task.attributes.double()
    for row in range(4):
        best = sorted(range(len(task.seen)), key=lambda k: -float(probabilities[row, k]))[:3]
        weights = [float(probabilities[row, k]) for k in best]
        mixed = sum(w * attributes[task.seen[k]] for w, k in zip(weights, best, strict=True)) / sum(
            weights
        )
        for c in range(task.num_classes):
            cosine = mixed @ attributes[c] / (mixed.norm() * attributes[c].norm())
            assert float(scores[row, c]) == pytest.approx(float(cosine))


def test_one_class_alone_is_its_own_embedding(easy, train_on):
    task, test, _ = easy
    scores = train_on(conse.SPEC, task, top=1)(test)
    best = task.shared(seen_softmax)._fitted[10.0](test).argmax(1)
    expected = torch.nn.functional.cosine_similarity(
        task.attributes.double()[task.seen[best]][:, None], task.attributes.double(), dim=2
    )
    torch.testing.assert_close(scores, expected)
    # So with one class every row goes to a seen one.
    assert bool(torch.isin(scores.argmax(1), task.seen).all())


def test_more_classes_than_there_are(easy, train_on):
    task, test, _ = easy
    many, all_ = (train_on(conse.SPEC, task, top=top)(test) for top in (500, len(task.seen)))
    assert torch.equal(many, all_)


def test_iap_finds_conse_s_classifier(easy, train_on):
    task, _, _ = easy
    assert train_on(conse.SPEC, task).reports.progressed
    assert not train_on(iap.SPEC, task).reports.progressed  # nothing was fitted
    assert train_on(iap.SPEC, task, cost=1.0).reports.progressed


def test_the_softmax_equals_scikit_learn_s(easy, train_on):
    linear_model = pytest.importorskip("sklearn.linear_model")
    task, test, _ = easy
    train_on(conse.SPEC, task, cost=10.0)
    ours = task.shared(seen_softmax)._fitted[10.0](test).softmax(1)
    theirs = linear_model.LogisticRegression(C=10.0, tol=1e-10, max_iter=5000)
    theirs.fit(task.features.double().numpy(), task.labels.numpy())
    expected = torch.tensor(theirs.predict_proba(test.double().numpy()))
    torch.testing.assert_close(ours, expected, rtol=0, atol=5e-5)


def test_unseen_embeddings_do_not_enter_the_fit(easy, train_on):
    task, test, _ = easy
    other = task.attributes.clone()
    other[task.unseen] = 1 - other[task.unseen]
    moved = Task(task.features, task.labels, other, task.seen, task.unseen)
    here, there = train_on(conse.SPEC, task)(test), train_on(conse.SPEC, moved)(test)
    assert torch.equal(here[:, task.seen], there[:, task.seen])
    assert not torch.allclose(here[:, task.unseen], there[:, task.unseen])
