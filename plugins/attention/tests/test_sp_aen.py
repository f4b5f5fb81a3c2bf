"""SP-AEN beside plain torch, written after its sheet: modules, and autograd twice."""

from __future__ import annotations

import pytest
import torch
from gzsl_bench_attention.sp_aen import SPAEN
from gzsl_bench_attention.sp_aen_networks import Clipped, ranking_loss
from torch import nn
from torch.nn import functional as F

from gzsl_bench import DatasetInfo, Run, Task
from gzsl_bench.hooks import streams
from gzsl_bench.stacked.draws import subset_block

SETTINGS = {
    "hidden": 7, "dropout": 0.4, "batch": 6, "steps": 3, "reconstruction_epochs": 3, "epochs": 2,
    "slower_after": 1, "critic_steps": 2, "lr": 0.03, "weight_decay": 0.2, "clip": 0.9,
    "margin": 0.5, "ranking": 4.0, "adversarial": 2.0,
}  # fmt: skip
WIDTH, DIMS, SEEN = 5, 4, [0, 2, 3, 5]


@pytest.fixture
def task():
    """Four seen and two unseen classes, 19 images."""
    source = torch.Generator().manual_seed(0)
    labels = torch.tensor(SEEN)[torch.arange(19) % 4]
    features = torch.rand(19, WIDTH, generator=source, dtype=torch.float64)
    attributes = torch.randn(6, DIMS, generator=source, dtype=torch.float64)
    return Task(features, labels, attributes, torch.tensor(SEEN), torch.tensor([1, 4]))


class Sink:
    def __init__(self, features):
        self.features, self.curves, self.scores = features, {}, {}

    def log(self, step, values):
        for name, value in values.items():
            self.curves.setdefault(name, {})[step] = value

    def checkpoint(self, number, scorer):
        with torch.no_grad():
            self.scores[number] = scorer(self.features).clone()

    def progress(self, done, total):
        self.done = done, total


def train(task, seeds, rates, test, settings):
    sinks, configs = [Sink(test) for _ in seeds], [SPAEN.Config(**settings, lr=r) for r in rates]
    runs = [Run(s, task.device, c, k) for s, c, k in zip(seeds, configs, sinks, strict=True)]
    SPAEN(configs[0])._fit_stack(task, runs)
    assert all(run.failure is None for run in runs)
    return sinks


class Plain:
    """One run."""

    def __init__(self, task, seed, config):
        self.task, self.seed, self.config, self.open = task, seed, config, {}
        self.e1, self.e2 = self.layer("embedder/hidden", 5, 7), self.layer("embedder/output", 7, 4)
        act = nn.LeakyReLU(0.3)
        self.f = nn.Sequential(
            self.layer("keeper/hidden", 5, 7), act, self.layer("keeper/output", 7, 4), act
        )
        self.g = nn.Sequential(
            self.layer("decoder/hidden", 4, 7), act, self.layer("decoder/output", 7, 5), act
        )
        self.d = nn.Sequential(
            self.layer("critic/hidden", 4, 4), act, self.layer("critic/output", 4, 1)
        )  # fmt: skip
        self.end = torch.sigmoid if config.sigmoid else torch.nn.Identity()
        self.e = nn.ModuleList([self.e1, self.e2])

    def stream(self, purpose):
        return self.open.setdefault(purpose, streams.generator(self.seed, purpose))

    def layer(self, name, inputs, outputs):
        made = nn.Linear(inputs, outputs, dtype=torch.float64)
        drawn = torch.randn(outputs, inputs, generator=self.stream(f"init/{name}"))
        with torch.no_grad():
            made.weight.copy_(drawn * (2 / inputs) ** 0.5)
            made.bias.zero_()
        return made

    def adam(self, *modules):
        parameters = [p for module in modules for p in module.parameters()]
        return torch.optim.Adam(parameters, self.config.lr, (0.5, 0.999))

    def decay(self, *modules):
        """As in the released losses: half the squares of what is called weights."""
        named = [each for module in modules for each in module.named_parameters()]
        return 0.2 * sum((p**2).sum() / 2 for name, p in named if name.endswith("weight"))

    def step(self, adam, loss):
        parameters = adam.param_groups[0]["params"]
        for parameter, slope in zip(
            parameters, torch.autograd.grad(loss, parameters, materialize_grads=True), strict=True
        ):
            parameter.grad = slope * min(1.0, self.config.clip / slope.norm())
        adam.step()

    def embed(self, x, inputs=1.0, hidden=1.0):
        x = F.leaky_relu(self.e1(x * inputs), 0.3)
        return F.leaky_relu(self.e2(x * hidden), 0.3)

    def hinge(self, scores, labels, draws):
        total = 0.0
        for row, label, u in zip(scores, labels.tolist(), draws.tolist(), strict=True):
            over = [0.5 + row[c] - row[label] for c in SEEN if c != label]
            over = [h for h in over if h > 0]
            if over:
                if self.config.violators == "random":
                    total = total + over[int(u * len(over))]
                elif self.config.violators == "mean":
                    total = total + sum(over) / (len(SEEN) - 1)
                else:  # shares the gradient where all are equal: when dropout leaves nothing
                    total = total + torch.stack(over).amax()
        return total / len(labels)

    def train(self, test):
        config, task, curves, scores = self.config, self.task, {}, {}
        x, a = (F.normalize(rows, dim=1) for rows in (task.features, task.attributes))
        if config.clip_negative:
            a = F.normalize(task.attributes.relu(), dim=1)

        def log(name, epoch, value, share):
            curve = curves.setdefault(name, {})
            curve[epoch] = curve.get(epoch, 0.0) + float(torch.as_tensor(value).detach()) * share

        adam = self.adam(self.f, self.g)
        for epoch in (1, 2, 3):
            for picked in subset_block(19, 6, 3, self.stream("reconstruction")):
                z = self.f(x[picked])
                error = ((self.g(z) - x[picked]) ** 2).sum() / 6
                length = ((z.norm(dim=1) - 1) ** 2).mean()
                loss = 3 * error + 2 * length
                for name, value in (("reconstruction", error), ("length", length), ("loss", loss)):
                    log(f"keeper/{name}", epoch, value, 1 / 3)
                self.step(adam, loss + self.decay(self.f, self.g))
            if epoch == 1:
                adam.param_groups[0]["lr"] /= 10
        of_e, of_d = self.adam(self.e), self.adam(self.d)
        for epoch in (4, 5):
            rows = subset_block(19, 6, 9, self.stream("batches")).view(3, 3, 6)
            others = subset_block(19, 6, 9, self.stream("others")).view(3, 3, 6)
            others = others if config.other_images else rows
            masks = [
                torch.rand(3, 3, 6, units, generator=self.stream(f"dropout/{of}")) >= 0.4
                for of, units in (("inputs", 5), ("hidden", 7))
            ]
            masks = [mask.double() / 0.6 for mask in masks]
            mix = torch.rand(3, 2, 6, 1, generator=self.stream("interpolation")).double()
            draws = torch.rand(3, 6, generator=self.stream("violators"))
            for n in range(3):
                z = self.embed(x[rows[n, 2]], *(m[n, 2] for m in masks))
                hinge = self.hinge(z @ a.T, task.labels[rows[n, 2]], draws[n])
                score = self.end(self.d(z)).mean()
                loss = 4 * hinge - 2 * score
                for name, value in (("ranking", hinge), ("score", score), ("loss", loss)):
                    log(f"embedder/{name}", epoch, value, 1 / 3)
                self.step(of_e, loss + self.decay(self.e))
                for turn in range(2):
                    fake = self.embed(x[rows[n, turn]], *(m[n, turn] for m in masks))
                    fake, real = fake.detach(), self.f(x[others[n, turn]]).detach()
                    t = mix[n, turn]
                    between = (t * real + (1 - t) * fake).requires_grad_()
                    (slope,) = torch.autograd.grad(
                        self.d(between).sum(), between, create_graph=True
                    )
                    off = ((slope.norm(dim=1) - 1) ** 2).mean()
                    distance = self.end(self.d(real)).mean() - self.end(self.d(fake)).mean()
                    loss = 2 * (10 * off - distance)
                    for name, value in (("distance", distance), ("penalty", off), ("loss", loss)):
                        log(f"critic/{name}", epoch, value, 1 / 6)
                    self.step(of_d, loss)
            with torch.no_grad():
                scores[epoch] = self.embed(F.normalize(test, dim=1)) @ a.T
            if epoch == 4:
                of_e.param_groups[0]["lr"] /= 10
                of_d.param_groups[0]["lr"] /= 10
        return curves, scores


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"violators": "mean", "sigmoid": False, "clip": 100.0},
        {"violators": "max", "other_images": True, "clip_negative": True},
    ],
)
def test_two_runs_are_the_sheet_in_plain_torch(task, changed):
    settings = {k: v for k, v in (SETTINGS | changed).items() if k != "lr"}
    test = torch.rand(5, WIDTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    rates = 0.03, 0.05
    sinks = train(task, (3, 8), rates, test, settings)
    for seed, rate, sink in zip((3, 8), rates, sinks, strict=True):
        curves, scores = Plain(task, seed, SPAEN.Config(**settings, lr=rate)).train(test)
        assert set(sink.curves) == set(curves)
        for name, curve in curves.items():
            assert sink.curves[name] == pytest.approx(curve, rel=1e-7, abs=1e-9), name
        assert set(sink.scores) == set(scores) == {4, 5}
        for epoch, expected in scores.items():
            torch.testing.assert_close(sink.scores[epoch], expected, rtol=1e-7, atol=1e-9)
        assert sink.done == (5, 5)


def test_one_violating_class_is_drawn_evenly():
    scores = torch.tensor([[[1.0, 0.9, 0.2, 0.95, 0.85]]]).expand(1, 3000, 5)
    draws = torch.rand(1, 3000, generator=torch.Generator().manual_seed(0))
    own, margin = torch.zeros(1, 3000, dtype=torch.int64), torch.tensor([0.2])
    found = ranking_loss(scores, own, draws, margin, "random")
    assert float(found) == pytest.approx((0.1 + 0.15 + 0.05) / 3, abs=0.004)
    of_all = ranking_loss(scores, own, draws, margin, "mean")
    assert float(of_all) == pytest.approx((0.1 + 0.15 + 0.05 + 0) / 4, abs=1e-6)
    assert float(ranking_loss(scores, own, draws, margin, "max")) == pytest.approx(0.15, abs=1e-6)
    worst = torch.full_like(draws, 1 - 2**-24)
    assert float(ranking_loss(scores, own, worst, margin, "random")) == pytest.approx(
        0.05, abs=1e-6
    )
    assert float(ranking_loss(scores, own, draws, margin - 0.2, "random")) == 0


def test_gradients_are_bounded_tensor_by_tensor_and_run_by_run_after_the_decay():
    class Nothing:
        def begin(self):
            pass

        def step(self):
            pass

    gradients = [torch.tensor([[3.0, 0.0], [0.3, 0.0]]), torch.tensor([[[4.0]], [[0.4]]])]
    weights = torch.tensor([[0.0, 8.0], [0.0, 0.8]])
    Clipped(Nothing(), gradients, 1.0, [(gradients[0], weights)], 0.5).step()
    torch.testing.assert_close(gradients[0], torch.tensor([[0.6, 0.8], [0.3, 0.4]]))
    torch.testing.assert_close(gradients[1], torch.tensor([[[1.0]], [[0.4]]]))


def test_attributes_of_cub_are_clipped():
    assert SPAEN.defaults(DatasetInfo("CUB", "res101", "att")) == {"clip_negative": True}
    assert SPAEN.defaults(DatasetInfo("CUB", "res101", "sentences")) == {}
    assert SPAEN.defaults(DatasetInfo("SUN", "res101", "att")) == {}
