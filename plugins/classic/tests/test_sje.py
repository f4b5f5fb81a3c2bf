"""SJE: a step by hand, and whole trainings against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gzsl_bench_classic.ranking import rank_block
from gzsl_bench_classic.sje import SJE, SJEConfig

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


def test_two_steps_by_hand():
    """Three classes with embeddings at right angles; margin 1, learning rate 1/2, x_0'x_1 = 2.

    Image 0 (class 0): slacks 1 + 1.5 - 1 = 1.5 and 1 + 0.2 - 1 = 0.2, so class 1 is the rival.
    W += x_0 (a_0 - a_1)' / 2 adds (1, -1, 0) to image 1's scores: (1.3, -1, 0.1).
    Image 1 (class 2): slacks 1 + 1.3 - 0.1 = 2.2 and 1 - 1 - 0.1 = -0.1, so class 0 is the rival.
    """
    method = SJE(SJEConfig())
    scores = np.array([[[1.0, 1.5, 0.2], [0.3, 0.0, 0.1]]])
    products = np.array([[[5.0, 2.0], [2.0, 3.0]]])
    labels = np.array([[0, 2]])
    rivals, weights, slacks = rank_block(
        scores,
        products,
        labels,
        np.eye(3),
        np.array([0.5]),
        np.array([1.0]),
        method.chooser([], labels, 3),
    )
    np.testing.assert_array_equal(rivals, [[1, 0]])
    np.testing.assert_array_equal(weights, [[0.5, 0.5]])
    np.testing.assert_allclose(slacks, [[[-np.inf, 1.5, 0.2], [2.2, -0.1, -np.inf]]])
    np.testing.assert_allclose(method.losses(slacks), [[1.5, 2.2]])


def test_the_true_class_wins_where_nobody_violates():
    labels = np.array([[1]])
    rivals, weights, slacks = rank_block(
        np.array([[[0.0, 3.0, 1.9]]]),
        np.ones((1, 1, 1)),
        labels,
        np.eye(3),
        np.array([1.0]),
        np.array([1.0]),
        SJE(SJEConfig()).chooser([], labels, 3),
    )
    assert weights[0, 0] == 0
    assert SJE(SJEConfig()).losses(slacks)[0, 0] == 0


@pytest.mark.parametrize(("width", "scaling"), [(4, "none"), (25, "none"), (6, "zscore")])
def test_training_equals_a_plain_loop(width, scaling):
    """150 images, so that blocks end in between; fewer and more attributes than classes."""
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
    config = SJEConfig(lr=0.03, margin=0.7, epochs=3, scaling=scaling)
    sink = Sink(torch.tensor(test, dtype=torch.float32))
    run = Run(4, torch.device("cpu"), config, sink)
    SJE(config).fit(task, run)

    if scaling == "zscore":
        mean, deviation = features.mean(0), features.std(0)
        features, test = (features - mean) / deviation, (test - mean) / deviation
    unit = attributes / np.sqrt((attributes**2).sum(1))[:, None]
    start = torch.randn(12, 1, width, generator=run.generator("init"))
    w = start[:, 0].double().numpy() / np.sqrt(12)
    order = run.generator("order")
    counts = []
    for epoch in (1, 2, 3):
        loss = updates = 0
        for n in torch.randperm(150, generator=order).tolist():
            x, y = features[n], labels[n]
            augmented = {
                c: (0.7 if c != y else 0.0) + x @ w @ unit[c] - x @ w @ unit[y] for c in seen
            }
            worst = max(augmented, key=augmented.get)
            loss += augmented[worst]
            if worst != y:
                w += 0.03 * np.outer(x, unit[y] - unit[worst])
                updates += 1
        np.testing.assert_allclose(sink.scores[epoch], test @ w @ unit.T, rtol=1e-3, atol=1e-4)
        assert sink.logs[epoch - 1]["loss"] == pytest.approx(loss / 150, rel=1e-4)
        assert sink.logs[epoch - 1]["updates"] == pytest.approx(updates / 150)
        counts.append(updates)
    assert 10 < sum(counts) < 150 * len(counts) - 10


@pytest.mark.parametrize(
    ("name", "lr", "margin", "scaling"),
    [
        ("CUB", 0.1, 4.0, "zscore"),
        ("AWA1", 1.0, 2.5, "l2"),
        ("AWA2", 1.0, 2.5, "l2"),
        ("APY", 0.01, 1.5, "none"),
        ("SUN", 1.0, 2.0, "zscore"),
        ("FLO", 0.1, 4.0, "zscore"),
    ],
)
def test_recipes(name, lr, margin, scaling):
    config = SJEConfig(**SJE.defaults(DatasetInfo(name, "res101", "att")))
    assert (config.lr, config.margin, config.scaling) == (lr, margin, scaling)
