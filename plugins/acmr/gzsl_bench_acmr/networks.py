"""The networks of ACMR, every parameter with a leading run axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from gzsl_bench.stacked import CrossModalNetworks, Encoder, Linear, permute_channels
from gzsl_bench.stacked.runs import HasStreams
from gzsl_bench_acmr.config import ACMRConfig


class Gate:
    """IEM: a gate in (0, 1) on the latent statistics (ACMR, Eq. 5; released code: arch/models.py).

    It reads the 2 L encoder outputs with their channels shuffled, a fresh shuffle for every call in
    training and at test time alike, so it can only learn what is nearly symmetric in them.  The
    same gate multiplies the mean and the log-variance.
    """

    def __init__(self, made: Callable[..., Linear], name: str, config: ACMRConfig) -> None:
        """``made`` makes a layer from its name, input and output widths."""
        latent, hidden = config.latent, config.iem_hidden
        self.hidden = made(f"{name}/hidden", 2 * latent, hidden, activation="relu")
        self.output = made(f"{name}/output", hidden, latent)

    @property
    def layers(self) -> list[Linear]:
        """What an optimiser needs."""
        return [self.hidden, self.output]

    def of(self, run: int) -> Gate:
        """The gate of one run, for inference."""
        one = object.__new__(Gate)
        one.hidden, one.output = self.hidden.of(run), self.output.of(run)
        return one

    def __call__(self, statistics: torch.Tensor, permutation: torch.Tensor) -> torch.Tensor:
        """Gate ``statistics`` [R, B, 2 L] read in the order ``permutation`` [R, 2 L]."""
        gate = self.output(self.hidden(permute_channels(statistics, permutation))).sigmoid()
        runs, batch, latent = gate.shape
        gated = statistics.view(runs, batch, 2, latent) * gate.unsqueeze(2)
        return gated.view(runs, batch, 2 * latent)


def attend(z_visual: torch.Tensor, z_attribute: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """VSA: both latents attended by the softmax of their outer product (ACMR, Eq. 6 and 7).

    As released (arch/models.py): no normaliser, softmax over the *visual* index i, and the same
    matrix P, not its transpose, for both modalities: z~[b, i] = sum_j P[b, i, j] z[b, j].

    Args:
        z_visual: [R, B, L] latents of images.
        z_attribute: [R, B, L] latents of their classes' embeddings.

    Returns:
        The attended latents, [R, B, L] each.
    """
    # Kept transposed, Q[b, j, i] = P[b, i, j], so that the softmax runs along contiguous memory.
    outer = z_attribute.unsqueeze(-1) * z_visual.unsqueeze(-2)
    transposed = outer.softmax(dim=-1)
    both = torch.stack([z_visual, z_attribute], dim=-2)
    visual, attribute = (both @ transposed).unbind(-2)
    return visual, attribute


class ACMRModel(CrossModalNetworks):
    """All networks of a stack of runs.

    Attributes:
        gates: by modality; empty without IEM.
        heads: one per modality over *all* classes, for unseen ones are trained as negatives only;
            empty without VSA.
        attention: of the VSA, ``softmax`` or ``identity``.
    """

    def __init__(
        self, runs: Sequence[HasStreams], config: ACMRConfig, *, classes: int, **how: Any
    ) -> None:
        super().__init__(runs, config, classes=classes, **how)
        where = {name: how[name] for name in ("device", "dtype", "precision") if name in how}
        layer: Callable[..., Linear] = partial(Linear, runs, gain=config.init_gain, **where)
        names = ("visual", "attribute")
        self.attention = config.attention
        self.gates = {name: Gate(layer, f"{name}/iem", config) for name in names if config.iem}
        self.heads = [layer(f"{name}/head", config.latent, classes) for name in names if config.vsa]

    def statistics(self, modality: str, x: torch.Tensor, permutation: torch.Tensor) -> torch.Tensor:
        """Means and log-variances [R, B, 2 L] of ``x`` [R, B, D], gated where there is a gate."""
        encoder: Encoder = getattr(self, f"{modality}_encoder")
        statistics, gate = encoder.statistics(x), self.gates.get(modality)
        return statistics if gate is None else gate(statistics, permutation)

    @property
    def gate_layers(self) -> list[Linear]:
        """What learns at the rate of the gates."""
        return [layer for gate in self.gates.values() for layer in gate.layers]
