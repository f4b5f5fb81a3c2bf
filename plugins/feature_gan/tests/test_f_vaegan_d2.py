"""The transductive f-VAEGAN-D2 beside a loop in plain torch on the same random numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from gzsl_bench_feature_gan import f_vaegan, f_vaegan_d2
from gzsl_bench_feature_gan.f_vaegan_d2 import FVAEGAND2, FVAEGAND2Config
from plain_gan import VAEGAN, PlainVAEGAN, beside, train
from torch import nn

from gzsl_bench import DatasetInfo
from gzsl_bench.stacked.draws import subset_block

SETTINGS = VAEGAN | {"unlabelled": 2.0}


@pytest.fixture(scope="module")
def transductive(task):
    source = torch.Generator().manual_seed(5)
    return replace(task, unlabelled=torch.rand(11, 6, generator=source, dtype=torch.float64))


class PlainD2(PlainVAEGAN):
    def prepare(self):
        super().prepare()
        width, units = self.task.features.shape[1], self.config.critic_hidden
        self.judge = nn.Sequential(
            self.linear("init/unlabelled/critic/hidden", width, units),
            nn.LeakyReLU(0.2),
            self.linear("init/unlabelled/critic/output", units, 1),
        )
        self.of_judge = self.adam(self.judge, self.config.lr)

    def begin_epoch(self, epoch, steps):
        config, task = self.config, self.task
        turns, batch, rows = config.critic_steps, config.batch, len(task.unlabelled)
        self.rows = subset_block(rows, batch, steps * turns, self.stream("unlabelled/batches"))
        classes = range(task.num_classes)
        if config.unlabelled_classes == "unseen":
            classes = task.unseen.tolist()
        picked = torch.randint(
            len(classes), (steps, turns + 1, batch), generator=self.stream("unlabelled/classes")
        )
        classes = torch.tensor(list(classes))[picked]
        noise = torch.randn(
            steps, turns + 1, batch, config.noise, generator=self.stream("unlabelled/noise")
        ).double()
        self.mixes = torch.rand(
            steps, turns, batch, 1, generator=self.stream("unlabelled/interpolation")
        ).double()
        self.drawn = iter(zip(classes.flatten(0, 1), noise.flatten(0, 1), strict=True))
        self.step = 0

    def judged(self):
        classes, noise = next(self.drawn)
        return self.make(noise, self.attributes[classes])

    def after_critic(self, penalty):
        turns = self.config.critic_steps
        for turn in range(turns):
            real = self.task.unlabelled[self.rows[self.step * turns + turn]]
            fake, u = self.judged().detach(), self.mixes[self.step, turn]
            between = (u * real + (1 - u) * fake).requires_grad_()
            (slope,) = torch.autograd.grad(self.judge(between).sum(), between, create_graph=True)
            slopes = ((slope.norm(2, dim=1) - 1) ** 2).mean()
            loss = self.judge(fake).mean() - self.judge(real).mean()
            self.of_judge.zero_grad()
            (loss + self.config.penalty * slopes).backward()
            self.of_judge.step()
        self.step += 1

    def of_generated(self, generated, attributes):
        return -self.config.unlabelled * self.judge(self.judged()).mean()


@pytest.mark.parametrize("settings", [{}, {"unlabelled_classes": "unseen", "encoded_noise": False}])
def test_it_is_a_loop_in_plain_torch(transductive, settings):
    beside(transductive, FVAEGAND2, PlainD2, SETTINGS | settings)


def test_unlabelled_features_are_what_it_learns_from(task, transductive):
    moved = replace(transductive, unlabelled=transductive.unlabelled + 1)
    (first,), (second,) = (
        train(one, (3,), task.features, FVAEGAND2, **SETTINGS) for one in (transductive, moved)
    )
    assert not torch.equal(first.scores[3], second.scores[3])
    with pytest.raises(ValueError, match=r"task\.unlabelled"):
        train(task, (3,), task.features, FVAEGAND2, **SETTINGS)


def test_it_is_declared_and_has_the_inductive_model_s_values():
    assert f_vaegan_d2.SPEC.setting == "transductive"
    assert f_vaegan.SPEC.setting == "inductive"
    for name in (*f_vaegan.RECIPES, "digits"):
        values = FVAEGAND2.defaults(DatasetInfo(name, "res101", "att"))
        config = FVAEGAND2Config(**values)
        assert config.unlabelled == config.gamma
        assert {k: v for k, v in values.items() if k != "unlabelled"} == f_vaegan.RECIPES.get(
            name, {}
        )
