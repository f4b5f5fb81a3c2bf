"""The networks of ACMR, every parameter with a leading run axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from gzsl_bench.stacked import Decoder, Encoder, Linear, permute_channels
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
        self.hidden = made(f"{name}/hidden", 2 * latent, hidden, relu=True)
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


@dataclass
class Modality:
    """The autoencoder of one modality, with its gate where there is one."""

    encoder: Encoder
    decoder: Decoder
    gate: Gate | None

    def statistics(self, x: torch.Tensor, permutation: torch.Tensor) -> torch.Tensor:
        """Means and log-variances [R, B, 2 L] of ``x`` [R, B, D], gated where there is a gate."""
        statistics = self.encoder.statistics(x)
        return statistics if self.gate is None else self.gate(statistics, permutation)

    def encoder_of(self, run: int) -> Modality:
        """One run's encoder and gate, for inference."""
        gate = None if self.gate is None else self.gate.of(run)
        return Modality(self.encoder.of(run), self.decoder, gate)


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


class ACMRModel:
    """All networks of a stack of runs."""

    def __init__(
        self,
        runs: Sequence[HasStreams],
        config: ACMRConfig,
        *,
        features: int,
        attributes: int,
        classes: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        precision: str = "float32",
    ) -> None:
        latent = config.latent
        how: dict[str, Any] = {
            "gain": config.init_gain, "device": device, "dtype": dtype, "precision": precision
        }  # fmt: skip
        layer: Callable[..., Linear] = partial(Linear, runs, **how)

        def modality(name: str, width: int, encoder: int, decoder: int) -> Modality:
            return Modality(
                Encoder(runs, f"{name}/encoder", width, encoder, latent, **how),
                Decoder(runs, f"{name}/decoder", latent, decoder, width, **how),
                Gate(layer, f"{name}/iem", config) if config.iem else None,
            )

        self.attention = config.attention
        self.visual = modality(
            "visual", features, config.visual_encoder_hidden, config.visual_decoder_hidden
        )
        self.attribute = modality(
            "attribute",
            attributes,
            config.attribute_encoder_hidden,
            config.attribute_decoder_hidden,
        )
        # One head per modality over *all* classes: unseen ones are trained only as negatives.
        self.heads = [
            layer(f"{name}/head", latent, classes)
            for name in (("visual", "attribute") if config.vsa else ())
        ]

    @property
    def autoencoder_layers(self) -> list[Linear]:
        """First learning-rate group."""
        parts = (self.visual, self.attribute)
        return [layer for part in parts for layer in (*part.encoder.layers, *part.decoder.layers)]

    @property
    def gate_layers(self) -> list[Linear]:
        """Second learning-rate group."""
        gates = (self.visual.gate, self.attribute.gate)
        return [layer for gate in gates if gate is not None for layer in gate.layers]
