"""Closed forms beside numpy's own solve: ``python -m benchmarks.closed_forms``.

Processor seconds of a whole fit, all in float64, on one thread, so that neighbours on the machine
count little.  numpy is given the same X in float64 and does what a method cannot do without: X'X,
then one ``solve`` for ESZSL and one ``eigh`` for SAE.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import click
import numpy as np
from gzsl_bench_classic.sae import SAE
from gzsl_bench_eszsl import ESZSL

from benchmarks.measure import SHAPES
from benchmarks.plugin_runs import Clock, alternate, median, random_task
from gzsl_bench import BatchedMethod, Run, Task, markdown
from gzsl_bench.engine.fit import settle

#: A fit takes at most so many times what numpy takes.
BAR = 3.0
#: The grid that ESZSL's penalties are searched on, 10^-3 to 10^3 each.
GRID = [10.0**power for power in range(-3, 4)]


@click.command()
@click.option("--dataset", default="CUB", type=click.Choice(list(SHAPES)), show_default=True)
@click.option("--features", default=4096, show_default=True, help="Feature dimensions.")
@click.option("--rounds", default=3, show_default=True, help="Repetitions; medians are shown.")
def main(dataset: str, features: int, rounds: int) -> None:
    """Time closed forms beside numpy's solve of the same size."""
    settle("0", 1)  # of libraries yet to be loaded, too
    task = random_task(features, *SHAPES[dataset][1:], "cpu")
    lines = list(measure(task, rounds))
    click.echo(markdown.table(["fit", "s", "numpy", "s", "times"], [_shown(*x) for x in lines]))
    worst = max(seconds / numpys for _, seconds, _, numpys in lines)
    verdict = "met" if worst <= BAR else "missed"
    click.echo(f"at most {worst:.2f} times numpy's seconds, bar {BAR:g} times: {verdict}")


def measure(task: Task, rounds: int) -> Iterator[tuple[str, float, str, float]]:
    """What is fitted, its processor seconds, what numpy does, and those of it."""
    x = task.features.double().numpy()
    middle = x.T @ task.attributes.double().numpy()[task.labels.numpy()]

    def solve(times: int = 1) -> None:
        gram = x.T @ x
        for number in range(times):
            np.linalg.solve(gram + np.eye(len(gram)) * GRID[number], middle)

    pairs = [{"feature_penalty": a, "attribute_penalty": b} for a in GRID for b in GRID]
    penalties = [{"to_attributes_penalty": a} for a in GRID]
    tasks: Sequence[tuple[str, Callable[[], Any], str, Callable[[], Any]]] = (
        ("ESZSL", lambda: fit(ESZSL, task, [{}]), "X'X, solve", solve),
        ("ESZSL, 49 pairs of penalties", lambda: fit(ESZSL, task, pairs),
         "X'X, 7 times solve", lambda: solve(len(GRID))),
        ("SAE", lambda: fit(SAE, task, [{}]), "X'X, eigh", lambda: np.linalg.eigh(x.T @ x)),
        ("SAE, 7 penalties", lambda: fit(SAE, task, penalties),
         "X'X, eigh", lambda: np.linalg.eigh(x.T @ x)),
    )  # fmt: skip
    for what, ours, other, theirs in tasks:
        click.echo(f"measuring: {what}", err=True)
        spans = alternate([partial(_seconds, ours), partial(_seconds, theirs)], rounds)
        yield what, median(spans[0]), other, median(spans[1])


def fit(method: type[BatchedMethod], task: Task, changes: Sequence[Mapping[str, Any]]) -> Any:
    """Fit a fresh copy of ``task`` (nothing is shared with an earlier fit) with every change."""
    configs = [method.Config.model_validate(change) for change in changes]
    runs = [Run(0, task.device, config, Clock(task.device)) for config in configs]
    return method(configs[0]).fit_batch(replace(task), runs)


def _seconds(work: Callable[[], Any]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def _shown(what: str, seconds: float, other: str, numpys: float) -> list[str]:
    return [what, f"{seconds:.2f}", other, f"{numpys:.2f}", f"{seconds / numpys:.2f}"]


if __name__ == "__main__":
    main()
