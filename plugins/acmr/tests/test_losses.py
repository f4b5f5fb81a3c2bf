"""Loss terms and gradients of ACMR against a plain float64 transcription of the formulas.

Everything below is written sample by sample and channel by channel from the description of the
released code; nothing of the plugin or of the harness's toolkit takes part in the expected values.
"""

from __future__ import annotations

import math

import pytest
import torch
from gzsl_bench_acmr.config import ACMRConfig
from gzsl_bench_acmr.losses import StepDraws, acmr_losses
from gzsl_bench_acmr.networks import ACMRModel, attend

from gzsl_bench.hooks import streams

D, A, C, L, B, R = 7, 5, 6, 4, 3, 2
SIZES = {
    "latent": L,
    "visual_encoder_hidden": 9,
    "visual_decoder_hidden": 8,
    "attribute_encoder_hidden": 6,
    "attribute_decoder_hidden": 5,
    "iem_hidden": 11,
}
VARIANTS = {
    "ACMR": {},
    "Dual-VAE": {"iem": False, "vsa": False},
    "IE-VAE": {"vsa": False},
    "VSA-VAE": {"iem": False},
    "heads without attention": {"attention": "identity"},
}


class Seeded:
    def __init__(self, seed):
        self.seed = seed

    def generator(self, purpose):
        return streams.generator(self.seed, purpose)


def build(**switches):
    config = ACMRConfig(**SIZES, **switches)
    model = ACMRModel(
        [Seeded(1), Seeded(2)],
        config,
        features=D,
        attributes=A,
        classes=C,
        dtype=torch.float64,
    )
    source = torch.Generator().manual_seed(0)
    layers = [*model.autoencoder_layers, *model.gate_layers, *model.heads]
    with torch.no_grad():  # weights of a trained size, and biases that are not zero
        for layer in layers:
            layer.weight.mul_(2.5)
            layer.bias.copy_(0.3 * torch.randn(layer.bias.shape, generator=source).double())
    return model, layers


def inputs():
    source = torch.Generator().manual_seed(3)

    def normal(*shape):
        return torch.randn(*shape, generator=source, dtype=torch.float64)

    labels = torch.randint(0, C, (R, B), generator=source)
    table = normal(C, A).abs()
    return {
        "features": normal(R, B, D).sigmoid(),
        "attributes": table[labels],
        "labels": labels,
        "draws": StepDraws(
            normal(R, B, 1),
            normal(R, B, 1),
            normal(R, 2 * L).argsort(dim=1),
            normal(R, 2 * L).argsort(dim=1),
        ),
        "weights": [normal(R).abs(), normal(R).abs(), normal(R).abs()],
    }


def affine(parameters, name, x):
    """W x + b of one sample, number by number."""
    weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
    rows = [
        sum(weight[o, i] * x[i] for i in range(weight.shape[1])) + bias[o]
        for o in range(weight.shape[0])
    ]
    return torch.stack(rows)


def relu(x):
    return torch.where(x > 0, x, torch.zeros_like(x))


def statistics(parameters, name, x, order, iem):
    """Gated mean and log-variance of one sample."""
    hidden = relu(affine(parameters, f"{name}.encoder.hidden", x))
    mu = affine(parameters, f"{name}.encoder.mu", hidden)
    logvar = affine(parameters, f"{name}.encoder.logvar", hidden)
    if not iem:
        return mu, logvar
    joined = torch.cat([mu, logvar])
    shuffled = torch.stack([joined[int(k)] for k in order])
    inner = relu(affine(parameters, f"{name}.iem.hidden", shuffled))
    gate = 1 / (1 + torch.exp(-affine(parameters, f"{name}.iem.output", inner)))
    return gate * mu, gate * logvar


def decode(parameters, name, z):
    return affine(
        parameters, f"{name}.decoder.output", relu(affine(parameters, f"{name}.decoder.hidden", z))
    )


def attention(z_v, z_a):
    """P[i, j] = exp(z_v[i] z_a[j]) / sum_i' exp(z_v[i'] z_a[j]); both latents are P z."""
    p = [[None] * L for _ in range(L)]
    for j in range(L):
        column = [torch.exp(z_v[i] * z_a[j]) for i in range(L)]
        for i in range(L):
            p[i][j] = column[i] / sum(column)
    return tuple(
        torch.stack([sum(p[i][j] * z[j] for j in range(L)) for i in range(L)]) for z in (z_v, z_a)
    )


def nll(parameters, name, z, label):
    logits = affine(parameters, name, z)
    return torch.log(torch.exp(logits).sum()) - logits[label]


def expected_terms(parameters, r, data, iem, vsa, attended):
    draws = data["draws"]
    reconstruction = kl = distance = nll_v = nll_a = torch.zeros((), dtype=torch.float64)
    for b in range(B):
        x, a, label = data["features"][r, b], data["attributes"][r, b], int(data["labels"][r, b])
        mu_v, lv_v = statistics(parameters, "visual", x, draws.permutation_visual[r], iem)
        mu_a, lv_a = statistics(parameters, "attribute", a, draws.permutation_attribute[r], iem)
        z_v = mu_v + torch.exp(lv_v) * draws.noise_visual[r, b, 0]
        z_a = mu_a + torch.exp(lv_a) * draws.noise_attribute[r, b, 0]
        reconstruction = reconstruction + (x - decode(parameters, "visual", z_v)).abs().sum()
        reconstruction = reconstruction + (a - decode(parameters, "attribute", z_a)).abs().sum()
        for mu, lv in ((mu_v, lv_v), (mu_a, lv_a)):
            kl = kl - 0.5 * sum(1 + lv[i] - mu[i] ** 2 - torch.exp(lv[i]) for i in range(L))
        gap = sum((mu_v[i] - mu_a[i]) ** 2 for i in range(L))
        s_v, s_a = torch.exp(0.5 * lv_v), torch.exp(0.5 * lv_a)
        gap = gap + sum((s_v[i] - s_a[i]) ** 2 for i in range(L))
        distance = distance + torch.sqrt(gap)
        if vsa:
            w_v, w_a = attention(z_v, z_a) if attended else (z_v, z_a)
            nll_v = nll_v + nll(parameters, "visual.head", w_v, label) / B
            nll_a = nll_a + nll(parameters, "attribute.head", w_a, label) / B
    alpha, beta, lam = (weight[r] for weight in data["weights"])
    terms = {"reconstruction": reconstruction, "kl": kl, "distance": distance}
    loss = reconstruction + alpha * kl + beta * distance
    if vsa:
        terms |= {"classification_visual": nll_v, "classification_attribute": nll_a}
        loss = loss + lam * (nll_v + nll_a)
    return {**terms, "loss": loss}


def named_layers(model, latent=L):
    """Where each parameter of the transcription stands in the model: layer and output rows."""
    places = {}
    for name in ("visual", "attribute"):
        encoder = getattr(model, f"{name}_encoder")
        decoder = getattr(model, f"{name}_decoder")
        places[f"{name}.encoder.hidden"] = (encoder.hidden, slice(None))
        places[f"{name}.encoder.mu"] = (encoder.heads, slice(0, latent))
        places[f"{name}.encoder.logvar"] = (encoder.heads, slice(latent, 2 * latent))
        places[f"{name}.decoder.hidden"] = (decoder.hidden, slice(None))
        places[f"{name}.decoder.output"] = (decoder.output, slice(None))
        if name in model.gates:
            places[f"{name}.iem.hidden"] = (model.gates[name].hidden, slice(None))
            places[f"{name}.iem.output"] = (model.gates[name].output, slice(None))
    for name, head in zip(("visual.head", "attribute.head"), model.heads, strict=False):
        places[name] = (head, slice(None))
    return places


@pytest.mark.parametrize("variant", VARIANTS)
def test_terms_and_gradients(variant):
    switches = VARIANTS[variant]
    model, _ = build(**switches)
    data = inputs()
    terms = acmr_losses(model, **data)
    terms["loss"].sum().backward()

    places = named_layers(model)
    for r in range(R):
        parameters = {}
        for name, (layer, rows) in places.items():
            parameters[f"{name}.weight"] = layer.weight[r, rows].detach().clone().requires_grad_()
            parameters[f"{name}.bias"] = layer.bias[r, rows].detach().clone().requires_grad_()
        expected = expected_terms(
            parameters,
            r,
            data,
            iem=switches.get("iem", True),
            vsa=switches.get("vsa", True),
            attended=switches.get("attention", "softmax") == "softmax",
        )
        assert list(terms) == list(expected)
        for name, value in expected.items():
            assert terms[name][r].item() == pytest.approx(value.item(), rel=1e-9), name
        expected["loss"].backward()
        for name, (layer, rows) in places.items():
            for kind, gradient in (("weight", layer.weight_grad), ("bias", layer.bias_grad)):
                want = parameters[f"{name}.{kind}"].grad
                assert want.abs().max() > 0
                torch.testing.assert_close(
                    gradient[r, rows],
                    want,
                    rtol=1e-6,
                    atol=1e-9,
                    msg=lambda text, where=f"{name}.{kind}": f"{where}: {text}",
                )


def test_attention_columns_sum_to_one_over_the_visual_index():
    """With z_a = 0 every weight is 1/L: both results are the mean, whatever the row."""
    z_v = torch.randn(1, 2, L, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    visual, attribute = attend(z_v, torch.zeros_like(z_v))
    torch.testing.assert_close(visual, z_v.sum(-1, keepdim=True).expand_as(z_v) / L)
    assert not attribute.any()
    # z_a large on one channel: that column of P picks the largest visual channel.
    z_a = torch.zeros_like(z_v)
    z_a[..., 2] = 1e3
    _, attribute = attend(z_v, z_a)
    best = z_v.argmax(-1)
    assert torch.equal(attribute.argmax(-1), best)
    torch.testing.assert_close(attribute.sum(-1), torch.full((1, 2), 1e3, dtype=torch.float64))


def test_initialisation_of_every_layer():
    config = ACMRConfig()
    model = ACMRModel([Seeded(0)], config, features=1000, attributes=312, classes=200)
    fans = {
        "visual.encoder.hidden": (1000, 1560),
        "visual.encoder.mu": (1560, 64),
        "visual.encoder.logvar": (1560, 64),
        "visual.decoder.hidden": (64, 1665),
        "visual.decoder.output": (1665, 1000),
        "visual.iem.hidden": (128, 99),
        "visual.iem.output": (99, 64),
        "visual.head": (64, 200),
        "attribute.encoder.hidden": (312, 1450),
        "attribute.encoder.mu": (1450, 64),
        "attribute.encoder.logvar": (1450, 64),
        "attribute.decoder.hidden": (64, 665),
        "attribute.decoder.output": (665, 312),
        "attribute.iem.hidden": (128, 99),
        "attribute.iem.output": (99, 64),
        "attribute.head": (64, 200),
    }
    places = named_layers(model, latent=64)
    assert places.keys() == fans.keys()
    for name, (layer, rows) in places.items():
        fan_in, fan_out = fans[name]
        weight = layer.weight[0, rows]
        assert weight.shape == (fan_out, fan_in)
        bound = 0.5 * math.sqrt(6 / (fan_in + fan_out))
        assert 0.99 * bound < weight.abs().max() <= bound
        assert not layer.bias.any()
