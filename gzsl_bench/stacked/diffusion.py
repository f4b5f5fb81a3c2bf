"""Diffusion of features in few, large steps, as in denoising diffusion GANs (Xiao et al., 2022).

The variance-preserving process at times t = i / T (1 - 1e-3) + 1e-3, i = 0..T: the share of the
clean feature in a noisy one, sqrt(alpha bar), follows from a rate that grows linearly in t.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

from gzsl_bench.stacked.layers import Linear
from gzsl_bench.stacked.runs import HasStreams

#: The first time, and the first of the rates, which leaves a feature all but clean.
FIRST_TIME, FIRST_BETA = 1e-3, 1e-8


class Diffusion:
    """A noise schedule of T steps.

    Attributes:
        steps: T.
        clean: [T + 1] share of the clean feature after i steps, sqrt(alpha bar).
    """

    def __init__(self, steps: int, rates: tuple[float, float], like: torch.Tensor) -> None:
        """Make the schedule.

        Args:
            steps: T.
            rates: that of noise at the first and the last time.
            like: a tensor of the device and type of features.
        """
        self.steps, (low, high) = steps, rates
        times = torch.arange(steps + 1, dtype=torch.float64) / steps * (1 - FIRST_TIME) + FIRST_TIME
        bars = torch.exp(2 * (-0.25 * times**2 * (high - low) - 0.5 * times * low))
        betas = torch.cat([bars.new_full((1,), FIRST_BETA), 1 - bars[1:] / bars[:-1]])
        clean = torch.sqrt(1 - betas).cumprod(0)
        after = (1 - betas[1:]).cumprod(0)
        before = torch.cat([after.new_ones(1), after[:-1]])
        spread = (betas[1:] * (1 - before) / (1 - after)).clamp(min=1e-20).sqrt()
        spread[0] = 0.0  # the last step back adds no noise
        found = {
            "clean": clean,
            "noise": torch.sqrt(1 - clean**2),
            "step": torch.sqrt(1 - betas),
            "step_noise": torch.sqrt(betas),
            "to_clean": betas[1:] * before.sqrt() / (1 - after),
            "to_noisy": (1 - before) * torch.sqrt(1 - betas[1:]) / (1 - after),
            "spread": spread,
        }
        self._of = {name: value.to(like) for name, value in found.items()}
        self.clean = self._of["clean"]

    def _at(self, name: str, index: torch.Tensor) -> torch.Tensor:
        return self._of[name][index].unsqueeze(-1)

    def pair(
        self, x: torch.Tensor, index: torch.Tensor, first: torch.Tensor, second: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Features after ``index`` steps of noise, and after one more.

        Args:
            x: [R, B, D] clean features.
            index: [R, B] numbers below T.
            first: [R, B, D] standard normal numbers.
            second: the same, others.
        """
        noisy = self._at("clean", index) * x + self._at("noise", index) * first
        further = self._at("step", index + 1) * noisy + self._at("step_noise", index + 1) * second
        return noisy, further

    def back(
        self, x: torch.Tensor, noisy: torch.Tensor, index: torch.Tensor, noise: torch.Tensor
    ) -> torch.Tensor:
        """A sample [R, B, D] of the features after ``index`` steps.

        Args:
            x: [R, B, D] guess of the clean features.
            noisy: [R, B, D] the features after one step more.
            index: [R, B].
            noise: [R, B, D] standard normal numbers.
        """
        mean = self._at("to_clean", index) * x + self._at("to_noisy", index) * noisy
        return mean + self._at("spread", index) * noise


class TimeEmbedding:
    """Numbers of steps -> sines and cosines -> Linear -> SiLU -> Linear.

    Attributes:
        first: the first layer.
        second: the second.
        rates: [n] of the waves, n half the width.
    """

    def __init__(
        self, runs: Sequence[HasStreams], name: str, width: int, how: Any, *, closed: bool = True
    ) -> None:
        """Make the layers.

        Args:
            runs: the stack.
            name: prefix of the layers' streams.
            width: units inside and outside.
            how: others are made: standard deviation of initial weights, device and type.
            closed: the n rates of the waves fall from 1 to 1e-4, 10000^(-i / (n - 1)); else to just
                above it, 10000^(-i / n), as code after Dhariwal and Nichol (2021) has them.
        """
        self.first = Linear(runs, f"{name}/first", width, width, **how)
        self.second = Linear(runs, f"{name}/second", width, width, **how)
        half = width // 2
        rates = torch.exp(torch.arange(half) * -(math.log(10000) / max(1, half - closed)))
        self.rates = rates.to(self.first.flat)

    @property
    def layers(self) -> list[Linear]:
        """What an optimiser needs."""
        return [self.first, self.second]

    def of(self, run: int) -> TimeEmbedding:
        """That of one run, for inference."""
        one = object.__new__(TimeEmbedding)
        one.first, one.second, one.rates = self.first.of(run), self.second.of(run), self.rates
        return one

    def __call__(self, index: torch.Tensor) -> torch.Tensor:
        """[R, B] -> [R, B, width]."""
        angles = index.unsqueeze(-1).to(self.rates) * self.rates
        waves = torch.cat([angles.sin(), angles.cos()], -1)
        waves = F.pad(waves, (0, self.first.inputs - waves.shape[-1]))
        return self.second(F.silu(self.first(waves)))
