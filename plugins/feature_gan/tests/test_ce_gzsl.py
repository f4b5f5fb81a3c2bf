"""CE-GZSL beside a loop in plain torch, written after the sheet, on the same random numbers."""

from __future__ import annotations

import pytest
import torch
from gzsl_bench_feature_gan import ce_gzsl, comparator
from gzsl_bench_feature_gan.ce_gzsl import CEGZSL, CEGZSLConfig
from plain_gan import SETTINGS as PLAIN
from plain_gan import Plain, beside
from torch import nn
from torch.nn import functional as F

from gzsl_bench.hooks import streams

SETTINGS = PLAIN | {
    "embedded": 9,
    "projected": 5,
    "comparator_hidden": 10,
    "instances": 0.3,
    "classes": 0.2,
    "instance_temperature": 0.4,
    "class_temperature": 0.6,
    "decay": 0.5,
    "decay_every": 2,
}


class PlainCEGZSL(Plain):
    def prepare(self):
        config, task = self.config, self.task
        width, classes = task.features.shape[1], self.attributes.shape[1]
        self.embedding = nn.Sequential(
            self.linear("init/embedding", width, config.embedded), nn.ReLU()
        )
        self.projection = self.linear("init/projection", config.embedded, config.projected)
        hidden = config.comparator_hidden
        rows = self.linear("init/comparator/rows", config.embedded, hidden)
        first = nn.Linear(config.embedded + classes, hidden, dtype=torch.float64)
        last = self.linear("init/comparator/output", hidden, 1)
        source = streams.generator(self.seed, "init/comparator/classes")
        of_classes = torch.randn(classes, hidden, generator=source) * config.init_std
        with torch.no_grad():
            first.weight.copy_(torch.cat([rows.weight, of_classes.t()], 1))
            first.bias.zero_()
        self.comparator = nn.Sequential(first, nn.LeakyReLU(0.2), last)
        both = nn.ModuleList([self.embedding, self.projection])
        self.of_embedding = self.adam(both, config.lr)
        self.of_comparator = self.adam(self.comparator, config.lr)

    def optimizers(self):
        return [self.adam(self.generator, self.config.lr)]

    def begin_epoch(self, epoch, steps):
        self.of_comparator.zero_grad()
        if epoch > 1 and (epoch - 1) % self.config.decay_every == 0:
            for adam in (self.of_critic, *self.others, self.of_embedding, self.of_comparator):
                for group in adam.param_groups:
                    group["lr"] *= self.config.decay

    def contrast(self, points, labels):
        losses = []
        for i, (point, label) in enumerate(zip(points, labels.tolist(), strict=True)):
            others = [j for j in range(len(points)) if j != i]
            similar = (points[others] @ point) / self.config.instance_temperature
            alike = labels[others] == label
            if alike.any():
                losses.append(-F.log_softmax(similar, 0)[alike].mean())
        return torch.stack(losses).mean()

    def compare(self, embedded, labels):
        seen = self.attributes[self.task.seen]
        pairs = [torch.cat([row.expand(len(seen), -1), seen], 1) for row in embedded]
        scores = self.comparator(torch.stack(pairs))[..., 0] / self.config.class_temperature
        return F.cross_entropy(scores, torch.searchsorted(self.task.seen, labels))

    def project(self, embedded):
        return F.normalize(self.projection(embedded), dim=1)

    def before_critic(self, real, attributes, labels):
        embedded = self.embedding(real)
        loss = self.contrast(self.project(embedded), labels) + self.compare(embedded, labels)
        self.of_embedding.zero_grad()
        if not self.config.accumulated:
            self.of_comparator.zero_grad()
        loss.backward()
        self.of_embedding.step()
        self.of_comparator.step()
        return loss.item()

    def latent(self, real, attributes, noise):
        return noise

    def loss(self, real, attributes, labels, noises):
        config, fake = self.config, self.make(noises[0], attributes)
        kept = [parameter.grad for parameter in self.comparator.parameters()]
        for parameter in self.comparator.parameters():
            parameter.requires_grad_(False)
        embedded = self.embedding(fake)
        points = torch.cat([self.project(embedded), self.project(self.embedding(real)).detach()])
        loss = (
            -self.score(fake, attributes)
            + config.instances * self.contrast(points, torch.cat([labels, labels]))
            + config.classes * self.compare(embedded, labels)
        )
        for parameter, grad in zip(self.comparator.parameters(), kept, strict=True):
            parameter.requires_grad_(True).grad = grad
        return loss

    def refine(self, features):
        with torch.no_grad():
            return self.embedding(features)


@pytest.mark.parametrize("accumulated", [True, False])
def test_it_is_the_released_loop(task, accumulated, monkeypatch):
    monkeypatch.setattr(comparator, "AT_ONCE", 3 * 8 * 10)  # three of the four classes at once
    beside(task, CEGZSL, PlainCEGZSL, SETTINGS | {"accumulated": accumulated})


def test_gradients_of_pairs(monkeypatch):
    source = torch.Generator().manual_seed(0)
    rows, classes, weight = (
        torch.randn(*shape, generator=source, dtype=torch.float64, requires_grad=True)
        for shape in ((2, 4, 3), (2, 5, 3), (2, 3))
    )
    monkeypatch.setattr(comparator, "AT_ONCE", 2 * rows.numel())
    assert torch.autograd.gradcheck(comparator._Pairs.apply, (rows, classes, weight))


def test_defaults_are_the_authors_values():
    configs = {name: CEGZSLConfig(**values) for name, values in ce_gzsl.RECIPES.items()}
    assert configs["CUB"] == CEGZSLConfig()
    fields = ("batch", "samples", "lr", "comparator_hidden", "instances", "classes", "decay_every")
    for name, wanted in {
        "CUB": (2048, 100, 1e-4, 2048, 1e-3, 1e-3, 100),
        "SUN": (1024, 100, 5e-5, 1024, 1e-2, 1e-2, 100),
        "AWA1": (4096, 1800, 1e-4, 2048, 1e-3, 1e-3, 50),
        "AWA2": (4096, 2400, 1e-4, 2048, 1e-3, 1e-3, 10),
        "FLO": (4096, 600, 1e-4, 1024, 1e-2, 1e-2, 100),
    }.items():
        assert tuple(getattr(configs[name], field) for field in fields) == wanted
    assert [name for name, config in configs.items() if config.noise] == ["FLO"]
