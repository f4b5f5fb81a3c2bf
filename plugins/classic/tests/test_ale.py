"""ALE: rank weights by hand, the law of its draws, and whole trainings against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gzsl_bench_classic.ale import ALE, ALEConfig, rank_weights
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


def test_rank_weights_by_hand():
    """1, 1 + 1/2, 1 + 1/2 + 1/3, 1 + 1/2 + 1/3 + 1/4; none for rank 0."""
    np.testing.assert_allclose(rank_weights(4), [0, 1, 3 / 2, 11 / 6, 25 / 12], rtol=1e-15)


def test_loss_by_hand():
    """Two violators with hinges 0.5 and 1: (beta_2 / 2) 1.5 = 0.75 * 1.5; none: 0."""
    slacks = np.array([[[-np.inf, 0.5, -1.0, 1.0], [-np.inf, -0.5, -1.0, -0.1]]])
    np.testing.assert_allclose(ALE(ALEConfig()).losses(slacks), [[1.125, 0.0]])


def choices(slack, label, steps=20000):
    slack = np.array([slack])
    stream = torch.Generator().manual_seed(1)
    labels = np.full((1, steps), label)
    choose = ALE(ALEConfig()).chooser([stream], labels, slack.shape[1])
    found = [choose(slack, step) for step in range(steps)]
    return np.array([r[0] for r, _ in found]), np.array([w[0] for _, w in found])


def test_weights_follow_the_number_of_draws():
    """Five classes, one of four wrong ones violates: the n-th draw finds it with 1/4 (3/4)^(n-1).

    Then the rank is floor(4 / n): 4, 2, 1, 1, with weights 25/12, 3/2, 1, 1, and after four draws
    the image is left alone with (3/4)^4.
    """
    rivals, weights = choices([0.5, -0.1, -np.inf, -0.2, -0.3], label=2)
    assert set(rivals[weights > 0]) == {0}
    assert set(weights.round(6)) == {0.0, 1.0, 1.5, round(25 / 12, 6)}
    for weight, share in ((25 / 12, 1 / 4), (1.5, 3 / 16), (1, 9 / 64 + 27 / 256), (0, 81 / 256)):
        found = np.isclose(weights, weight).mean()
        assert abs(found - share) < 4 * np.sqrt(share * (1 - share) / 20000)


def test_all_violate_so_the_first_draw_counts():
    rivals, weights = choices([0.5, 0.1, -np.inf, 0.2, 0.3], label=2, steps=4000)
    np.testing.assert_allclose(weights, 25 / 12)
    assert sorted(set(rivals)) == [0, 1, 3, 4]
    assert all(abs((rivals == c).mean() - 1 / 4) < 0.03 for c in (0, 1, 3, 4))


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
    config = ALEConfig(lr=0.02, epochs=2)
    sink = Sink(torch.tensor(test, dtype=torch.float32))
    run = Run(4, torch.device("cpu"), config, sink)
    ALE(config).fit(task, run)

    unit = attributes / np.sqrt((attributes**2).sum(1))[:, None]
    beta = [sum(1 / i for i in range(1, r + 1)) for r in range(6)]
    start = torch.randn(12, 1, width, generator=run.generator("init"))
    w = start[:, 0].double().numpy() / np.sqrt(12)
    order, stream = run.generator("order"), run.generator("rivals")
    counts = []
    for epoch in (1, 2):
        updates = 0
        for rows in torch.randperm(150, generator=order).split(BLOCK):
            drawn = torch.randint(5, (len(rows), 5), generator=stream).tolist()
            for n, draws in zip(rows.tolist(), drawn, strict=True):
                x, y = features[n], labels[n]
                wrong = [c for c in seen if c != y]
                for number, place in enumerate(draws, start=1):
                    c = wrong[place]
                    if 1 + x @ w @ unit[c] - x @ w @ unit[y] > 0:
                        w += 0.02 * beta[5 // number] * np.outer(x, unit[y] - unit[c])
                        updates += 1
                        break
        np.testing.assert_allclose(sink.scores[epoch], test @ w @ unit.T, rtol=1e-3, atol=1e-4)
        assert sink.logs[epoch - 1]["updates"] == pytest.approx(updates / 150)
        counts.append(updates)
    assert 10 < sum(counts) < 150 * len(counts) - 10


@pytest.mark.parametrize(
    ("name", "lr"),
    [("CUB", 0.1), ("SUN", 0.1), ("AWA1", 1e-3), ("AWA2", 1e-3), ("APY", 1e-3), ("FLO", 0.1)],
)
def test_rates_of_the_shipped_models(name, lr):
    config = ALEConfig(**ALE.defaults(DatasetInfo(name, "res101", "att")))
    assert (config.lr, config.epochs, config.margin) == (lr, 50, 1.0)
