"""Loops in plain torch, written after the sheets, for the tests of methods."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
import torch
from gzsl_bench_feature_gan.f_clswgan import FCLSWGAN
from torch import nn
from torch.nn import functional as F

from gzsl_bench import Run, Task
from gzsl_bench.hooks import streams
from gzsl_bench.stacked.draws import subset_block

SETTINGS = {
    "noise": 3,
    "generator_hidden": 11,
    "critic_hidden": 12,
    "init_std": 0.3,
    "batch": 8,
    "epochs": 3,
    "critic_steps": 2,
    "lr": 0.01,
    "samples": 7,
    "classifier_epochs": 2,
    "classifier_batch": 5,
    "classifier_lr": 0.02,
    "evaluate_every": 2,
}
CLSWGAN = SETTINGS | {"classification": 0.4, "seen_epochs": 2, "seen_batch": 6}
VAEGAN = SETTINGS | {"encoder_hidden": 10, "gamma": 3.0}


def make_task():
    """Four seen and two unseen classes, 29 rows."""
    source = torch.Generator().manual_seed(0)
    seen, unseen = torch.tensor([0, 2, 3, 5]), torch.tensor([1, 4])
    labels = seen[torch.randint(4, (29,), generator=source)]
    labels[:4] = seen
    features = torch.rand(29, 6, generator=source, dtype=torch.float64)
    attributes = torch.rand(6, 4, generator=source, dtype=torch.float64)
    return Task(features, labels, attributes, seen, unseen)


@dataclass
class Sink:
    """Keeps curves, and the scores of every checkpoint on some features."""

    features: torch.Tensor
    curves: dict = field(default_factory=dict)
    scores: dict = field(default_factory=dict)
    latents: dict = field(default_factory=dict)

    def log(self, step, values):
        for name, value in values.items():
            self.curves.setdefault(name, {})[step] = value

    def checkpoint(self, number, scorer):
        with torch.no_grad():
            self.scores[number] = scorer(self.features).clone()
            self.latents[number] = scorer.latents.semantic(torch.tensor([1, 4, 1]))

    def progress(self, done, total):
        self.done = done, total


def train(task, seeds, test, method=FCLSWGAN, **settings):
    configs = [method.Config(**settings) for _ in seeds]
    sinks = [Sink(test) for _ in seeds]
    runs = [
        Run(seed, task.device, config, sink)
        for seed, config, sink in zip(seeds, configs, sinks, strict=True)
    ]
    method(configs[0]).fit_batch(task, runs)
    assert all(run.failure is None for run in runs)
    return sinks


class Plain:
    """One run in plain torch: modules, autograd twice for the penalty, torch.optim.Adam.

    ``passes`` are the names of what an epoch does one after the other; ``now`` is the one at work.
    """

    last = nn.ReLU
    noises = 1
    passes = ("",)

    def __init__(self, task, seed, config):
        self.task, self.seed, self.config = task, seed, config
        self.open, self.attributes = {}, task.attributes
        width, attributes = task.features.shape[1], task.attributes.shape[1]
        g, d = config.generator_hidden, config.critic_hidden
        self.generator = nn.Sequential(
            self.linear("init/generator/hidden", config.noise + attributes, g),
            nn.LeakyReLU(0.2),
            self.linear("init/generator/output", g, width),
            self.last(),
        )
        self.critic = nn.Sequential(
            self.linear("init/critic/hidden", width + attributes, d),
            nn.LeakyReLU(0.2),
            self.linear("init/critic/output", d, 1),
        )

    def stream(self, purpose):
        return self.open.setdefault(purpose, streams.generator(self.seed, purpose))

    def linear(self, purpose, inputs, outputs):
        layer = nn.Linear(inputs, outputs, dtype=torch.float64)
        drawn = torch.randn(outputs, inputs, generator=streams.generator(self.seed, purpose))
        with torch.no_grad():
            layer.weight.copy_(drawn * self.config.init_std)
            layer.bias.zero_()
        return layer

    def adam(self, module, lr, beta1=0.5):
        return torch.optim.Adam(module.parameters(), lr=lr, betas=(beta1, self.config.beta2))

    def classify(
        self, purpose, rows, labels, classes, batch, lr, epochs, like=None, optimizer=None
    ):
        """Linear softmax; batches as ``next_batch`` makes them, in one shuffle after another."""
        model = like or self.linear(f"{purpose}/init", rows.shape[1], classes)
        optimizer, stream = optimizer or self.adam(model, lr), self.stream(f"{purpose}/shuffle")
        left = torch.empty(0, dtype=torch.int64)
        for _ in range(epochs):
            for _ in range(math.ceil(len(rows) / batch)):
                picked, left = left[:batch], left[batch:]
                if len(picked) < batch:
                    shuffle = torch.randperm(len(rows), generator=stream)
                    lacking = batch - len(picked)
                    picked, left = torch.cat([picked, shuffle[:lacking]]), shuffle[lacking:]
                loss = F.nll_loss(F.log_softmax(model(rows[picked]), 1), labels[picked])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            yield model

    def make(self, noise, attributes):
        return self.generator(torch.cat([noise, attributes], 1))

    def score(self, features, attributes):
        return self.critic(torch.cat([features, attributes], 1)).mean()

    def fake(self, real, attributes, noise):
        """What the critic is shown."""
        return self.make(self.latent(real, attributes, noise), attributes)

    def before_critic(self, real, attributes, labels):
        """What else learns from a batch of the critic; what its loss adds to the critic's."""
        return 0.0

    def stepping(self, optimizers):
        """Those that step in this pass."""
        return optimizers

    def after_critic(self, penalty):
        """What follows from the penalty's mean over the critic's steps."""

    def synthesise(self, noise, attributes):
        """Features of unseen classes for the classifier."""
        return self.make(noise, attributes)

    def refine(self, features):
        """What the classifier sees of features."""
        return features

    def latent(self, real, attributes, noise):
        return noise

    def begin_epoch(self, epoch, steps):
        pass

    def after_step(self):
        pass

    def evaluate(self, epoch, test):
        task, config = self.task, self.config
        made = task.unseen.repeat_interleave(config.samples)
        z = torch.randn(
            len(made), config.noise, generator=self.stream(f"synthetic/{epoch}")
        ).double()
        with torch.no_grad():
            made_rows = self.synthesise(z, self.attributes[made])
            rows = self.refine(torch.cat([task.features, made_rows]))
        trained = self.classify(
            f"classifier/{epoch}",
            rows,
            torch.cat([task.labels, made]),
            task.num_classes,
            config.classifier_batch,
            config.classifier_lr,
            config.classifier_epochs,
        )
        scores = {}
        for k, model in enumerate(trained, 1):
            with torch.no_grad():
                scores[(epoch - 1) * config.classifier_epochs + k] = model(self.refine(test))
        return scores

    def train(self, test):
        task, config = self.task, self.config
        self.penalty_weight = config.penalty
        self.prepare()
        of_critic = self.of_critic = self.adam(self.critic, config.lr)
        others = self.others = self.optimizers()
        steps = math.ceil(len(task.labels) / config.batch)
        scores, curves = {}, {}
        for epoch in range(1, config.epochs + 1):
            self.begin_epoch(epoch, steps)
            for name in self.passes:
                self.now = name
                self.one_pass(epoch, steps, of_critic, others, curves)
            if epoch % config.evaluate_every and epoch != config.epochs:
                continue
            scores.update(self.evaluate(epoch, test))
        return scores, curves

    def one_pass(self, epoch, steps, of_critic, others, curves):
        task, config = self.task, self.config
        rows, batch, turns = len(task.labels), config.batch, config.critic_steps
        picked = subset_block(rows, batch, steps * turns, self.stream("batches"))
        noise = torch.randn(
            steps, turns + self.noises, batch, config.noise, generator=self.stream("noise")
        ).double()
        mix = torch.rand(steps, turns, batch, 1, generator=self.stream("interpolation")).double()
        sums = dict.fromkeys(("critic/loss", "critic/penalty", "generator/loss"), 0.0)
        for step in range(steps):
            penalties = 0.0
            for turn in range(turns):
                chosen = picked[step * turns + turn]
                real, labels = task.features[chosen], task.labels[chosen]
                attributes = self.attributes[labels]
                more = self.before_critic(real, attributes, labels)
                fake = self.fake(real, attributes, noise[step, turn]).detach()
                u = mix[step, turn]
                between = (u * real + (1 - u) * fake).requires_grad_()
                score = self.critic(torch.cat([between, attributes], 1))
                (slope,) = torch.autograd.grad(score.sum(), between, create_graph=True)
                penalty = ((slope.norm(2, dim=1) - 1) ** 2).mean()
                loss = (
                    self.score(fake, attributes)
                    - self.score(real, attributes)
                    + self.penalty_weight * penalty
                )
                of_critic.zero_grad()
                loss.backward()
                of_critic.step()
                penalties += penalty.item() / turns
                sums["critic/loss"] += (loss.item() + more) / (turns * steps)
            sums["critic/penalty"] += penalties / steps
            self.after_critic(penalties)
            loss = self.loss(real, attributes, labels, noise[step, turns:])
            for optimizer in others:
                optimizer.zero_grad()
            loss.backward()
            for optimizer in self.stepping(others):
                optimizer.step()
            self.after_step()
            sums["generator/loss"] += loss.item() / steps
        for name, value in sums.items():
            curves.setdefault(f"{self.now}{name}", {})[epoch] = value


class PlainCLSWGAN(Plain):
    """f-CLSWGAN."""

    def prepare(self):
        task, config = self.task, self.config
        places = torch.searchsorted(task.seen, task.labels)
        *_, self.seen = self.classify(
            "seen", task.features, places, len(task.seen), config.seen_batch, config.seen_lr,
            config.seen_epochs,
        )  # fmt: skip

    def optimizers(self):
        return [self.adam(self.generator, self.config.lr)]

    def loss(self, real, attributes, labels, noises):
        fake = self.make(noises[0], attributes)
        places = torch.searchsorted(self.task.seen, labels)
        nll = F.nll_loss(F.log_softmax(self.seen(fake), 1), places)
        return -self.score(fake, attributes) + self.config.classification * nll


class PlainVAEGAN(Plain):
    """f-VAEGAN-D2 without D2."""

    last = nn.Sigmoid
    noises = 2

    def prepare(self):
        self.attributes = self.attributes / self.attributes.norm(dim=1, keepdim=True)
        inputs = self.task.features.shape[1] + self.attributes.shape[1]
        hidden, noise = self.config.encoder_hidden, self.config.noise
        self.encoder = nn.Sequential(
            self.linear("init/encoder/first", inputs, hidden),
            nn.LeakyReLU(0.2),
            self.linear("init/encoder/second", hidden, 2 * noise),
            nn.LeakyReLU(0.2),
            self.linear("init/encoder/heads", 2 * noise, 2 * noise),
        )

    def optimizers(self):
        lr = self.config.lr
        return [self.adam(self.generator, lr), self.adam(self.encoder, lr, 0.9)]

    def encode(self, real, attributes):
        return self.encoder(torch.cat([real, attributes], 1)).chunk(2, 1)

    def latent(self, real, attributes, noise):
        if not self.config.encoded_noise:
            return noise
        mean, log_var = self.encode(real, attributes)
        return mean + noise * torch.exp(0.5 * log_var)

    def loss(self, real, attributes, labels, noises):
        mean, log_var = self.encode(real, attributes)
        made = self.make(mean + noises[0] * torch.exp(0.5 * log_var), attributes)
        bce = F.binary_cross_entropy(made, real, reduction="sum") / len(real)
        kl = -0.5 * (1 + log_var - mean**2 - log_var.exp()).sum() / len(real)
        if not self.config.encoded_noise:
            made = self.from_noise(noises[1], attributes, made)
        adversarial = -self.config.gamma * self.score(made, attributes)
        return bce + kl + adversarial + self.of_generated(made, attributes)

    def from_noise(self, noise, attributes, reconstruction):
        return self.make(noise, attributes)

    def of_generated(self, generated, attributes):
        return 0.0


def beside(task, method, plain, settings, numbers=(3, 4, 5, 6)):
    """Two runs trained as one end where each ends in plain torch."""
    test = torch.rand(5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    sinks = train(task, (3, 8), test, method, **settings)
    for seed, sink in zip((3, 8), sinks, strict=True):
        scores, curves = plain(task, seed, method.Config(**settings)).train(test)
        assert list(sink.scores) == list(scores) == list(numbers)
        for number, wanted in scores.items():
            torch.testing.assert_close(sink.scores[number], wanted, rtol=1e-8, atol=1e-9)
        for name, wanted in curves.items():
            assert sink.curves[name] == pytest.approx(wanted, rel=1e-8)
        assert sink.done[0] == sink.done[1]
