"""SDGZSL beside a loop in plain torch, written after the sheet, and its gradients."""

from __future__ import annotations

import math

import pytest
import torch
from gzsl_bench_feature_vae.sdgzsl import SDGZSL
from gzsl_bench_feature_vae.sdgzsl_config import RECIPES, SDGZSLConfig
from gzsl_bench_feature_vae.sdgzsl_networks import (
    Masks,
    SDNetworks,
    sdgzsl_losses,
)
from torch import nn
from torch.nn import functional as F

from gzsl_bench import DatasetInfo
from gzsl_bench.stacked.draws import subset_block

D, A, Z, S, N, H, B = 6, 4, 3, 5, 2, 9, 8
RATES = (0.3, 0.2, 0.4, 0.1)
SETTINGS = {
    "hidden": H,
    "encoder_output": 7,
    "latent": Z,
    "semantic": S,
    "unrelated": N,
    "encoder_dropout": 0.3,
    "variance_dropout": 0.2,
    "decoder_dropout": 0.4,
    "autoencoder_dropout": 0.1,
    "batch": B,
    "epochs": 3,
    "lr": 0.01,
    "weight_decay": 1e-3,
    "kl_warmup": 0.6,
    "correlation": 0.7,
    "correlation_warmup": 0.3,
    "relation": 2.0,
    "discriminator": 0.4,
    "discriminator_every": 2,
    "samples": 5,
    "classifier_epochs": 2,
    "classifier_batch": 7,
    "classifier_lr": 0.02,
    "evaluate_every": 2,
}
WIDTHS = {
    "encoder/1": (D + A, H), "encoder/2": (H, H), "encoder/3": (H, 7), "encoder/mean": (7, Z),
    "encoder/variance": (7, Z), "decoder/1": (Z + A, H), "decoder/2": (H, H),
    "decoder/3": (H, H), "decoder/4": (H, D), "split": (D, S + N), "join/1": (S + N, H),
    "join/2": (H, D), "relation/1": (S + A, H), "relation/2": (H, 1), "discriminator": (S + N, 2),
}  # fmt: skip


#: Their biases are taken away again by the normalisation that follows.
BARE = ("decoder/2", "decoder/3")


def leaky(x):
    return F.leaky_relu(x, 0.2)


class Whole(nn.Module):
    """All networks of one run as torch's modules; masks are given."""

    def __init__(self, layers, norms):
        super().__init__()
        self.at = nn.ModuleDict({name.replace("/", "_"): m for name, m in layers.items()})
        self.norms = nn.ModuleList(norms)

    def __call__(self, name, x):
        return self.at[name.replace("/", "_")](x)

    def encode(self, x, a, kept):
        x = leaky(self("encoder/1", torch.cat([x, a], 1)))
        x = leaky(self("encoder/2", x) * kept["encoder"] / 0.7)
        x = self("encoder/3", x)
        variance = F.softplus(self("encoder/variance", x) * kept["variance"] / 0.8)
        return self("encoder/mean", x), variance

    def decode(self, z, a, kept=None):
        drop = (lambda x, i: x * kept["decoder"][i] / 0.6) if kept else (lambda x, i: x)
        x = leaky(drop(self("decoder/1", torch.cat([z, a], 1)), 0))
        x = drop(self.norms[0](self("decoder/2", x)), 1)
        x = leaky(drop(self.norms[1](self("decoder/3", x)), 2))
        return leaky(self("decoder/4", x))

    def autoencode(self, x, kept):
        cut = S + N
        units = leaky(self("split", x)) * kept[:, :cut] / 0.9
        x = leaky(self("join/1", units)) * kept[:, cut : cut + H] / 0.9
        return units, leaky(self("join/2", x)) * kept[:, cut + H :] / 0.9

    def relation_error(self, units, task_attributes, labels):
        """Every row with every class that is among the rows, as the released code pairs them."""
        present = labels.unique()
        pairs = torch.cat(
            [
                units[:, None, :S].expand(-1, len(present), -1),
                task_attributes[present].expand(len(labels), -1, -1),
            ],
            2,
        )
        scores = torch.sigmoid(self("relation/2", self("relation/1", pairs).relu()))[..., 0]
        return F.mse_loss(scores, (labels[:, None] == present).double())

    def discriminate(self, units):
        return torch.sigmoid(self("discriminator", units))

    def losses(self, x, attributes, labels, noise, kept, weights, orders=None):
        kl_weight, correlation, relation, discriminator = weights
        a = attributes[labels]
        mean, variance = self.encode(x, a, kept)
        made = self.decode(mean + variance.sqrt() * noise, a, kept)
        terms = {"vae": F.mse_loss(made, x, reduction="sum") / len(x)}
        terms["kl"] = -0.5 * (1 + variance.log() - mean**2 - variance).sum() / len(x)
        first, back = self.autoencode(made, kept["autoencoder"][0])
        second, again = self.autoencode(x, kept["autoencoder"][1])
        terms["relation"] = self.relation_error(first, attributes, labels)
        terms["relation"] = terms["relation"] + self.relation_error(second, attributes, labels)
        terms["reconstruction"] = F.mse_loss(back, x) + F.mse_loss(again, x)
        loss = terms["vae"] + kl_weight * terms["kl"] + relation * terms["relation"]
        loss = loss + terms["reconstruction"]
        if orders is None:
            scores = [self.discriminate(units) for units in (first, second)]
            terms["correlation"] = sum((score[:, 0] - score[:, 1]).mean() for score in scores)
            return terms | {"loss": loss + correlation * terms["correlation"]}
        terms["entropy"] = self.entropy(first, orders[0]) + self.entropy(second, orders[1])
        return terms | {"loss": loss + discriminator * terms["entropy"]}

    def entropy(self, units, orders):
        units = units.detach()
        mixed = torch.cat([units[orders[0], :S], units[orders[1], S:]], 1)
        zeros, ones = torch.zeros(len(units)).long(), torch.ones(len(units)).long()
        as_came = F.cross_entropy(self.discriminate(units), zeros)
        return as_came + F.cross_entropy(self.discriminate(mixed), ones)


def norm():
    return nn.BatchNorm1d(H, eps=0.8, dtype=torch.float64)


def of_stack(networks, r):
    """One run of a stack as modules."""
    layers = {}
    for name, (inputs, outputs) in WIDTHS.items():
        layers[name] = nn.Linear(inputs, outputs, bias=name not in BARE, dtype=torch.float64)
        with torch.no_grad():
            layers[name].weight.copy_(networks.parts[name].weight[r])
            if name not in BARE:
                layers[name].bias.copy_(networks.parts[name].bias[r])
    return Whole(layers, [norm(), norm()])


def masks_of(source, *lead):
    def drawn(rate, *shape):
        return torch.rand(*lead, *shape, generator=source) >= rate

    return {
        "encoder": drawn(0.3, B, H),
        "variance": drawn(0.2, B, Z),
        "decoder": drawn(0.4, 3, B, H),
        "autoencoder": drawn(0.1, 2, B, S + N + H + D),
    }


@pytest.fixture
def given(seeded):
    how = {"dtype": torch.float64}
    networks = SDNetworks(seeded, SDGZSLConfig(**SETTINGS), D, A, how)
    source = torch.Generator().manual_seed(2)
    attributes = torch.rand(6, A, generator=source, dtype=torch.float64)
    labels = torch.randint(6, (2, B), generator=source)
    x = torch.rand(2, B, D, generator=source, dtype=torch.float64)
    noise = torch.randn(2, B, Z, generator=source, dtype=torch.float64)
    return networks, attributes, labels, x, noise, masks_of(source, 2)


def same(networks, terms, wanted_of):
    terms["loss"].sum().backward()
    for r in range(2):
        module = of_stack(networks, r)
        wanted = wanted_of(module, r)
        assert set(terms) == set(wanted)
        for name, value in wanted.items():
            assert terms[name][r].item() == pytest.approx(value.item(), rel=1e-6), name
        wanted["loss"].backward()
        pairs = [(networks.parts[n], module.at[n.replace("/", "_")]) for n in WIDTHS]
        pairs += [(networks.parts[f"norm/{i + 2}"], module.norms[i]) for i in range(2)]
        for layer, plain in pairs:
            reached = plain.weight.grad is not None
            assert layer.fresh == (not reached)
            if reached:
                slope = 0 * layer.bias[r] if plain.bias is None else plain.bias.grad
                for got, want in (
                    (layer.weight_grad[r], plain.weight.grad),
                    (layer.bias_grad[r], slope),
                ):
                    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("mixed", [False, True], ids=["correlation", "discriminator"])
def test_terms_and_gradients(given, mixed):
    networks, attributes, labels, x, noise, kept = given
    weights = [
        torch.tensor(pair, dtype=torch.float64)
        for pair in ([0.3, 1.0], [0.9, 0.2], [2.0, 0.5], [0.4, 1.5])
    ]
    orders = torch.rand(2, 2, 2, B).argsort(-1) if mixed else None
    masks = Masks(*kept.values(), RATES)
    terms = sdgzsl_losses(networks, x, attributes[labels], labels, noise, masks, weights, orders)

    def wanted(module, r):
        module.at["discriminator"].requires_grad_(mixed)
        mine = {name: block[r] for name, block in kept.items()}
        mine_weights = [weight[r] for weight in weights]
        order = None if orders is None else orders[r]
        return module.losses(x[r], attributes, labels[r], noise[r], mine, mine_weights, order)

    same(networks, terms, wanted)


def loop(run, test):
    task, layers = run.task, {}
    for name, (inputs, outputs) in WIDTHS.items():
        gain = math.sqrt((inputs + outputs) / (6 * inputs))
        layers[name] = run.linear(name, inputs, outputs, gain=gain)
        if name in BARE:
            layers[name].register_parameter("bias", None)
            continue
        drawn = torch.rand(outputs, generator=run.stream(f"init/{name}/bias"))
        with torch.no_grad():
            layers[name].bias.copy_((drawn * 2 - 1) / math.sqrt(inputs))
    module = Whole(layers, [norm(), norm()])
    of_discriminator = list(layers["discriminator"].parameters())
    theirs = {id(p) for p in of_discriminator}
    rest = [p for p in module.parameters() if id(p) not in theirs]
    adam, other = (
        torch.optim.Adam(p, lr=0.01, weight_decay=1e-3) for p in (rest, of_discriminator)
    )
    rows, turns = len(task.labels), 3
    cycles = math.ceil(rows / B / turns)
    scores, curves = {}, {"loss": [], "discriminator/loss": []}
    for epoch in range(3):
        chosen = subset_block(rows, B, cycles * turns, run.stream("batches"))
        noise = torch.randn(cycles, turns, B, Z, generator=run.stream("noise")).double()
        kept = {}
        for name, rate, shape in (
            ("encoder", 0.3, (B, H)), ("variance", 0.2, (B, Z)), ("decoder", 0.4, (3, B, H)),
            ("autoencoder", 0.1, (2, B, S + N + H + D)),
        ):  # fmt: skip
            stream = run.stream(f"dropout/{name}")
            kept[name] = torch.rand(cycles, turns, *shape, generator=stream) >= rate
        orders = [
            [
                torch.rand(
                    cycles, B, generator=run.stream(f"permutations/{name}"), dtype=torch.float64
                ).argsort(-1)
                for name in (f"{source}/semantic", f"{source}/unrelated")
            ]
            for source in ("made", "real")
        ]
        weights = min(1.0, 0.6 * epoch), 0.7 * min(1.0, 0.3 * epoch), 2.0, 0.4
        for curve in curves.values():
            curve.append(0.0)
        for cycle in range(cycles):
            for turn in range(turns):
                picked = chosen[cycle * turns + turn]
                x, labels = task.features[picked], task.labels[picked]
                mine = {name: block[cycle, turn] for name, block in kept.items()}
                last, mixed = turn == 2, [[o[cycle] for o in each] for each in orders]
                module.at["discriminator"].requires_grad_(last)
                loss = module.losses(
                    x, task.attributes, labels, noise[cycle, turn], mine, weights,
                    mixed if last else None,
                )["loss"]  # fmt: skip
                adam.zero_grad()
                other.zero_grad()
                loss.backward()
                adam.step()
                if last:
                    other.step()
                curves["discriminator/loss" if last else "loss"][-1] += loss.item() / (
                    cycles if last else 2 * cycles
                )
        if epoch == 0:
            continue
        module.eval()
        with torch.no_grad():
            made = task.unseen.repeat_interleave(5)
            z = torch.randn(len(made), Z, generator=run.stream(f"synthetic/{epoch + 1}")).double()
            synthetic = module.decode(z, task.attributes[made])
            inputs = torch.cat([task.features, synthetic])
            inputs = leaky(module("split", inputs))[:, :S]
            seen = leaky(module("split", test))[:, :S]
        module.train()
        labels, purpose = torch.cat([task.labels, made]), f"classifier/{epoch + 1}"
        model = nn.Linear(S, 6, dtype=torch.float64)
        drawn = torch.rand(6, S, generator=run.stream(f"{purpose}/init"))
        with torch.no_grad():
            model.weight.copy_((drawn * 2 - 1) * math.sqrt(6 / (S + 6)))
            model.bias.zero_()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02, betas=(0.5, 0.999))
        for k in range(2):
            order = torch.randperm(len(labels), generator=run.stream(f"{purpose}/shuffle"))
            for picked in order[: len(order) // 7 * 7].split(7):
                optimizer.zero_grad()
                F.cross_entropy(model(inputs[picked]), labels[picked]).backward()
                optimizer.step()
            scores[epoch * 2 + k + 1] = model(seen).detach()
    return scores, curves


def test_it_is_the_plain_loop(task, train, test_rows, plain, agree):
    sinks, config = train(SDGZSL, **SETTINGS), SDGZSLConfig(**SETTINGS)
    agree(sinks, [loop(plain(task, seed, config), test_rows) for seed in (3, 8)])
    assert sinks[0].latents[3].shape == (3, S)


def test_released_values_of_each_data_set():
    for name in (*RECIPES, "digits"):
        config = SDGZSLConfig(**SDGZSL.defaults(DatasetInfo(name, "res101", "att")))
        assert (config.latent, config.batch, config.semantic) == (20, 64, config.unrelated)
    of_cub = [SDGZSL.defaults(DatasetInfo("CUB", "res101", a)) for a in ("att", "sentences")]
    assert [SDGZSLConfig(**values).semantic for values in of_cub] == [2048, 312]
    assert SDGZSLConfig(**RECIPES["SUN"]).relation == 30
