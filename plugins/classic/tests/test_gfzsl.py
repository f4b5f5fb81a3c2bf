"""GFZSL: the Gaussian formula and kernel ridge regression, each by hand."""

from __future__ import annotations

import math

import pytest
import torch
from gzsl_bench_classic.gfzsl import GFZSL, SPEC, log_density

from gzsl_bench import DatasetInfo, Task


def two_classes():
    """Seen classes 0 and 2 in two dimensions; class 1 is unseen."""
    features = torch.tensor([[0.0, 0.0], [2.0, 4.0], [5.0, 1.0], [7.0, 1.0], [9.0, 4.0]])
    attributes = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    return Task(
        features, torch.tensor([0, 0, 2, 2, 2]), attributes, torch.tensor([0, 2]), torch.tensor([1])
    )


def gaussian(x, mean, variance):
    return sum(
        -0.5 * ((a - m) ** 2 / v + math.log(2 * math.pi * v))
        for a, m, v in zip(x, mean, variance, strict=True)
    )


def test_seen_posteriors_are_those_of_the_formula(train_on):
    # Class 0: mean (1, 2), variance (2, 8); class 2: mean (7, 2), variance (4, 3), all plus 0.05.
    scores = train_on(SPEC, two_classes())(torch.tensor([[3.0, 1.5]]))[0]
    here = gaussian((3.0, 1.5), (1, 2), (2.05, 8.05))
    there = gaussian((3.0, 1.5), (7, 2), (4.05, 3.05))
    posterior = scores[[0, 2]].softmax(0)
    assert float(posterior[0]) == pytest.approx(1 / (1 + math.exp(there - here)))


def test_the_unseen_class_by_hand(train_on):
    # k(a, b) = (1 + a'b)^2: K = [[4, 1], [1, 4]], k_u = (4, 4), so K + I = [[5, 1], [1, 5]] and
    # (K + I)^-1 = [[5, -1], [-1, 5]] / 24: k_u' (K + I)^-1 = (2/3, 2/3).
    # mu_u = 2/3 (1 + 7, 2 + 2) = (16/3, 8/3); log sigma^2_u = 2/3 (log 2 + log 4, log 8 + log 3).
    scores = train_on(SPEC, two_classes(), mean_penalty=1.0, variance_penalty=1.0, epsilon=1e-12)(
        torch.tensor([[3.0, 1.5]])
    )[0]
    variance = (8 ** (2 / 3) + 0.05, 24 ** (2 / 3) + 0.05)
    expected = gaussian((3.0, 1.5), (16 / 3, 8 / 3), variance) + math.log(2 * math.pi)
    assert float(scores[1]) == pytest.approx(expected)


def test_the_released_penalty_leaves_the_nearest_mean(easy, train_on):
    """lambda_2 = 1e8 makes every regressed variance nearly 1, and 0.05 is added (released code)."""
    task, test, _ = easy
    scores = train_on(SPEC, task, seen_classes="regressed")(test)
    kernel = (1 + task.attributes.double() @ task.attributes.double()[task.seen].T) ** 2
    means = torch.stack([task.features.double()[task.labels == c].mean(0) for c in task.seen])
    weights = torch.linalg.inv(kernel[task.seen] + 0.1 * torch.eye(len(task.seen)))
    distances = torch.cdist(test.double(), kernel @ weights @ means)
    # 1e8 against a kernel of at most (1 + 10)^2 and |log var| <= 7 in ten classes: sigma^2 is off
    # by 1e-4 at most, and so are the 40 terms of a squared distance of rows of length 1.
    expected = -0.5 * (distances**2 / 1.05 + task.features.shape[1] * math.log(1.05))
    torch.testing.assert_close(scores, expected, rtol=0, atol=5e-3)
    assert torch.equal(scores.argmax(1), distances.argmin(1))


def test_seen_classes_empirical_or_regressed(easy, train_on):
    task, test, _ = easy
    own = train_on(SPEC, task)(test)
    regressed = train_on(SPEC, task, seen_classes="regressed")(test)
    assert torch.equal(own[:, task.unseen], regressed[:, task.unseen])
    assert not torch.allclose(own[:, task.seen], regressed[:, task.seen])
    # Their own narrow Gaussians swallow the rows of unseen classes, as in GBU.
    from_unseen = torch.isin(own.argmax(1), task.unseen).sum()
    assert from_unseen < torch.isin(regressed.argmax(1), task.unseen).sum()


def test_one_density_by_hand():
    one = torch.ones(1, 1).double()
    expected = gaussian((1.0,), (0.0,), (0.05,)) + 0.5 * math.log(2 * math.pi)
    assert float(log_density(one, 0 * one, 0.05 * one)) == pytest.approx(expected)


@pytest.mark.parametrize("rows", [1, 2])
def test_without_spread_a_class_is_scored_with_what_is_added(train_on, rows):
    """Two equal rows, or one: variances are 0 either way, and 0.05 is all there is."""
    task = two_classes()
    flat = task.features.clone()
    flat[task.labels == 0] = torch.tensor([1.0, 2.0])
    kept = slice(2 - rows, None)
    scores = train_on(
        SPEC, Task(flat[kept], task.labels[kept], task.attributes, task.seen, task.unseen)
    )
    value = float(scores(torch.tensor([[1.0, 2.0]]))[0, 0])
    assert value == pytest.approx(-math.log(0.05))


def test_values_of_the_released_code():
    config = GFZSL.Config(**GFZSL.defaults(DatasetInfo("CUB", "res101", "att")))
    assert (config.mean_penalty, config.variance_penalty, config.epsilon) == (1.0, 1e7, 1e-4)
