"""Several optimisers beside each other, and a critic's losses against autograd, in float64."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from gzsl_bench.hooks import streams
from gzsl_bench.stacked import Critic, Linear, StackedAdam, frozen
from gzsl_bench.stacked.backend import CPU, pretending
from gzsl_bench.testing.graphs import rerun


class Seeded:
    def __init__(self, seed):
        self.seed = seed

    def generator(self, purpose):
        return streams.generator(self.seed, purpose)


RUNS = [Seeded(seed) for seed in (5, 1, 2)]
B, D, A, H = 6, 7, 3, 9


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make(count, attributes=A):
    critic = Critic(RUNS[:count], "critic", D, attributes, H, std=0.5, dtype=torch.float64)
    with torch.no_grad():
        critic.hidden.bias.copy_(numbers(count, H, seed=8))
        critic.output.bias.copy_(numbers(count, 1, seed=9))
    return critic


def batch(count, attributes=A):
    mix = torch.rand(count, B, 1, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return (
        numbers(count, B, D, seed=1),
        numbers(count, B, D, seed=2),
        numbers(count, B, attributes, seed=4),
        mix,
    )


def by_autograd(critic, run, real, generated, attributes, mix):
    """Means and penalty of one run, twice differentiable, with its parameters."""
    parameters = [
        part[run].detach().clone().requires_grad_()
        for layer in critic.layers
        for part in (layer.weight, layer.bias)
    ]
    w1, b1, w2, b2 = parameters

    def score(x):
        hidden = F.leaky_relu(F.linear(torch.cat([x, attributes[run]], 1), w1, b1), 0.2)
        return F.linear(hidden, w2, b2)[:, 0]

    between = (mix[run] * real[run] + (1 - mix[run]) * generated[run]).requires_grad_()
    (gradient,) = torch.autograd.grad(score(between).sum(), between, create_graph=True)
    penalty = ((gradient.norm(2, dim=1) - 1) ** 2).mean()
    return (score(real[run]).mean(), score(generated[run]).mean(), penalty), parameters


@pytest.mark.parametrize("attributes", [A, 0])
@pytest.mark.parametrize("backend", [CPU, rerun()])
@pytest.mark.parametrize("count", [1, 3])
def test_losses_and_gradients_are_those_of_a_double_backward_pass(count, backend, attributes):
    with pretending(backend):
        critic, given = make(count, attributes), batch(count, attributes)
        factors = torch.tensor([1.0, 0.3, -2.0], dtype=torch.float64)[:count]
        for passes in (1, 2):  # a second pass adds to the first
            found = critic.losses(*given)
            real, generated, penalty = found
            (generated - real + factors * penalty).sum().backward()
            for run in range(count):
                wanted, parameters = by_autograd(critic, run, *given)
                torch.testing.assert_close(
                    torch.stack([term[run] for term in found]), torch.stack(wanted)
                )
                loss = wanted[1] - wanted[0] + factors[run] * wanted[2]
                ours = [
                    part[run]
                    for layer in critic.layers
                    for part in (layer.weight_grad, layer.bias_grad)
                ]
                for mine, theirs in zip(
                    ours, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True
                ):
                    torch.testing.assert_close(mine, passes * theirs, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("backend", [CPU, rerun()])
def test_what_the_conditions_are_made_of_gets_its_gradient(backend):
    with pretending(backend):
        critic, (real, generated, attributes, mix) = make(3), batch(3)
        attributes.requires_grad_()
        found = critic.losses(real, generated, attributes, mix)
        (found[1] - 0.5 * found[0] + 0.3 * found[2]).sum().backward()
    for run in range(3):
        wanted, _ = by_autograd(critic, run, real, generated, attributes, mix)
        loss = wanted[1] - 0.5 * wanted[0] + 0.3 * wanted[2]
        (theirs,) = torch.autograd.grad(loss, attributes)
        torch.testing.assert_close(attributes.grad[run], theirs[run], rtol=1e-12, atol=1e-13)


def test_the_losses_score_as_the_critic_does():
    critic, (real, generated, attributes, mix) = make(3), batch(3)
    scores = critic.losses(real, generated, attributes, mix)
    torch.testing.assert_close(scores[0], critic(real, attributes).mean(1))
    torch.testing.assert_close(scores[1], critic(generated, attributes).mean(1))


@pytest.mark.parametrize("count", [1, 3])
def test_a_step_through_a_frozen_network_leaves_nothing_in_it(count):
    critic = make(count)
    generator = Linear(RUNS[:count], "g", 4, D, activation="sigmoid", dtype=torch.float64)
    noise, attributes = numbers(count, B, 4), numbers(count, B, A, seed=4)
    theirs, ours = (
        StackedAdam([(critic.layers, [0.1] * count)]),
        StackedAdam([([generator], [0.1] * count)]),
    )
    with frozen(*critic.layers):
        critic(generator(noise), attributes).sum().backward()
    assert all(layer.fresh for layer in critic.layers)
    theirs.begin()
    with pytest.raises(RuntimeError, match=r"gradients of another step.*frozen"):
        ours.begin()
    thawed = generator.weight_grad.clone()
    generator.zero_grad()
    critic(generator(noise), attributes).sum().backward()
    torch.testing.assert_close(generator.weight_grad, thawed)
    with pytest.raises(RuntimeError, match="gradients of another step"):
        theirs.begin()
    theirs.zero_grad()
    theirs.begin()
    assert not any(layer.frozen for layer in critic.layers)


@pytest.mark.parametrize("count", [1, 3])
def test_a_gradient_by_the_input_alone_adds_nothing_to_the_parameters(count):
    layer = Linear(RUNS[:count], "a", D, H, activation="tanh", dtype=torch.float64)
    x = numbers(count, B, D).requires_grad_()
    (once,) = torch.autograd.grad(layer(x).sum(), x)
    assert layer.fresh
    with pytest.raises(RuntimeError, match=r"differentiated again .*Critic.losses"):
        torch.autograd.grad(layer(x).sum(), x, create_graph=True)
    with frozen(layer):
        (twice,) = torch.autograd.grad(layer(x).sum(), x, create_graph=True)
    torch.testing.assert_close(twice, once)
    # tanh'' is not zero, so this is a gradient of second order.
    (second,) = torch.autograd.grad(twice.square().sum(), x)
    assert second.abs().max() > 0
    assert layer.fresh


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "sigmoid", "tanh"])
@pytest.mark.parametrize("count", [1, 2])
def test_activations(activation, count):
    layer = Linear(RUNS[:count], "a", D, H, activation=activation, std=0.5, dtype=torch.float64)
    x = numbers(count, B, D).requires_grad_()
    probe = numbers(count, B, H, seed=7)
    (layer(x) * probe).sum().backward()
    w = layer.weight.detach().clone().requires_grad_()
    y = x.detach().clone().requires_grad_()
    named = {"leaky_relu": lambda v: F.leaky_relu(v, 0.2)}
    out = named.get(activation, getattr(torch, activation, None))(
        torch.einsum("rbi,roi->rbo", y, w)
    )
    (out * probe).sum().backward()
    torch.testing.assert_close(layer(x), out)
    torch.testing.assert_close(layer.weight_grad, w.grad)
    torch.testing.assert_close(x.grad, y.grad)


def test_normal_weights_come_from_the_stream_of_the_layer():
    layer = Linear(RUNS, "a", 300, 200, std=0.02)
    for run, weight in zip(RUNS, layer.weight, strict=True):
        drawn = torch.randn(200, 300, generator=run.generator("init/a")) * 0.02
        torch.testing.assert_close(weight, drawn)
    assert not layer.bias.any()


def test_weight_decay_is_that_of_torch():
    layer = Linear(RUNS[:1], "a", D, H, std=0.5, dtype=torch.float64)
    ours = StackedAdam([([layer], [0.01])], betas=(0.5, 0.999), weight_decay=0.1)
    w = layer.weight[0].detach().clone().requires_grad_()
    theirs = torch.optim.Adam([w], lr=0.01, betas=(0.5, 0.999), weight_decay=0.1)
    x = numbers(1, B, D)
    for _ in range(3):
        layer(x).square().sum().backward()
        ours.step()
        theirs.zero_grad()
        F.linear(x[0], w).square().sum().backward()
        theirs.step()
        with torch.no_grad():
            layer.bias.zero_()
    torch.testing.assert_close(layer.weight[0], w)
