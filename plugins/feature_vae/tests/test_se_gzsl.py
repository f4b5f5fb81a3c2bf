"""SE-GZSL beside a transcription of its losses and a loop in plain torch."""

from __future__ import annotations

import math

import pytest
import torch
from gzsl_bench_feature_vae.se_gzsl import (
    SEGZSL,
    SEGZSLConfig,
    SENetworks,
    generator_terms,
    regressor_terms,
)

from gzsl_bench.stacked.draws import subset_block

D, A, Z, B = 6, 4, 3, 5
SETTINGS = {
    "batch": 8,
    "epochs": 3,
    "lr": 0.01,
    "latent": Z,
    "encoder_hidden": 9,
    "generator_hidden": 10,
    "regressor_hidden": 7,
    "generated": 0.3,
    "consistency": 0.4,
    "prior": 0.2,
    "independence": 0.6,
    "samples": 5,
    "seen_samples": 2,
    "classifier_epochs": 2,
    "classifier_batch": 7,
    "classifier_lr": 0.02,
}
WEIGHTS = torch.tensor([[0.3, 0.9], [0.4, 0.1], [0.2, 0.8], [0.6, 1.1]], dtype=torch.float64)


def layer(p, x, name):
    weight, bias = p[name]
    return weight @ x + bias


def decode(p, name, *parts):
    return layer(p, layer(p, torch.cat(parts), f"{name}.hidden").relu(), f"{name}.output")


def encode(p, x):
    hidden = layer(p, x, "encoder.hidden").relu()
    return layer(p, hidden, "mu"), layer(p, hidden, "logvar")


def likelihood(x, y):
    return 0.5 * sum((x[i] - y[i]) ** 2 for i in range(len(x)))


def kl(mu, lv):
    return 0.5 * sum(lv[i].exp() + mu[i] ** 2 - 1 - lv[i] for i in range(Z))


def places(networks):
    everything = slice(None)
    found = {
        "encoder.hidden": (networks.encoder.hidden, everything),
        "mu": (networks.encoder.heads, slice(0, Z)),
        "logvar": (networks.encoder.heads, slice(Z, 2 * Z)),
    }
    for name in ("generator", "regressor"):
        part = getattr(networks, name)
        found[f"{name}.hidden"] = (part.hidden, everything)
        found[f"{name}.output"] = (part.output, everything)
    return found


@pytest.fixture
def given(seeded):
    networks = SENetworks(seeded, SEGZSLConfig(**SETTINGS), D, A, {"dtype": torch.float64})
    source = torch.Generator().manual_seed(2)
    shapes = ((2, B, D), (2, B, A), (3, 2, B, Z), (2, B, A))
    return networks, [torch.randn(*s, generator=source, dtype=torch.float64) for s in shapes]


def test_terms_of_the_regressor(given, same_gradients):
    networks, (x, a, e, _) = given

    def wanted(r, p):
        real = made = 0.0
        for b in range(B):
            fake = decode(p, "generator", e[2, r, b], a[r, b]).detach()
            real = real + likelihood(a[r, b], decode(p, "regressor", x[r, b])) / B
            made = made + likelihood(a[r, b], decode(p, "regressor", fake)) / B
        return {"real": real, "generated": made, "loss": real + WEIGHTS[0, r] * made}

    same_gradients(regressor_terms(networks, x, a, e[2], WEIGHTS[0]), places(networks), wanted)


@pytest.mark.parametrize("imagine", [False, True])
def test_terms_of_encoder_and_generator(given, same_gradients, imagine):
    networks, (x, a, e, other) = given
    asked = other if imagine else a

    def wanted(r, p):
        p = p | {n: tuple(t.detach() for t in p[n]) for n in p if n.startswith("regressor")}
        terms = dict.fromkeys(("reconstruction", "kl", "consistency", "prior", "independence"), 0.0)
        for b in range(B):
            mu, lv = encode(p, x[r, b])
            z = mu + torch.exp(lv / 2) * e[0, r, b]
            made = decode(p, "generator", e[1, r, b], a[r, b])
            read = decode(p, "regressor", decode(p, "generator", e[1, r, b], asked[r, b]))
            for name, value in (
                ("reconstruction", likelihood(x[r, b], decode(p, "generator", z, a[r, b]))),
                ("kl", kl(mu, lv)),
                ("consistency", likelihood(asked[r, b], read)),
                ("prior", likelihood(x[r, b], made)),
                ("independence", kl(*encode(p, made))),
            ):
                terms[name] = terms[name] + value / B
        _, c, g, i = WEIGHTS[:, r]
        loss = terms["reconstruction"] + terms["kl"] + c * terms["consistency"]
        return terms | {"loss": loss + g * terms["prior"] + i * terms["independence"]}

    terms = generator_terms(
        networks, x, a, e[:2], [WEIGHTS[1], WEIGHTS[2], WEIGHTS[3]], other if imagine else None
    )
    same_gradients(terms, places(networks), wanted)


def loop(run, test):
    config, task = run.config, run.task
    encoder = run.perceptron("encoder", D, 9, 2 * Z, "heads", heads=2)
    generator = run.perceptron("generator", Z + A, 10, D)
    regressor = run.perceptron("regressor", D, 7, A)
    of_regressor = torch.optim.Adam(regressor.parameters(), lr=config.lr)
    of_generator = torch.optim.Adam([*encoder.parameters(), *generator.parameters()], lr=config.lr)

    def error(target, output):
        return 0.5 * ((target - output) ** 2).sum(1).mean()

    def make(z, a):
        return generator(torch.cat([z, a], 1))

    def divergence(mu, lv):
        return 0.5 * (lv.exp() + mu**2 - 1 - lv).sum(1).mean()

    steps, curves = math.ceil(len(task.labels) / 8), {"regressor/loss": [], "generator/loss": []}
    for _ in range(config.epochs):
        chosen = subset_block(len(task.labels), 8, steps, run.stream("batches"))
        noise = torch.randn(steps, 3, 8, Z, generator=run.stream("noise")).double()
        imagined = torch.randint(6, (steps, 8), generator=run.stream("imagined"))
        sums = dict.fromkeys(curves, 0.0)
        for picked, e, others in zip(chosen, noise, imagined, strict=True):
            x, a = task.features[picked], task.attributes[task.labels[picked]]
            loss = error(a, regressor(x))
            loss = loss + config.generated * error(a, regressor(make(e[2], a).detach()))
            of_regressor.zero_grad()
            loss.backward()
            of_regressor.step()
            sums["regressor/loss"] += loss.item() / steps
            mu, lv = encoder(x).chunk(2, 1)
            made = make(e[1], a)
            asked = task.attributes[others] if config.unseen_consistency else a
            loss = error(x, make(mu + torch.exp(lv / 2) * e[0], a)) + divergence(mu, lv)
            loss = loss + config.consistency * error(asked, regressor(make(e[1], asked)))
            loss = loss + config.prior * error(x, made)
            loss = loss + config.independence * divergence(*encoder(made).chunk(2, 1))
            of_generator.zero_grad()
            loss.backward()
            of_generator.step()
            sums["generator/loss"] += loss.item() / steps
        for name, value in sums.items():
            curves[name].append(value)
    made = torch.cat([task.seen.repeat_interleave(2), task.unseen.repeat_interleave(5)])
    z = torch.randn(len(made), Z, generator=run.stream("synthetic")).double()
    rows = torch.cat([task.features, make(z, task.attributes[made]).detach()])
    models = run.softmax(rows, torch.cat([task.labels, made]), 7, 0.02, 2)
    return {k: model(test).detach() for k, model in enumerate(models, 1)}, curves


@pytest.mark.parametrize("unseen", [False, True])
def test_it_is_the_plain_loop(task, train, test_rows, plain, agree, unseen):
    settings = SETTINGS | {"unseen_consistency": unseen}
    sinks, config = train(SEGZSL, **settings), SEGZSLConfig(**settings)
    agree(sinks, [loop(plain(task, seed, config), test_rows) for seed in (3, 8)])
