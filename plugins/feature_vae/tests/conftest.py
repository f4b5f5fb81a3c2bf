"""What the tests of every method share: a tiny task, a training, and pieces of plain torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gzsl_bench import Run, Task
from gzsl_bench.hooks import streams


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny tensors: a second thread costs more than it brings."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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


@pytest.fixture(scope="session")
def task():
    source = torch.Generator().manual_seed(0)
    seen, unseen = torch.tensor([0, 2, 3, 5]), torch.tensor([1, 4])
    labels = seen[torch.randint(4, (29,), generator=source)]
    labels[:4] = seen
    features = torch.rand(29, 6, generator=source, dtype=torch.float64)
    attributes = torch.rand(6, 4, generator=source, dtype=torch.float64)
    return Task(features, labels, attributes, seen, unseen)


@pytest.fixture(scope="session")
def test_rows():
    return torch.rand(5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture(scope="session")
def train(task, test_rows):
    """Train a method in one stack of two seeds."""

    def trained(method, seeds=(3, 8), **settings):
        configs = [method.Config(**settings) for _ in seeds]
        sinks = [Sink(test_rows) for _ in seeds]
        runs = [
            Run(seed, task.device, config, sink)
            for seed, config, sink in zip(seeds, configs, sinks, strict=True)
        ]
        method(configs[0]).fit_batch(task, runs)
        assert [run.failure for run in runs] == [None] * len(runs)
        assert all(sink.done[0] == sink.done[1] for sink in sinks)
        return sinks

    return trained


class Seeded:
    def __init__(self, seed):
        self.seed = seed

    def generator(self, purpose):
        return streams.generator(self.seed, purpose)


class Plain:
    """One run in plain torch: modules, autograd, torch.optim; streams by the names of the method's.

    Every ``linear`` begins where a ``Linear`` of the toolkit of the same stream does.
    """

    def __init__(self, task, seed, config):
        self.task, self.seed, self.config = task, seed, config
        self.open = {}

    def stream(self, purpose):
        return self.open.setdefault(purpose, streams.generator(self.seed, purpose))

    def linear(self, name, inputs, outputs, *, heads=1, gain=1.0, std=None):
        layer = nn.Linear(inputs, outputs, dtype=torch.float64)
        stream = streams.generator(self.seed, f"init/{name}")
        bound = gain * math.sqrt(6 / (inputs + outputs // heads))
        drawn = (torch.rand(outputs * inputs, generator=stream) * 2 - 1).view(outputs, inputs)
        with torch.no_grad():
            layer.weight.copy_(drawn * bound)
            layer.bias.zero_()
        return layer

    def perceptron(self, name, inputs, hidden, outputs, last="output", **how):
        """An encoder or decoder of the toolkit: one hidden layer."""
        return nn.Sequential(
            self.linear(f"{name}/hidden", inputs, hidden, gain=how.get("gain", 1.0)),
            nn.ReLU(),
            self.linear(f"{name}/{last}", hidden, outputs, **how),
        )

    def softmax(self, rows, labels, batch, lr, epochs, betas=(0.9, 0.999), decay=0.0):
        """Linear softmax; batches as one shuffle after another gives them; yields every epoch."""
        model = nn.Linear(rows.shape[1], self.task.num_classes, dtype=torch.float64)
        drawn = torch.randn(*model.weight.shape, generator=self.stream("classifier/init"))
        with torch.no_grad():
            model.weight.copy_(drawn * 0.02)
            model.bias.zero_()
        adam = torch.optim.Adam(model.parameters(), lr=lr, betas=betas, weight_decay=decay)
        left = torch.empty(0, dtype=torch.int64)
        for _ in range(epochs):
            for _ in range(math.ceil(len(rows) / batch)):
                picked, left = left[:batch], left[batch:]
                if len(picked) < batch:
                    stream = self.stream("classifier/shuffle")
                    shuffle = torch.randperm(len(rows), generator=stream)
                    lacking = batch - len(picked)
                    picked, left = torch.cat([picked, shuffle[:lacking]]), shuffle[lacking:]
                adam.zero_grad()
                F.cross_entropy(model(rows[picked]), labels[picked]).backward()
                adam.step()
            yield model

    def latent_classifier(self, statistics):
        """CADA-VAE's: latents of the first images, tiled, and of embeddings; yields every epoch.

        ``statistics`` maps a modality and its rows to means and log-variances side by side.
        """
        task, config = self.task, self.config
        rows = [
            (task.labels == c).nonzero().flatten()[k % int((task.labels == c).sum())]
            for c in task.seen
            for k in range(config.seen_samples)
        ]
        rows = torch.stack(rows)
        unseen = task.unseen.repeat_interleave(config.unseen_samples)
        inputs = []
        for modality, x, stream in (
            ("visual", task.features[rows], "latents/visual"),
            ("attribute", task.attributes[unseen], "latents/attributes"),
        ):
            mu, lv = statistics(modality, x).detach().chunk(2, 1)
            inputs.append(mu + lv.exp() * torch.randn(len(x), 1, generator=self.stream(stream)))
        inputs, labels = torch.cat(inputs), torch.cat([task.labels[rows], unseen])
        classes, batch = task.num_classes, config.classifier_batch
        model = nn.Linear(config.latent, classes, dtype=torch.float64)
        drawn = torch.rand(classes, config.latent, generator=self.stream("classifier/init"))
        with torch.no_grad():
            bound = config.init_gain * math.sqrt(6 / (config.latent + classes))
            model.weight.copy_((drawn * 2 - 1) * bound)
            model.bias.zero_()
        adam = torch.optim.Adam(model.parameters(), lr=config.classifier_lr, betas=(0.5, 0.999))
        for _ in range(config.classifier_epochs):
            order = torch.randperm(len(labels), generator=self.stream("classifier/shuffle"))
            for picked in order[: len(order) // batch * batch].split(batch):
                adam.zero_grad()
                F.cross_entropy(model(inputs[picked]), labels[picked]).backward()
                adam.step()
            yield model


@pytest.fixture(scope="session")
def plain():
    return Plain


@pytest.fixture(scope="session")
def agree():
    """A stack's training beside the plain one of every seed: (scores, curves) of each."""

    def compare(sinks, plains):
        for sink, (scores, curves) in zip(sinks, plains, strict=True):
            assert list(sink.scores) == list(scores)
            for number, wanted in scores.items():
                torch.testing.assert_close(sink.scores[number], wanted, rtol=1e-7, atol=1e-9)
            for name, wanted in curves.items():
                assert list(sink.curves[name].values()) == pytest.approx(wanted, rel=1e-7), name

    return compare


@pytest.fixture(scope="session")
def seeded():
    return [Seeded(4), Seeded(7)]


@pytest.fixture(scope="session")
def same_gradients():
    """``terms`` of a stack beside ``wanted(run, parameters)``, float64, values and gradients.

    ``places`` names every layer of the transcription: its layer and rows of outputs in the stack.
    """

    def compare(terms, places, wanted):
        terms["loss"].sum().backward()
        for r in range(len(terms["loss"])):
            leaves = {
                name: (
                    layer.weight[r, rows].detach().clone().requires_grad_(),
                    layer.bias[r, rows].detach().clone().requires_grad_(),
                )
                for name, (layer, rows) in places.items()
            }
            expected = wanted(r, leaves)
            assert set(terms) == set(expected)
            for name, value in expected.items():
                assert terms[name][r].item() == pytest.approx(float(value.detach()), rel=1e-6), name
            expected["loss"].backward()
            for name, (layer, rows) in places.items():
                weight, bias = leaves[name]
                for got, leaf in ((layer.weight_grad, weight), (layer.bias_grad, bias)):
                    slope = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
                    torch.testing.assert_close(got[r, rows], slope, rtol=1e-6, atol=1e-9)

    return compare
