"""Stacked layers, their gradients, schedules and the optimiser."""

from __future__ import annotations

import math

import pytest
import torch

from gzsl_bench.hooks import streams
from gzsl_bench.stacked import (
    Decoder,
    Encoder,
    Linear,
    StackedAdam,
    WarmUp,
    linear,
    permute_channels,
)
from gzsl_bench.stacked.backend import CPU, pretending
from gzsl_bench.testing.graphs import rerun


class Seeded:
    def __init__(self, seed):
        self.seed = seed

    def generator(self, purpose):
        return streams.generator(self.seed, purpose)


RUNS = [Seeded(seed) for seed in (5, 1, 2)]


def numbers(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("backend", [CPU, rerun()])
@pytest.mark.parametrize("count", [1, 3])
def test_gradients_agree_with_autograd(relu, count, backend):
    with pretending(backend):
        gradients_agree_with_autograd(relu, count)


def gradients_agree_with_autograd(relu, count):
    layer = Linear(
        RUNS[:count], "a", 7, 5, activation="relu" if relu else None, dtype=torch.float64
    )
    with torch.no_grad():
        layer.bias.copy_(numbers(count, 5, seed=4))
    x = numbers(count, 6, 7).requires_grad_()
    probe = numbers(count, 6, 5, seed=1)
    (layer(x) * probe).sum().backward()

    w = layer.weight.detach().clone().requires_grad_()
    b = layer.bias.detach().clone().requires_grad_()
    y = x.detach().clone().requires_grad_()
    out = torch.einsum("rbi,roi->rbo", y, w) + b[:, None]
    if relu:
        out = out.clamp_min(0)
    (out * probe).sum().backward()
    torch.testing.assert_close(layer.weight_grad, w.grad)
    torch.testing.assert_close(layer.bias_grad, b.grad)
    torch.testing.assert_close(x.grad, y.grad)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("backend", [CPU, rerun()])
@pytest.mark.parametrize("count", [1, 3])
def test_a_layer_called_twice_adds_its_gradients(count, backend, precision):
    with pretending(backend):
        layer = Linear(RUNS[:count], "a", 4, 3, precision=precision)
        x = numbers(count, 5, 4, dtype=torch.float32)
        layer(x).sum().backward()
        once = layer.grad.clone()
        assert once.any()
        layer.fresh = True
        (layer(x).sum() + 2 * layer(x).sum()).backward()
    torch.testing.assert_close(
        layer.grad, 3 * once, rtol=0.02 if precision == "bf16" else 1e-5, atol=1e-5
    )


def test_initialisation_is_xavier_per_head_and_per_run():
    layer = Linear(RUNS, "a", 300, 200, gain=0.5, heads=2)
    bound = 0.5 * math.sqrt(6 / (300 + 100))
    assert layer.weight.abs().max() <= bound
    assert layer.weight.abs().max() > 0.999 * bound
    assert abs(layer.weight.var().item() / (bound**2 / 3) - 1) < 0.02
    assert not layer.bias.any()
    alone = Linear(RUNS[1:2], "a", 300, 200, gain=0.5, heads=2)
    assert torch.equal(alone.weight[0], layer.weight[1])
    assert not torch.equal(layer.weight[0], layer.weight[1])
    assert not torch.equal(Linear(RUNS, "b", 300, 200).weight, layer.weight)


def test_a_run_taken_out_shares_its_parameters():
    encoder = Encoder(RUNS, "e", 6, 9, 4)
    x = numbers(3, 5, 6, dtype=torch.float32)
    mu, logvar = encoder(x)
    one = encoder.of(1)
    assert torch.equal(one(x[1:2])[0], mu[1:2])
    assert torch.equal(one.statistics(x[1:2])[..., 4:], logvar[1:2])
    with torch.no_grad():
        encoder.hidden.weight.mul_(2)
    assert torch.equal(one(x[1:2])[0], encoder(x)[0][1:2])
    assert not one(x[1:2])[0].requires_grad


def test_permutation_of_channels_and_its_gradient():
    x = numbers(3, 4, 6).requires_grad_()
    order = torch.stack(
        [torch.randperm(6, generator=torch.Generator().manual_seed(s)) for s in (0, 1, 2)]
    )
    out = permute_channels(x, order)
    probe = numbers(3, 4, 6, seed=1)
    (out * probe).sum().backward()
    for r in range(3):
        for k in range(6):
            assert torch.equal(out[r, :, k], x[r, :, order[r, k]])
            assert torch.equal(x.grad[r, :, order[r, k]], probe[r, :, k])
    alone = permute_channels(x[1:2], order[1:2])
    assert torch.equal(alone, out[1:2])


@pytest.mark.parametrize("shape", [(50, 1000, 1560), (50, 312, 1450), (50, 1450, 85), (7, 13, 5)])
def test_a_product_does_not_depend_on_the_neighbours(shape):
    batch, inputs, outputs = shape
    layer = Linear(RUNS, "a", inputs, outputs, activation="relu")
    x = numbers(3, batch, inputs, dtype=torch.float32).requires_grad_()
    out = layer(x)
    out.square().sum().backward()
    for r, run in enumerate(RUNS):
        alone = Linear([run], "a", inputs, outputs, activation="relu")
        y = x.detach()[r : r + 1].clone().requires_grad_()
        single = alone(y)
        single.square().sum().backward()
        assert torch.equal(single[0], out[r])
        assert torch.equal(alone.grad[0], layer.grad[r])
        assert torch.equal(y.grad[0], x.grad[r])


def test_warm_up_by_hand():
    warm = WarmUp([8.21, 2.0], 7, 22)
    cpu = torch.device("cpu")
    values = {e: warm.at(e, cpu, torch.float64).tolist() for e in (0, 7, 8, 21, 22, 99)}
    assert values[0] == values[7] == [0.0, 0.0]
    assert values[8] == pytest.approx([8.21 / 15, 2 / 15])
    assert values[21] == pytest.approx([8.21 * 14 / 15, 2 * 14 / 15])
    assert values[22] == values[99] == [8.21, 2.0]
    kl = WarmUp([2.555], 0, 93)
    assert kl.share(0) == 0.0
    assert kl.share(1) == pytest.approx(1 / 93)
    assert kl.share(93) == 1.0
    step = WarmUp([1.0], 3, 3)
    assert [step.share(e) for e in (2, 3, 4)] == [0.0, 1.0, 1.0]


def train_stack(runs, rates, steps=6, amsgrad=True, poison=None):
    """A small network with two learning-rate groups; the second layer rests in every third step."""
    encoder = Encoder(runs, "e", 6, 9, 4, gain=0.5)
    decoder = Decoder(runs, "d", 4, 7, 6, gain=0.5)
    optimizer = StackedAdam(
        [(encoder.layers, rates), (decoder.layers, [3 * r for r in rates])], amsgrad=amsgrad
    )
    for step in range(steps):
        x = torch.stack(
            [torch.randn(8, 6, generator=run.generator(f"data/{step}")) for run in runs]
        )
        if poison is not None and step == 2:
            x[poison] = math.nan
        mu, logvar = encoder(x)
        loss = (mu.square() + logvar.exp()).sum((1, 2))
        if step % 3 != 2:
            loss = loss + (decoder(mu) - x).abs().sum((1, 2))
        loss.sum().backward()
        optimizer.step()
    return torch.cat([layer.flat for layer in encoder.layers + decoder.layers], dim=1)


def train_plain(run, rate, steps=6, amsgrad=True):
    """The same training of one run with torch.nn and torch.optim alone."""
    made = [Encoder([run], "e", 6, 9, 4, gain=0.5), Decoder([run], "d", 4, 7, 6, gain=0.5)]
    layers = [layer for part in made for layer in part.layers]
    modules = []
    for layer in layers:
        module = torch.nn.Linear(layer.inputs, layer.outputs)
        with torch.no_grad():
            module.weight.copy_(layer.weight[0])
            module.bias.copy_(layer.bias[0])
        modules.append(module)
    hidden, heads, widen, output = modules
    optimizer = torch.optim.Adam(
        [
            {"params": [*hidden.parameters(), *heads.parameters()], "lr": rate},
            {"params": [*widen.parameters(), *output.parameters()], "lr": 3 * rate},
        ],
        amsgrad=amsgrad,
        foreach=False,
    )
    for step in range(steps):
        x = torch.randn(8, 6, generator=run.generator(f"data/{step}"))
        mu, logvar = heads(hidden(x).relu()).chunk(2, dim=1)
        loss = mu.square().sum() + logvar.exp().sum()
        if step % 3 != 2:
            loss = loss + (output(widen(mu).relu()) - x).abs().sum()
        optimizer.zero_grad(set_to_none=False)
        loss.backward()
        optimizer.step()
    return [(module.weight.detach(), module.bias.detach()) for module in modules], layers


@pytest.mark.parametrize("amsgrad", [True, False])
def test_optimiser_equals_torch_adam_run_by_run(amsgrad):
    rates = [1e-2, 3e-3, 1e-2]
    stacked = train_stack(RUNS, rates, amsgrad=amsgrad)
    for r, run in enumerate(RUNS):
        plain, layers = train_plain(run, rates[r], amsgrad=amsgrad)
        start = 0
        for (weight, bias), layer in zip(plain, layers, strict=True):
            flat = stacked[r : r + 1, start : start + layer.flat.shape[1]]
            got_weight, got_bias = layer._split(flat)
            torch.testing.assert_close(got_weight[0], weight, rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(got_bias[0], bias, rtol=1e-4, atol=1e-6)
            start += layer.flat.shape[1]


def test_a_stack_equals_its_runs_alone_bit_for_bit():
    rates = [1e-2, 3e-3, 1e-2]
    stacked = train_stack(RUNS, rates)
    for r in range(3):
        assert torch.equal(train_stack([RUNS[r]], [rates[r]])[0], stacked[r])
    order = [2, 0, 1]
    turned = train_stack([RUNS[i] for i in order], [rates[i] for i in order])
    assert torch.equal(turned, stacked[order])


def test_nan_in_one_run_leaves_the_others_untouched():
    clean = train_stack(RUNS, [1e-2] * 3)
    hurt = train_stack(RUNS, [1e-2] * 3, poison=1)
    assert hurt[1].isnan().any()
    assert torch.equal(hurt[[0, 2]], clean[[0, 2]])


def test_a_layer_without_a_gradient_in_a_step_counts_as_zero_gradient():
    layer = Linear(RUNS[:1], "a", 3, 2)
    optimizer = StackedAdam([([layer], [0.1])])
    layer(torch.ones(1, 4, 3)).sum().backward()
    optimizer.step()
    before = layer.grad.clone()
    optimizer.step()
    assert before.any()
    assert not layer.grad.any()


def test_inference_layers_cannot_be_trained():
    layer = Linear(RUNS, "a", 3, 2)
    with pytest.raises(ValueError, match="inference"):
        StackedAdam([([layer.of(0)], [0.1])])
    x = numbers(3, 4, 3, dtype=torch.float32)
    with torch.no_grad():
        assert torch.equal(layer(x), linear(x, layer.weight, layer.bias))
