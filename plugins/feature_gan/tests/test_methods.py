"""The methods beside loops in plain torch, written after the sheets, on the same random numbers."""

from __future__ import annotations

import math

import pytest
import torch
from gzsl_bench_feature_gan import f_clswgan, f_vaegan, gzsl_bench_methods
from gzsl_bench_feature_gan.cycle_clswgan import CycleCLSWGAN
from gzsl_bench_feature_gan.f_clswgan import FCLSWGAN, FCLSWGANConfig
from gzsl_bench_feature_gan.f_vaegan import FVAEGAN, FVAEGANConfig
from plain_gan import CLSWGAN, VAEGAN, PlainCLSWGAN, PlainVAEGAN, beside, train
from torch import nn
from torch.nn import functional as F

from gzsl_bench import DatasetInfo
from gzsl_bench.stacked.draws import subset_block

CYCLE = CLSWGAN | {"cycle": 0.7, "regressor_epochs": 3, "regressor_batch": 9}
CYCLE |= {"regressor_lr": 0.02}


class PlainCycle(PlainCLSWGAN):
    """cycle-CLSWGAN."""

    def prepare(self):
        super().prepare()
        task, config = self.task, self.config
        width, attributes = task.features.shape[1], task.attributes.shape[1]
        self.regressor = nn.Linear(width, attributes, dtype=torch.float64)
        drawn = torch.rand(attributes * width, generator=self.stream("init/regressor"))
        bound = math.sqrt(6 / (width + attributes))
        with torch.no_grad():
            self.regressor.weight.copy_((drawn * 2 - 1).view(attributes, width) * bound)
            self.regressor.bias.zero_()
        adam = torch.optim.Adam(self.regressor.parameters(), lr=config.regressor_lr)
        rows, batch = len(task.labels), config.regressor_batch
        for _ in range(config.regressor_epochs):
            steps = math.ceil(rows / batch)
            for picked in subset_block(rows, batch, steps, self.stream("regressor/batches")):
                adam.zero_grad()
                F.mse_loss(
                    self.regressor(task.features[picked]), task.attributes[task.labels[picked]]
                ).backward()
                adam.step()

    def loss(self, real, attributes, labels, noises):
        fake = self.make(noises[0], attributes)
        error = F.mse_loss(self.regressor(fake), attributes)
        return super().loss(real, attributes, labels, noises) + self.config.cycle * error


class PlainCycleU(PlainCycle):
    """The regression on unseen classes, too."""

    noises = 2

    def begin_epoch(self, epoch, steps):
        shape = steps, self.config.batch
        self.unseen = list(torch.randint(2, shape, generator=self.stream("unseen")))

    def loss(self, real, attributes, labels, noises):
        wanted = self.attributes[self.task.unseen[self.unseen.pop(0)]]
        error = F.mse_loss(self.regressor(self.make(noises[1], wanted)), wanted)
        return super().loss(real, attributes, labels, noises) + 0.6 * error


@pytest.mark.parametrize(
    ("method", "plain", "settings"),
    [
        (FCLSWGAN, PlainCLSWGAN, CLSWGAN),
        (CycleCLSWGAN, PlainCycle, CYCLE),
        (CycleCLSWGAN, PlainCycleU, CYCLE | {"unseen_cycle": 0.6}),
        (FVAEGAN, PlainVAEGAN, VAEGAN),
        (FVAEGAN, PlainVAEGAN, VAEGAN | {"encoded_noise": False}),
    ],
)
def test_it_is_the_released_loop(task, method, plain, settings):
    beside(task, method, plain, settings)


def test_latents_are_generated_features_of_the_epoch(task):
    (sink,) = train(task, (3,), task.features, **CLSWGAN)
    first, *others = (sink.latents[number] for number in (3, 4, 5, 6))
    assert first.shape == (3, 6)
    assert torch.equal(first, others[0])
    assert not torch.equal(first, others[1])
    assert not torch.equal(first[0], first[2])  # the same class, other noise


@pytest.mark.parametrize(("every", "numbers"), [(0, [5, 6]), (1, [1, 2, 3, 4, 5, 6])])
def test_numbers_follow_from_the_configuration(task, every, numbers):
    (sink,) = train(task, (0,), task.features, **CLSWGAN | {"evaluate_every": every})
    assert list(sink.scores) == numbers
    (other,) = train(task, (0,), task.features, **CLSWGAN)
    for number in set(numbers) & set(other.scores):  # looking more often changes nothing
        assert torch.equal(sink.scores[number], other.scores[number])


def test_defaults_are_the_released_values():
    for spec in gzsl_bench_methods():
        for name in (*f_clswgan.RECIPES, "digits"):
            values = spec.factory.defaults(DatasetInfo(name, "res101", "att"))
            config = spec.factory.Config(**values)
            if isinstance(config, FCLSWGANConfig | FVAEGANConfig) and spec.name != "free":
                assert (config.batch, config.critic_steps, config.penalty) == (64, 5, 10.0)
    assert FCLSWGANConfig(**f_clswgan.RECIPES["SUN"]).lr == 2e-4
    assert FCLSWGANConfig(**f_clswgan.RECIPES["FLO"]).classification == 0.1
    assert FVAEGANConfig(**f_vaegan.RECIPES["SUN"]).gamma == 1.0
    assert not FVAEGANConfig(**f_vaegan.RECIPES["FLO"]).encoded_noise
