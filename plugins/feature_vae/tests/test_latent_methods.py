"""DE-VAE and Disentangled-VAE beside transcriptions of their losses and loops in plain torch."""

from __future__ import annotations

import math

import pytest
import torch
from gzsl_bench_feature_vae.de_vae import DEVAE, DEVAEConfig, DEVAENetworks, de_vae_losses
from gzsl_bench_feature_vae.disentangled import (
    RECIPES,
    DisentangledConfig,
    DisentangledNetworks,
    DisentangledVAE,
    disentangled_losses,
)
from torch import nn
from torch.nn import functional as F

from gzsl_bench import DatasetInfo
from gzsl_bench.stacked.draws import subset_block

D, A, L, B, C = 6, 4, 3, 5, 6
SETTINGS = {
    "latent": L,
    "visual_encoder_hidden": 9,
    "visual_decoder_hidden": 8,
    "attribute_encoder_hidden": 7,
    "batch": 8,
    "epochs": 3,
    "lr": 0.01,
    "kl_end": 2,
    "distance_start": 0,
    "distance_end": 2,
    "seen_samples": 9,
    "unseen_samples": 4,
    "classifier_epochs": 2,
    "classifier_batch": 7,
    "classifier_lr": 0.02,
}
DE = SETTINGS | {"embedding_hidden": 10, "embedding_factor": 0.7}
APART = SETTINGS | {
    "attribute_decoder_hidden": 5,
    "cross_start": 0,
    "cross_end": 2,
    "excluded_kl": 3.0,
    "shuffled": 0.8,
    "triplet": 0.6,
    "margin": 1.0,
}


def layer(p, x, name):
    weight, bias = p[name]
    return weight @ x + bias


def kl(mu, lv):
    return -0.5 * sum(1 + lv[i] - mu[i] ** 2 - lv[i].exp() for i in range(L))


def distance(mu, lv, nu, lw):
    gaps = [(mu[i] - nu[i]) ** 2 for i in range(L)]
    gaps += [((lv[i] / 2).exp() - (lw[i] / 2).exp()) ** 2 for i in range(L)]
    return sum(gaps).sqrt()


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


X, E = normal(2, B, D, seed=1).sigmoid(), normal(2, B, A, seed=2).abs()
NOISE = [normal(2, B, 1, seed=s) for s in range(3, 7)]
WEIGHTS = [normal(2, seed=s).abs() for s in range(7, 13)]


def heads_of(encoder, parts):
    return {name: (encoder.heads, slice(k * L, k * L + L)) for k, name in enumerate(parts)}


@pytest.mark.parametrize(("shared", "detached"), [(True, False), (False, False), (True, True)])
def test_terms_of_de_vae(seeded, same_gradients, shared, detached):
    config = DEVAEConfig(**DE, shared_encoder=shared, detached=detached)
    model = DEVAENetworks(seeded, config, features=D, attributes=A, dtype=torch.float64)
    whole = slice(None)
    places = {"de.hidden": (model.embedding[0], whole), "de.output": (model.embedding[1], whole)}
    for name in ("visual",) if shared else ("visual", "attribute"):
        encoder = getattr(model, f"{name}_encoder")
        places[f"{name}.hidden"] = (encoder.hidden, whole)
        places |= heads_of(encoder, (f"{name}.mu", f"{name}.lv"))
    places["d.hidden"] = (model.visual_decoder.hidden, whole)
    places["d.output"] = (model.visual_decoder.output, whole)

    def wanted(r, p):
        names = ("embedding", "reconstruction", "cross_reconstruction", "kl", "distance")
        terms = dict.fromkeys(names, 0.0)
        for b in range(B):
            x = X[r, b]
            mapped = layer(p, layer(p, E[r, b], "de.hidden").relu(), "de.output").relu()
            found = []
            of_a = "visual" if shared else "attribute"
            for number, (name, rows) in enumerate((("visual", x), (of_a, mapped))):
                rows = rows.detach() if detached and number else rows
                hidden = layer(p, rows, f"{name}.hidden").relu()
                mu, lv = layer(p, hidden, f"{name}.mu"), layer(p, hidden, f"{name}.lv")
                z = mu + lv.exp() * NOISE[number][r, b, 0]
                made = layer(p, layer(p, z, "d.hidden").relu(), "d.output")
                found.append((mu, lv, (x - made).abs().sum()))
            (mu, lv, own), (nu, lw, cross) = found
            values = (((x - mapped) ** 2).sum(), own, cross, kl(mu, lv) + kl(nu, lw))
            for name, value in zip(names, (*values, distance(mu, lv, nu, lw)), strict=True):
                terms[name] = terms[name] + value
        loss = WEIGHTS[2][r] * terms["embedding"] + terms["reconstruction"]
        loss = loss + terms["cross_reconstruction"] + WEIGHTS[0][r] * terms["kl"]
        return terms | {"loss": loss + WEIGHTS[1][r] * terms["distance"]}

    same_gradients(
        de_vae_losses(model, X, E, NOISE[:2], WEIGHTS[:2], WEIGHTS[2], detached), places, wanted
    )


def test_terms_of_disentangled_vae(seeded, same_gradients):
    config = DisentangledConfig(**APART)
    model = DisentangledNetworks(
        seeded, config, features=D, attributes=A, classes=C, dtype=torch.float64
    )
    labels = torch.tensor([[0, 2, 2, 5, 3], [3, 3, 0, 2, 5]])
    orders = [torch.tensor([[4, 2, 0, 1, 3], [1, 0, 3, 4, 2]]), torch.tensor([[0, 3, 4, 2, 1]] * 2)]
    whole, places = slice(None), {}
    for name in ("visual", "attribute"):
        encoder, decoder = getattr(model, f"{name}_encoder"), getattr(model, f"{name}_decoder")
        places[f"{name}.hidden"] = (encoder.hidden, whole)
        places |= heads_of(encoder, (f"{name}.{part}" for part in ("dis", "dlv", "exc", "elv")))
        places[f"{name}.widen"] = (decoder.hidden, whole)
        places[f"{name}.output"] = (decoder.output, whole)
    places |= {name: (head, whole) for name, head in model.heads.items()}
    kl_w, cross_w, distance_w, excluded, shuffled, triplet_w = WEIGHTS

    def wanted(r, p):
        def decode(name, z):
            return layer(p, layer(p, z, f"{name}.widen").relu(), f"{name}.output")

        names = ("reconstruction", "kl", "classification", "triplet", "cross_reconstruction")
        terms = dict.fromkeys((*names, "distance"), 0.0)
        z, dis, exc, stats = {}, {}, {}, {}
        for m, (name, rows) in enumerate((("visual", X), ("attribute", E))):
            for b in range(B):
                hidden = layer(p, rows[r, b], f"{name}.hidden").relu()
                mu, lv, nu, lw = (
                    layer(p, hidden, f"{name}.{k}") for k in ("dis", "dlv", "exc", "elv")
                )
                dis[name, b] = mu + lv.exp() * NOISE[m][r, b, 0]
                exc[name, b] = nu + lw.exp() * NOISE[2 + m][r, b, 0]
                z[name, b], stats[name, b] = dis[name, b] + exc[name, b], (mu, lv, nu, lw)
                terms["kl"] = terms["kl"] + kl(mu, lv) + excluded[r] * kl(nu, lw)
            for b in range(B):
                mixed = dis[name, b] + exc[name, int(orders[m][r, b])]
                for head, value in (("latent", mixed), ("decoded", decode(name, mixed))):
                    logs = layer(p, value, f"{name}/{head}").log_softmax(0)
                    terms["classification"] = terms["classification"] - logs[labels[r, b]] / B
        for b in range(B):
            x, a = X[r, b], E[r, b]
            for kind, v, w in (
                ("reconstruction", "visual", "attribute"),
                ("cross_reconstruction", "attribute", "visual"),
            ):
                error = (x - decode("visual", z[v, b])).abs().sum()
                terms[kind] = terms[kind] + error + (a - decode("attribute", z[w, b])).abs().sum()
            v, w = stats["visual", b], stats["attribute", b]
            terms["distance"] = (
                terms["distance"] + distance(*v[:2], *w[:2]) + distance(*v[2:], *w[2:])
            )
        anchors, positives = (
            torch.stack([z[n, b] for b in range(B)]) for n in ("visual", "attribute")
        )
        triplet = nn.TripletMarginLoss(margin=1.0, p=2)(anchors, positives, positives.flip(0))
        terms["triplet"] = triplet
        loss = (
            terms["reconstruction"] + kl_w[r] * terms["kl"] + shuffled[r] * terms["classification"]
        )
        loss = loss + triplet_w[r] * triplet + cross_w[r] * terms["cross_reconstruction"]
        return terms | {"loss": loss + distance_w[r] * terms["distance"]}

    terms = disentangled_losses(
        model, X, E, labels, [*NOISE, *orders], WEIGHTS[:3], config, WEIGHTS[3:]
    )
    assert float(terms["triplet"].detach().min()) > 0
    same_gradients(terms, places, wanted)


def torch_kl(mu, lv):
    return -0.5 * (1 + lv - mu**2 - lv.exp()).sum()


def torch_distance(mu, lv, nu, lw):
    gap = ((mu - nu) ** 2 + ((lv / 2).exp() - (lw / 2).exp()) ** 2).sum(1)
    return gap[gap > 0].sqrt().sum()  # one encoder may send both to the same place


def steps_of(run, streams, epochs):
    """Epoch, rows and the noise of ``streams`` of every step, one epoch's after the other."""
    count = math.ceil(len(run.task.labels) / 8)
    for epoch in range(epochs):
        chosen = subset_block(len(run.task.labels), 8, count, run.stream("batches"))
        noise = [torch.randn(count, 8, 1, generator=run.stream(s)).double() for s in streams]
        orders = [
            torch.rand(count, 8, generator=run.stream(f"permutations/{n}"), dtype=torch.float64)
            for n in ("visual", "attribute")
        ]
        yield epoch, count, zip(chosen, *noise, *(o.argsort(1) for o in orders), strict=True)


def trained(run, parameters, streams, loss):
    """Curves of ``loss(share, rows, *noise)``, minimised by Adam with amsgrad."""
    adam, curve = torch.optim.Adam(parameters, lr=run.config.lr, amsgrad=True), []
    for epoch, count, steps in steps_of(run, streams, run.config.epochs):
        curve.append(0.0)
        for picked, *drawn in steps:
            value = loss(min(1.0, epoch / 2), picked, *drawn)
            adam.zero_grad()
            value.backward()
            adam.step()
            curve[-1] += value.item() / count
    return {"loss": curve}


def de_vae_loop(run, test):
    config, task = run.config, run.task
    half = {"gain": 0.5}
    deep = nn.Sequential(
        run.linear("embedding/hidden", A, 10, **half), nn.ReLU(),
        run.linear("embedding/output", 10, D, **half), nn.ReLU(),
    )  # fmt: skip
    encoders = [run.perceptron("visual/encoder", D, 9, 2 * L, "heads", heads=2, **half)]
    if not config.shared_encoder:
        encoders.append(run.perceptron("attribute/encoder", D, 7, 2 * L, "heads", heads=2, **half))
    decoder = run.perceptron("visual/decoder", L, 8, D, **half)

    def loss(share, picked, e, f, *_):
        x, a = task.features[picked], task.attributes[task.labels[picked]]
        mapped = deep(a)
        mu, lv = encoders[0](x).chunk(2, 1)
        nu, lw = encoders[-1](mapped.detach() if config.detached else mapped).chunk(2, 1)
        value = 0.7 * ((x - mapped) ** 2).sum() + (x - decoder(mu + lv.exp() * e)).abs().sum()
        value = value + (x - decoder(nu + lw.exp() * f)).abs().sum()
        value = value + 0.25 * share * (torch_kl(mu, lv) + torch_kl(nu, lw))
        return value + 8.13 * share * torch_distance(mu, lv, nu, lw)

    modules = nn.ModuleList([deep, *encoders, decoder])
    curves = trained(run, modules.parameters(), ["noise/visual", "noise/attribute"], loss)
    models = run.latent_classifier(
        lambda modality, x: encoders[0](x) if modality == "visual" else encoders[-1](deep(x))
    )
    mu = encoders[0](test)[:, :L]
    return {k: model(mu).detach() for k, model in enumerate(models, 1)}, curves


def disentangled_loop(run, test):
    task = run.task
    half, encoders, decoders, heads = {"gain": 0.5}, [], [], []
    for name, width, hidden, widen in (("visual", D, 9, 8), ("attribute", A, 7, 5)):
        encoders.append(
            run.perceptron(f"{name}/encoder", width, hidden, 4 * L, "heads", heads=4, **half)
        )
        decoders.append(run.perceptron(f"{name}/decoder", L, widen, width, **half))
        for part, inputs in (("latent", L), ("decoded", width)):
            # torch.nn.Linear: kaiming_uniform_(a=sqrt(5)) is U(-1/sqrt(in), 1/sqrt(in)).
            label = f"head/{name}/{part}"
            head = run.linear(label, inputs, C, gain=math.sqrt((inputs + C) / (6 * inputs)))
            drawn = torch.rand(C, generator=run.stream(f"init/{label}/bias"))
            with torch.no_grad():
                head.bias.copy_((drawn * 2 - 1) / math.sqrt(inputs))
            heads.append(head)

    def loss(share, picked, e, f, g, h, *orders):
        labels = task.labels[picked]
        rows = task.features[picked], task.attributes[labels]
        value, z, found = 0.0, [], []
        for m in range(2):
            mu, lv, nu, lw = encoders[m](rows[m]).chunk(4, 1)
            dis, exc = mu + lv.exp() * (e, f)[m], nu + lw.exp() * (g, h)[m]
            mixed = exc[orders[m]] + dis
            value = value + 0.25 * share * (torch_kl(mu, lv) + 3 * torch_kl(nu, lw))
            value = value + 0.8 * F.cross_entropy(heads[2 * m](mixed), labels)
            value = value + 0.8 * F.cross_entropy(heads[2 * m + 1](decoders[m](mixed)), labels)
            z.append(dis + exc)
            found.append((mu, lv, nu, lw))
        for m in range(2):
            value = value + (rows[m] - decoders[m](z[m])).abs().sum()
            value = value + 2.37 * share * (rows[m] - decoders[m](z[1 - m])).abs().sum()
        v, a = found
        both = torch_distance(*v[:2], *a[:2]) + torch_distance(*v[2:], *a[2:])
        triplet = nn.TripletMarginLoss(margin=1.0)(z[0], z[1], z[1].flip(0))
        return value + 8.13 * share * both + 0.6 * triplet

    modules = nn.ModuleList([*encoders, *decoders, *heads])
    noises = ["noise/visual", "noise/attribute", "noise/visual/other", "noise/attribute/other"]
    curves = trained(run, modules.parameters(), noises, loss)
    models = run.latent_classifier(lambda m, x: encoders[m == "attribute"](x)[:, : 2 * L])
    mu = encoders[0](test)[:, :L]
    return {k: model(mu).detach() for k, model in enumerate(models, 1)}, curves


@pytest.mark.parametrize(
    ("method", "loop", "settings"),
    [
        (DEVAE, de_vae_loop, DE),
        (DEVAE, de_vae_loop, DE | {"shared_encoder": False, "detached": True}),
        (DisentangledVAE, disentangled_loop, APART),
    ],
)
def test_it_is_the_plain_loop(task, train, test_rows, plain, agree, method, loop, settings):
    sinks, config = train(method, **settings), method.Config(**settings)
    agree(sinks, [loop(plain(task, seed, config), test_rows) for seed in (3, 8)])


def test_the_heads_may_begin_like_the_rest(seeded):
    config = DisentangledConfig(**APART, head_init="xavier")
    model = DisentangledNetworks(seeded, config, features=D, attributes=A, classes=C)
    for head in model.heads.values():
        assert not head.bias.any()
        assert head.weight.abs().max() <= 0.5 * math.sqrt(6 / (head.inputs + C))


def test_released_values_of_each_data_set():
    for name in (*RECIPES, "digits"):
        config = DisentangledConfig(**DisentangledVAE.defaults(DatasetInfo(name, "res101", "att")))
        assert (config.epochs, config.lr, config.excluded_kl) == (150, 1.5e-4, 20.0)
    assert RECIPES["CUB"]["unseen_samples"] == 15
    with pytest.raises(ValueError, match="cross_end"):
        DisentangledConfig(cross_start=5, cross_end=4)
