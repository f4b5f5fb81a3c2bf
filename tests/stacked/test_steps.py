"""Repeating a step: eagerly, in captured graphs, and within the training loop."""

from __future__ import annotations

import contextlib
import math

import pytest
import torch

from gzsl_bench.hooks import streams
from gzsl_bench.hooks.config import Config
from gzsl_bench.hooks.run import Run
from gzsl_bench.stacked import Linear, Repeat, SoftmaxClassifier, StackedAdam, WarmUp, train

CPU = torch.device("cpu")
gpu = pytest.mark.gpu


class Sink:
    def __init__(self):
        self.logs = []

    def log(self, step, values):
        self.logs.append((step, values))

    def checkpoint(self, number, scorer):
        pass

    def progress(self, done, total):
        pass


class FakeGraph:
    """Takes note of the calls made while it is captured, and makes them when it is replayed."""

    capturing: FakeGraph | None = None

    def __init__(self):
        self.calls, self.replays = [], 0

    def replay(self):
        self.replays += 1
        for step, inputs in self.calls:
            step(*inputs)


@contextlib.contextmanager
def capture(graph, pool):
    FakeGraph.capturing = graph
    yield
    FakeGraph.capturing = None


def capturable(step):
    def wrapped(*inputs):
        if FakeGraph.capturing is not None:
            FakeGraph.capturing.calls.append((step, inputs))
        else:
            step(*inputs)

    return wrapped


@pytest.fixture
def fake_cuda(monkeypatch):
    made = []

    def new():
        made.append(FakeGraph())
        return made[-1]

    monkeypatch.setattr(torch.cuda, "CUDAGraph", new)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 1))
    # The first call runs beside the default stream; here there is but one.
    monkeypatch.setattr(Repeat, "_aside", Repeat._eagerly)
    return made


@pytest.mark.parametrize(("steps", "graphs"), [(5, [5]), (4, [4]), (10, [5]), (13, [5, 3])])
def test_graphs_see_every_step_once_in_order(fake_cuda, steps, graphs):
    seen = []
    repeat = Repeat(
        capturable(lambda a, b: seen.append((a.item(), b.tolist()))), CPU, graphs=True, at_once=5
    )
    expected = []
    for epoch in range(4):
        a = torch.arange(steps) + 100 * epoch
        b = torch.stack([a, -a], dim=1)
        repeat([a, b])
        expected += [(k, [k, -k]) for k in a.tolist()]
    assert seen == expected
    # Each length is captured once, after an eager first epoch.
    assert [len(graph.calls) for graph in fake_cuda] == graphs
    assert sum(len(g.calls) * g.replays for g in fake_cuda) == 3 * steps


def test_without_a_gpu_nothing_is_captured(fake_cuda):
    seen = []
    repeat = Repeat(lambda a: seen.append(a.item()), CPU)
    for _ in range(3):
        repeat([torch.arange(4)])
    assert seen == [0, 1, 2, 3] * 3
    assert fake_cuda == []


class Regression:
    """One layer fitted to noise: a small training with everything the loop is asked to do."""

    def __init__(self, seeds, device=CPU, epochs=4, steps=6, poison=None, precision="float32"):
        self.sinks = [Sink() for _ in seeds]
        self.runs = [
            Run(seed, device, Config(), sink) for seed, sink in zip(seeds, self.sinks, strict=True)
        ]
        self.layer = Linear(self.runs, "a", 6, 3, device=device, precision=precision)
        optimizer = StackedAdam([([self.layer], [0.05] * len(seeds))], amsgrad=True)
        warm = WarmUp([2.0] * len(seeds), 0, 2)
        self.drawn = []

        def draw(count):
            block = torch.stack(
                [
                    torch.randn(
                        count, 8, 6, generator=streams.generator(run.seed, f"{len(self.drawn)}")
                    )
                    for run in self.runs
                ],
                dim=1,
            )
            if poison is not None and len(self.drawn) == 2:
                block[3, poison] = math.nan
            self.drawn.append(block)
            return [block.to(device)]

        def loss(weights, x):
            error = (self.layer(x) - x[..., :3]).square().sum((1, 2))
            size = x.abs().sum((1, 2))
            return {"size": size, "error": error, "loss": size + weights[0] * error}

        self.after = []
        train(
            self.runs,
            optimizer,
            epochs=epochs,
            steps=steps,
            weights=lambda epoch: [warm.at(epoch, device)],
            draw=draw,
            loss=loss,
            after_epoch=lambda: self.after.append(len(self.drawn)),
        )


def test_an_epoch_logs_the_means_of_its_steps():
    found = Regression([3, 8])
    assert found.after == [1, 2, 3, 4]
    for r, sink in enumerate(found.sinks):
        assert [step for step, _ in sink.logs] == [1, 2, 3, 4]
        for (_, values), block in zip(sink.logs, found.drawn, strict=True):
            assert list(values) == ["size", "error", "loss"]
            assert values["size"] == pytest.approx(block[:, r].abs().sum().item() / 6, rel=1e-5)
        # Weights of the warm-up: 0, 1, 2, 2.
        for (_, values), weight in zip(sink.logs, (0, 1, 2, 2), strict=True):
            assert values["loss"] == pytest.approx(
                values["size"] + weight * values["error"], rel=1e-5
            )
        errors = [values["error"] for _, values in sink.logs]
        assert errors[3] < 0.5 * errors[1]


def test_replayed_steps_train_like_eager_ones(fake_cuda, monkeypatch):
    eager = Regression([3, 8])
    real = Repeat.__init__

    def graphs(self, step, device):
        real(self, capturable(step), device, graphs=True, at_once=4)

    monkeypatch.setattr(Repeat, "__init__", graphs)
    replayed = Regression([3, 8])
    assert [len(graph.calls) for graph in fake_cuda] == [4, 2]
    assert torch.equal(replayed.layer.flat, eager.layer.flat)
    assert [s.logs for s in replayed.sinks] == [s.logs for s in eager.sinks]


def test_a_run_whose_loss_is_nan_is_given_up_alone():
    clean, hurt = Regression([3, 8]), Regression([3, 8], poison=1)
    assert [run.failure for run in hurt.runs] == [None, "loss is not finite in epoch 3"]
    assert torch.equal(hurt.layer.flat[0], clean.layer.flat[0])
    assert hurt.sinks[0].logs == clean.sinks[0].logs
    assert len(hurt.sinks[1].logs) == 2
    alone = Regression([8], poison=0)
    assert alone.after == [1, 2, 3]  # nobody is left to train


@gpu
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_captured_graphs_equal_eager_steps(precision, monkeypatch):
    device = torch.device("cuda")
    captured = Regression([3, 8], device, epochs=8, precision=precision)
    real = Repeat.__init__
    monkeypatch.setattr(
        Repeat, "__init__", lambda self, step, device: real(self, step, device, graphs=False)
    )
    eager = Regression([3, 8], device, epochs=8, precision=precision)
    torch.testing.assert_close(captured.layer.flat, eager.layer.flat, rtol=1e-5, atol=1e-7)
    assert [len(s.logs) for s in captured.sinks] == [8, 8]


@gpu
def test_the_classifier_on_a_gpu_equals_the_one_on_a_cpu():
    runs = [Run(seed, CPU, Config(), Sink()) for seed in (1, 4)]
    source = torch.Generator().manual_seed(0)
    rows, labels = torch.randn(2, 400, 8, generator=source), torch.arange(400) % 5

    def trained(device):
        classifier = SoftmaxClassifier(
            runs, rows.to(device), labels.to(device), 5, rates=[0.01, 0.02], betas=(0.3, 0.999)
        )
        for _ in range(5):
            classifier.train_epoch()
        return classifier._flat.cpu()

    torch.testing.assert_close(trained("cuda"), trained("cpu"), rtol=1e-4, atol=1e-5)
