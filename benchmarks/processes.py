"""Several processes side by side on a CPU: what they keep of a lone process's speed."""

from __future__ import annotations

import multiprocessing
from multiprocessing.synchronize import Barrier
from typing import Any

import torch

from benchmarks.measure import Bench, plain_step_seconds, step_seconds
from benchmarks.plugin_runs import median, random_task
from benchmarks.roofline import Kernels, Rates, least_seconds, phases


def _work(
    barrier: Barrier, results: Any, shape: tuple[int, ...], method: str, dataset: str, rounds: int
) -> None:
    torch.set_num_threads(1)
    from benchmarks.plugin_runs import configure

    bench = Bench(dataset, random_task(*shape, "cpu"), rounds)
    kernels = Kernels(bench.device)
    steps, least = [], []
    found = phases(configure(method, dataset), *bench.shape())
    for _ in range(rounds):
        barrier.wait()
        steps.append(step_seconds(bench, method, 1))
        barrier.wait()
        rates: Rates = kernels.rates(5)
        least.append(least_seconds(found, rates))
    results.put((median(steps), median(least)))


def _together(count: int, *arguments: Any) -> tuple[float, float]:
    """Step and roofline seconds, means over ``count`` processes that work at the same time."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(count), context.Queue()
    children = [
        context.Process(target=_work, args=(barrier, results, *arguments)) for _ in range(count)
    ]
    for child in children:
        child.start()
    found = [results.get() for _ in children]
    for child in children:
        child.join()
    return sum(s for s, _ in found) / count, sum(r for _, r in found) / count


def side_by_side(bench: Bench, method: str, count: int) -> dict[str, Any]:
    """One process and ``count`` at once, one thread each; the plain loop with ``count`` threads.

    ``kept`` is how much of the roofline kernels' own gain by a second process the steps reach.
    """
    task = bench.task
    shape = (
        task.features.shape[1],
        task.attributes.shape[1],
        task.seen.numel(),
        task.unseen.numel(),
        1000,
    )
    arguments = (shape, method, bench.dataset, bench.rounds)
    alone, alone_least = _together(1, *arguments)
    shared, shared_least = _together(count, *arguments)
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    plain = median([plain_step_seconds(bench, method) for _ in range(bench.rounds)])
    threaded = median([step_seconds(bench, method, 1) for _ in range(bench.rounds)])
    torch.set_num_threads(before)
    return {
        "method": method,
        "processes": count,
        "step_alone": alone,
        "step_together": shared,
        "roofline_alone": alone_least,
        "roofline_together": shared_least,
        "kept": (alone / shared) / (alone_least / shared_least),
        "one_process_all_threads": threaded,
        "plain_all_threads": plain,
        "throughput_over_plain": plain * count / shared,
    }
