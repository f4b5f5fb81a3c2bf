"""DEM against plain numpy: loss, ridge term, gradients, start, and the nearest prototype."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gzsl_bench_classic.dem import DEM, DEMConfig, Network, dem_error, nearest
from gzsl_bench_classic.ridge import (
    RidgeAdam,
    squared_distances,
    truncated_normal,
)

from gzsl_bench import DatasetInfo, Run, Task


class Sink:
    def __init__(self, rows=None):
        self.rows, self.scores, self.logs = rows, {}, []

    def log(self, step, values):
        self.logs.append(values)

    def checkpoint(self, number, scorer):
        self.scores[number] = scorer(self.rows)

    def progress(self, done, total):
        pass


def make_task(rows=30, dim=6, width=4, seed=0):
    rng = np.random.default_rng(seed)
    seen, unseen = np.array([0, 1, 3]), np.array([2, 4])
    labels = np.concatenate([seen, rng.choice(seen, rows - 3)])
    attributes = rng.random((5, width))
    features = attributes[labels] @ rng.random((width, dim)) + 0.3 * rng.random((rows, dim))
    return Task(
        torch.tensor(features, dtype=torch.float32),
        torch.tensor(labels),
        torch.tensor(attributes, dtype=torch.float32),
        torch.tensor(seen),
        torch.tensor(unseen),
    )


def parameters(network):
    """W1, b1, W2, b2 of the one run, in float64."""
    return [
        part[0].detach().double().numpy().copy()
        for layer in network.layers
        for part in (layer.weight, layer.bias)
    ]


def forward(a, w1, b1, w2, b2):
    hidden = np.maximum(a @ w1.T + b1, 0)
    return hidden, np.maximum(hidden @ w2.T + b2, 0)


def numpy_gradients(a, x, w1, b1, w2, b2, penalty):
    """Of mean over rows and dimensions of (g(a) - x)^2 + penalty / 2 sum of squares."""
    hidden, out = forward(a, w1, b1, w2, b2)
    back = 2 / x.size * (out - x) * (out > 0)
    deep = (back @ w2) * (hidden > 0)
    return [
        deep.T @ a + penalty * w1,
        deep.sum(0) + penalty * b1,
        back.T @ hidden + penalty * w2,
        back.sum(0) + penalty * b2,
    ]


def test_error_by_hand():
    """(1 + 0 + 4 + 1) / 4 = 1.5."""
    guess = torch.tensor([[[1.0, 2.0], [3.0, 0.0]]])
    features = torch.tensor([[[0.0, 2.0], [1.0, 1.0]]])
    assert dem_error(guess, features).tolist() == [1.5]


def test_ridge_by_hand():
    """0.1 / 2 (1 + 4 + 9 + 0.25) = 0.7125 for weights 1, 2, 3 and bias 0.5."""
    run = Run(0, torch.device("cpu"), DEMConfig(), Sink())
    task = Task(
        torch.zeros(2, 1),
        torch.tensor([0, 1]),
        torch.zeros(3, 3),
        torch.tensor([0, 1]),
        torch.tensor([2]),
    )
    layer = Network([run], task, 1).layers[0]
    with torch.no_grad():
        layer.weight[0].copy_(torch.tensor([[1.0, 2.0, 3.0]]))
        layer.bias[0].copy_(torch.tensor([0.5]))
    assert RidgeAdam([layer], [0.1], [0.1]).penalty().tolist() == pytest.approx([0.7125])


def test_whole_training_against_numpy():
    """Batches of all rows; the loss, both its terms, the gradients and Adam written out."""
    task = make_task()
    config = DEMConfig(
        hidden=7, epochs=6, batch=64, lr=0.01, penalty=0.05, checkpoint_every=1, attribute_scale=3.0
    )
    sink = Sink(task.features[:7])
    run = Run(2, torch.device("cpu"), config, sink)
    DEM(config).fit(task, run)

    weights = parameters(Network([run], task, 7))
    assert (weights[1] == np.float32(0.1)).all()
    assert (weights[3] == np.float32(0.1)).all()
    moments = [[np.zeros_like(w), np.zeros_like(w)] for w in weights]
    x = task.features.double().numpy()
    classes = 3.0 * task.attributes.double().numpy()
    a = classes[task.labels.numpy()]
    for step in range(1, 7):
        error = ((forward(a, *weights)[1] - x) ** 2).mean()
        ridge = 0.025 * sum((w**2).sum() for w in weights)
        found = sink.logs[step - 1]
        assert found["error"] == pytest.approx(error, rel=1e-3)
        assert found["penalty"] == pytest.approx(ridge, rel=1e-4)
        assert found["loss"] == pytest.approx(error + ridge, rel=1e-3)
        gradients = numpy_gradients(a, x, *weights, 0.05)
        for w, (first, second), g in zip(weights, moments, gradients, strict=True):
            first += 0.1 * (g - first)
            second += 0.001 * (g**2 - second)
            w -= 0.01 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        prototypes = forward(classes, *weights)[1]
        expected = -((x[:7, None] - prototypes) ** 2).sum(2)
        np.testing.assert_allclose(sink.scores[step].numpy(), expected, rtol=2e-3, atol=2e-3)


def test_numpy_gradients_are_slopes():
    """The transcription itself, against differences of the loss."""
    rng = np.random.default_rng(1)
    a, x = rng.random((5, 3)), rng.random((5, 4))
    weights = [rng.normal(size=s) for s in ((6, 3), (6,), (4, 6), (4,))]

    def loss():
        ridge = 0.1 * sum((w**2).sum() for w in weights)
        return ((forward(a, *weights)[1] - x) ** 2).mean() + ridge

    for w, gradient in zip(weights, numpy_gradients(a, x, *weights, 0.2), strict=True):
        place = tuple(rng.integers(0, n) for n in w.shape)
        w[place] += 1e-6
        up = loss()
        w[place] -= 2e-6
        assert (up - loss()) / 2e-6 == pytest.approx(gradient[place], rel=1e-4, abs=1e-8)
        w[place] += 1e-6


def test_truncated_normal():
    """A normal cut off at two deviations has deviation 0.87963 of the uncut one."""
    run = Run(0, torch.device("cpu"), DEMConfig(), Sink())
    drawn = truncated_normal((200, 1000), 0.1, run, "first")
    assert drawn.abs().max() <= 0.2
    assert drawn.abs().max() > 0.1999
    assert drawn.mean().abs() < 1e-3
    assert drawn.std().item() == pytest.approx(0.1 * 0.87963, rel=5e-3)
    # Between 0 and one deviation: 0.3413 / 0.9545.
    assert ((drawn > 0) & (drawn < 0.1)).float().mean().item() == pytest.approx(0.3576, abs=5e-3)


def test_nearest_prototype_by_hand():
    """From (1, 0): squared distances 1 to (1, 1) and 4 to (3, 0), cosines 0.7071 and 1."""
    prototypes = torch.tensor([[1.0, 1.0], [3.0, 0.0]])
    x = torch.tensor([[1.0, 0.0]])
    assert nearest(prototypes, "euclidean")(x).tolist() == [[-1.0, -4.0]]
    cosines = nearest(prototypes, "cosine")(x)
    assert cosines.tolist()[0] == pytest.approx([0.5**0.5, 1.0])


def test_squared_distances_are_never_negative():
    rows = torch.full((3, 4), 1000.1)
    assert (squared_distances(rows, rows) >= 0).all()


def test_batches_cover_an_epoch_without_repetition():
    """20 rows in batches of 6: three batches of rows that differ, two rows sit out."""
    task = make_task(rows=20)
    seen = []

    run = Run(0, torch.device("cpu"), DEMConfig(batch=6, epochs=3), Sink(task.features))
    network = Network([run], task, 3)

    def error(picked):
        seen.append(picked.clone())
        return dem_error(network(task.labels[picked]), task.features[picked])

    def scorers():
        return lambda place: nearest(network.prototypes(place), "euclidean")

    DEM(run.config).train(task, [run], network.layers, error, scorers, every=2)
    assert list(run._sink.scores) == [2, 3]
    assert [tuple(p.shape) for p in seen] == [(1, 6)] * 9
    for epoch in range(3):
        rows = torch.cat([p[0] for p in seen[3 * epoch : 3 * epoch + 3]]).tolist()
        assert len(set(rows)) == 18
    assert seen[0].tolist() != seen[3].tolist()


@pytest.mark.parametrize(
    ("name", "hidden", "penalty", "lr", "batch", "distance"),
    [
        ("AWA1", 1600, 1e-3, 1e-4, 64, "euclidean"),
        ("AWA2", 1600, 1e-3, 1e-4, 64, "euclidean"),
        ("CUB", 1200, 1e-2, 1e-5, 100, "cosine"),
        ("SUN", 1600, 1e-5, 1e-4, 64, "euclidean"),
        ("APY", 1600, 1e-4, 1e-4, 64, "euclidean"),
        ("FLO", 1600, 1e-5, 1e-4, 64, "euclidean"),
    ],
)
def test_released_values(name, hidden, penalty, lr, batch, distance):
    config = DEMConfig(**DEM.defaults(DatasetInfo(name, "res101", "att")))
    found = (config.hidden, config.penalty, config.lr, config.batch, config.distance)
    assert found == (hidden, penalty, lr, batch, distance)
    assert config.attribute_scale == (20 if name == "CUB" else 1)
    assert config.epochs % config.checkpoint_every == 0


def test_cub_in_another_embedding_is_taken_as_it_is():
    values = DEM.defaults(DatasetInfo("CUB", "res101", "original_att"))
    assert DEMConfig(**values).attribute_scale == 1
