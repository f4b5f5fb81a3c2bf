"""SynC: phantom weights and classifiers by hand; the hinge against its optimality condition."""

from __future__ import annotations

import math

import pytest
import torch
from gzsl_bench_classic.sync import SPEC, SynC, signatures, similarities

from gzsl_bench import DatasetInfo, NotApplicable, Task


def test_signatures_by_hand():
    # Unit rows (1, 0), (0, 1), (0.6, 0.8): squared distances 2, 0.8, 0.4; the median is sqrt 0.8.
    found = signatures(torch.tensor([[5.0, 0.0], [0.0, 2.0], [3.0, 4.0]]).double(), False)
    expected = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]).double() / math.sqrt(0.8)
    torch.testing.assert_close(found, expected)


def test_unknown_attributes():
    rows = torch.tensor([[3.0, -1.0, 4.0], [0.0, 1.0, 0.0]]).double()
    found = signatures(rows, True)
    torch.testing.assert_close(found[0] / found[0].norm(), torch.tensor([0.6, 0, 0.8]).double())
    assert SynC.defaults(DatasetInfo("AWA2", "res101", "att")) == {"missing_to_zero": True}


def test_phantom_weights_by_hand():
    # Distances squared of (1, 0) to the seen classes (1, 0) and (0, 1): 0 and 2; of (1, 1): 1, 1.
    rows = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]).double()
    found = similarities(rows, torch.tensor([0, 2]), sharpness=0.5)
    near = 1 / (1 + math.exp(-1.0))
    expected = torch.tensor([[near, 1 - near], [0.5, 0.5], [1 - near, near]]).double()
    torch.testing.assert_close(found, expected)


def test_unseen_classifiers_are_mixtures(easy, train_on):
    """A class half-way between two seen ones, far from others, gets the mean of their scores."""
    task, test, _ = easy
    seen = task.seen.tolist()
    unit = torch.eye(len(seen))
    attributes = torch.zeros(task.num_classes, len(seen))
    attributes[task.seen] = unit
    attributes[task.unseen] = unit[[0, 1, 2, 3]] + unit[[4, 5, 6, 7]]
    moved = Task(task.features, task.labels, attributes, task.seen, task.unseen)
    scores = train_on(SPEC, moved, sharpness=40.0)(test)
    for k, c in enumerate(task.unseen.tolist()):
        mean = (scores[:, seen[k]] + scores[:, seen[k + 4]]) / 2
        torch.testing.assert_close(scores[:, c], mean, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("penalty", [1e-4, 1e-2])
def test_seen_classifiers_minimise_the_squared_hinge(easy, train_on, penalty):
    task, _, _ = easy
    trained = train_on(SPEC, task, penalty=penalty)
    # Scores of the unit vectors are the classifiers; those of seen classes are W itself.
    w = trained(torch.eye(task.features.shape[1]))[:, task.seen].requires_grad_()
    signs = 2 * (task.labels[:, None] == task.seen).double() - 1
    short = (1 - signs * (task.features.double() @ w)).clamp(min=0)
    loss = short.square().mean() + penalty / 2 * w.square().sum()
    (gradient,) = torch.autograd.grad(loss, w)
    at_zero = (2 / signs.numel()) * (task.features.double().T @ signs)
    assert float(gradient.abs().max()) < 1e-5 * float(at_zero.abs().max())


def test_identical_classes_are_refused(easy, train_on):
    task, _, _ = easy
    same = Task(
        task.features, task.labels, torch.ones_like(task.attributes), task.seen, task.unseen
    )
    with pytest.raises(NotApplicable, match="SynC needs class embeddings that differ"):
        train_on(SPEC, same)
