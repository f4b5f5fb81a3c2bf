"""A VAE step cut into its matrix products and the elementwise regions between them.

The regions are what a compiler could fuse.  They call the plugins' and the toolkit's own functions;
put together with the layers they are the plugins' losses (``tests/benchmarks`` holds them to that).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from gzsl_bench_acmr.losses import StepDraws, acmr_losses
from gzsl_bench_acmr.networks import ACMRModel, attend
from gzsl_bench_cada_vae.method import cada_vae_losses

from benchmarks.plugin_runs import configure
from gzsl_bench import Task
from gzsl_bench.hooks.streams import generator
from gzsl_bench.stacked import (
    CrossModalNetworks,
    Generators,
    Linear,
    StackedAdam,
    kl_divergence,
    l1_error,
    normals,
    permutations,
    permute_channels,
    reparameterize,
    subsets,
    wasserstein_distance,
)

Regions = Mapping[str, Callable[..., Any]]
Tensors = tuple[torch.Tensor, ...]


def gate(statistics: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """ACMR's gate behind its two layers: [R, B, 2 L] times the sigmoid of [R, B, L]."""
    runs, batch, latent = logits.shape
    gated = statistics.view(runs, batch, 2, latent) * logits.sigmoid().unsqueeze(2)
    return gated.view(runs, batch, 2 * latent)


def _latents(
    visual: torch.Tensor, attribute: torch.Tensor, noise_v: torch.Tensor, noise_a: torch.Tensor
) -> Tensors:
    mu_v, logvar_v = visual.chunk(2, dim=-1)
    mu_a, logvar_a = attribute.chunk(2, dim=-1)
    kl = kl_divergence(mu_v, logvar_v) + kl_divergence(mu_a, logvar_a)
    distance = wasserstein_distance(mu_v, logvar_v, mu_a, logvar_a)
    z_v, z_a = reparameterize(mu_v, logvar_v, noise_v), reparameterize(mu_a, logvar_a, noise_a)
    return z_v, z_a, kl, distance


def acmr_latents(*inputs: torch.Tensor) -> Tensors:
    """Statistics and noise -> both samples, both attended, KL, distance."""
    z_v, z_a, kl, distance = _latents(*inputs)
    return (z_v, z_a, *attend(z_v, z_a), kl, distance)


def acmr_errors(
    x: torch.Tensor, x_out: torch.Tensor, a: torch.Tensor, a_out: torch.Tensor
) -> torch.Tensor:
    """Reconstruction error [R] of images and embeddings."""
    return l1_error(x, x_out) + l1_error(a, a_out)


def acmr_ends(logits_v: torch.Tensor, logits_a: torch.Tensor, labels: torch.Tensor) -> Tensors:
    """Mean negative log-likelihoods [R] behind both heads."""
    picked = labels.unsqueeze(2)
    logs = (logits.log_softmax(dim=-1) for logits in (logits_v, logits_a))
    v, a = (-each.gather(2, picked).squeeze(2).mean(1) for each in logs)
    return v, a


def cada_latents(*inputs: torch.Tensor) -> Tensors:
    """Statistics and noise -> both samples below one another [R, 2 B, L], KL, distance."""
    z_v, z_a, kl, distance = _latents(*inputs)
    return torch.cat([z_v, z_a], dim=1), kl, distance


def cada_errors(
    x: torch.Tensor, x_out: torch.Tensor, a: torch.Tensor, a_out: torch.Tensor
) -> Tensors:
    """Reconstruction and cross-reconstruction [R]; outputs [R, 2 B, D] of both samples."""
    x_of_v, x_of_a = x_out.chunk(2, dim=1)
    a_of_v, a_of_a = a_out.chunk(2, dim=1)
    return l1_error(x, x_of_v) + l1_error(a, a_of_a), l1_error(x, x_of_a) + l1_error(a, a_of_v)


REGIONS: dict[str, Regions] = {
    "acmr": {
        "gate": gate, "latents": acmr_latents, "errors": acmr_errors, "ends": acmr_ends,
    },
    "cada_vae": {"latents": cada_latents, "errors": cada_errors},
}  # fmt: skip


class _Streams:
    def generator(self, purpose: str) -> torch.Generator:
        return generator(0, purpose)


class Stage:
    """Model, optimiser and prepared inputs of one run's VAE steps, whichever loss they take.

    Attributes:
        layers: all layers; their ``grad`` is what a backward pass leaves.
        draws: what each step draws: row numbers, noise, orders of channels.
    """

    def __init__(self, method: str, dataset: str, task: Task, steps: int, **changes: Any) -> None:
        config: Any = configure(method, dataset, **changes)
        runs, batch = [_Streams()], min(config.batch, task.labels.numel())
        widths: dict[str, Any] = {
            "features": task.features.shape[1],
            "attributes": task.attributes.shape[1],
        }
        self.method = method
        groups: list[tuple[Sequence[Linear], Sequence[float]]]
        if method == "acmr":
            self.acmr = ACMRModel(runs, config, classes=task.num_classes, **widths)
            parts = (self.acmr.autoencoder_layers, self.acmr.gate_layers, self.acmr.heads)
            groups = list(
                zip(parts, ([config.vae_lr], [config.iem_lr], [config.vsa_lr]), strict=True)
            )
            names = ("kl", "distance", "classification")
        else:
            self.cada = CrossModalNetworks(runs, config, **widths)
            groups = [(self.cada.autoencoder_layers, [config.lr])]
            names = ("kl", "cross", "distance")
        self.optimizer = StackedAdam(groups, amsgrad=True)
        self.layers = [layer for layers, _ in groups for layer in layers]
        self.weights = [torch.tensor([getattr(config, f"{name}_factor")]) for name in names]
        rows = subsets(Generators(runs, "batches"), task.labels.numel(), batch, steps)
        noise = [
            normals(Generators(runs, f"noise/{name}"), (batch, 1), steps)
            for name in ("visual", "attribute")
        ]
        orders = [
            permutations(Generators(runs, f"permutations/{name}"), 2 * config.latent, steps)
            for name in ("visual", "attribute")
        ]
        self.task = task
        self.draws: list[Tensors] = list(zip(rows, *noise, *orders, strict=True))

    def inputs(self, number: int) -> Tensors:
        """What step ``number`` works on; after the last prepared one they begin anew."""
        picked, *numbers = self.draws[number % len(self.draws)]
        labels = self.task.labels[picked]
        return self.task.features[picked], self.task.attributes[labels], labels, *numbers

    def plugin(self, inputs: Tensors) -> Mapping[str, torch.Tensor]:
        """The plugin's own loss."""
        x, a, labels, *draws = inputs
        if self.method == "acmr":
            return acmr_losses(self.acmr, x, a, labels, StepDraws(*draws), self.weights)
        return cada_vae_losses(self.cada, x, a, draws[0], draws[1], self.weights)

    def cut(self, inputs: Tensors, regions: Regions) -> Mapping[str, torch.Tensor]:
        """The same loss by ``regions``."""
        return (self._cut_acmr if self.method == "acmr" else self._cut_cada)(inputs, regions)

    def _cut_acmr(self, inputs: Tensors, regions: Regions) -> Mapping[str, torch.Tensor]:
        x, a, labels, noise_v, noise_a, *orders = inputs
        model, gated = self.acmr, []
        encoders = model.visual_encoder, model.attribute_encoder
        gates = model.gates.values()
        for encoder, gate, rows, order in zip(encoders, gates, (x, a), orders, strict=True):
            statistics = encoder.statistics(rows)
            logits = gate.output(gate.hidden(permute_channels(statistics, order)))
            gated.append(regions["gate"](statistics, logits))
        z_v, z_a, at_v, at_a, kl, distance = regions["latents"](*gated, noise_v, noise_a)
        outputs = model.visual_decoder(z_v), model.attribute_decoder(z_a)
        reconstruction = regions["errors"](x, outputs[0], a, outputs[1])
        v, at = regions["ends"](model.heads[0](at_v), model.heads[1](at_a), labels)
        kl_weight, distance_weight, classification_weight = self.weights
        total = reconstruction + kl_weight * kl + distance_weight * distance
        return {
            "reconstruction": reconstruction,
            "kl": kl,
            "distance": distance,
            "classification_visual": v,
            "classification_attribute": at,
            "loss": total + classification_weight * (v + at),
        }

    def _cut_cada(self, inputs: Tensors, regions: Regions) -> Mapping[str, torch.Tensor]:
        x, a, _, noise_v, noise_a, *_ = inputs
        model = self.cada
        statistics = model.visual_encoder.statistics(x), model.attribute_encoder.statistics(a)
        both, kl, distance = regions["latents"](*statistics, noise_v, noise_a)
        outputs = model.visual_decoder(both), model.attribute_decoder(both)
        reconstruction, cross = regions["errors"](x, outputs[0], a, outputs[1])
        kl_weight, cross_weight, distance_weight = self.weights
        loss = reconstruction + kl_weight * kl + cross_weight * cross + distance_weight * distance
        return {
            "reconstruction": reconstruction,
            "cross_reconstruction": cross,
            "kl": kl,
            "distance": distance,
            "loss": loss,
        }

    def forget(self) -> None:
        """The next backward pass writes over the gradients, as after an optimiser's step."""
        for layer in self.layers:
            layer.fresh = layer.stale = True
