"""Layers that begin as torch's own do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from gzsl_bench.stacked import Linear


def torchs_linear(
    runs: Sequence[Any], name: str, inputs: int, outputs: int, *, biased: bool = True, **how: Any
) -> Linear:
    """A layer that begins as ``torch.nn.Linear``: all uniform, at most 1 / sqrt(inputs)."""
    gain = math.sqrt((inputs + outputs) / (6 * inputs))
    layer = Linear(runs, name, inputs, outputs, gain=gain, biased=biased, **how)
    if not biased:
        return layer
    with torch.no_grad():
        for bias, run in zip(layer.bias, runs, strict=True):
            drawn = torch.rand(outputs, generator=run.generator(f"init/{name}/bias"))
            bias.copy_((drawn * 2 - 1) / math.sqrt(inputs))
    return layer
