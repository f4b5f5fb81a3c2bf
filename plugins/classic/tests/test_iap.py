"""IAP: attribute posteriors from a seen-class softmax."""

from __future__ import annotations

import pytest
from gzsl_bench_classic.iap import SPEC
from gzsl_bench_classic.linear import seen_softmax

from gzsl_bench import NotApplicable, Task


def test_attribute_posteriors_by_hand(easy, train_on):
    task, test, _ = easy
    trained = train_on(SPEC, task, cost=5.0, temperature=2.0)
    logits = task.shared(seen_softmax)._fitted[5.0](test)
    for row in range(3):
        odds = (logits[row] / 2.0).exp()
        for m in range(task.attributes.shape[1]):
            having = sum(
                float(odds[k])
                for k, c in enumerate(task.seen.tolist())
                if task.attributes[c, m] == 1
            )
            assert float(trained.scorer.embed(test)[row, m]) == pytest.approx(
                having / float(odds.sum())
            )


def test_not_applicable_without_binary_attributes(easy, train_on):
    task, _, _ = easy
    half = Task(task.features, task.labels, task.attributes / 2, task.seen, task.unseen)
    with pytest.raises(NotApplicable, match="IAP needs binary class attributes"):
        train_on(SPEC, half)
    train_on(SPEC, half, binarize="mean")
