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
    discriminator_losses,
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

    def losses(self, x, attributes, labels, noise, kept, kl_weight, relation, correlation):
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
        if correlation is not None:
            score = self.discriminate(second)
            terms["correlation"] = (score[:, 0] - score[:, 1]).mean()
            loss = loss + correlation * terms["correlation"]
        return terms | {"loss": loss}

    def entropy(self, x, kept, orders):
        units = self.autoencode(x, kept["autoencoder"][1])[0].detach()
        mixed = torch.cat([units[orders[0], :S], units[orders[1], S:]], 1)
        zeros, ones = torch.zeros(len(x)).long(), torch.ones(len(x)).long()
        as_came = F.cross_entropy(self.discriminate(units), zeros)
        return 0.5 * (as_came + F.cross_entropy(self.discriminate(mixed), ones))


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


@pytest.mark.parametrize("correlation", [0.9, None])
def test_terms_and_gradients(given, correlation):
    networks, attributes, labels, x, noise, kept = given
    kl, relation = torch.tensor([0.3, 1.0]).double(), torch.tensor([2.0, 0.5]).double()
    weight = None if correlation is None else torch.full((2,), correlation).double()
    terms = sdgzsl_losses(
        networks, x, attributes[labels], labels, noise, Masks(*kept.values(), RATES), kl, relation,
        weight,
    )  # fmt: skip

    def wanted(module, r):
        module.at["discriminator"].requires_grad_(False)
        mine = {name: block[r] for name, block in kept.items()}
        return module.losses(
            x[r], attributes, labels[r], noise[r], mine, kl[r], relation[r], correlation
        )

    same(networks, terms, wanted)


def test_terms_of_the_discriminator(given):
    networks, _, _, x, _, kept = given
    orders = [torch.stack([torch.randperm(B) for _ in range(2)]) for _ in range(2)]
    weight = torch.tensor([0.4, 1.5]).double()
    terms = discriminator_losses(networks, x, Masks(*kept.values(), RATES), orders, weight)

    def wanted(module, r):
        mine = {name: block[r] for name, block in kept.items()}
        entropy = module.entropy(x[r], mine, [order[r] for order in orders])
        return {"entropy": entropy, "loss": weight[r] * entropy}

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
    scores, curves = {}, {"loss": [], "without/loss": [], "discriminator/loss": []}
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
            torch.rand(cycles, B, generator=run.stream(f"permutations/{n}"), dtype=torch.float64)
            for n in ("semantic", "unrelated")
        ]
        kl, tc = min(1.0, 0.6 * epoch), 0.7 * min(1.0, 0.3 * epoch)
        for curve in curves.values():
            curve.append(0.0)
        for cycle in range(cycles):
            for turn in range(turns):
                picked = chosen[cycle * turns + turn]
                x, labels = task.features[picked], task.labels[picked]
                mine = {name: block[cycle, turn] for name, block in kept.items()}
                if turn == 2:
                    other.zero_grad()
                    loss = 0.4 * module.entropy(x, mine, [o[cycle].argsort() for o in orders])
                    loss.backward()
                    other.step()
                    curves["discriminator/loss"][-1] += loss.item() / cycles
                weight = None if turn == 2 else tc
                loss = module.losses(
                    x, task.attributes, labels, noise[cycle, turn], mine, kl, 2.0, weight
                )["loss"]
                adam.zero_grad()
                loss.backward()
                adam.step()
                if turn == 2:
                    curves["without/loss"][-1] += loss.item() / cycles
                else:
                    curves["loss"][-1] += loss.item() / cycles / 2
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
