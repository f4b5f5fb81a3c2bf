"""CMT against plain numpy, and the novelty detection of CMT* by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gzsl_bench_classic.cmt import CMT, CMTConfig, CMTStar, CMTStarConfig, Network, cmt_error, gated
from gzsl_bench_classic.novelty import gaussian_novelty, loop_novelty, make_detector
from gzsl_bench_classic.ridge import RidgeAdam

from gzsl_bench import Run, Task


class Sink:
    def __init__(self, rows=None):
        self.rows, self.scores, self.logs = rows, {}, []

    def log(self, step, values):
        self.logs.append(values)

    def checkpoint(self, number, scorer):
        self.scores[number] = scorer(self.rows)

    def progress(self, done, total):
        pass


def make_task(rows=40, dim=6, width=4, seed=0):
    rng = np.random.default_rng(seed)
    seen, unseen = np.array([0, 1, 3]), np.array([2, 4])
    labels = np.concatenate([seen, rng.choice(seen, rows - 3)])
    attributes = rng.random((5, width))
    features = attributes[labels] @ rng.normal(size=(width, dim)) + 0.3 * rng.normal(
        size=(rows, dim)
    )
    return Task(
        torch.tensor(features, dtype=torch.float32),
        torch.tensor(labels),
        torch.tensor(attributes, dtype=torch.float32),
        torch.tensor(seen),
        torch.tensor(unseen),
    )


def test_error_by_hand():
    """(1 - 0)^2 + (2 - 0)^2 = 5 and (0 - 1)^2 + (1 - 1)^2 = 1: on average 3."""
    mapped = torch.tensor([[[1.0, 2.0], [0.0, 1.0]]])
    classes = torch.tensor([[[0.0, 0.0], [1.0, 1.0]]])
    assert cmt_error(mapped, classes).tolist() == [3.0]


def numpy_gradients(x, target, inner, outer, penalty):
    """Of mean ||target - W1 tanh(W2 x)||^2 + penalty / 2 (|W1|^2 + |W2|^2), by the chain rule."""
    hidden = np.tanh(x @ inner.T)
    error = hidden @ outer.T - target
    of_outer = 2 / len(x) * error.T @ hidden + penalty * outer
    of_inner = 2 / len(x) * ((error @ outer) * (1 - hidden**2)).T @ x + penalty * inner
    return of_inner, of_outer


def test_one_step_against_numpy():
    """Adam's first step is rate times gradient / (|gradient| + eps)."""
    task = make_task()
    run = Run(3, torch.device("cpu"), CMTConfig(), Sink())
    network = Network([run], 6, 5, 4)
    x, target = task.features, task.attributes[task.labels]
    inner, outer = (layer.weight[0].detach().double().numpy() for layer in network.layers)
    before = [inner.copy(), outer.copy()]
    optimizer = RidgeAdam(network.layers, [0.01], [0.3], biases=False)
    assert optimizer.penalty()[0].item() == pytest.approx(
        0.15 * ((before[0] ** 2).sum() + (before[1] ** 2).sum()), rel=1e-5
    )
    cmt_error(network(x[None]), target[None]).sum().backward()
    optimizer.step()
    wanted = numpy_gradients(x.double().numpy(), target.double().numpy(), *before, 0.3)
    for layer, start, gradient in zip(network.layers, before, wanted, strict=True):
        expected = start - 0.01 * gradient / (np.abs(gradient) + 1e-8)
        sure = np.abs(gradient) > 1e-5
        assert sure.mean() > 0.9
        np.testing.assert_allclose(
            layer.weight[0].detach().numpy()[sure], expected[sure], rtol=1e-4, atol=1e-6
        )
        assert not layer.bias.any()


def test_whole_training_against_numpy():
    """Batches of all rows, so that nothing depends on their order; Adam written out."""
    task = make_task(seed=1)
    config = CMTConfig(hidden=5, epochs=6, batch=64, lr=0.02, penalty=0.05)
    sink = Sink(task.features[:7])
    run = Run(2, torch.device("cpu"), config, sink)
    CMT(config).fit(task, run)

    start = Network([run], 6, 5, 4)
    weights = [layer.weight[0].detach().double().numpy().copy() for layer in start.layers]
    moments = [[np.zeros_like(w), np.zeros_like(w)] for w in weights]
    x = task.features.double().numpy()
    classes = task.attributes.double().numpy()
    target = classes[task.labels.numpy()]
    for step in range(1, 7):
        error = target - np.tanh(x @ weights[0].T) @ weights[1].T
        assert sink.logs[step - 1]["error"] == pytest.approx((error**2).sum(1).mean(), rel=1e-3)
        gradients = numpy_gradients(x, target, *weights, 0.05)
        for w, (first, second), g in zip(weights, moments, gradients, strict=True):
            first += 0.1 * (g - first)
            second += 0.001 * (g**2 - second)
            w -= 0.02 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        mapped = np.tanh(x[:7] @ weights[0].T) @ weights[1].T
        expected = -((mapped[:, None] - classes) ** 2).sum(2)
        np.testing.assert_allclose(sink.scores[step].numpy(), expected, rtol=2e-3, atol=2e-4)


def test_gaussian_novelty_by_hand():
    """One dimension, class 0 at 0 with rows at 1 and -1, class 1 at 4 with rows at 2 and 6.

    Variances 1 and 4.  -log N(0; 0, 1) = log(2 pi) / 2 = 0.9189.  At 2 class 0 gives
    (4 + log(2 pi)) / 2 = 2.9189 and class 1 (4 / 4 + log(8 pi)) / 2 = 2.1121, the smaller one.
    """
    mapped = torch.tensor([[1.0], [-1.0], [2.0], [6.0]])
    novelty = gaussian_novelty(mapped, torch.tensor([0, 0, 1, 1]), torch.tensor([[0.0], [4.0]]))
    found = novelty(torch.tensor([[0.0], [2.0]]))
    assert found.tolist() == pytest.approx(
        [math.log(2 * math.pi) / 2, (1 + math.log(8 * math.pi)) / 2], rel=1e-6
    )


def test_a_class_of_one_image_at_its_embedding_has_a_density():
    mapped = torch.tensor([[1.0], [-1.0], [4.0]])
    novelty = gaussian_novelty(mapped, torch.tensor([0, 0, 1]), torch.tensor([[0.0], [4.0]]))
    assert bool(novelty(torch.tensor([[0.0], [4.0], [100.0]])).isfinite().all())


def test_loop_by_hand():
    """Points 0, 1 and 3, one neighbour, lambda 3.

    Distances 1, 1 and 2; plof 1/1 - 1 = 0, 0 and 2/1 - 1 = 1, whose mean square is 1/3.  So LoOP of
    3 is erf(1 / (3 sqrt(2/3))) = erf(0.4082) = 0.4363.  A row at 5 has neighbour 3 at distance 2:
    plof 2/2 - 1 = 0.  One at 1.5: neighbour 1 at 0.5, plof -1/2, LoOP 0; its order is kept.
    """
    novelty, own = loop_novelty(torch.tensor([[0.0], [1.0], [3.0]]), 1, 3.0)
    one = math.erf(1 / (3 * math.sqrt(2 / 3)))
    assert one == pytest.approx(0.4363, abs=1e-4)
    assert own.tolist() == pytest.approx([0, 0, one], abs=1e-6)
    found = novelty(torch.tensor([[5.0], [1.5]])).tolist()
    assert found == pytest.approx([0, -math.erf(0.5 / (3 * math.sqrt(2 / 3)))], abs=1e-6)


@pytest.mark.parametrize("neighbours", [1, 3, 20])
def test_loop_against_plain_loops(neighbours):
    rng = np.random.default_rng(neighbours)
    points, rows = rng.normal(size=(12, 3)), rng.normal(size=(5, 3)) * 2
    novelty, own = loop_novelty(torch.tensor(points), neighbours, 2.0)
    k = min(neighbours, 11)

    def near(row, skip=None):
        found = sorted((math.dist(row, p), i) for i, p in enumerate(points) if i != skip)[:k]
        return math.sqrt(sum(d * d for d, _ in found) / k), [i for _, i in found]

    local = [near(p, skip=i) for i, p in enumerate(points)]
    plof = [d / np.mean([local[i][0] for i in around]) - 1 for d, around in local]
    scale = 2.0 * math.sqrt(2 * np.mean(np.square(plof)))
    assert own.tolist() == pytest.approx([math.erf(p / scale) for p in plof], abs=1e-9)
    expected = []
    for row in rows:
        d, around = near(row)
        expected.append(math.erf((d / np.mean([local[i][0] for i in around]) - 1) / scale))
    assert novelty(torch.tensor(rows)).tolist() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("detector", ["gaussian", "loop"])
@pytest.mark.parametrize("quantile", [0.9, 0.5])
def test_the_threshold_is_a_quantile_of_the_training_images(detector, quantile):
    """Gaussians: that share of the training images is not novel, whatever they look like."""
    rng = np.random.default_rng(5)
    task = make_task(rows=201)
    mapped = torch.tensor(rng.normal(size=(201, 4)), dtype=torch.float32)
    labels = torch.searchsorted(task.seen, task.labels)
    config = CMTStarConfig(detector=detector, quantile=quantile, neighbours=10)
    novelty = make_detector(config, mapped, labels, task)
    far = novelty(torch.full((1, 4), 50.0))
    assert far.item() > 0
    if detector == "gaussian":
        assert (novelty(mapped) <= 1e-6).sum().item() == round(200 * quantile) + 1
    else:
        _, own = loop_novelty(mapped, 10, 3.0)
        inner = mapped[own.argmin()][None]
        assert novelty(inner).item() < 0


def test_gate_by_hand():
    """Not novel (-2): a seen class wins, the best unseen one at -2.  Novel (1.5): an unseen one."""
    task = make_task()
    scores = gated(
        task,
        seen=torch.tensor([[1.0, 5.0, 2.0], [3.0, 0.0, 0.0]]),
        unseen=torch.tensor([[-4.0, -1.0], [-2.0, -7.0]]),
        novelty=torch.tensor([-2.0, 1.5]),
    )
    # Columns: classes 0, 1 and 3 are seen, 2 and 4 are not.
    assert scores.tolist() == [[-4.0, 0.0, -5.0, -3.0, -2.0], [0.0, -3.0, 1.5, -3.0, -3.5]]


def test_seen_and_unseen_are_told_apart_by_novelty_alone():
    """Among unseen classes the nearest one, as in CMT of the same seed; the gate decides which."""
    task = make_task(rows=120, seed=2)
    config = {"hidden": 8, "epochs": 5, "lr": 0.02}
    plain, star = Sink(task.features), Sink(task.features)
    cpu = torch.device("cpu")
    CMT(CMTConfig(**config)).fit(task, Run(1, cpu, CMTConfig(**config), plain))
    settings = CMTStarConfig(**config, quantile=0.9)
    CMTStar(settings).fit(task, Run(1, cpu, settings, star))
    before, after = plain.scores[5], star.scores[5]
    assert torch.equal(before[:, task.unseen].argmax(1), after[:, task.unseen].argmax(1))
    as_unseen = torch.isin(after.argmax(1), task.unseen)
    assert as_unseen.sum().item() == 12  # a tenth of the training images
    best_seen = after[:, task.seen].amax(1)
    assert torch.equal(best_seen, torch.zeros(120))


def test_configuration():
    with pytest.raises(ValueError, match="quantile"):
        CMTStarConfig(quantile=1.0)
    with pytest.raises(ValueError, match="detector"):
        CMTStarConfig(detector="forest")
    with pytest.raises(ValueError, match="detector"):
        CMTConfig(detector="gaussian")
