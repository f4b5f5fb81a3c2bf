"""E-PGN beside plain torch, written after its sheet."""

from __future__ import annotations

import pytest
import torch
from gzsl_bench_feature_gan.epgn import EPGN, RECIPES
from plain_gan import Plain, Sink, beside
from torch import nn
from torch.nn import functional as F

from gzsl_bench import NotApplicable, Run, Task
from gzsl_bench.stacked.draws import subset_block

SETTINGS = {
    "hidden": 9, "critic_hidden": 10, "init_std": 0.4, "held_out": 2, "epochs": 2, "episodes": 3,
    "inner": 2, "batch": 5, "lr": 0.02, "regressor_dropout": 0.3, "critic_dropout": 0.4,
}  # fmt: skip
LAYERS = {
    "generator/hidden": (4, 9), "generator/output": (9, 6), "regressor/hidden": (6, 9),
    "regressor/output": (9, 4), "critic/hidden": (10, 10), "critic/output": (10, 1),
}  # fmt: skip


class PlainEPGN(Plain):
    def __init__(self, task, seed, config):
        self.task, self.seed, self.config, self.open = task, seed, config, {}
        self.act = torch.tanh if config.regressor_activation == "tanh" else torch.relu
        self.layers = {}
        for name, (inputs, outputs) in LAYERS.items():
            layer = self.layers[name] = nn.Linear(inputs, outputs, dtype=torch.float64)
            drawn, stream = torch.empty(outputs, inputs), self.stream(f"init/{name}")
            nn.init.trunc_normal_(drawn, std=0.4, a=-0.8, b=0.8, generator=stream)
            with torch.no_grad():
                layer.weight.copy_(drawn)
                layer.bias.fill_(0.01)

    def of(self, part):
        return [p for n, layer in self.layers.items() if n[0] in part for p in layer.parameters()]

    def g(self, a):
        return torch.relu(self.layers["generator/output"](
            torch.tanh(self.layers["generator/hidden"](a))))  # fmt: skip

    def f(self, x, kept):
        hidden = self.act(self.layers["regressor/hidden"](x)) * kept / 0.7
        return torch.relu(self.layers["regressor/output"](hidden))

    def d(self, x, a, kept):
        hidden = torch.relu(self.layers["critic/hidden"](torch.cat([x, a], 1))) * kept / 0.6
        return torch.sigmoid(self.layers["critic/output"](hidden))[:, 0]

    def train(self, test):
        task, config = self.task, self.config
        adams = {
            name: torch.optim.Adam(self.of(part), lr=lr)
            for name, part, lr in (
                ("base", "gr", 0.02), ("d", "c", 0.02), ("g", "gr", 0.02), ("inner", "g", 0.002),
                ("error", "g", 0.02),
            )
        }  # fmt: skip

        def step(name, loss):
            for adam in adams.values():
                adam.zero_grad()
            loss.backward()
            adams[name].step()
            return loss.item()

        most = int(torch.bincount(task.labels)[task.seen].topk(2).values.sum())
        batch = min(5, len(task.labels) - most)
        scores, curves = {}, {"base/loss": {}, "held_out/loss": {}}
        if config.adversarial:
            curves |= {"critic/loss": {}, "adversarial/loss": {}}
        elif config.log_error:
            curves |= {"log_error/loss": {}}
        for epoch in (1, 2):
            stream = self.stream("episodes")
            held_out = task.seen[torch.randperm(4, generator=stream)[:2]]
            rest = [n for n, y in enumerate(task.labels) if y not in held_out]
            others = [n for n, y in enumerate(task.labels) if y in held_out]
            batches = torch.tensor(rest)[subset_block(len(rest), batch, 3, stream)]
            kept_f = torch.rand(1, 3, 3, batch, 9, generator=self.stream("regressor/dropout"))[0]
            kept_d = torch.rand(1, 3, 3, batch, 10, generator=self.stream("critic/dropout"))[0]
            kept_f, kept_d = kept_f >= 0.3, kept_d >= 0.4
            sums = dict.fromkeys(curves, 0.0)
            for e, picked in enumerate(batches):
                x, y = task.features[picked], task.labels[picked]
                a, places = task.attributes[y], torch.searchsorted(task.seen, y)
                seen, back = task.attributes[task.seen], self.f(x, kept_f[e, 0])
                loss = (
                    F.mse_loss(self.g(a), x) + F.mse_loss(back, a)
                    + F.cross_entropy(x @ self.g(seen).t(), places)
                    + F.cross_entropy(back @ seen.t(), places)
                )  # fmt: skip
                sums["base/loss"] += step("base", loss) / 3
                if not config.adversarial:
                    if config.log_error:
                        loss = ((x - self.g(a)) ** 2).sum(1).mean().log()
                        sums["log_error/loss"] += step("error", loss) / 3
                    continue
                real = self.d(x, a, kept_d[e, 0])
                fake = self.d(self.g(a).detach(), self.f(x, kept_f[e, 1]).detach(), kept_d[e, 1])
                loss = -(real.log() + (1 - fake).log()).mean()
                sums["critic/loss"] += step("d", loss) / 3
                loss = -self.d(self.g(a), self.f(x, kept_f[e, 2]), kept_d[e, 2]).log().mean()
                sums["adversarial/loss"] += step("g", loss) / 3
            for _ in range(2):
                x = task.features[others]
                off = ((x[:, None] - self.g(task.attributes[task.seen])) ** 2).mean(2)
                places = torch.searchsorted(task.seen, task.labels[others])
                if config.held_out_softmax == "classes":
                    loss = F.cross_entropy(-off, places)
                else:  # of each class over the images; an image's own class counts
                    of_images = (-off).t().log_softmax(-1)
                    loss = -of_images[places, torch.arange(len(x))].mean()
                sums["held_out/loss"] += step("inner", loss) / 2
            for name, value in sums.items():
                curves[name][epoch] = value
            with torch.no_grad():
                off = (test[:, None] - self.g(task.attributes)) ** 2
                scores[epoch] = -off.mean(2)
        return scores, curves


@pytest.mark.parametrize(
    "more",
    [
        {"adversarial": True, "held_out_softmax": "classes"},
        {"regressor_activation": "relu"},
        {"log_error": True},
    ],
)
def test_it_is_the_sheet_in_plain_torch(task, more):
    beside(task, EPGN, PlainEPGN, SETTINGS | more, (1, 2))


def test_by_default_it_learns_and_goes_on_learning():
    """On features as ReLUs give them; against a discriminator both maps end constant."""
    source, labels = torch.Generator().manual_seed(0), torch.arange(20).repeat_interleave(20)
    embeddings = 20 * F.normalize(torch.randn(20, 16, generator=source), dim=1)
    means = (embeddings - embeddings.mean(0)) / 20 @ torch.randn(16, 64, generator=source)
    features = (means[labels] + 0.5 * torch.randn(400, 64, generator=source)).relu()
    seen = labels < 14
    task = Task(features[seen], labels[seen], embeddings, torch.arange(14), torch.arange(14, 20))
    sink = Sink(features)
    config = EPGN.Config(hidden=64, critic_hidden=64, held_out=3, epochs=4, init_std=0.05, lr=2e-4)
    EPGN(config).fit_batch(task, [Run(0, task.device, config, sink)])
    scores = sink.scores[4]
    assert (scores.argmax(1) == labels)[seen].double().mean() > 0.95
    assert (scores[:, 14:].argmax(1) + 14 == labels)[~seen].double().mean() > 0.6
    assert EPGN.differs(config) == "no discriminator"


def test_one_seen_class_cannot_be_held_out():
    seen, unseen = torch.tensor([0]), torch.tensor([1])
    task = Task(torch.rand(3, 2), torch.zeros(3, dtype=torch.int64), torch.eye(2), seen, unseen)
    with pytest.raises(NotApplicable, match="there must be two"):
        EPGN(EPGN.Config()).fit_batch(task, [])


def test_the_released_values():
    assert EPGN.Config(**RECIPES["AWA2"]).lr == 2e-4
    assert EPGN.Config(**RECIPES["AWA1"]).inner == 100
    assert EPGN.Config(**RECIPES["AWA1"]).held_out_softmax == "classes"
    assert EPGN.Config(**RECIPES["FLO"]).held_out_softmax == "images"
