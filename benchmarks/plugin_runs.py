"""Timed trainings with the plugins themselves: what an epoch takes, read off their own reports."""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from gzsl_bench_acmr.method import ACMR
from gzsl_bench_cada_vae.method import CADAVAE

from gzsl_bench import Config, DatasetInfo, Run, Task
from gzsl_bench.hooks.method import BatchedMethod
from gzsl_bench.hooks.run import ScoreFunction
from gzsl_bench.stacked.precision import arithmetic

METHODS: dict[str, type[BatchedMethod]] = {"acmr": ACMR, "cada_vae": CADAVAE}


def now(device: torch.device) -> float:
    """Seconds, once ``device`` has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def warm_up(device: torch.device) -> int:
    """Epochs of a stage that warm it up and are not timed.

    The first allocates; on a GPU the second one captures its graphs (see ``stacked.steps``).
    """
    return 2 if device.type == "cuda" else 1


class Clock:
    """A run's sink that notes when each report comes; it scores nothing.

    Args:
        device: where the run trains.
        running: numbers of reports, from 1, that are not waited for: on a GPU the host then draws
            the numbers of an epoch while the device is at work on the one before, as it does
            outside benchmarks, and the times of those reports alone mean nothing.
    """

    def __init__(self, device: torch.device, running: Collection[int] = ()) -> None:
        self.device, self.running = device, running
        self.times: list[float] = []
        self.losses: list[float] = []
        self.scorer: ScoreFunction | None = None

    def log(self, step: int, values: dict[str, float]) -> None:
        """Keep the losses of the VAE epochs."""
        if "loss" in values:
            self.losses.append(values["loss"])

    def checkpoint(self, number: int, scorer: ScoreFunction) -> None:
        """Keep the last scorer."""
        self.scorer = scorer

    def progress(self, done: int, total: int) -> None:
        """An epoch has ended, or on a GPU that is not waited for has been handed over."""
        waited = len(self.times) + 1 not in self.running
        self.times.append(now(self.device) if waited else time.perf_counter())


@dataclass
class Timed:
    """Seconds of each epoch of a stack of runs, and what it learnt.

    Attributes:
        vae: seconds of every VAE epoch, those that warm up included; on a GPU only the sum of those
            after them is exact.
        classifier: seconds of every classifier epoch, those that warm up included.
        losses: for every run, the mean loss of every VAE epoch.
        scorers: for every run, its last scorer.
    """

    vae: list[float]
    classifier: list[float]
    losses: list[list[float]] = field(default_factory=list)
    scorers: list[ScoreFunction | None] = field(default_factory=list)


def configure(method: str, dataset: str, **changes: Any) -> Config:
    """The released configuration of ``method`` on ``dataset``, with ``changes``."""
    factory = METHODS[method]
    defaults = dict(factory.defaults(DatasetInfo(dataset, "res101", "att")))
    return factory.Config.model_validate({**defaults, **changes})


def train_timed(
    method: str,
    task: Task,
    config: Config,
    seeds: Sequence[int],
    *,
    precision: str = "float32",
) -> Timed:
    """Train ``seeds`` as one stack (on a CPU: one after the other) and time the epochs."""
    gc.collect()  # a GPU still holds the last stack where its objects form cycles
    full: Any = config
    running = range(warm_up(task.device) + 1, full.epochs)
    sinks = [Clock(task.device, running) for _ in seeds]
    runs = [
        Run(seed, task.device, config, sink, precision=precision)
        for seed, sink in zip(seeds, sinks, strict=True)
    ]
    begun = now(task.device)
    with arithmetic(precision):
        METHODS[method](config).fit_batch(task, runs)
    # On a CPU the runs come one after the other, each with reports of its own.
    alone = task.device.type == "cpu"
    vae = [0.0] * full.epochs
    classifier = [0.0] * full.classifier_epochs
    for sink in sinks if alone else sinks[:1]:
        stamps = [begun, *sink.times]
        spans = [b - a for a, b in itertools.pairwise(stamps)]
        begun = sink.times[-1]
        for index, span in enumerate(spans[: full.epochs]):
            vae[index] += span
        for index, span in enumerate(spans[full.epochs :]):
            classifier[index] += span
    return Timed(vae, classifier, [s.losses for s in sinks], [s.scorer for s in sinks])


@cache
def random_task(
    features: int, attributes: int, seen: int, unseen: int, rows: int, device: str
) -> Task:
    """A task of the given shape: uniform features, unit-norm embeddings, even classes."""
    source = torch.Generator().manual_seed(0)
    classes = seen + unseen
    embeddings = torch.rand(classes, attributes, generator=source)
    embeddings /= embeddings.norm(dim=1, keepdim=True)
    return Task(
        features=torch.rand(rows, features, generator=source).to(device),
        labels=(torch.arange(rows) % seen).to(device),
        attributes=embeddings.to(device),
        seen=torch.arange(seen, device=device),
        unseen=torch.arange(seen, classes, device=device),
    )


def only(task: Task, rows: int) -> Task:
    """The first ``rows`` training rows of ``task``."""
    return Task(task.features[:rows], task.labels[:rows], task.attributes, task.seen, task.unseen)


def median(values: Sequence[float]) -> float:
    """The middle value; of an even number, the upper one."""
    return sorted(values)[len(values) // 2]


def alternate(measures: Sequence[Callable[[], float]], rounds: int) -> list[list[float]]:
    """Every measure once a round, ``rounds`` times: what disturbs the machine disturbs them all."""
    found: list[list[float]] = [[] for _ in measures]
    for _ in range(rounds):
        for values, measure in zip(found, measures, strict=True):
            values.append(measure())
    return found
