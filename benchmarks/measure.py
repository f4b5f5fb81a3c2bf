"""The measurements: each gives plain data for the report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch

from benchmarks.plain_loop import train_plain
from benchmarks.plugin_runs import alternate, configure, median, only, random_task, train_timed
from benchmarks.roofline import Kernels, Rates, least_seconds, phases
from gzsl_bench import Task

#: Rows of the tasks that steps are timed on: 20 steps an epoch.
ROWS = 1000
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


def step_seconds(
    bench: Bench, method: str, runs: int, *, precision: str = "float32", epochs: int = 2
) -> float:
    """Seconds of one VAE step of ``runs`` runs: the median epoch after the first."""
    task = only(bench.task, ROWS)
    config = configure(
        method, bench.dataset, epochs=epochs, classifier_epochs=2, seen_samples=1, unseen_samples=1
    )
    timed = train_timed(method, task, config, range(runs), precision=precision)
    return median(timed.vae[1:]) / math.ceil(len(task.labels) / 50)


def plain_step_seconds(bench: Bench, method: str, epochs: int = 2) -> float:
    """Seconds of one VAE step of the plain loop."""
    task = only(bench.task, ROWS)
    config = configure(method, bench.dataset, seen_samples=1, unseen_samples=1)
    plain = train_plain(task, config, 0, epochs=epochs, classifier_epochs=0)
    return median(plain.vae[1:]) / math.ceil(len(task.labels) / 50)


def classifier_seconds(bench: Bench, method: str, runs: int) -> float:
    """Seconds of one step of the latent classifier of ``runs`` runs, at the released size."""
    config: Any = configure(method, bench.dataset, epochs=1, classifier_epochs=3)
    timed = train_timed(method, one_each(bench.task), config, range(runs))
    return median(timed.classifier[1:]) / classifier_steps(bench, config)


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
    return {
        "method": method,
        "dataset": bench.dataset,
        "rates": asdict(rate),
        "phases": [{**asdict(p), "seconds": p.seconds(rate)} for p in found],
        "roofline_per_run": least,
        "plain": median(plains),
        "plain_all": plains,
        "stacks": [
            {
                "runs": runs,
                "step": median(values),
                "per_run": median(values) / runs,
                "all": values,
                "fraction_of_roofline": least * runs / median(values),
                "times_faster_than_plain": median(plains) * runs / median(values),
            }
            for runs, values in zip(stacks, stacked, strict=True)
        ],
    }


def classifier_step(bench: Bench, method: str, stacks: Sequence[int]) -> dict[str, Any]:
    """A classifier step: stacks of several sizes and the plain loop, in turn."""
    measures = [partial(classifier_seconds, bench, method, runs) for runs in stacks]
    plain = partial(plain_classifier_seconds, bench, method)
    *stacked, plains = alternate([*measures, plain], bench.rounds)
    return {
        "method": method,
        "dataset": bench.dataset,
        "plain": median(plains),
        "stacks": [
            {
                "runs": runs,
                "step": median(values),
                "per_run": median(values) / runs,
                "times_faster_than_plain": median(plains) * runs / median(values),
            }
            for runs, values in zip(stacks, stacked, strict=True)
        ],
    }


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


def growth(bench: Bench, runs: int) -> dict[str, Any]:
    """How epochs of ACMR grow with rows and classes (growth with runs: see :func:`vae_step`)."""
    device = str(bench.device)
    width, attributes, seen, unseen, _ = SHAPES["CUB"]
    by_rows = []
    for rows in (1000, 4000, 16000):
        task = random_task(width, attributes, seen, unseen, rows, device)
        config = configure(
            "acmr", "CUB", epochs=2, classifier_epochs=2, seen_samples=1, unseen_samples=1
        )
        timed = train_timed("acmr", task, config, range(runs))
        steps = math.ceil(rows / 50)
        by_rows.append({"rows": rows, "epoch": timed.vae[1], "step": timed.vae[1] / steps})
    by_classes = []
    for classes in (50, 200, 717):
        task = random_task(width, attributes, classes - 10, 10, max(ROWS, classes), device)
        config = configure("acmr", "CUB", epochs=2, classifier_epochs=2)
        timed = train_timed("acmr", task, config, range(runs))
        steps = ((classes - 10) * 200 + 10 * 390) // 32
        vae = timed.vae[1] / math.ceil(len(task.labels) / 50)
        by_classes.append(
            {"classes": classes, "vae_step": vae, "classifier_step": timed.classifier[1] / steps}
        )
    return {"runs": runs, "rows": by_rows, "classes": by_classes}
