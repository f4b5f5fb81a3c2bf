"""The steps that are timed beside each other are the same steps."""

from __future__ import annotations

import torch
from gzsl_bench_feature_gan.f_clswgan import FCLSWGANConfig

from benchmarks.gan import Plain, Toolkit, measure
from benchmarks.plugin_runs import random_task

CONFIG = FCLSWGANConfig(generator_hidden=8, critic_hidden=9, batch=5, samples=4, init_std=0.3)


def test_both_move_the_same_parameters_alike():
    task = random_task(6, 3, 4, 2, 30, "cpu")
    ours, plain = Toolkit(task, CONFIG), Plain(task, CONFIG)
    pairs = [
        (layer, module)
        for network, modules in (
            (ours.critic, (plain.critic[0], plain.critic[2])),
            (ours.generator, (plain.generator[0], plain.generator[2])),
        )
        for layer, module in zip(network.layers, modules, strict=True)
    ]
    with torch.no_grad():
        for layer, module in pairs:
            module.weight.copy_(layer.weight[0])
            module.bias.copy_(layer.bias[0])
    for part in ("critic_step", "generator_step", "critic_step"):
        getattr(ours, part)()
        getattr(plain, part)()
    for layer, module in pairs:
        torch.testing.assert_close(layer.weight[0].detach(), module.weight.detach())
        torch.testing.assert_close(layer.bias[0].detach(), module.bias.detach())


def test_every_part_is_measured(monkeypatch):
    monkeypatch.setattr("benchmarks.gan.Kernels.rates", lambda self: _Rates)
    found = list(measure(random_task(6, 3, 4, 2, 30, "cpu"), CONFIG, 1, 1))
    assert [what for what, *_ in found] == ["critic step", "generator step", "classifier epoch"]
    assert all(least > 0 for *_, least in found)


class _Rates:
    flops = bytes = 1e9
