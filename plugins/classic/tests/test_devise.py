"""DeViSE: the first violator in a shuffled order, and whole trainings against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gzsl_bench_classic.devise import DeViSE, DeViSEConfig
from gzsl_bench_classic.ranking import BLOCK

from gzsl_bench import DatasetInfo, Run, Task


class Sink:
    def __init__(self, rows):
        self.rows, self.scores, self.logs = rows, {}, []

    def log(self, step, values):
        self.logs.append(values)

    def checkpoint(self, number, scorer):
        self.scores[number] = scorer(self.rows).numpy().copy()

    def progress(self, done, total):
        pass


def choices(slack, seed=0, steps=4000):
    """The rivals and weights of many steps that all meet the same slack."""
    slack = np.array([slack])
    method = DeViSE(DeViSEConfig())
    stream = torch.Generator().manual_seed(seed)
    choose = method.chooser([stream], np.zeros((1, steps), np.int64), slack.shape[1])
    found = [choose(slack, step) for step in range(steps)]
    return np.array([r[0] for r, _ in found]), np.array([w[0] for _, w in found])


def test_only_violators_are_chosen_and_each_as_often_as_the_others():
    """A fixed order would always take the first.  Of 4000 draws 1333 go to each, +- 30 (1 sd)."""
    rivals, weights = choices([-np.inf, 0.1, -0.2, 3.0, 0.0, 1e-6])
    assert set(rivals) == {1, 3, 5}
    assert weights.tolist() == [1.0] * 4000
    for rival in (1, 3, 5):
        assert abs((rivals == rival).sum() - 4000 / 3) < 120


def test_no_violator_no_update():
    _, weights = choices([-np.inf, -0.1, 0.0], steps=5)
    assert not weights.any()


def test_loss_by_hand():
    """Hinges 0.5 and 0.25; the true class and the class that keeps the margin count nothing."""
    slacks = np.array([[[-np.inf, 0.5, -1.0, 0.25]]])
    assert DeViSE(DeViSEConfig()).losses(slacks) == pytest.approx(0.75)


@pytest.mark.parametrize("width", [4, 25])
def test_training_equals_a_plain_loop(width):
    rng = np.random.default_rng(width)
    attributes = rng.random((9, width)) * 3
    seen = np.array([0, 2, 3, 5, 6, 8])
    labels = np.concatenate([seen, rng.choice(seen, 144)])
    features = attributes[labels] @ rng.normal(size=(width, 12)) + rng.normal(size=(150, 12))
    test = rng.normal(size=(20, 12))
    task = Task(
        features=torch.tensor(features, dtype=torch.float32),
        labels=torch.tensor(labels),
        attributes=torch.tensor(attributes, dtype=torch.float32),
        seen=torch.tensor(seen),
        unseen=torch.tensor([1, 4, 7]),
    )
    config = DeViSEConfig(lr=0.5, margin=0.02, epochs=2, scaling="l2")
    sink = Sink(torch.tensor(test, dtype=torch.float32))
    run = Run(4, torch.device("cpu"), config, sink)
    DeViSE(config).fit(task, run)

    features = features / np.sqrt((features**2).sum(1))[:, None]
    test = test / np.sqrt((test**2).sum(1))[:, None]
    unit = attributes / np.sqrt((attributes**2).sum(1))[:, None]
    start = torch.randn(12, 1, width, generator=run.generator("init"))
    w = start[:, 0].double().numpy() / np.sqrt(12)
    order, keys = run.generator("order"), run.generator("rivals")
    counts = []
    for epoch in (1, 2):
        loss = updates = 0
        for rows in torch.randperm(150, generator=order).split(BLOCK):
            drawn = torch.rand(len(rows), 6, generator=keys, dtype=torch.float64).numpy()
            for n, key in zip(rows.tolist(), drawn, strict=True):
                x, y = features[n], labels[n]
                slack = [0.02 + x @ w @ (unit[c] - unit[y]) for c in seen]
                loss += sum(max(0, s) for c, s in zip(seen, slack, strict=True) if c != y)
                for place in np.argsort(-key):  # the order in which classes are looked at
                    if seen[place] != y and slack[place] > 0:
                        w += 0.5 * np.outer(x, unit[y] - unit[seen[place]])
                        updates += 1
                        break
        np.testing.assert_allclose(sink.scores[epoch], test @ w @ unit.T, rtol=1e-3, atol=1e-4)
        assert sink.logs[epoch - 1]["loss"] == pytest.approx(loss / 150, rel=1e-4)
        assert sink.logs[epoch - 1]["updates"] == pytest.approx(updates / 150)
        counts.append(updates)
    assert 10 < sum(counts) < 150 * len(counts) - 10


@pytest.mark.parametrize(
    ("name", "lr", "margin", "scaling"),
    [
        ("CUB", 1.0, 1.0, "l2"),
        ("AWA1", 0.01, 200.0, "zscore"),
        ("AWA2", 0.001, 150.0, "zscore"),
        ("APY", 1.0, 1.0, "l2"),
        ("SUN", 0.01, 3.0, "none"),
        ("FLO", 1.0, 1.0, "l2"),
    ],
)
def test_recipes(name, lr, margin, scaling):
    config = DeViSEConfig(**DeViSE.defaults(DatasetInfo(name, "res101", "att")))
    assert (config.lr, config.margin, config.scaling) == (lr, margin, scaling)
