"""Loss terms and gradients of CADA-VAE against a plain float64 transcription of the formulas.

The expected values are written sample by sample; nothing of the plugin or of the harness's toolkit
takes part in them.
"""

from __future__ import annotations

import math

import pytest
import torch
from gzsl_bench_cada_vae.config import CADAVAEConfig
from gzsl_bench_cada_vae.method import cada_vae_losses

from gzsl_bench.hooks import streams
from gzsl_bench.stacked import CrossModalNetworks

D, A, L, B, R = 7, 5, 4, 3, 2
SIZES = {
    "latent": L,
    "visual_encoder_hidden": 9,
    "visual_decoder_hidden": 8,
    "attribute_encoder_hidden": 6,
    "attribute_decoder_hidden": 5,
}


class Seeded:
    def __init__(self, seed):
        self.seed = seed

    def generator(self, purpose):
        return streams.generator(self.seed, purpose)


def build():
    model = CrossModalNetworks(
        [Seeded(1), Seeded(2)],
        CADAVAEConfig(**SIZES),
        features=D,
        attributes=A,
        dtype=torch.float64,
    )
    source = torch.Generator().manual_seed(0)
    with torch.no_grad():  # weights of a trained size, and biases that are not zero
        for layer in model.autoencoder_layers:
            layer.weight.mul_(2.5)
            layer.bias.copy_(0.3 * torch.randn(layer.bias.shape, generator=source).double())
    return model


def inputs():
    source = torch.Generator().manual_seed(3)

    def normal(*shape):
        return torch.randn(*shape, generator=source, dtype=torch.float64)

    return {
        "features": normal(R, B, D).sigmoid(),
        "attributes": normal(R, B, A).abs(),
        "noise_visual": normal(R, B, 1),
        "noise_attribute": normal(R, B, 1),
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


def encode(parameters, name, x):
    hidden = relu(affine(parameters, f"{name}.encoder.hidden", x))
    return (
        affine(parameters, f"{name}.encoder.mu", hidden),
        affine(parameters, f"{name}.encoder.logvar", hidden),
    )


def decode(parameters, name, z):
    hidden = relu(affine(parameters, f"{name}.decoder.hidden", z))
    return affine(parameters, f"{name}.decoder.output", hidden)


def expected_terms(parameters, r, data):
    reconstruction = cross = kl = distance = torch.zeros((), dtype=torch.float64)
    for b in range(B):
        x, a = data["features"][r, b], data["attributes"][r, b]
        mu_v, lv_v = encode(parameters, "visual", x)
        mu_a, lv_a = encode(parameters, "attribute", a)
        z_v = mu_v + torch.exp(lv_v) * data["noise_visual"][r, b, 0]
        z_a = mu_a + torch.exp(lv_a) * data["noise_attribute"][r, b, 0]
        reconstruction = reconstruction + (x - decode(parameters, "visual", z_v)).abs().sum()
        reconstruction = reconstruction + (a - decode(parameters, "attribute", z_a)).abs().sum()
        cross = cross + (x - decode(parameters, "visual", z_a)).abs().sum()
        cross = cross + (a - decode(parameters, "attribute", z_v)).abs().sum()
        for mu, lv in ((mu_v, lv_v), (mu_a, lv_a)):
            kl = kl - 0.5 * sum(1 + lv[i] - mu[i] ** 2 - torch.exp(lv[i]) for i in range(L))
        s_v, s_a = torch.exp(0.5 * lv_v), torch.exp(0.5 * lv_a)
        gap = sum((mu_v[i] - mu_a[i]) ** 2 + (s_v[i] - s_a[i]) ** 2 for i in range(L))
        distance = distance + torch.sqrt(gap)
    beta, gamma, delta = (weight[r] for weight in data["weights"])
    return {
        "reconstruction": reconstruction,
        "cross_reconstruction": cross,
        "kl": kl,
        "distance": distance,
        "loss": reconstruction + beta * kl + gamma * cross + delta * distance,
    }


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
    return places


def test_terms_and_gradients():
    model, data = build(), inputs()
    terms = cada_vae_losses(model, **data)
    terms["loss"].sum().backward()
    places = named_layers(model)
    for r in range(R):
        parameters = {}
        for name, (layer, rows) in places.items():
            parameters[f"{name}.weight"] = layer.weight[r, rows].detach().clone().requires_grad_()
            parameters[f"{name}.bias"] = layer.bias[r, rows].detach().clone().requires_grad_()
        expected = expected_terms(parameters, r, data)
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


def test_initialisation_of_every_layer():
    model = CrossModalNetworks([Seeded(0)], CADAVAEConfig(), features=1000, attributes=312)
    fans = {
        "visual.encoder.hidden": (1000, 1560),
        "visual.encoder.mu": (1560, 64),
        "visual.encoder.logvar": (1560, 64),
        "visual.decoder.hidden": (64, 1660),
        "visual.decoder.output": (1660, 1000),
        "attribute.encoder.hidden": (312, 1450),
        "attribute.encoder.mu": (1450, 64),
        "attribute.encoder.logvar": (1450, 64),
        "attribute.decoder.hidden": (64, 665),
        "attribute.decoder.output": (665, 312),
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
