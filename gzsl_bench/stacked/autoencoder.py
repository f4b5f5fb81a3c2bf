"""The encoder and decoder shared by latent-space autoencoders of the CADA-VAE family."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Self

import torch

from gzsl_bench.stacked.layers import Linear
from gzsl_bench.stacked.runs import HasStreams


class Encoder:
    """Linear -> ReLU -> mean and log-variance (released code of CADA-VAE: models.py).

    The two output heads are one matrix product; each half is initialised with its own fan-out.
    """

    def __init__(
        self,
        runs: Sequence[HasStreams],
        name: str,
        inputs: int,
        hidden: int,
        latent: int,
        *,
        gain: float = 1.0,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        precision: str = "float32",
    ) -> None:
        made = partial(Linear, runs, gain=gain, device=device, dtype=dtype, precision=precision)
        self.hidden = made(f"{name}/hidden", inputs, hidden, activation="relu")
        self.heads = made(f"{name}/heads", hidden, 2 * latent, heads=2)

    @property
    def layers(self) -> list[Linear]:
        """What an optimiser needs."""
        return [self.hidden, self.heads]

    def of(self, run: int) -> Self:
        """The encoder of one run, for inference."""
        one = object.__new__(type(self))
        one.hidden, one.heads = self.hidden.of(run), self.heads.of(run)
        return one

    def statistics(self, x: torch.Tensor) -> torch.Tensor:
        """[R, B, D] -> [R, B, 2 L]: means, then log-variances."""
        return self.heads(self.hidden(x))

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[R, B, D] -> means [R, B, L] and log-variances [R, B, L]."""
        mu, logvar = self.statistics(x).chunk(2, dim=-1)
        return mu, logvar


class Decoder:
    """Linear -> ReLU -> Linear, no activation at the end (released code of CADA-VAE: models.py)."""

    def __init__(
        self,
        runs: Sequence[HasStreams],
        name: str,
        latent: int,
        hidden: int,
        outputs: int,
        *,
        gain: float = 1.0,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        precision: str = "float32",
    ) -> None:
        made = partial(Linear, runs, gain=gain, device=device, dtype=dtype, precision=precision)
        self.hidden = made(f"{name}/hidden", latent, hidden, activation="relu")
        self.output = made(f"{name}/output", hidden, outputs)

    @property
    def layers(self) -> list[Linear]:
        """What an optimiser needs."""
        return [self.hidden, self.output]

    def of(self, run: int) -> Self:
        """The decoder of one run, for inference."""
        one = object.__new__(type(self))
        one.hidden, one.output = self.hidden.of(run), self.output.of(run)
        return one

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """[R, B, L] -> [R, B, D]."""
        return self.output(self.hidden(z))
