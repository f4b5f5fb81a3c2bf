"""The measurements: what a step of a stage costs, beside the plain loop and the roofline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

import torch

from benchmarks.plain_loop import train_plain
from benchmarks.plugin_runs import alternate, configure, median, only, train_timed, warm_up
from benchmarks.roofline import Kernels, Rates, least_seconds, phases
from gzsl_bench import Task

Stage: TypeAlias = Literal["vae", "classifier"]

#: Rows of the tasks that steps are timed on: 20 steps an epoch, enough for a CPU.
ROWS = 1000
#: On a GPU whole epochs are timed: the host has to keep up with graphs of 50 steps.
GPU_ROWS = 7057
#: Epochs that are timed after those that warm up.
TIMED, GPU_TIMED = 1, 4
#: Shapes: features, attributes, seen and unseen classes, training rows.
SHAPES = {
    "CUB": (2048, 312, 150, 50, 7057),
    "SUN": (2048, 102, 645, 72, 10320),
    "AWA1": (2048, 85, 40, 10, 19832),
    "AWA2": (2048, 85, 40, 10, 23527),
}


@dataclass(frozen=True)
class Bench:
    """What is measured on: a task in the shape of a data set, and how often.

    Attributes:
        dataset: whose released configurations are used.
        task: the whole task, on the device.
        rounds: repetitions of every measurement; medians are reported.
    """

    dataset: str
    task: Task
    rounds: int

    @property
    def device(self) -> torch.device:
        """Where it is measured."""
        return self.task.device

    def shape(self) -> tuple[int, int, int]:
        """Feature and embedding dimensions, classes."""
        task = self.task
        return task.features.shape[1], task.attributes.shape[1], task.num_classes


@dataclass(frozen=True)
class Step:
    """What a step of a stage costs.

    Attributes:
        stage: ``vae``, or ``classifier`` for the one on latents.
        method: the method.
        precision: the arithmetic.
        runs: trained as one.
        seconds: of a step of all of them.
        plain: seconds of the plain loop's step, which trains one run in float32.
        least: seconds of one run's step by the roofline of float32; None for the classifier.
    """

    stage: Stage
    method: str
    precision: str
    runs: int
    seconds: float
    plain: float
    least: float | None = None

    @property
    def per_run(self) -> float:
        """Seconds of a step of one run."""
        return self.seconds / self.runs

    @property
    def faster(self) -> float:
        """How many times as fast as the plain loop, run for run."""
        return self.plain / self.per_run

    @property
    def share(self) -> float | None:
        """Of what the roofline allows; None where it says nothing."""
        return self.least / self.per_run if self.least and self.precision == "float32" else None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {n: getattr(self, n) for n in ("per_run", "faster", "share")}


def steady(spans: Sequence[float], device: torch.device) -> float:
    """Seconds of an epoch after those that warm up: on a CPU the median, on a GPU the mean.

    A GPU's epochs overlap with the host's drawing for the next one; only their sum is exact.
    """
    timed = spans[warm_up(device) :]
    return sum(timed) / len(timed) if device.type == "cuda" else median(timed)


def step_seconds(
    bench: Bench, stage: Stage, method: str, runs: int, precision: str = "float32"
) -> float:
    """Seconds of one step of ``runs`` runs after the warm-up; of the plain loop where it is 0."""
    device, task = bench.device, bench.task
    gpu = device.type == "cuda"
    timed = GPU_TIMED if gpu else TIMED
    changes = {"epochs": 1, "classifier_epochs": warm_up(device) + max(2, timed)}
    if stage == "vae":
        task = only(task, GPU_ROWS if gpu else ROWS)
        changes = {"epochs": warm_up(device) + timed, "classifier_epochs": 2}
        changes |= {"seen_samples": 1, "unseen_samples": 1}
    else:  # the fewest rows that hold every seen class; they are tiled to the released numbers
        task = only(task, task.seen.numel())
    config: Any = configure(method, bench.dataset, **changes)
    seen, unseen = task.seen.numel(), task.unseen.numel()
    counts = step_counts(config, seen, unseen, len(task.labels))
    steps = counts[0] if stage == "vae" else counts[1]
    if not runs:
        epochs = (2, 0) if stage == "vae" else (0, 1)
        plain = train_plain(task, config, 0, epochs=epochs[0], classifier_epochs=epochs[1])
        return float(getattr(plain, stage)[-1]) / steps
    found = train_timed(method, task, config, range(runs), precision=precision)
    return steady(getattr(found, stage), device) / steps


def step_counts(config: Any, seen: int, unseen: int, rows: int) -> tuple[int, int]:
    """Steps of an epoch of the autoencoders and of the classifier."""
    latents = seen * config.seen_samples + unseen * config.unseen_samples
    return math.ceil(rows / config.batch), latents // config.classifier_batch


def measure(
    bench: Bench, stage: Stage, method: str, stacks: Sequence[tuple[int, str]]
) -> tuple[list[Step], Rates]:
    """Stacks of so many runs in an arithmetic, the plain loop and the machine's rates, in turn."""
    kernels = Kernels(bench.device)
    rates: list[Rates] = []

    def measure_rates() -> float:
        rates.append(kernels.rates())
        return 0.0

    todo = [*stacks, (0, "float32")]
    measures = [partial(step_seconds, bench, stage, method, *stack) for stack in todo]
    *stacked, plains, _ = alternate([*measures, measure_rates], bench.rounds)
    rate = Rates(median([r.flops for r in rates]), median([r.bytes for r in rates]))
    least = None
    if stage == "vae":
        least = least_seconds(phases(configure(method, bench.dataset), *bench.shape()), rate)
    found = [
        Step(stage, method, precision, runs, median(seconds), median(plains), least)
        for (runs, precision), seconds in zip(stacks, stacked, strict=True)
    ]
    return found, rate
