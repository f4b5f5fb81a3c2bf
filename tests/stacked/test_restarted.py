"""The classifier that begins anew on shared and own rows, against autograd and torch.optim.Adam."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from gzsl_bench.hooks import streams
from gzsl_bench.stacked import RestartedClassifier
from gzsl_bench.stacked.backend import pretending
from gzsl_bench.testing.graphs import EmulatedGraphs, emulated


class Seeded:
    def __init__(self, seed):
        self.seed = seed

    def generator(self, purpose):
        return streams.generator(self.seed, purpose)


RUNS = [Seeded(seed) for seed in (4, 0, 9)]
SHARED, OWN, WIDTH, CLASSES, BATCH = 23, 10, 5, 4, 6


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


LABELS = torch.arange(SHARED + OWN) % CLASSES
ROWS, OWNS = numbers(SHARED, WIDTH), numbers(3, OWN, WIDTH, seed=1)


def make(runs=RUNS, rates=(0.01, 0.03, 0.01), **more):
    return RestartedClassifier(
        runs, ROWS, LABELS[:SHARED], CLASSES,
        own_labels=LABELS[SHARED:], rates=rates[: len(runs)], batch=BATCH, std=0.1, **more,
    )  # fmt: skip


def plain(run, own, rate, epochs, weight_decay, purpose):
    """One run, as the released code does it: ``next_batch`` and torch.optim.Adam."""
    rows = torch.cat([ROWS, own])
    drawn = torch.randn(CLASSES, WIDTH, generator=run.generator(f"{purpose}/init"))
    w = (drawn * 0.1).double().requires_grad_()
    b = torch.zeros(CLASSES, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([w, b], lr=rate, betas=(0.5, 0.999), weight_decay=weight_decay)
    stream, left = run.generator(f"{purpose}/shuffle"), torch.empty(0, dtype=torch.int64)
    for _ in range(epochs * math.ceil(len(rows) / BATCH)):
        picked = left[:BATCH]
        left = left[BATCH:]
        if len(picked) < BATCH:
            shuffle = torch.randperm(len(rows), generator=stream)
            cut = BATCH - len(picked)
            picked, left = torch.cat([picked, shuffle[:cut]]), shuffle[cut:]
        adam.zero_grad()
        F.cross_entropy(F.linear(rows[picked], w, b), LABELS[picked]).backward()
        adam.step()
    return w.detach(), b.detach()


def begin(classifier, owns, purpose):
    classifier.own.copy_(owns)
    classifier.restart(purpose)
    for _ in range(3):
        classifier.train_epoch()


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("captured", [False, True])
def test_equals_autograd_and_adam_after_every_restart(captured, weight_decay):
    graphs = EmulatedGraphs()

    def train():
        classifier = make(weight_decay=weight_decay)
        begin(classifier, OWNS, "first")
        begin(classifier, OWNS + 1, "second")
        return classifier

    if captured:
        with pretending(emulated(graphs)):
            classifier = train()
        assert graphs.captures
        assert graphs.waits == graphs.frozen == []
    else:
        classifier = train()
    for r, (run, rate) in enumerate(zip(RUNS, (0.01, 0.03, 0.01), strict=True)):
        weight, bias = plain(run, OWNS[r] + 1, rate, 3, weight_decay, "second")
        torch.testing.assert_close(classifier.weight[r], weight, rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(classifier.bias[r], bias, rtol=1e-9, atol=1e-11)
        logs = F.cross_entropy(
            torch.cat([ROWS, OWNS[r] + 1]) @ weight.T + bias, LABELS, reduction="none"
        )
        assert classifier.loss()[r] == pytest.approx(float(logs.mean()))
        assert classifier.loss(11)[r] == pytest.approx(float(logs[::3].mean()))


def test_a_stack_equals_its_runs_alone_bit_for_bit():
    stacked = make()
    begin(stacked, OWNS, "classifier")
    for r, run in enumerate(RUNS):
        alone = make([run], rates=(0.01, 0.03, 0.01)[r:])
        begin(alone, OWNS[r : r + 1], "classifier")
        assert torch.equal(alone._flat[0], stacked._flat[r])


@given(rows=st.integers(1, 40), batch=st.integers(1, 50), epochs=st.integers(1, 5))
@settings(max_examples=60)
def test_no_row_comes_again_before_all_others_came(rows, batch, epochs):
    classifier = RestartedClassifier(
        RUNS[:1], torch.zeros(rows, 2), torch.zeros(rows, dtype=torch.int64), 2,
        rates=[0.1], batch=batch,
    )  # fmt: skip
    classifier.restart()
    assert classifier.steps == math.ceil(rows / min(batch, rows))
    visited = torch.cat([classifier._drawn(0) for _ in range(epochs)])
    assert len(visited) == epochs * classifier.steps * classifier.batch
    times = torch.bincount(visited, minlength=rows)
    assert times.max() - times.min() <= 1
