"""LATEM: the latent choice by hand, and whole trainings against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gzsl_bench_classic.latem import LATEM, LATEMConfig, latent_block
from gzsl_bench_classic.ranking import BLOCK

from gzsl_bench import Run, Task


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
    """Two maps, three classes with embeddings at right angles, x_0'x_1 = 2, learning rate 1/2.

    Image 0 is of class 0, class 1 is drawn.  Map 1 is best for the true class (0.4 over 0.1), map
    0 for the drawn one (0.9 over 0.2); 1 + 0.9 - 0.4 = 1.5 violates.  Map 1 gets + x_0 a_0' / 2 and
    map 0 gets - x_0 a_1' / 2.  Image 1 is of class 1, class 0 is drawn: in map 0 its true class
    falls by 1 (0.7 to -0.3), in map 1 its drawn class rises by 1 (0.1 to 1.1).  So map 1 is best
    for both, 0.6 and 1.1; 1 + 1.1 - 0.6 = 1.5.  Without the first step it would have been 0.7.
    """
    scores = np.zeros((1, 2, 2, 2))
    scores[0, :, 0, 0], scores[0, :, 0, 1] = [0.1, 0.4], [0.9, 0.2]
    scores[0, :, 1, 0], scores[0, :, 1, 1] = [0.7, 0.6], [-0.5, 0.1]
    picked, weights, slacks = latent_block(
        scores,
        np.array([[[5.0, 2.0], [2.0, 3.0]]]),
        np.array([[[0, 1], [1, 0]]]),
        np.eye(3),
        np.array([0.5]),
        np.array([1.0]),
    )
    np.testing.assert_array_equal(picked, [[[1, 0], [1, 1]]])
    np.testing.assert_array_equal(weights, [[0.5, 0.5]])
    np.testing.assert_allclose(slacks, [[1.5, 1.5]])


def test_no_step_where_the_true_class_keeps_the_margin():
    scores = np.array([[[[2.0, 0.5]], [[0.0, 0.9]]]])
    one = np.ones((1, 1, 1))
    pairs = np.array([[[0, 1]]])
    picked, weights, slacks = latent_block(
        scores, one, pairs, np.eye(2), np.array([0.5]), np.array([1.0])
    )
    np.testing.assert_array_equal(picked, [[[0, 1]]])
    assert weights[0, 0] == 0
    np.testing.assert_allclose(slacks, [[-0.1]], atol=1e-12)


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
    config = LATEMConfig(lr=0.02, epochs=2, maps=5)
    sink = Sink(torch.tensor(test, dtype=torch.float32))
    run = Run(4, torch.device("cpu"), config, sink)
    LATEM(config).fit(task, run)

    unit = attributes / np.sqrt((attributes**2).sum(1))[:, None]
    start = torch.randn(12, 5, width, generator=run.generator("init"))
    w = start.double().numpy().transpose(1, 0, 2) / np.sqrt(12)
    order, stream = run.generator("order"), run.generator("rivals")
    counts = []
    for epoch in (1, 2):
        loss, same, different = 0.0, 0, 0
        for rows in torch.randperm(150, generator=order).split(BLOCK):
            drawn = torch.randint(5, (len(rows),), generator=stream).tolist()
            for n, place in zip(rows.tolist(), drawn, strict=True):
                x, y = features[n], labels[n]
                c = [k for k in seen if k != y][place]
                of_drawn = [x @ w[k] @ unit[c] for k in range(5)]
                of_true = [x @ w[k] @ unit[y] for k in range(5)]
                i, j = int(np.argmax(of_drawn)), int(np.argmax(of_true))
                slack = 1 + of_drawn[i] - of_true[j]
                loss += max(0, slack)
                if slack <= 0:
                    continue
                if i == j:
                    w[i] -= 0.02 * np.outer(x, unit[c] - unit[y])
                    same += 1
                else:
                    w[i] -= 0.02 * np.outer(x, unit[c])
                    w[j] += 0.02 * np.outer(x, unit[y])
                    different += 1
        expected = np.max([test @ w[k] @ unit.T for k in range(5)], axis=0)
        np.testing.assert_allclose(sink.scores[epoch], expected, rtol=1e-3, atol=1e-4)
        assert sink.logs[epoch - 1]["loss"] == pytest.approx(loss / 150, rel=1e-4)
        assert sink.logs[epoch - 1]["updates"] == pytest.approx((same + different) / 150)
        counts.append((same, different))
    assert np.min(np.sum(counts, axis=0)) >= 5


def test_one_map_is_bilinear():
    """With K = 1 the scores are linear in the features."""
    rng = np.random.default_rng(0)
    task = Task(
        features=torch.tensor(rng.normal(size=(30, 5)), dtype=torch.float32),
        labels=torch.arange(30) % 3,
        attributes=torch.tensor(rng.random((4, 6)), dtype=torch.float32),
        seen=torch.arange(3),
        unseen=torch.tensor([3]),
    )
    a, b = rng.normal(size=(2, 8, 5))
    found = []
    for rows in (a, b, a + b):
        sink = Sink(torch.tensor(rows, dtype=torch.float32))
        config = LATEMConfig(maps=1, epochs=1)
        LATEM(config).fit(task, Run(0, torch.device("cpu"), config, sink))
        found.append(sink.scores[1])
    np.testing.assert_allclose(found[0] + found[1], found[2], atol=1e-5)
