"""The measurements: each gives plain data for the report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch

from benchmarks.plain_loop import train_plain
from benchmarks.plugin_runs import (
    alternate,
    configure,
    median,
    only,
    train_timed,
    warm_up,
)
from benchmarks.roofline import Kernels, Rates, least_seconds, phases
from gzsl_bench import Task

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


def rows_of(device: torch.device) -> int:
    """Rows of the task that steps are timed on."""
    return GPU_ROWS if device.type == "cuda" else ROWS


def timed_epochs(device: torch.device) -> int:
    """Epochs that are timed after those that warm up."""
    return GPU_TIMED if device.type == "cuda" else TIMED


def steady(spans: Sequence[float], device: torch.device) -> float:
    """Seconds of an epoch after those that warm up: on a CPU the median, on a GPU the mean.

    A GPU's epochs overlap with the host's drawing for the next one; only their sum is exact.
    """
    timed = spans[warm_up(device) :]
    return sum(timed) / len(timed) if device.type == "cuda" else median(timed)


def step_seconds(bench: Bench, method: str, runs: int, *, precision: str = "float32") -> float:
    """Seconds of one VAE step of ``runs`` runs, in an epoch after those that warm up."""
    device = bench.device
    task = only(bench.task, rows_of(device))
    config = configure(
        method,
        bench.dataset,
        epochs=warm_up(device) + timed_epochs(device),
        classifier_epochs=2,
        seen_samples=1,
        unseen_samples=1,
    )
    timed = train_timed(method, task, config, range(runs), precision=precision)
    return steady(timed.vae, device) / math.ceil(len(task.labels) / 50)


def plain_step_seconds(bench: Bench, method: str) -> float:
    """Seconds of one VAE step of the plain loop, in the epoch after the first."""
    task = only(bench.task, rows_of(bench.device))
    config = configure(method, bench.dataset, seen_samples=1, unseen_samples=1)
    plain = train_plain(task, config, 0, epochs=2, classifier_epochs=0)
    return plain.vae[1] / math.ceil(len(task.labels) / 50)


def classifier_seconds(bench: Bench, method: str, runs: int) -> float:
    """Seconds of one step of the latent classifier of ``runs`` runs, at the released size."""
    device = bench.device
    epochs = warm_up(device) + max(2, timed_epochs(device))
    config: Any = configure(method, bench.dataset, epochs=1, classifier_epochs=epochs)
    timed = train_timed(method, one_each(bench.task), config, range(runs))
    return steady(timed.classifier, device) / classifier_steps(bench, config)


def plain_classifier_seconds(bench: Bench, method: str) -> float:
    """Seconds of one classifier step of the plain loop."""
    config: Any = configure(method, bench.dataset)
    plain = train_plain(one_each(bench.task), config, 0, epochs=0, classifier_epochs=1)
    return plain.classifier[0] / classifier_steps(bench, config)


def one_each(task: Task) -> Task:
    """The fewest rows that hold every seen class; they are tiled to the released numbers."""
    return only(task, task.seen.numel())


def classifier_steps(bench: Bench, config: Any) -> int:
    """Steps of one classifier epoch."""
    task = bench.task
    rows = task.seen.numel() * config.seen_samples + task.unseen.numel() * config.unseen_samples
    return int(rows // config.classifier_batch)


def _stacks(
    runs: Sequence[int], seconds: Sequence[Sequence[float]], plain: Sequence[float]
) -> dict[str, Any]:
    """Medians of the plain loop and of stacks of several sizes."""
    base = median(plain)
    return {
        "plain": base,
        "stacks": [
            {
                "runs": size,
                "step": (step := median(values)),
                "per_run": step / size,
                "times_faster_than_plain": base * size / step,
            }
            for size, values in zip(runs, seconds, strict=True)
        ],
    }


def vae_step(bench: Bench, method: str, stacks: Sequence[int]) -> dict[str, Any]:
    """A VAE step: stacks of several sizes, the plain loop and the roofline, in turn."""
    kernels = Kernels(bench.device)
    rates: list[Rates] = []

    def measure_rates() -> float:
        rates.append(kernels.rates())
        return 0.0

    measures = [partial(step_seconds, bench, method, runs) for runs in stacks]
    plain = partial(plain_step_seconds, bench, method)
    *stacked, plains, _ = alternate([*measures, plain, measure_rates], bench.rounds)
    rate = Rates(median([r.flops for r in rates]), median([r.bytes for r in rates]))
    found = phases(configure(method, bench.dataset), *bench.shape())
    least = least_seconds(found, rate)
    result = _stacks(stacks, stacked, plains)
    for each in result["stacks"]:
        each["fraction_of_roofline"] = least / each["per_run"]
    return result | {
        "method": method,
        "dataset": bench.dataset,
        "rates": asdict(rate),
        "phases": [{**asdict(p), "seconds": p.seconds(rate)} for p in found],
        "roofline_per_run": least,
    }


def classifier_step(bench: Bench, method: str, stacks: Sequence[int]) -> dict[str, Any]:
    """A classifier step: stacks of several sizes and the plain loop, in turn."""
    measures = [partial(classifier_seconds, bench, method, runs) for runs in stacks]
    plain = partial(plain_classifier_seconds, bench, method)
    *stacked, plains = alternate([*measures, plain], bench.rounds)
    return {"method": method, "dataset": bench.dataset} | _stacks(stacks, stacked, plains)


def precisions(bench: Bench, method: str, names: Sequence[str], runs: int) -> dict[str, Any]:
    """A VAE step in each arithmetic, in turn."""
    found = alternate(
        [partial(step_seconds, bench, method, runs, precision=name) for name in names],
        bench.rounds,
    )
    base = median(found[0])
    return {
        "method": method,
        "dataset": bench.dataset,
        "runs": runs,
        "steps": [
            {"precision": name, "step": median(v), "times_faster": base / median(v)}
            for name, v in zip(names, found, strict=True)
        ],
    }
