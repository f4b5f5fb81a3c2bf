"""FREE beside a loop in plain torch, written after the sheet, on the same random numbers."""

from __future__ import annotations

import pytest
import torch
from gzsl_bench_feature_gan import free
from gzsl_bench_feature_gan.free import FREE, FREEConfig
from plain_gan import VAEGAN, PlainVAEGAN, beside, train
from torch import nn

SETTINGS = VAEGAN | {
    "refined": 0.6,
    "refiner_lr": 0.02,
    "centres": 0.4,
    "margin": 3.0,
    "own_share": 0.7,
}


class PlainFREE(PlainVAEGAN):
    def prepare(self):
        super().prepare()
        width, self.width = self.task.features.shape[1], self.attributes.shape[1]
        units, classes = self.config.generator_hidden, len(self.task.seen)
        self.hidden = nn.Sequential(
            self.linear("init/refiner/hidden", width, units), nn.LeakyReLU(0.2)
        )
        self.heads = self.linear("init/refiner/heads", units, 2 * self.width)
        centres = torch.randn(classes, self.width, generator=self.stream("init/centres"))
        self.centres = nn.Parameter(centres.double())
        self.refiner = nn.ModuleList([self.hidden, self.heads])
        self.of_refiner = self.adam(self.refiner, self.config.refiner_lr)
        self.of_centres = torch.optim.Adam(
            [self.centres], lr=self.config.lr, betas=(0.5, self.config.beta2)
        )

    def optimizers(self):
        return [*super().optimizers(), self.of_refiner]

    def stepping(self, optimizers):
        if self.config.freeze_refiner:
            for parameter in self.refiner.parameters():
                parameter.grad = torch.zeros_like(parameter)
        return optimizers

    def begin_epoch(self, epoch, steps):
        turns, batch = self.config.critic_steps, self.config.batch
        noise = self.stream("refiner/noise")
        self.noise = torch.randn(steps, turns + 1, batch, self.width, generator=noise).double()
        self.noise = iter(self.noise.flatten(0, 1))
        if self.config.other == "random":
            other, classes = self.stream("centres/other"), len(self.task.seen)
            self.away = torch.randint(classes, (steps, turns, batch), generator=other)
            self.away = iter(self.away.flatten(0, 1))

    def refine(self, features):
        with torch.no_grad():
            units = self.hidden(features)
            return torch.cat([features, units, self.heads(units)[:, : self.width].sigmoid()], 1)

    def found(self, features):
        mean, spread = self.heads(self.hidden(features)).chunk(2, 1)
        return mean, torch.sigmoid(torch.sigmoid(spread) * next(self.noise) + mean)

    def error(self, found, attributes):
        weights = (found - attributes).pow(2)
        weights = weights / weights.sum(1).sqrt().unsqueeze(1)
        return (weights * (found - attributes).abs()).sum() / len(found)

    def before_critic(self, real, attributes, labels):
        config, own = self.config, torch.searchsorted(self.task.seen, labels)
        mean, found = self.found(real)
        loss = config.refined * self.error(found, attributes)
        distances = torch.cdist(mean, self.centres).square()
        if config.other == "random":
            other = distances[torch.arange(len(own)), (own + next(self.away)) % len(self.centres)]
        else:
            other = torch.stack(
                [
                    torch.cat([row[:place], row[place + 1 :]]).min()
                    for row, place in zip(distances, own.tolist(), strict=True)
                ]
            )
        near = distances[torch.arange(len(own)), own]
        excess = config.margin + config.own_share * near - (1 - config.own_share) * other
        loss = loss + config.centres * excess.relu().mean()
        self.of_refiner.zero_grad()
        if not config.accumulated:
            self.of_centres.zero_grad()
        loss.backward()
        self.of_refiner.step()
        self.of_centres.step()
        return 0.0

    def after_critic(self, penalty):
        if self.config.adaptive_penalty and penalty > 1.05:
            self.penalty_weight *= 1.1
        elif self.config.adaptive_penalty and penalty < 1.001:
            self.penalty_weight /= 1.1

    def of_generated(self, generated, attributes):
        return self.config.refined * self.error(self.found(generated)[1], attributes)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"other": "nearest", "freeze_refiner": True, "adaptive_penalty": False},
        {"accumulated": False, "encoded_noise": False},
    ],
)
def test_it_is_the_released_loop(task, settings):
    beside(task, FREE, PlainFREE, SETTINGS | settings)


def test_the_centres_gradients_add_up(task):
    scores = [
        train(task, (3,), task.features, FREE, **SETTINGS, accumulated=accumulated)[0].curves
        for accumulated in (True, False)
    ]
    first, second = (curves["refiner/margin"] for curves in scores)
    assert first.keys() == second.keys()
    assert first[3] != second[3]


def test_defaults_are_the_released_values():
    configs = {name: FREEConfig(**values) for name, values in free.RECIPES.items()}
    assert configs["CUB"] == FREEConfig()
    fields = ("critic_steps", "lr", "batch", "margin", "own_share", "refined", "gamma", "epochs")
    fields += ("samples", "classifier_lr", "other", "freeze_refiner", "encoded_noise")
    random, nearest = ("random", False, True), ("nearest", True, True)
    for name, wanted in {
        "CUB": (1, 1e-4, 64, 200, 0.8, 1e-3, 10, 2 * 501, 700, 1e-3, *random),
        "SUN": (1, 2e-4, 512, 120, 0.8, 0.1, 1, 2 * 601, 300, 5e-4, *random),
        "AWA1": (1, 1e-5, 64, 50, 0.1, 1e-3, 10, 2 * 301, 4600, 1e-3, *nearest),
        "AWA2": (1, 1e-5, 64, 50, 0.5, 1e-3, 10, 2 * 401, 4600, 1e-3, *nearest),
        "FLO": (5, 1e-4, 256, 200, 0.8, 1e-3, 10, 2 * 501, 2400, 1e-3, "random", False, False),
    }.items():
        assert tuple(getattr(configs[name], field) for field in fields) == wanted
