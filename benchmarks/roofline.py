"""The least time a VAE step can take: its arithmetic and its memory traffic at measured rates.

A step is cut into phases.  Each takes at least ``max(FLOPs / rate of a 2048 x 2048 x 2048 product,
bytes / rate of copying 256 MB)``, both rates measured in this process, and phases follow one
another.  FLOPs and bytes are derived from the shapes below; bytes count every operand once, read
from memory or written to it, as if caches kept nothing between phases and everything within one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from gzsl_bench_acmr.config import ACMRConfig

from benchmarks.plugin_runs import median, now
from gzsl_bench.stacked.precision import arithmetic

FLOAT = 4  # bytes
#: Calls behind one measurement on a GPU: a launch and a wait would be a tenth of a single copy.
GPU_CALLS = 20


@dataclass(frozen=True)
class Phase:
    """A part of a step: its arithmetic and its traffic, for one run."""

    name: str
    flops: float
    bytes: float

    def seconds(self, rates: Rates) -> float:
        """The least time of the phase for one run."""
        return max(self.flops / rates.flops, self.bytes / rates.bytes)


@dataclass(frozen=True)
class Rates:
    """What the machine does: FLOPs per second in large products, bytes per second in large copies.

    Copied bytes count twice: they are read and written.
    """

    flops: float
    bytes: float


@dataclass(frozen=True)
class Layer:
    """A linear layer within a step: rows, inputs, outputs; whether its input needs a gradient."""

    rows: int
    inputs: int
    outputs: int
    inner: bool

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return (self.inputs + 1) * self.outputs


def layers(config: Any, features: int, attributes: int, classes: int) -> list[Layer]:
    """Every linear layer of a step of ACMR or CADA-VAE, with the rows that go through it."""
    batch, latent = config.batch, config.latent
    acmr = isinstance(config, ACMRConfig)
    # CADA-VAE decodes both latents with both decoders.
    decoded = batch if acmr else 2 * batch
    found = []
    for width, encoder, decoder in (
        (features, config.visual_encoder_hidden, config.visual_decoder_hidden),
        (attributes, config.attribute_encoder_hidden, config.attribute_decoder_hidden),
    ):
        found += [
            Layer(batch, width, encoder, inner=False),
            Layer(batch, encoder, 2 * latent, inner=True),
            Layer(decoded, latent, decoder, inner=True),
            Layer(decoded, decoder, width, inner=True),
        ]
        if acmr and config.iem:
            found += [
                Layer(batch, 2 * latent, config.iem_hidden, inner=True),
                Layer(batch, config.iem_hidden, latent, inner=True),
            ]
        if acmr and config.vsa:
            found.append(Layer(batch, latent, classes, inner=True))
    return found


def phases(config: Any, features: int, attributes: int, classes: int) -> list[Phase]:
    """The phases of one step."""
    found: list[Phase] = []
    batch, latent = config.batch, config.latent
    found.append(Phase("gather rows", 0, 2 * FLOAT * batch * (features + attributes)))
    parts = layers(config, features, attributes, classes)
    for layer in parts:
        flops = 2 * layer.rows * layer.inputs * layer.outputs
        weights = layer.inputs * layer.outputs
        x, y = layer.rows * layer.inputs, layer.rows * layer.outputs
        # Forward, gradient of the weights, gradient of the input: each touches all three.
        for name in ("forward", "weight gradient", *(["input gradient"] * layer.inner)):
            found.append(Phase(name, flops, FLOAT * (x + y + weights)))
    if isinstance(config, ACMRConfig) and config.vsa and config.attention == "softmax":
        square = batch * latent * latent
        # The matrix P: made, used; its gradient made, turned into that of the products, used.
        found.append(Phase("attention", 2 * 4 * square + 10 * square, FLOAT * 5 * square))
    # Reconstruction errors and their signs: input, output, gradient.
    decoded = batch if isinstance(config, ACMRConfig) else 2 * batch
    found.append(Phase("L1 errors", 0, FLOAT * 3 * decoded * (features + attributes)))
    parameters = sum(layer.parameters for layer in parts)
    # Adam with amsgrad reads p, g, m, v, max v and writes p, m, v, max v.
    found.append(Phase("Adam", 15 * parameters, FLOAT * 9 * parameters))
    return found


class Kernels:
    """The two kernels whose rates make the roofline."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._a = torch.randn(2048, 2048, device=device)
        self._b = torch.randn(2048, 2048, device=device)
        self._c = torch.empty(2048, 2048, device=device)
        self._from = torch.zeros(64 << 20, device=device)  # 256 MB
        self._to = torch.zeros_like(self._from)

    def _time(self, call: Callable[[], Any]) -> float:
        calls = 1
        if self.device.type == "cuda":
            calls = GPU_CALLS
            call()  # loads the kernel, and lets the clock rise
        begun = now(self.device)
        for _ in range(calls):
            call()
        return (now(self.device) - begun) / calls

    def rates(self, repeats: int = 3) -> Rates:
        """Medians of ``repeats`` measurements of either kernel."""
        with arithmetic("float32"):
            products = [
                self._time(lambda: torch.mm(self._a, self._b, out=self._c)) for _ in range(repeats)
            ]
        copies = [self._time(lambda: self._to.copy_(self._from)) for _ in range(repeats)]
        bytes_moved = 2 * FLOAT * self._from.numel()
        return Rates(2 * 2048**3 / median(products), bytes_moved / median(copies))


def least_seconds(found: list[Phase], rates: Rates) -> float:
    """The roofline of a step of one run."""
    return sum(phase.seconds(rates) for phase in found)
