"""The bars that speed is held to, and how far a measurement is from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.measure import SHAPES
from benchmarks.plugin_runs import configure

#: Runs trained as one where a GPU is judged: ten seeds.
GPU_RUNS = 10


@dataclass(frozen=True)
class Bar:
    """A figure beside what it should reach.

    Attributes:
        what: the figure in words.
        reached: its value.
        wanted: the bar.
        unit: ``%``, or ``times``.
    """

    what: str
    reached: float
    wanted: float
    unit: str = "times"

    @property
    def met(self) -> bool:
        """Whether the bar is reached."""
        return self.reached >= self.wanted

    def line(self) -> str:
        """One line: the figure, the bar, and the part of it that is missing or to spare."""
        apart = 100 * (self.reached / self.wanted - 1)
        verdict = "met" if self.met else "missed"
        return (
            f"{self.what}: {self._show(self.reached)}, bar {self._show(self.wanted)}:"
            f" {verdict} ({apart:+.0f} %)"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**vars(self), "met": self.met}

    def _show(self, value: float) -> str:
        return f"{value:.0f} %" if self.unit == "%" else f"{value:.2f} times"


def bars(result: Mapping[str, Any]) -> list[Bar]:
    """The bars that ``result`` of ``python -m benchmarks`` holds figures for.

    On a GPU ten runs are trained as one, on a CPU one run is trained alone.
    """
    gpu = str(result["hardware"]["device"]).startswith("cuda")
    runs = GPU_RUNS if gpu else 1
    steps = {step["method"]: _stack(step, runs) for step in result.get("step") or ()}
    classifiers = {part["method"]: _stack(part, runs) for part in result.get("classifier") or ()}
    found = []
    for method, step in steps.items():
        if step is not None:
            share = 100 * step["fraction_of_roofline"]
            name = f"{method}, VAE step of {_runs(runs)}, of the roofline"
            found.append(Bar(name, share, 60 if gpu else 70, "%"))
    for method, step in classifiers.items():
        if step is not None:
            name = f"{method}, classifier step of {_runs(runs)}, plain loop / ours a run"
            found.append(Bar(name, step["times_faster_than_plain"], 200 if gpu else 8))
    for method, step in steps.items():
        last = classifiers.get(method)
        # The CPU's bar is about ACMR alone.
        if step is not None and last is not None and (gpu or method == "acmr"):
            name = f"{method}, whole training from these medians, plain loop / ours a run"
            counts = step_counts(method, result["dataset"])
            parts = _parts(result, method)
            plain = sum(n * part["plain"] for n, part in zip(counts, parts, strict=True))
            ours = counts[0] * step["per_run"] + counts[1] * last["per_run"]
            found.append(Bar(name, plain / ours, 30 if gpu else 1.4))
    if not gpu and (precision := result.get("precision")):
        faster = {each["precision"]: each["times_faster"] for each in precision["steps"]}
        if "bf16" in faster:
            found.append(Bar("bf16 over float32, VAE step of acmr", faster["bf16"], 1.3))
    return found


def _runs(runs: int) -> str:
    return "1 run" if runs == 1 else f"{runs} runs"


def _stack(part: Mapping[str, Any], runs: int) -> dict[str, Any] | None:
    """What was measured of a stack of ``runs``; None where that size was not."""
    return next((each for each in part["stacks"] if each["runs"] == runs), None)


def _parts(result: Mapping[str, Any], method: str) -> list[Mapping[str, Any]]:
    """What was measured of a method's VAE step and of its classifier step."""
    return [
        next(part for part in result[name] if part["method"] == method)
        for name in ("step", "classifier")
    ]


def step_counts(method: str, dataset: str) -> tuple[int, int]:
    """Steps of a whole training in the released configuration: autoencoders, classifier."""
    _, _, seen, unseen, rows = SHAPES[dataset]
    config: Any = configure(method, dataset)
    latents = seen * config.seen_samples + unseen * config.unseen_samples
    return (
        config.epochs * math.ceil(rows / config.batch),
        config.classifier_epochs * (latents // config.classifier_batch),
    )
