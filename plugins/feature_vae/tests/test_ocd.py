"""OCD-CVAE's second stage beside a transcription of its losses and a loop in plain torch."""

from __future__ import annotations

import math

import pytest
import torch
from gzsl_bench_feature_vae.ocd import OCD, OCDConfig, hard_samples, separation
from torch import nn
from torch.nn import functional as F

from gzsl_bench.stacked.draws import subset_block

D, A, Z, C = 6, 4, 3, 6
SETTINGS = {
    "batch": 8,
    "epochs": 1,
    "lr": 0.01,
    "latent": Z,
    "encoder_hidden": 9,
    "generator_hidden": 10,
    "regressor_hidden": 7,
    "consistency": 0.4,
    "samples": 5,
    "classifier_epochs": 2,
    "classifier_batch": 7,
    "classifier_lr": 0.02,
    "finetune_epochs": 2,
    "finetune_lr": 0.02,
    "statistics": 4,
    "step_classes": 3,
    "step_samples": 2,
    "triplet": 0.7,
    "margin": 0.5,
    "centre": 0.3,
}


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def triplets(rows, labels, margin, hardest):
    """Row by row, from the definition."""
    gap = [[float(((x - y) ** 2).sum()) for y in rows] for x in rows]
    number, losses = range(len(rows)), []
    for i in number:
        mates = [gap[i][j] for j in number if j != i and labels[j] == labels[i]]
        others = [gap[i][k] for k in number if labels[k] != labels[i]]
        pairs = [(max(mates), min(others))] if hardest else [(p, n) for p in mates for n in others]
        losses += [max(0.0, margin + p - n) for p, n in pairs]
    return sum(losses) / len(losses)


@pytest.mark.parametrize("hardest", [True, False])
def test_separation_is_its_definition(hardest):
    rows = F.normalize(normal(2, 4, 3, A), dim=-1).requires_grad_()
    centres = normal(2, 4, A, seed=1)
    triplet, centre = separation(rows, centres, 0.5, hardest)
    for r in range(2):
        flat, labels = rows[r].detach().flatten(0, 1), [g for g in range(4) for _ in range(3)]
        assert triplet[r].item() == pytest.approx(triplets(flat, labels, 0.5, hardest), rel=1e-9)
        pulls = [0.5 * float(((flat[i] - centres[r, g]) ** 2).sum()) for i, g in enumerate(labels)]
        assert centre[r].item() == pytest.approx(sum(pulls) / 12, rel=1e-9)
    (triplet + centre).sum().backward()
    assert rows.grad.isfinite().all()


def test_hard_samples_lie_on_the_way_to_the_nearest_class():
    means, spreads = normal(2, C, D), normal(2, C, D, seed=1).abs()
    nearest = torch.tensor([[1, 0, 5, 2, 3, 4], [2, 2, 0, 0, 1, 1]])
    classes, share, noise = (
        torch.tensor([[0, 2], [4, 1]]),
        torch.tensor([0.2, 0.5]),
        normal(2, 2, D),
    )
    made = hard_samples((means, spreads, nearest), classes, share.double()[:, None], noise, 1.5)
    for r, i in ((0, 0), (0, 1), (1, 0), (1, 1)):
        c, t = int(classes[r, i]), float(share[i])
        point = (1 - t) * means[r, c] + t * means[r, nearest[r, c]]
        torch.testing.assert_close(made[r, i], point + 1.5 * spreads[r, c] * noise[r, i])


def statistics(task, generator, stream):
    rows = task.attributes.repeat_interleave(4, 0)
    noise = torch.randn(len(rows), Z, generator=stream).double()
    made = generator(torch.cat([noise, rows], 1)).detach().view(C, 4, D)
    means = made.mean(1)
    gaps = ((means[:, None] - means) ** 2).sum(2) + torch.diag(torch.full((C,), 1e9))
    return means, made.std(1), gaps.argmin(1)


def loop(run, test, first_stage):
    """The second stage, from the networks that the first one left."""
    config, task = run.config, run.task
    encoder, generator, regressor = first_stage
    modules = nn.ModuleList([encoder, generator, regressor])
    adam = torch.optim.Adam(modules.parameters(), lr=config.finetune_lr)
    inflated = config.overcomplete == "inflated"

    def make(z, a):
        return generator(torch.cat([z, a], 1))

    def error(target, output):
        return 0.5 * ((target - output) ** 2).sum(1).mean()

    found = statistics(task, generator, run.stream("finetune/statistics"))
    centres = F.normalize(task.attributes, dim=1)
    steps, losses = math.ceil(len(task.labels) / 8), []
    for _ in range(config.finetune_epochs):
        chosen = subset_block(len(task.labels), 8, steps, run.stream("finetune/batches"))
        noise = torch.randn(steps, 2, 8, Z, generator=run.stream("finetune/noise")).double()
        classes = subset_block(C, 3, steps, run.stream("finetune/classes"))
        share = 0.5 * torch.rand(steps, 6, 1, generator=run.stream("finetune/shares")).double()
        width = Z if inflated else D
        hard = torch.randn(steps, 6, width, generator=run.stream("finetune/hard")).double()
        total = 0.0
        for step in range(steps):
            x = task.features[chosen[step]]
            a = task.attributes[task.labels[chosen[step]]]
            mu, lv = encoder(x).chunk(2, 1)
            kl = 0.5 * (lv.exp() + mu**2 - 1 - lv).sum(1).mean()
            loss = error(x, make(mu + torch.exp(lv / 2) * noise[step, 0], a)) + kl
            loss = loss + config.consistency * error(a, regressor(make(noise[step, 1], a)))
            labels = classes[step].repeat_interleave(2)
            if inflated:
                rows = make(1.5 * hard[step], task.attributes[labels])
            else:
                mean, spread, nearest = found
                point = (1 - share[step]) * mean[labels] + share[step] * mean[nearest[labels]]
                rows = point + 1.5 * spread[labels] * hard[step]
            f = F.normalize(regressor(rows), dim=1)
            gaps = ((f[:, None] - f) ** 2).sum(2)
            triplet = 0.0
            for i in range(6):
                mates = [gaps[i, j] for j in range(6) if j != i and labels[j] == labels[i]]
                others = [gaps[i, k] for k in range(6) if labels[k] != labels[i]]
                triplet = triplet + F.relu(0.5 + max(mates) - min(others)) / 6
            pull = 0.5 * ((f - centres[labels]) ** 2).sum(1).mean()
            loss = loss + config.triplet * triplet + config.centre * pull
            centres = centres.clone()
            for c in classes[step]:
                members = f.detach()[labels == c]
                centres[c] -= 0.5 * (centres[c] - members).sum(0) / (1 + len(members))
            adam.zero_grad()
            loss.backward()
            adam.step()
            total += loss.item() / steps
        losses.append(total)
    made = task.unseen.repeat_interleave(config.samples)
    if inflated:
        z = 1.5 * torch.randn(len(made), Z, generator=run.stream("synthetic")).double()
        synthetic = make(z, task.attributes[made]).detach()
    else:
        mean, spread, nearest = statistics(task, generator, run.stream("synthetic/statistics"))
        t = 0.5 * torch.rand(len(made), 1, generator=run.stream("synthetic")).double()
        noise = torch.randn(len(made), D, generator=run.stream("synthetic")).double()
        synthetic = (1 - t) * mean[made] + t * mean[nearest[made]] + 1.5 * spread[made] * noise
    rows, labels = torch.cat([task.features, synthetic]), torch.cat([task.labels, made])
    models = run.softmax(rows, labels, 7, 0.02, 2)
    return {k: model(test).detach() for k, model in enumerate(models, 1)}, {"finetune/loss": losses}


@pytest.mark.parametrize("overcomplete", ["interpolated", "inflated"])
def test_the_second_stage_is_the_plain_loop(
    task, train, test_rows, plain, agree, overcomplete, monkeypatch
):
    settings = SETTINGS | {"overcomplete": overcomplete}
    kept = []
    separate = OCD._separate

    def watched(self, task, runs, networks):
        parts = (networks.encoder, networks.generator, networks.regressor)
        copies = []
        for part in parts:
            layers = []
            for layer in part.layers:
                module = nn.Linear(layer.inputs, layer.outputs, dtype=torch.float64)
                with torch.no_grad():
                    module.weight.copy_(layer.weight[0])
                    module.bias.copy_(layer.bias[0])
                layers.append(module)
            copies.append(nn.Sequential(layers[0], nn.ReLU(), layers[1]))
        kept.append(copies)
        return separate(self, task, runs, networks)

    monkeypatch.setattr(OCD, "_separate", watched)
    sinks, config = train(OCD, **settings), OCDConfig(**settings)
    runs = [plain(task, seed, config) for seed in (3, 8)]
    agree(sinks, [loop(r, test_rows, k) for r, k in zip(runs, kept, strict=True)])


def test_all_triplets_and_fewer_classes_than_asked_for(train):
    (sink,) = train(OCD, (3,), **SETTINGS | {"triplets": "all", "step_classes": 40})
    (other,) = train(OCD, (3,), **SETTINGS | {"step_classes": 40})
    assert not torch.equal(sink.scores[2], other.scores[2])


@pytest.mark.parametrize("overcomplete", ["interpolated", "inflated"])
def test_interpolated_samples_teach_the_regressor_alone(train, overcomplete):
    # Without consistency nothing of the regressor comes to the generator.
    settings = SETTINGS | {"overcomplete": overcomplete, "consistency": 0.0}
    (sink,) = train(OCD, (3,), **settings)
    (other,) = train(OCD, (3,), **settings | {"triplet": 0.0, "centre": 0.0})
    assert torch.equal(sink.scores[2], other.scores[2]) == (overcomplete == "interpolated")
