"""Repeating a step: eagerly, in captured graphs, and within the training loop."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from gzsl_bench.hooks import streams
from gzsl_bench.hooks.config import Config
from gzsl_bench.hooks.run import Run
from gzsl_bench.stacked import (
    Linear,
    Phase,
    Repeat,
    SoftmaxClassifier,
    StackedAdam,
    WarmUp,
    train,
    train_alternating,
)
from gzsl_bench.stacked.backend import CPU as CPU_BACKEND
from gzsl_bench.stacked.backend import pretending
from gzsl_bench.testing.graphs import EmulatedGraphs, emulated, rerun

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


@pytest.mark.parametrize(("steps", "sizes"), [(5, [5]), (4, [4]), (10, [5]), (13, [5, 3])])
def test_graphs_see_every_step_once_in_order(steps, sizes):
    """A step writes down what it was given, at a place that its own counter tells."""
    made = [steps] * 4
    total = sum(made)
    seen, count = torch.zeros(total, 3), torch.zeros((), dtype=torch.long)

    def step(a, b):
        seen.index_copy_(0, count.view(1), torch.cat([a.view(1), b]).view(1, 3))
        count.add_(1)

    graphs = EmulatedGraphs()
    with pretending(emulated(graphs)):
        repeat = Repeat(step, CPU, at_once=5)
    expected = []
    for epoch in range(4):
        a = torch.arange(steps) + 100.0 * epoch
        b = torch.stack([a, -a], dim=1)
        repeat([a, b])
        expected += [[k, k, -k] for k in a.tolist()]
    assert seen.tolist() == expected
    # Each length is captured once, after an eager first epoch.
    kept = [sum(call.name == "index_copy_" for call in g.calls) for g in graphs.captures]
    assert kept == sizes


def test_steps_of_a_gpu_can_be_run_as_they_are_written():
    graphs, seen = EmulatedGraphs(), []
    with pretending(emulated(graphs)):
        repeat = Repeat(lambda a: seen.append(a.item()), CPU, graphs=False)
        for _ in range(3):
            repeat([torch.arange(4)])
    assert seen == [0, 1, 2, 3] * 3
    assert graphs.captures == []


def test_a_cpu_captures_nothing():
    seen = []
    repeat = Repeat(lambda a: seen.append(a.item()), CPU)
    for _ in range(3):
        repeat([torch.arange(4)])
    assert seen == [0, 1, 2, 3] * 3


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


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_replayed_steps_train_like_eager_ones(precision, monkeypatch):
    monkeypatch.setattr("gzsl_bench.stacked.steps.AT_ONCE", 4)
    graphs = EmulatedGraphs()
    with pretending(emulated(graphs)):
        replayed = Regression([3, 8], precision=precision)
    with pretending(rerun()):
        eager = Regression([3, 8], precision=precision)
    assert len(graphs.captures) == 2  # of four steps and of two
    assert graphs.waits == graphs.frozen == []
    assert torch.equal(replayed.layer.flat, eager.layer.flat)
    assert [s.logs for s in replayed.sinks] == [s.logs for s in eager.sinks]


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_fifty_steps_of_a_gpu_leave_what_a_cpu_s_leave(precision):
    """Batched products and torch's own optimiser, to 1e-5 of the largest parameter."""
    on_cpu = Regression([3, 8, 5], epochs=9, precision=precision).layer.flat
    with pretending(emulated(EmulatedGraphs())):
        on_gpu = Regression([3, 8, 5], epochs=9, precision=precision).layer.flat
        alone = Regression([8], epochs=9, precision=precision).layer.flat
    bound = 1e-5 * on_cpu.abs().max().item()
    torch.testing.assert_close(on_gpu, on_cpu, rtol=0, atol=bound)
    torch.testing.assert_close(alone, on_gpu[1:2], rtol=0, atol=bound)
    assert not torch.equal(on_gpu[0], on_gpu[1])


@pytest.mark.parametrize("backend", [CPU_BACKEND, rerun()])
def test_a_run_whose_loss_is_nan_is_given_up_alone(backend):
    with pretending(backend):
        clean, hurt = Regression([3, 8]), Regression([3, 8], poison=1)
        alone = Regression([8], poison=0)
    assert [run.failure for run in hurt.runs] == [None, "loss is not finite in epoch 3"]
    assert torch.equal(hurt.layer.flat[0], clean.layer.flat[0])
    assert hurt.sinks[0].logs == clean.sinks[0].logs
    assert len(hurt.sinks[1].logs) == 2
    # Nobody is left to train; a GPU's losses are read when the next epoch is under way.
    assert alone.after == ([1, 2, 3] if backend is CPU_BACKEND else [1, 2, 3, 4])


@gpu
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_captured_graphs_equal_eager_steps(precision):
    device = torch.device("cuda")
    captured = Regression([3, 8], device, epochs=8, precision=precision)
    with pretending(rerun()):
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


def test_an_epoch_may_have_passes_and_a_phase_something_before_it():
    """Which phase steps when, and under which names the epoch's means are logged."""
    run, order = Run(0, CPU, Config(), Sink()), []
    layers = [Linear([run], name, 2, 1) for name in "abc"]

    def phase(name, layer, repeat=1, before=()):
        def loss(factors, turn, x):
            order.append((name, turn, float(x)))
            return {"loss": layer(x.expand(1, 1, 2)).sum((1, 2)), "x": x.clone()}

        return Phase(StackedAdam([([layer], [0.1])]), loss, f"{name}/", repeat, before=before)

    first, second, third = (phase(name, layer) for name, layer in zip("abc", layers, strict=True))
    train_alternating(
        [run],
        [replace(second, repeat=2, before=[first]), third],
        then=[[replace(third, name="again/")]],
        epochs=1,
        steps=2,
        draw=lambda steps: [torch.arange(steps).float().view(steps, 1) + len(order)],
    )
    step = [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("c", 0)]
    passes = [(*each, x) for x in (0.0, 1.0) for each in step] + [("c", 0, 10.0), ("c", 0, 11.0)]
    assert order == passes
    ((epoch, values),) = run._sink.logs
    assert epoch == 1
    assert {name: values[f"{name}/x"] for name in ("a", "b", "c", "again")} == {
        "a": 0.5, "b": 0.5, "c": 0.5, "again": 10.5,
    }  # fmt: skip


def test_a_phase_may_begin_later_and_go_on_from_the_last_gradients():
    """Which gradients it steps with; how epochs of a second call are counted."""
    run, seen = Run(0, CPU, Config(), Sink()), []
    layer = Linear([run], "a", 1, 1)

    class Watched(StackedAdam):
        def step(self):
            seen.append(float(layer.grad[0, 0]))
            super().step()

    def loss(factor):
        return lambda factors, turn, x: {"loss": factor * layer(x.view(1, 1, 1)).sum((1, 2))}

    first, later = Watched([([layer], [0.0])]), Watched([([layer], [0.0])])
    phases = [Phase(first, loss(1.0)), Phase(later, loss(10.0), "b/", recalls=first, since=1)]
    epochs = []
    for before in (0, 2):
        train_alternating(
            [run], phases, epochs=2, steps=1, draw=lambda steps: [torch.ones(steps, 1)],
            after_epoch=epochs.append, before=before,
        )  # fmt: skip
    assert seen == [1.0, 1.0, 11.0] * 2
    assert epochs == [epoch for epoch, _ in run._sink.logs] == [1, 2, 3, 4]
    assert "b/loss" not in run._sink.logs[0][1]
    assert "b/loss" in run._sink.logs[1][1]
