"""``python -m benchmarks``: measure, print, and save ``benchmark.json``."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import click
import torch

from benchmarks.bars import GPU_RUNS, bars
from benchmarks.measure import SHAPES, Bench, Stage, Step, measure
from benchmarks.plugin_runs import METHODS, random_task
from gzsl_bench import markdown
from gzsl_bench.cli.options import choose_device
from gzsl_bench.engine.environment import hardware, versions


@click.command()
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--threads", default=1, show_default=True, help="CPU threads.")
@click.option("--dataset", default="CUB", type=click.Choice(list(SHAPES)), show_default=True)
@click.option("--features", default=0, help="Feature dimensions [default: 2048].")
@click.option("--rounds", default=5, show_default=True, help="Repetitions; medians are shown.")
@click.option("--stage", "stages", multiple=True, type=click.Choice(get_args(Stage)))
@click.option("--out", default="benchmark-results", type=click.Path(path_type=Path))
def main(
    device: str,
    threads: int,
    dataset: str,
    features: int,
    rounds: int,
    stages: tuple[Stage, ...],
    out: Path,
) -> None:
    """Time a training step of ACMR and CADA-VAE beside the roofline and a plain loop."""
    torch.set_num_threads(threads)
    width, *rest = SHAPES[dataset]
    bench = Bench(dataset, random_task(features or width, *rest, choose_device(device)), rounds)
    gpu = bench.device.type == "cuda"
    runs = GPU_RUNS if gpu else 1
    sizes = {"vae": (1, 2, 5, 10, 20), "classifier": sorted({1, runs})}
    others = ("tf32", "bf16") if gpu else ("bf16",)
    result: dict[str, Any] = {
        "versions": versions(),
        "hardware": hardware(str(bench.device), threads),
        "host": platform.platform(),
        "dataset": dataset,
        "shape": bench.shape(),
        "rounds": rounds,
    }
    out.mkdir(parents=True, exist_ok=True)
    found: list[Step] = []
    for stage in stages or get_args(Stage):
        for method in METHODS:
            click.echo(f"measuring: {stage} step of {method}", err=True)
            stacks = [(size, "float32") for size in sizes[stage]]
            if (stage, method) == ("vae", "acmr"):
                stacks += [(runs, precision) for precision in others]
            steps, rates = measure(bench, stage, method, stacks)
            found += steps
            click.echo(f"{rates.flops / 1e9:.0f} GFLOP/s, {rates.bytes / 1e9:.1f} GB/s\n")
            click.echo(table(steps) + "\n")
            result[f"{stage} {method}"] = {
                "rates": asdict(rates),
                "steps": [step.to_json() for step in steps],
            }
            result["bars"] = [bar._asdict() for bar in bars(found, dataset, gpu)]
            (out / "benchmark.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    lines = [
        [bar.what, f"{bar.reached:.2f}", f"{bar.wanted:.2f}", bar.verdict]
        for bar in bars(found, dataset, gpu)
    ]
    click.echo(markdown.table(["figure", "reached", "bar", "verdict"], lines))
    click.echo(f"saved in {out}", err=True)


def table(steps: list[Step]) -> str:
    """Steps of one stage of a method."""
    headings = ["stage", "method", "precision", "runs", "ms a step", "ms a run", "ms plain",
                "times faster", "of roofline"]  # fmt: skip
    lines = [
        [s.stage, s.method, s.precision, s.runs, f"{1e3 * s.seconds:.3f}", f"{1e3 * s.per_run:.4f}",
         f"{1e3 * s.plain:.3f}", f"{s.faster:.2f}", "-" if s.share is None else f"{s.share:.0%}"]
        for s in steps
    ]  # fmt: skip
    return markdown.table(headings, lines)


if __name__ == "__main__":
    main()
