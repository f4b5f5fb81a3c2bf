"""``python -m benchmarks``: measure, print, and save ``benchmark.json``."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks import measure
from benchmarks.bars import bars
from benchmarks.measure import SHAPES, Bench
from benchmarks.plugin_runs import random_task
from gzsl_bench import markdown
from gzsl_bench.cli.options import choose_device
from gzsl_bench.engine.environment import hardware, versions

PARTS = ("step", "classifier", "precision")


@click.command()
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--threads", default=1, show_default=True, help="CPU threads.")
@click.option("--dataset", default="CUB", type=click.Choice(list(SHAPES)), show_default=True)
@click.option("--features", default=0, help="Feature dimensions [default: 2048].")
@click.option("--rounds", default=5, show_default=True, help="Repetitions; medians are shown.")
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), help="[default: all]")
@click.option("--out", default="benchmark-results", type=click.Path(path_type=Path))
def main(
    device: str,
    threads: int,
    dataset: str,
    features: int,
    rounds: int,
    parts: tuple[str, ...],
    out: Path,
) -> None:
    """Time a training step of ACMR and CADA-VAE beside the roofline and a plain loop."""
    torch.set_num_threads(threads)
    width, *rest = SHAPES[dataset]
    bench = Bench(dataset, random_task(features or width, *rest, choose_device(device)), rounds)
    gpu = bench.device.type == "cuda"
    methods, runs = ("acmr", "cada_vae"), 10 if gpu else 1
    arithmetics = ("float32", *(["tf32"] * gpu), "bf16")
    todo: dict[str, Callable[[], Any]] = {
        "step": lambda: [measure.vae_step(bench, m, (1, 2, 5, 10, 20)) for m in methods],
        "classifier": lambda: [
            measure.classifier_step(bench, m, sorted({1, runs})) for m in methods
        ],
        "precision": lambda: measure.precisions(bench, "acmr", arithmetics, runs),
    }
    result: dict[str, Any] = {
        "versions": versions(),
        "hardware": hardware(str(bench.device), threads),
        "host": platform.platform(),
        "dataset": dataset,
        "shape": bench.shape(),
        "rounds": rounds,
    }
    out.mkdir(parents=True, exist_ok=True)
    for name in parts or PARTS:
        click.echo(f"measuring: {name}", err=True)
        result[name] = todo[name]()
        click.echo(summary({name: result[name]}) + "\n")
        result["bars"] = [bar.to_json() for bar in bars(result)]
        (out / "benchmark.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    for bar in bars(result):
        click.echo(bar.line())
    click.echo(f"saved in {out}", err=True)


def summary(result: dict[str, Any]) -> str:
    """The measurements as tables."""
    blocks = []
    for step in result.get("step", ()):
        rate = step["rates"]
        lines = [
            [s["runs"], f"{1e3 * s['step']:.2f}", f"{1e3 * s['per_run']:.3f}",
             f"{100 * s['fraction_of_roofline']:.0f} %", f"{s['times_faster_than_plain']:.2f}"]
            for s in step["stacks"]
        ]  # fmt: skip
        blocks.append(
            f"VAE step, {step['method']} in the shape of {step['dataset']}: plain loop"
            f" {1e3 * step['plain']:.2f} ms, roofline {1e3 * step['roofline_per_run']:.2f} ms a run"
            f" ({rate['flops'] / 1e9:.0f} GFLOP/s, {rate['bytes'] / 1e9:.1f} GB/s)\n"
            + markdown.table(
                ["runs", "ms a step", "ms a run", "of roofline", "plain / stacked"], lines
            )
        )
    for step in result.get("classifier", ()):
        lines = [
            [s["runs"], f"{1e6 * s['step']:.1f}", f"{1e6 * s['per_run']:.1f}",
             f"{s['times_faster_than_plain']:.1f}"]
            for s in step["stacks"]
        ]  # fmt: skip
        blocks.append(
            f"Classifier step, {step['method']}: plain loop {1e6 * step['plain']:.0f} µs\n"
            + markdown.table(["runs", "µs a step", "µs a run", "plain / stacked"], lines)
        )
    if precision := result.get("precision"):
        lines = [
            [s["precision"], f"{1e3 * s['step']:.2f}", f"{s['times_faster']:.2f}"]
            for s in precision["steps"]
        ]
        blocks.append(
            f"VAE step of {precision['method']} by precision, {precision['runs']} runs\n"
            + markdown.table(["precision", "ms a step", "times faster"], lines)
        )
    return "\n\n".join(blocks)


if __name__ == "__main__":
    main()
