"""ACMR and CADA-VAE as a plain training loop: what the harness's toolkit is measured against.

Written the way public implementations are: one run, ``torch.nn`` modules, autograd, torch's default
(not fused) Adam, ``.item()`` on every batch, and a ``DataLoader`` without workers over a per-item
data set in the classifier stage.  There is no other slowness in it: rows are gathered by one
indexing operation and nothing is evaluated.  It draws from the same random streams as the plugins,
so its losses are theirs up to rounding (``tests/benchmarks`` holds it to that).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from gzsl_bench_acmr.config import ACMRConfig
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Sampler

from benchmarks.plugin_runs import now
from gzsl_bench import Config, Task
from gzsl_bench.hooks.streams import generator
from gzsl_bench.stacked import WarmUp, first_rows
from gzsl_bench.stacked.draws import subset_block


@dataclass
class Trace:
    """What a plain training did.

    Attributes:
        losses: mean loss of every VAE epoch.
        vae: seconds of every VAE epoch.
        classifier: seconds of every classifier epoch.
        scorer: features [N, D] -> logits [N, C] at the end.
    """

    losses: list[float] = field(default_factory=list)
    vae: list[float] = field(default_factory=list)
    classifier: list[float] = field(default_factory=list)
    scorer: Callable[[torch.Tensor], torch.Tensor] | None = None


class _Streams:
    """The random numbers of one run, by purpose, as the plugins draw them."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.seed, self.device = seed, device
        self._open: dict[str, torch.Generator] = {}

    def of(self, purpose: str) -> torch.Generator:
        return self._open.setdefault(purpose, generator(self.seed, purpose))

    def normals(self, purpose: str, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=self.of(purpose)).to(self.device)

    def permutations(self, purpose: str, steps: int, size: int) -> torch.Tensor:
        keys = torch.rand(steps, size, generator=self.of(purpose), dtype=torch.float64)
        return keys.argsort(dim=1).to(self.device)

    def linear(
        self, name: str, inputs: int, outputs: int, gain: float, heads: int = 1
    ) -> list[nn.Linear]:
        """``heads`` layers side by side, Xavier-uniform with zero biases, drawn from a stream."""
        bound = gain * math.sqrt(6.0 / (inputs + outputs))
        draw = torch.rand(heads * outputs * inputs, generator=generator(self.seed, name))
        weights = ((draw * 2 - 1) * bound).view(heads, outputs, inputs)
        layers = []
        for weight in weights:
            layer = nn.Linear(inputs, outputs)
            with torch.no_grad():
                layer.weight.copy_(weight)
                layer.bias.zero_()
            layers.append(layer.to(self.device))
        return layers


class _Modality(nn.Module):
    """Encoder, decoder and, in ACMR, the gate of one modality."""

    def __init__(
        self, streams: _Streams, name: str, width: int, hidden: tuple[int, int], config: Any
    ) -> None:
        super().__init__()
        latent, gain = config.latent, config.init_gain
        (self.encoder,) = streams.linear(f"init/{name}/encoder/hidden", width, hidden[0], gain)
        self.mu, self.logvar = streams.linear(
            f"init/{name}/encoder/heads", hidden[0], latent, gain, heads=2
        )
        (self.decoder,) = streams.linear(f"init/{name}/decoder/hidden", latent, hidden[1], gain)
        (self.output,) = streams.linear(f"init/{name}/decoder/output", hidden[1], width, gain)
        self.gate: nn.Module | None = None
        if getattr(config, "iem", False):
            (inner,) = streams.linear(
                f"init/{name}/iem/hidden", 2 * latent, config.iem_hidden, gain
            )
            (outer,) = streams.linear(f"init/{name}/iem/output", config.iem_hidden, latent, gain)
            self.gate = nn.Sequential(inner, nn.ReLU(), outer, nn.Sigmoid())

    def encode(
        self, x: torch.Tensor, order: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = F.relu(self.encoder(x))
        mu, logvar = self.mu(hidden), self.logvar(hidden)
        if self.gate is None:
            return mu, logvar
        weight = self.gate(torch.cat([mu, logvar], dim=1)[:, order])
        return weight * mu, weight * logvar

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.output(F.relu(self.decoder(z)))
        return out


class _Net(nn.Module):
    def __init__(self, streams: _Streams, task: Task, config: Any) -> None:
        super().__init__()
        self.config = config
        self.visual = _Modality(
            streams,
            "visual",
            task.features.shape[1],
            (config.visual_encoder_hidden, config.visual_decoder_hidden),
            config,
        )
        self.attribute = _Modality(
            streams,
            "attribute",
            task.attributes.shape[1],
            (config.attribute_encoder_hidden, config.attribute_decoder_hidden),
            config,
        )
        self.heads = nn.ModuleList()
        if getattr(config, "vsa", False):
            for name in ("visual", "attribute"):
                self.heads += streams.linear(
                    f"init/{name}/head", config.latent, task.num_classes, config.init_gain
                )

    def groups(self) -> list[dict[str, Any]]:
        """Parameter groups of the optimiser."""
        config = self.config
        if not isinstance(config, ACMRConfig):
            return [{"params": list(self.parameters()), "lr": config.lr}]
        gates = [p for m in (self.visual, self.attribute) if m.gate for p in m.gate.parameters()]
        heads = list(self.heads.parameters())
        others = {id(p) for p in (*gates, *heads)}
        rest = [p for p in self.parameters() if id(p) not in others]
        return [
            {"params": rest, "lr": config.vae_lr},
            {"params": gates, "lr": config.iem_lr},
            {"params": heads, "lr": config.vsa_lr},
        ]


def _sample(mu: torch.Tensor, logvar: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    return mu + torch.exp(logvar) * noise


def _loss(
    net: _Net,
    x: torch.Tensor,
    a: torch.Tensor,
    labels: torch.Tensor,
    noise: tuple[torch.Tensor, torch.Tensor],
    orders: tuple[torch.Tensor | None, torch.Tensor | None],
    weights: tuple[float, float, float],
) -> torch.Tensor:
    mu_v, lv_v = net.visual.encode(x, orders[0])
    mu_a, lv_a = net.attribute.encode(a, orders[1])
    z_v, z_a = _sample(mu_v, lv_v, noise[0]), _sample(mu_a, lv_a, noise[1])
    loss = (x - net.visual.decode(z_v)).abs().sum() + (a - net.attribute.decode(z_a)).abs().sum()
    kl = -0.5 * (1 + lv_v - mu_v.pow(2) - lv_v.exp()).sum()
    kl = kl - 0.5 * (1 + lv_a - mu_a.pow(2) - lv_a.exp()).sum()
    gap = (mu_v - mu_a).pow(2).sum(1)
    gap = gap + ((0.5 * lv_v).exp() - (0.5 * lv_a).exp()).pow(2).sum(1)
    distance = gap.sqrt().sum()
    if not isinstance(net.config, ACMRConfig):
        cross = (x - net.visual.decode(z_a)).abs().sum()
        cross = cross + (a - net.attribute.decode(z_v)).abs().sum()
        return loss + weights[0] * kl + weights[1] * cross + weights[2] * distance
    loss = loss + weights[0] * kl + weights[1] * distance
    if net.heads:
        if net.config.attention == "softmax":
            p = torch.softmax(z_v.unsqueeze(2) * z_a.unsqueeze(1), dim=1)
            z_v = torch.bmm(p, z_v.unsqueeze(2)).squeeze(2)
            z_a = torch.bmm(p, z_a.unsqueeze(2)).squeeze(2)
        for head, z in zip(net.heads, (z_v, z_a), strict=True):
            loss = loss + weights[2] * F.nll_loss(F.log_softmax(head(z), dim=1), labels)
    return loss


def _warm_ups(config: Any) -> list[WarmUp]:
    acmr = isinstance(config, ACMRConfig)
    names = ("kl", "distance", "classification") if acmr else ("kl", "cross", "distance")
    return [
        WarmUp(
            [getattr(config, f"{name}_factor")],
            getattr(config, f"{name}_start"),
            getattr(config, f"{name}_end"),
        )
        for name in names
    ]


def train_plain(
    task: Task,
    config: Config,
    seed: int,
    *,
    epochs: int | None = None,
    classifier_epochs: int | None = None,
) -> Trace:
    """Train one run of ACMR or CADA-VAE, whichever ``config`` belongs to.

    Args:
        task: the task, on the device to train on.
        config: an ``ACMRConfig`` or a ``CADAVAEConfig``.
        seed: the run's seed.
        epochs: VAE epochs instead of the configured number.
        classifier_epochs: classifier epochs instead of the configured number.
    """
    full: Any = config
    device = task.device
    streams = _Streams(seed, device)
    net = _Net(streams, task, full)
    optimizer = torch.optim.Adam(net.groups(), amsgrad=True)
    trace = Trace()
    rows = task.labels.numel()
    batch, steps = min(full.batch, rows), math.ceil(rows / full.batch)
    for epoch in range(full.epochs if epochs is None else epochs):
        weights = tuple(w.factors[0] * w.share(epoch) for w in _warm_ups(full))
        picked = subset_block(rows, batch, steps, streams.of("batches")).to(device)
        noise = [
            streams.normals(f"noise/{name}", steps, batch, 1) for name in ("visual", "attribute")
        ]
        orders: list[Any] = [[None] * steps] * 2
        if getattr(full, "iem", False):
            orders = [
                streams.permutations(f"permutations/{name}", steps, 2 * full.latent)
                for name in ("visual", "attribute")
            ]
        total = 0.0
        begun = now(device)
        for step in range(steps):
            labels = task.labels[picked[step]]
            loss = _loss(
                net,
                task.features[picked[step]],
                task.attributes[labels],
                labels,
                (noise[0][step], noise[1][step]),
                (orders[0][step], orders[1][step]),
                weights,  # type: ignore[arg-type]
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.item()
        trace.vae.append(now(device) - begun)
        trace.losses.append(total / steps)
    last = full.classifier_epochs if classifier_epochs is None else classifier_epochs
    _classify(task, full, streams, net, trace, last)
    return trace


class _Rows(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Latents and labels, one item at a time."""

    def __init__(self, latents: torch.Tensor, labels: torch.Tensor) -> None:
        self.latents, self.labels = latents, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.latents[index], self.labels[index]


class _Shuffled(Sampler[int]):
    """Row numbers shuffled anew in every epoch."""

    def __init__(self, rows: int, stream: torch.Generator) -> None:
        self.rows, self.stream = rows, stream

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[int]:
        return iter(torch.randperm(self.rows, generator=self.stream).tolist())


def _classify(
    task: Task, config: Any, streams: _Streams, net: _Net, trace: Trace, epochs: int
) -> None:
    def order(purpose: str) -> torch.Tensor | None:
        if not getattr(config, "iem", False):
            return None
        return streams.permutations(f"permutations/{purpose}", 1, 2 * config.latent)[0]

    seen, unseen = task.seen, task.unseen
    images = first_rows(task.labels, seen, config.seen_samples)
    embeddings = task.attributes[unseen].repeat_interleave(config.unseen_samples, 0)
    with torch.no_grad():
        v = net.visual.encode(task.features[images], order("latents/visual"))
        a = net.attribute.encode(embeddings, order("latents/attribute"))
        latents = torch.cat(
            [
                _sample(*v, streams.normals("latents/visual", len(images), 1)),
                _sample(*a, streams.normals("latents/attributes", len(embeddings), 1)),
            ]
        )
    labels = torch.cat(
        [
            seen.repeat_interleave(config.seen_samples),
            unseen.repeat_interleave(config.unseen_samples),
        ]
    )
    (classifier,) = streams.linear(
        "classifier/init", config.latent, task.num_classes, config.init_gain
    )
    optimizer = torch.optim.Adam(
        classifier.parameters(),
        lr=config.classifier_lr,
        betas=(config.classifier_beta1, config.classifier_beta2),
    )
    rows = _Rows(latents, labels)
    loader = DataLoader(
        rows,
        batch_size=config.classifier_batch,
        sampler=_Shuffled(len(rows), streams.of("classifier/shuffle")),
        drop_last=True,
        num_workers=0,
    )
    device = task.device
    for _ in range(epochs):
        begun = now(device)
        for z, y in loader:
            loss = F.nll_loss(F.log_softmax(classifier(z), dim=1), y)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            loss.item()
        trace.classifier.append(now(device) - begun)
    test = order("test")
    trace.scorer = lambda x: classifier(net.visual.encode(x, test)[0])
