"""Batch normalisation and dropout of a stack beside torch's own."""

from __future__ import annotations

import math

import pytest
import torch

from gzsl_bench.hooks import streams
from gzsl_bench.stacked import BatchNorm, Generators, Linear, StackedAdam, dropout, frozen, keeps
from gzsl_bench.stacked.backend import CPU, pretending
from gzsl_bench.stacked.steps import Repeat
from gzsl_bench.testing.graphs import EmulatedGraphs, emulated, rerun


class Seeded:
    def __init__(self, seed):
        self.seed = seed

    def generator(self, purpose):
        return streams.generator(self.seed, purpose)


RUNS = [Seeded(seed) for seed in (5, 1, 2)]
EPS, MOMENTUM = 0.8, 0.2


def numbers(*shape, seed=0):
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    ).mul_(3)


def torchs(runs=RUNS):
    return [torch.nn.BatchNorm1d(5, eps=EPS, momentum=MOMENTUM, dtype=torch.float64) for _ in runs]


def test_batch_norm_is_torchs_run_by_run():
    ours = BatchNorm(RUNS, 5, eps=EPS, momentum=MOMENTUM, dtype=torch.float64)
    theirs = torchs()
    ours.weight.copy_(numbers(3, 5, seed=8))
    ours.bias.copy_(numbers(3, 5, seed=9))
    for r, module in enumerate(theirs):
        with torch.no_grad():
            module.weight.copy_(ours.weight[r])
            module.bias.copy_(ours.bias[r])
    for step in range(3):
        x, probe = numbers(3, 7, 5, seed=step).requires_grad_(), numbers(3, 7, 5, seed=10 + step)
        ours.zero_grad()
        out = ours(x)
        # Called twice: gradients add up.
        ((out + ours(x)) * probe).sum().backward()
        for r, module in enumerate(theirs):
            module.zero_grad()
            y = x.detach()[r].clone().requires_grad_()
            wanted = module(y)
            ((wanted + module(y)) * probe[r]).sum().backward()
            torch.testing.assert_close(out[r], wanted)
            torch.testing.assert_close(x.grad[r], y.grad)
            torch.testing.assert_close(ours.weight_grad[r], module.weight.grad)
            torch.testing.assert_close(ours.bias_grad[r], module.bias.grad)
            torch.testing.assert_close(ours.mean[r], module.running_mean)
            torch.testing.assert_close(ours.variance[r], module.running_var)
    x = numbers(4, 5, seed=20)
    for r, module in enumerate(theirs):
        torch.testing.assert_close(ours.of(r)(x[None])[0], module.eval()(x))


def test_batch_norm_follows_autograds_rules():
    layer, x = BatchNorm(RUNS, 4, dtype=torch.float64), numbers(3, 6, 4).requires_grad_()
    probe = numbers(3, 6, 4, seed=1)
    (slope,) = torch.autograd.grad((layer(x) * probe).sum(), x)
    assert layer.fresh  # nothing was asked of the parameters
    with frozen(layer):
        (layer(x) * probe).sum().backward()
    assert layer.fresh
    torch.testing.assert_close(x.grad, slope)
    with pytest.raises(ValueError, match="two rows"):
        layer(x[:, :1])


def test_a_layer_without_biases_learns_its_weights_alone():
    for runs in (RUNS[:1], RUNS):
        with pretending(CPU):
            bare = Linear(runs, "a", 4, 3, biased=False, activation="relu")
            whole = Linear(runs, "a", 4, 3, activation="relu")
            for layer in (bare, whole):
                for _ in range(2):
                    layer(numbers(len(runs), 6, 4).float()).sum().backward()
            assert whole.bias_grad.any()
            assert not bare.bias_grad.any()
            assert torch.equal(bare.weight_grad, whole.weight_grad)


def train(runs, backend, steps=8):
    """A small network with both, in blocks as a loop draws them; its parameters at the end."""
    with pretending(backend):
        first, second = Linear(runs, "a", 6, 9), Linear(runs, "b", 9, 2)
        norm = BatchNorm(runs, 9)
        optimizer = StackedAdam([([first, norm, second], [1e-2] * len(runs))])
        masks, noise = Generators(runs, "dropout"), Generators(runs, "data")

        def step(x, kept):
            hidden = dropout(norm(first(x)).relu(), kept, 0.4)
            second(hidden).square().sum((1, 2)).sum().backward()
            optimizer.step()

        repeat = Repeat(step, torch.device("cpu"), at_once=2)
        for _ in range(2):
            x = noise.block(lambda stream: torch.randn(steps // 2, 8, 6, generator=stream))
            repeat([x, keeps(masks, (8, 9), 0.4, steps // 2)])
    parts = [layer.flat for layer in (first, norm, second)]
    return torch.cat([*parts, norm.mean, norm.variance], dim=1).detach()


def test_a_run_is_the_same_alone_and_beside_others():
    stacked, together = train(RUNS, CPU), train(RUNS, rerun())
    for r, run in enumerate(RUNS):
        torch.testing.assert_close(train([run], CPU)[0], stacked[r], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(train([run], rerun())[0], together[r], rtol=1e-5, atol=1e-6)
    assert not torch.equal(stacked[0], stacked[1])


def test_steps_with_both_can_be_captured():
    graphs = EmulatedGraphs()
    torch.testing.assert_close(train(RUNS, emulated(graphs)), train(RUNS, rerun()))
    assert graphs.captures
    assert graphs.waits == graphs.frozen == []


def test_dropout_is_torchs_on_the_same_mask():
    kept = keeps(Generators(RUNS, "dropout"), (4, 6), 0.3, 2)
    x = numbers(3, 4, 6).requires_grad_()
    out = dropout(x, kept[1], 0.3)
    out.sum().backward()
    torch.testing.assert_close(out, torch.where(kept[1], x / 0.7, 0.0))
    torch.testing.assert_close(x.grad, torch.where(kept[1], 1 / 0.7, 0.0).double())
    assert torch.equal(dropout(x, keeps(Generators(RUNS, "d"), (4, 6), 0, 1)[0], 0), x)


def test_units_are_dropped_at_the_rate_however_many_steps_are_drawn_at_once():
    whole = keeps(Generators(RUNS, "dropout"), (50, 40), 0.7, 30)
    streams = Generators(RUNS, "dropout")
    parts = [keeps(streams, (50, 40), 0.7, steps) for steps in (7, 23)]
    assert torch.equal(torch.cat(parts), whole)
    assert torch.equal(
        keeps(Generators(RUNS[1:2], "dropout"), (50, 40), 0.7, 30)[:, 0], whole[:, 1]
    )
    shares = whole.double().mean((0, 2, 3))
    assert (shares - 0.3).abs().max() < 5 * math.sqrt(0.3 * 0.7 / 60_000)
    with pytest.raises(ValueError, match="below 1"):
        keeps(streams, (2,), 1.0, 1)
