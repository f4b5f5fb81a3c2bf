"""The stacked softmax classifier against autograd and torch.optim.Adam."""

from __future__ import annotations

import math

import pytest
import torch

from gzsl_bench.hooks import streams
from gzsl_bench.hooks.config import Config
from gzsl_bench.hooks.run import Run
from gzsl_bench.stacked import SoftmaxClassifier, train_on_latents
from gzsl_bench.stacked.backend import pretending
from gzsl_bench.testing.graphs import EmulatedGraphs, emulated


class Seeded:
    def __init__(self, seed):
        self.seed = seed

    def generator(self, purpose):
        return streams.generator(self.seed, purpose)


class Sink:
    def __init__(self):
        self.checkpoints, self.logs = [], []

    def log(self, step, values):
        self.logs.append((step, values))

    def checkpoint(self, number, scorer):
        self.checkpoints.append(number)

    def progress(self, done, total):
        pass


SEEDS = (4, 0, 9)
CLASSES, WIDTH, ROWS, BATCH = 7, 6, 203, 16


def data(count=3, dtype=torch.float64):
    source = torch.Generator().manual_seed(1)
    labels = torch.randint(0, CLASSES, (ROWS,), generator=source)
    centres = torch.randn(CLASSES, WIDTH, generator=source, dtype=dtype)
    noise = torch.randn(count, ROWS, WIDTH, generator=source, dtype=dtype)
    return centres[labels] + 0.7 * noise, labels


def make(positions, rates, dtype=torch.float64, inputs=None):
    rows, labels = data(dtype=dtype)
    rows = rows if inputs is None else inputs
    return SoftmaxClassifier(
        [Seeded(SEEDS[p]) for p in positions],
        rows[list(positions)],
        labels,
        CLASSES,
        rates=[rates[p] for p in positions],
        betas=(0.3, 0.999),
        batch=BATCH,
        gain=0.5,
    )


def orders(epochs):
    source = torch.Generator().manual_seed(2)
    return [
        torch.stack([torch.randperm(ROWS, generator=source) for _ in SEEDS]) for _ in range(epochs)
    ]


def train_plain(position, rate, epochs):
    rows, labels = data()
    start = make(range(3), [rate] * 3)
    module = torch.nn.Linear(WIDTH, CLASSES).double()
    with torch.no_grad():
        module.weight.copy_(start.weight[position])
        module.bias.copy_(start.bias[position])
    optimizer = torch.optim.Adam(module.parameters(), lr=rate, betas=(0.3, 0.999))
    for order in orders(epochs):
        shuffled = order[position]
        for first in range(0, ROWS - BATCH + 1, BATCH):  # an incomplete last batch is dropped
            picked = shuffled[first : first + BATCH]
            logs = torch.log_softmax(module(rows[position][picked]), dim=1)
            loss = torch.nn.functional.nll_loss(logs, labels[picked])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return module


@pytest.mark.parametrize("rates", [[0.01] * 3, [0.01, 0.003, 0.02]])
def test_equals_autograd_and_adam(rates):
    stacked = make(range(3), rates)
    for order in orders(4):
        stacked.train_epoch(order)
    for r in range(3):
        module = train_plain(r, rates[r], 4)
        torch.testing.assert_close(stacked.weight[r], module.weight.detach(), rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(stacked.bias[r], module.bias.detach(), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("rates", [[0.01] * 3, [0.01, 0.003, 0.02]])
def test_the_batched_step_of_a_gpu_equals_the_single_one(rates):
    """All runs in one launch and steps in captured graphs, here on the CPU."""
    single, graphs = make(range(3), rates), EmulatedGraphs()
    for order in orders(3):
        single.train_epoch(order)
    with pretending(emulated(graphs)):
        batched = make(range(3), rates)
        for order in orders(3):
            batched.train_epoch(order)
    assert len(graphs.captures) == 1
    assert graphs.waits == graphs.frozen == []
    torch.testing.assert_close(batched._flat, single._flat, rtol=1e-10, atol=1e-12)


def test_a_stack_equals_its_runs_alone_bit_for_bit():
    rates = [0.01, 0.003, 0.01]
    stacked = make(range(3), rates, torch.float32)
    for _ in range(3):
        stacked.train_epoch()
    for r in range(3):
        alone = make([r], rates, torch.float32)
        for _ in range(3):
            alone.train_epoch()
        assert torch.equal(alone.weight[0], stacked.weight[r])
        assert torch.equal(alone.bias[0], stacked.bias[r])
    assert not torch.equal(stacked.weight[0], stacked.weight[2])


def test_learns_and_scores():
    stacked = make(range(3), [0.01] * 3, torch.float32)
    rows, labels = data(dtype=torch.float32)
    before = stacked.loss()
    for _ in range(15):
        stacked.train_epoch()
    assert all(after < 0.5 * value for after, value in zip(stacked.loss(), before, strict=True))
    scores = stacked.scores(1, rows[1])
    torch.testing.assert_close(scores, rows[1] @ stacked.weight[1].T + stacked.bias[1])
    assert (scores.argmax(1) == labels).float().mean() > 0.7


def test_fewer_rows_than_a_batch():
    rows, labels = torch.randn(1, 5, 3), torch.tensor([0, 1, 2, 0, 1])
    classifier = SoftmaxClassifier([Seeded(0)], rows, labels, 3, rates=[0.1], batch=32)
    classifier.train_epoch()
    assert classifier.steps == 1
    assert classifier.finite() == [True]


def test_a_run_that_diverges_fails_alone():
    rows, _ = data(dtype=torch.float32)
    rows[1, 17] = math.nan
    sinks = [Sink() for _ in SEEDS]
    runs = [
        Run(seed, torch.device("cpu"), Config(), sink)
        for seed, sink in zip(SEEDS, sinks, strict=True)
    ]
    classifier = make(range(3), [0.01] * 3, torch.float32, inputs=rows)
    train_on_latents(runs, classifier, [lambda x: x] * 3, epochs=4, first_checkpoint=2)
    clean = make(range(3), [0.01] * 3, torch.float32)
    for _ in range(4):
        clean.train_epoch()
    assert [run.failure is None for run in runs] == [True, False, True]
    assert "not finite" in runs[1].failure
    assert torch.equal(classifier.weight[[0, 2]], clean.weight[[0, 2]])
    assert [sink.checkpoints for sink in sinks] == [[2, 3, 4], [], [2, 3, 4]]
    assert [step for step, _ in sinks[0].logs] == [1, 2, 3, 4]
