"""CVAE-ZSL beside a transcription of its loss and a loop in plain torch."""

from __future__ import annotations

import math

import pytest
import torch
from gzsl_bench_feature_vae.cvae import CVAE, CVAEConfig, CVAENetworks, cvae_losses
from gzsl_bench_feature_vae.svm import svm_scores
from sklearn.svm import SVC
from torch.nn import functional as F

SETTINGS = {
    "batch": 8,
    "epochs": 3,
    "lr": 0.01,
    "latent": 3,
    "encoder_hidden": 9,
    "decoder_hidden": 10,
    "dropout": 0.4,
    "kl": 0.6,
    "samples": 5,
    "classifier_epochs": 2,
    "classifier_batch": 7,
    "classifier_lr": 0.02,
}
D, A, B = 6, 4, 5


def test_terms_and_gradients(seeded, same_gradients):
    networks = CVAENetworks(seeded, CVAEConfig(**SETTINGS), D, A, {"dtype": torch.float64})
    source = torch.Generator().manual_seed(2)

    def normal(*shape):
        return torch.randn(*shape, generator=source, dtype=torch.float64)

    x, a, e = normal(2, B, D), normal(2, B, A), normal(2, 1, 3)
    kept = normal(2, B, 9) > 0
    share = torch.tensor([[0.25, 0.25, 0.25, 0.25, 0.0]], dtype=torch.float64).expand(2, B)
    weights = torch.tensor([0.6, 1.7], dtype=torch.float64)
    terms = cvae_losses(networks, x, a, e, kept, share, 0.4, weights)

    def wanted(r, p):
        reconstruction = kl = 0.0
        for b in range(4):  # the fifth row has no share
            hidden = F.linear(torch.cat([x[r, b], a[r, b]]), *p["first"]).relu()
            hidden = torch.where(kept[r, b], hidden / 0.6, 0.0)
            hidden = F.linear(hidden, *p["second"]).relu()
            mu, lv = F.linear(hidden, *p["mu"]), F.linear(hidden, *p["logvar"])
            z = mu + torch.exp(lv / 2) * e[r, 0]
            made = F.linear(torch.cat([z, a[r, b]]), *p["decoder"]).relu()
            made = F.linear(made, *p["output"])
            reconstruction = reconstruction + F.mse_loss(made, x[r, b]) / 4
            kl = kl + 0.5 * sum(lv[i].exp() + mu[i] ** 2 - 1 - lv[i] for i in range(3)) / 4
        loss = reconstruction + weights[r] * kl
        return {"reconstruction": reconstruction, "kl": kl, "loss": loss}

    everything = slice(None)
    places = {
        "first": (networks.first, everything),
        "second": (networks.encoder.hidden, everything),
        "mu": (networks.encoder.heads, slice(0, 3)),
        "logvar": (networks.encoder.heads, slice(3, 6)),
        "decoder": (networks.generator.hidden, everything),
        "output": (networks.generator.output, everything),
    }
    same_gradients(terms, places, wanted)


def loop(run, test):
    """Keras's loop: passes over shuffled rows, the last batch of a pass as small as it comes."""
    config, task = run.config, run.task
    first = run.linear("encoder/first", D + A, 9)
    encoder = run.perceptron("encoder", 9, 9, 6, "heads", heads=2)
    decoder = run.perceptron("decoder", 3 + A, 10, D)
    modules = (first, encoder, decoder)
    adam = torch.optim.Adam([p for m in modules for p in m.parameters()], lr=config.lr)
    rows, losses = len(task.labels), []
    for _ in range(config.epochs):
        order = torch.randperm(rows, generator=run.stream("batches"))
        steps = math.ceil(rows / 8)
        drawn = 1 if config.shared_noise else 8
        noise = torch.randn(steps, drawn, 3, generator=run.stream("noise")).double()
        kept = torch.rand(steps, 8, 9, generator=run.stream("dropout")) >= config.dropout
        total = 0.0
        for step, picked in enumerate(torch.split(order, 8)):
            n = len(picked)
            x, a = task.features[picked], task.attributes[task.labels[picked]]
            hidden = first(torch.cat([x, a], 1)).relu() * kept[step, :n] / (1 - config.dropout)
            mu, lv = encoder(hidden).chunk(2, 1)
            z = mu + torch.exp(lv / 2) * noise[step, :n]
            kl = 0.5 * (lv.exp() + mu**2 - 1 - lv).sum(1).mean()
            loss = F.mse_loss(decoder(torch.cat([z, a], 1)), x) + config.kl * kl
            adam.zero_grad()
            loss.backward()
            adam.step()
            total += loss.item() / steps
        losses.append(total)
    made = task.unseen.repeat_interleave(config.samples)
    z = torch.randn(len(made), 3, generator=run.stream("synthetic")).double()
    with torch.no_grad():
        synthetic = decoder(torch.cat([z, task.attributes[made]], 1))
        both = F.normalize(torch.cat([task.features, synthetic]), dim=1)
    labels = torch.cat([task.labels, made])
    scores = {}
    for k, model in enumerate(run.softmax(both, labels, 7, 0.02, config.classifier_epochs), 1):
        scores[k] = model(F.normalize(test, dim=1)).detach()
    return scores, {"loss": losses}


@pytest.mark.parametrize("shared", [True, False])
def test_it_is_the_plain_loop(task, train, test_rows, plain, agree, shared):
    settings = SETTINGS | {"shared_noise": shared}
    sinks = train(CVAE, **settings)
    config = CVAEConfig(**settings)
    agree(sinks, [loop(plain(task, seed, config), test_rows) for seed in (3, 8)])


def test_an_svm_is_scikit_learns(task, train, test_rows):
    (sink,) = train(CVAE, (3,), **SETTINGS, classifier="svm")
    assert list(sink.scores) == [1]
    assert sink.scores[1].shape == (5, 6)
    labels = torch.cat([task.labels, torch.tensor([4, 4, 4])])  # nothing of class 1
    rows = torch.cat([task.features, 3 + test_rows[:3]])
    scores = svm_scores(rows, labels, task, 100.0)(rows)
    theirs = SVC(C=100.0, gamma=1 / D).fit(rows, labels).predict(rows)
    assert scores.argmax(1).tolist() == theirs.tolist()
    assert scores.shape == (32, 6)
    two = labels < 3
    scores = svm_scores(rows[two], labels[two], task, 100.0)(rows)
    theirs = SVC(C=100.0, gamma=1 / D).fit(rows[two], labels[two]).predict(rows)
    assert scores.argmax(1).tolist() == theirs.tolist()


def test_generated_features_can_be_drawn(train):
    (sink,) = train(CVAE, (3,), **SETTINGS)
    latents = sink.latents[1]
    assert latents.shape == (3, 6)
    torch.testing.assert_close(latents.norm(dim=1), torch.ones(3, dtype=torch.float64))
    assert torch.equal(latents, sink.latents[2])
    assert not torch.equal(latents[0], latents[2])  # the same class, other noise
