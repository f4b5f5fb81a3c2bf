"""ESZSL against an independent dense solve in numpy."""

from __future__ import annotations

from importlib.metadata import entry_points

import numpy as np
import pytest
import torch
from gzsl_bench_eszsl import ESZSL, ESZSLConfig, gzsl_bench_methods
from torch.utils.flop_counter import FlopCounterMode

from gzsl_bench import MethodSpec, Run, Task


class Sink:
    def log(self, step, values):
        raise AssertionError("a closed form has no curves")

    def checkpoint(self, number, scorer):
        raise AssertionError("the scorer is returned")

    def progress(self, done, total):
        pass


def make_task(seed=0, rows=300, dim=40, classes=12, width=9):
    rng = np.random.default_rng(seed)
    attributes = rng.random((classes, width))
    unseen = np.array([1, 5, 11])
    seen = np.setdiff1d(np.arange(classes), unseen)
    labels = np.concatenate([seen, rng.choice(seen, rows - seen.size)])
    mix = rng.normal(size=(width, dim))
    features = attributes[labels] @ mix + 0.3 * rng.normal(size=(rows, dim))
    low, high = features.min(0), features.max(0)
    features = (features - low) / (high - low)
    test_labels = rng.integers(0, classes, 200)
    test = (attributes[test_labels] @ mix + 0.3 * rng.normal(size=(200, dim)) - low) / (high - low)
    task = Task(
        features=torch.tensor(features, dtype=torch.float32),
        labels=torch.tensor(labels),
        attributes=torch.tensor(attributes, dtype=torch.float32),
        seen=torch.tensor(seen),
        unseen=torch.tensor(unseen),
    )
    return task, torch.tensor(test, dtype=torch.float32), test_labels


def fit(task, **config):
    settings = ESZSLConfig(**config)
    return ESZSL(settings).fit(task, Run(0, torch.device("cpu"), settings, Sink()))


@pytest.mark.parametrize("targets", ["01", "pm1"])
@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.1), (100.0, 10.0)])
def test_equals_an_independent_solve(targets, gamma, lam):
    task, test, _ = make_task()
    scores = fit(task, targets=targets, feature_penalty=gamma, attribute_penalty=lam)(test)
    assert scores.dtype == torch.float64

    # The paper's orientation: X [D, N], S [A, K], Y [N, K], with explicit loops and inverses.
    x = task.features.numpy().astype(np.float64).T
    s = task.attributes.numpy().astype(np.float64)[task.seen.numpy()].T
    y = np.full((x.shape[1], s.shape[1]), 0.0 if targets == "01" else -1.0)
    for row, label in enumerate(task.labels.tolist()):
        y[row, task.seen.tolist().index(label)] = 1.0
    middle = np.linalg.solve(x @ x.T + gamma * np.eye(x.shape[0]), x @ y @ s.T)
    v = np.linalg.solve((s @ s.T + lam * np.eye(s.shape[0])).T, middle.T).T
    expected = test.numpy().astype(np.float64) @ v @ task.attributes.numpy().astype(np.float64).T

    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(scores.argmax(1).numpy(), expected.argmax(1))


def test_gradient_of_the_objective_vanishes():
    """Stationary point of ||X'VS - Y||^2 + g ||VS||^2 + l ||X'V||^2 + g l ||V||^2."""
    task, _, _ = make_task(seed=3)
    v = fit(task).embed(torch.eye(task.features.shape[1])).clone().requires_grad_()
    x = task.features.double()
    s = task.attributes.double()[task.seen].T
    y = (task.labels[:, None] == task.seen).double()
    loss = (
        (x @ v @ s - y).square().sum()
        + 1.0 * (v @ s).square().sum()
        + 0.1 * (x @ v).square().sum()
        + 0.1 * v.square().sum()
    )
    (gradient,) = torch.autograd.grad(loss, v)
    assert gradient.abs().max() < 1e-8 * loss.item()


def test_unseen_embeddings_do_not_enter_the_fit():
    task, test, _ = make_task()
    changed = task.attributes.clone()
    changed[task.unseen] += 5
    other = Task(task.features, task.labels, changed, task.seen, task.unseen)
    before, after = fit(task)(test), fit(other)(test)
    torch.testing.assert_close(before[:, task.seen], after[:, task.seen], rtol=0, atol=0)
    assert not torch.allclose(before[:, task.unseen], after[:, task.unseen])


def test_learns_unseen_classes():
    task, test, labels = make_task()
    scores = fit(task)(test)
    rows = np.isin(labels, task.unseen.numpy())
    best = task.unseen[scores[rows][:, task.unseen].argmax(1)].numpy()
    assert (best == labels[rows]).mean() > 0.7


def test_configuration_is_checked():
    with pytest.raises(ValueError, match="feature_penalty"):
        ESZSLConfig(feature_penalty=0)
    with pytest.raises(ValueError, match="targets"):
        ESZSLConfig(targets="zero")


def test_registration():
    (spec,) = gzsl_bench_methods()
    assert isinstance(spec, MethodSpec)
    assert (spec.name, spec.preprocessing, spec.deterministic) == ("eszsl", "minmax", True)
    assert {point.value for point in entry_points(group="gzsl_bench", name="eszsl")} == {
        "gzsl_bench_eszsl"
    }


def test_a_grid_of_penalties_shares_the_product(monkeypatch):
    """49 pairs cost one X'X and seven factors of it, and each is what it is alone."""
    task, test, _ = make_task()
    grid = [10.0**power for power in range(-3, 4)]
    configs = [ESZSLConfig(feature_penalty=a, attribute_penalty=b) for a in grid for b in grid]
    alone = [fit(task, **config.model_dump())(test) for config in configs]
    sizes, cholesky = [], torch.linalg.cholesky
    monkeypatch.setattr(torch.linalg, "cholesky", lambda m: sizes.append(len(m)) or cholesky(m))
    runs = [Run(0, torch.device("cpu"), config, Sink()) for config in configs]
    with FlopCounterMode(display=False) as counter:
        scorers = ESZSL(configs[0]).fit_batch(task, runs)
    rows, dim = task.features.shape
    kinds, width = len(task.seen), task.attributes.shape[1]
    products = rows * dim * (dim + width) + width * kinds * (width + rows)
    assert counter.get_total_flops() == 2 * products
    assert (sizes.count(dim), sizes.count(width)) == (7, 49)
    for scorer, expected in zip(scorers, alone, strict=True):
        assert torch.equal(scorer(test), expected)


def test_a_penalty_that_rounding_swallows_gives_up_its_run_alone():
    task, test, _ = make_task(dim=400)  # more dimensions than rows: X'X is singular
    configs = [ESZSLConfig(feature_penalty=value) for value in (1e-18, 1.0)]
    runs = [Run(0, torch.device("cpu"), config, Sink()) for config in configs]
    lost, found = ESZSL(configs[0]).fit_batch(task, runs)
    assert (lost, runs[0].failure) == (None, "the penalties 1e-18 and 0.1 are lost in rounding")
    assert torch.equal(found(test), fit(task)(test))
