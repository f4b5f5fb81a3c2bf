"""``python -m benchmarks.compiled``: what ``torch.compile`` gains in a VAE step on a CPU.

The elementwise regions of a step (see :mod:`benchmarks.regions`) are compiled by inductor, each as
one graph, and take turns with the plugin's own loss on the same model, step by step.  Times are
processor time of this process, which others on the machine disturb less than wall time; what
counts are ratios of medians.  Compiling is timed in two processes with one cache: cold, then warm.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks.measure import SHAPES
from benchmarks.plugin_runs import random_task
from benchmarks.regions import REGIONS, Regions, Stage, Tensors
from gzsl_bench import markdown

#: A gain of this share of a whole step would be worth an option.
WORTH = 0.10
#: Kernels of a profile by what they are for; the other ones of aten are elementwise or copies.
PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm")
ADAM = ("aten::_fused_adam_", "aten::_foreach_add_")


def compiled(regions: Regions) -> Regions:
    """Every region compiled for the shapes it will see, in one graph."""
    return {
        name: torch.compile(function, fullgraph=True, dynamic=False)
        for name, function in regions.items()
    }


def once(stage: Stage, loss: Callable[[Tensors], Mapping[str, torch.Tensor]]) -> dict[str, Any]:
    """Losses and gradients of the first step, the parameters left as they are."""
    stage.forget()
    terms = loss(stage.inputs(0))
    terms["loss"].sum().backward()  # type: ignore[no-untyped-call]
    assert all(layer.grad is not None for layer in stage.layers)
    return {
        "terms": {name: term.detach().clone() for name, term in terms.items()},
        "gradients": [layer.grad.clone() for layer in stage.layers if layer.grad is not None],
    }


def apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, float]:
    """Largest relative difference of the losses and, by their largest number, of gradients."""
    losses = (abs(other["terms"][n] / one["terms"][n] - 1).max() for n in one["terms"])
    gradients = (
        (a - b).abs().max() / a.abs().max()
        for a, b in zip(one["gradients"], other["gradients"], strict=True)
    )
    return {"losses": float(max(losses)), "gradients": float(max(gradients))}


def step(stage: Stage, number: int, loss: Callable[[Tensors], Any]) -> tuple[float, float, float]:
    """One step: seconds of processor time forward, backward and in the optimiser."""
    begun = time.process_time()
    terms = loss(stage.inputs(number))
    forward = time.process_time()
    terms["loss"].sum().backward()
    backward = time.process_time()
    stage.optimizer.step()
    return forward - begun, backward - forward, time.process_time() - backward


def in_turns(stage: Stage, losses: Mapping[str, Callable[[Tensors], Any]], rounds: int) -> Any:
    """Medians of ``rounds`` steps by each loss, in turns: forward, backward, optimiser, whole."""
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in losses}
    stage.forget()
    for number in range(rounds + 3):
        for name, loss in losses.items():
            found[name].append(step(stage, number, loss))
    medians = {}
    for name, values in found.items():
        parts = list(zip(*values[3:], strict=True))
        each = dict(
            zip(("forward", "backward", "adam"), map(statistics.median, parts), strict=True)
        )
        medians[name] = each | {"step": statistics.median(map(sum, values[3:]))}
    return medians


def region_inputs(stage: Stage) -> dict[str, Tensors]:
    """What each region is given in the first step (ACMR's gate: for the images)."""
    seen: dict[str, Tensors] = {}

    def noting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*inputs: torch.Tensor) -> Any:
            seen.setdefault(name, inputs)
            return function(*inputs)

        return call

    regions = REGIONS[stage.method]
    stage.cut(stage.inputs(0), {name: noting(name, each) for name, each in regions.items()})
    return seen


def region_seconds(
    inputs: Mapping[str, Tensors], variants: Mapping[str, Regions], rounds: int
) -> dict[str, dict[str, float]]:
    """Processor seconds of every region alone, forward and backward, by each variant in turns."""
    found: dict[str, dict[str, list[float]]] = {
        name: {variant: [] for variant in variants} for name in inputs
    }
    for name, given in inputs.items():
        leaves = [
            each.detach().requires_grad_() if each.requires_grad else each.detach()
            for each in given
        ]
        wanted = [each for each in leaves if each.requires_grad]
        for _ in range(rounds + 3):
            for variant, regions in variants.items():
                begun = time.process_time()
                outputs = regions[name](*leaves)
                outputs = outputs if isinstance(outputs, tuple) else (outputs,)
                torch.autograd.grad(outputs, wanted, [torch.ones_like(out) for out in outputs])
                found[name][variant].append(time.process_time() - begun)
    return {
        name: {variant: statistics.median(values[3:]) for variant, values in each.items()}
        for name, each in found.items()
    }


def profile(stage: Stage, loss: Callable[[Tensors], Any], steps: int) -> dict[str, Any]:
    """Where ``steps`` steps go, by torch's profiler: milliseconds a step by kind, and by kernel."""
    for number in range(3):
        step(stage, number, loss)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        begun = time.perf_counter()
        for number in range(steps):
            step(stage, number, loss)
        wall = 1e3 * (time.perf_counter() - begun) / steps
    kernels = {each.key: each.self_cpu_time_total / 1e3 / steps for each in found.key_averages()}
    kinds = dict.fromkeys(("products", "Adam", "elementwise, reductions, copies"), 0.0)
    for name, value in kernels.items():
        if name.startswith("aten::"):
            kind = "products" if name in PRODUCTS else "Adam" if name in ADAM else list(kinds)[2]
            kinds[kind] += value
    kinds["Python, autograd and launching"] = wall - sum(kinds.values())
    largest = sorted(kernels.items(), key=lambda item: -item[1])[:15]
    return {"wall": wall, "kinds": kinds, "kernels": dict(largest)}


def used() -> float:
    """Processor seconds of this process and of the children it has waited for."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in both)


def measure(stage: Stage, rounds: int, warm: bool) -> dict[str, Any]:
    """Compile in this process; with a warm cache also measure steps, regions and a profile."""
    regions = compiled(REGIONS[stage.method])
    plugin = once(stage, stage.plugin)
    wall, cpu = time.perf_counter(), used()
    ours = once(stage, lambda inputs: stage.cut(inputs, regions))
    cost = {"wall": time.perf_counter() - wall, "cpu": used() - cpu}
    result: dict[str, Any] = {"cost": cost, "apart": apart(plugin, ours)}
    if not warm:
        return result
    inputs = region_inputs(stage)
    result["steps"] = in_turns(
        stage,
        {
            "eager": stage.plugin,
            "cut": lambda inputs: stage.cut(inputs, REGIONS[stage.method]),
            "compiled": lambda inputs: stage.cut(inputs, regions),
        },
        rounds,
    )
    result["regions"] = region_seconds(
        inputs, {"eager": REGIONS[stage.method], "compiled": regions}, rounds
    )
    result["profile"] = profile(stage, stage.plugin, max(10, rounds // 4))
    return result


def in_a_process(method: str, features: int, rounds: int, cache: str, warm: bool) -> dict[str, Any]:
    """:func:`measure` in a process of its own, with a cache of its own."""
    command = [sys.executable, "-m", "benchmarks.compiled", "--alone", "--rounds", str(rounds)]
    command += ["--method", method, "--features", str(features), *["--warm"] * warm]
    environment = {
        **os.environ, "TORCHINDUCTOR_CACHE_DIR": cache, "TORCHINDUCTOR_COMPILE_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def conclude(found: Mapping[str, Any]) -> dict[str, float]:
    """Shares of a whole step: elementwise regions, and what compiling them saves."""
    steps, regions = found["steps"], found["regions"]
    whole = steps["eager"]["step"]
    # ACMR's gate is passed twice, once for each modality.
    times = {name: 2 if name == "gate" else 1 for name in regions}
    eager, ours = (
        sum(times[name] * each[variant] for name, each in regions.items())
        for variant in ("eager", "compiled")
    )
    return {
        "share_of_regions": eager / whole,
        "regions_faster": eager / ours,
        "saved_by_regions": (eager - ours) / whole,
        "saved": 1 - steps["compiled"]["step"] / whole,
        "saved_forward": 1 - steps["compiled"]["forward"] / steps["eager"]["forward"],
        "saved_backward": 1 - steps["compiled"]["backward"] / steps["eager"]["backward"],
    }


def text(method: str, found: Mapping[str, Any]) -> str:
    """The measurement of one method for a terminal."""
    steps = [
        [name, *(f"{1e3 * each[part]:.2f}" for part in ("forward", "backward", "adam", "step"))]
        for name, each in found["steps"].items()
    ]
    regions = [
        [name, *(f"{1e6 * each[v]:.0f}" for v in ("eager", "compiled"))]
        for name, each in found["regions"].items()
    ]
    profiled = found["profile"]
    kinds = [
        [kind, f"{value:.2f}", f"{100 * value / profiled['wall']:.0f} %"]
        for kind, value in profiled["kinds"].items()
    ]
    ended, cold, warm = found["conclusion"], found["cold"], found["cost"]
    enough = f"{'a' if ended['saved'] >= WORTH else 'no'} gain of {100 * WORTH:.0f} %"
    return "\n".join(
        [
            f"{method}: a VAE step of one run, one thread, medians in ms of processor time",
            markdown.table(["loss", "forward", "backward", "Adam", "step"], steps),
            "\nelementwise regions alone, forward and backward, µs",
            markdown.table(["region", "eager", "compiled"], regions),
            "\nthe eager step in torch's profiler, ms of wall time",
            markdown.table(["kind", "ms", "share"], kinds),
            f"\nregions: {100 * ended['share_of_regions']:.1f} % of a step; compiled they are"
            f" {ended['regions_faster']:.2f} times as fast; a step then takes"
            f" {1 - ended['saved']:.3f} of its time: {enough}",
            f"compiling takes {cold['wall']:.1f} s (cold cache; {cold['cpu']:.1f} s of processor"
            f" time), {warm['wall']:.1f} s ({warm['cpu']:.1f}) warm; losses differ by"
            f" {found['apart']['losses']:.1e}, gradients by {found['apart']['gradients']:.1e}\n",
        ]
    )


@click.command()
@click.option("--features", default=1000, show_default=True, help="Feature dimensions of CUB.")
@click.option("--rounds", default=200, show_default=True, help="Turns; medians are shown.")
@click.option("--method", "methods", multiple=True, type=click.Choice(list(REGIONS)))
@click.option("--out", default="benchmark-results", type=click.Path(path_type=Path))
@click.option("--alone", is_flag=True, hidden=True, help="Measure here and print JSON.")
@click.option("--warm", is_flag=True, hidden=True, help="The cache is warm: measure all.")
def main(
    features: int, rounds: int, methods: tuple[str, ...], out: Path, alone: bool, warm: bool
) -> None:
    """Compile the elementwise regions of ACMR's and CADA-VAE's steps and time what is gained."""
    if alone:
        torch.set_num_threads(1)
        _, *rest = SHAPES["CUB"]
        stage = Stage(methods[0], "CUB", random_task(features, *rest, "cpu"), steps=20)
        click.echo(json.dumps(measure(stage, rounds, warm)))
        return
    from gzsl_bench.engine.environment import hardware, versions

    result: dict[str, Any] = {
        "features": features, "rounds": rounds, "versions": versions(),
        "hardware": hardware("cpu", 1), "methods": {},
    }  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    for method in methods or REGIONS:
        with tempfile.TemporaryDirectory() as cache:
            cold = in_a_process(method, features, rounds, cache, warm=False)
            found = in_a_process(method, features, rounds, cache, warm=True)
        found |= {"cold": cold["cost"], "conclusion": conclude(found)}
        result["methods"][method] = found
        (out / "compiled.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
        click.echo(text(method, found))


if __name__ == "__main__":
    main()
