"""``python -m benchmarks.overhead``: what the harness costs beside the training itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from benchmarks.plugin_runs import median

MB = 1 << 20

PLUGIN = '''
import torch
from gzsl_bench import Method, MethodSpec, hookimpl


class Trivial(Method):
    """Scores by a random matrix: a cell that costs next to nothing."""

    def fit(self, task, run):
        shape = task.features.shape[1], task.num_classes
        weights = torch.randn(shape, generator=run.generator("weights"))
        return lambda features: features @ weights


@hookimpl
def gzsl_bench_methods():
    yield MethodSpec("trivial", Trivial, "none", "paper")
'''


def install(folder: Path) -> dict[str, str]:
    """Put the trivial plugin into ``folder``; the environment that finds it there."""
    (folder / "trivial_plugin.py").write_text(PLUGIN, encoding="utf-8")
    info = folder / "trivial_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: trivial-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gzsl_bench]\ntrivial = trivial_plugin\n")
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"}


def timed(command: list[str], environment: dict[str, str], cwd: Path) -> float:
    """Seconds of a command that must succeed."""
    begun = time.perf_counter()
    subprocess.run(command, env=environment, cwd=cwd, check=True, capture_output=True)
    return time.perf_counter() - begun


def start(environment: dict[str, str], folder: Path, rounds: int) -> dict[str, float]:
    """``gzsl-bench --help`` against an interpreter that imports click and ends."""
    ours, bare = [], []
    for _ in range(rounds):
        bare.append(timed([sys.executable, "-c", "import click"], environment, folder))
        ours.append(timed([sys.executable, "-m", "gzsl_bench", "--help"], environment, folder))
    return {"bare": median(bare), "help": median(ours), "ratio": median(ours) / median(bare)}


def cells(environment: dict[str, str], folder: Path, count: int) -> dict[str, float]:
    """Seconds per trivial cell of one warm worker, with and without MLflow."""
    found: dict[str, float] = {}
    for name, uri in (("with MLflow", None), ("records only", "none")):
        seconds = []
        for seeds in (1, count + 1):
            suite = folder / "trivial.yaml"
            suite.write_text(
                f"name: trivial\ndatasets: [digits]\nmethods: [trivial]\nseeds: {seeds}\n"
            )
            out = folder / f"{name}-{seeds}".replace(" ", "-")
            command = ["run", str(suite), "--out", str(out), "--jobs", "1", "--device", "cpu"]
            command += ["--tracking-uri", uri] if uri else []
            seconds.append(
                timed([sys.executable, "-m", "gzsl_bench", *command], environment, folder)
            )
        found[name] = (seconds[1] - seconds[0]) / count
    return found


def first_pass(cache: Path) -> dict[str, float]:
    """Opening the cached copy of AWA2-sized features and reading all of it once."""
    from gzsl_bench.builtin.synthetic import load
    from gzsl_bench.hooks.dataset import DatasetRequest

    request = DatasetRequest("synthetic", None, "AWA2", "attributes", cache)
    load(request)  # writes the copy, and warms the page cache
    seconds = []
    for _ in range(5):
        begun = time.perf_counter()
        features = load(request).features
        features.sum()
        seconds.append(time.perf_counter() - begun)
    return {"seconds": median(seconds), "megabytes": features.nbytes / MB}


def memory(environment: dict[str, str], folder: Path, cache: Path) -> dict[str, float]:
    """Peak resident memory of a short ACMR run on AWA2-sized features, against its allowance."""
    from benchmarks.plugin_runs import configure
    from benchmarks.roofline import layers

    def peak(dataset: str) -> float:
        suite = folder / "memory.yaml"
        suite.write_text(
            f"name: memory\ndatasets: [{dataset}]\n"
            "methods: [{use: acmr, config: {epochs: 1, classifier_epochs: 2}}]\n"
        )
        program = (
            "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True,"
            " capture_output=True);"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        )
        command = [sys.executable, "-m", "gzsl_bench", "run", str(suite), "--inline"]
        command += ["--out", str(folder / f"memory-{len(dataset)}"), "--tracking-uri", "none"]
        done = subprocess.run(
            [sys.executable, "-c", program, *command],
            env={**environment, "GZSL_BENCH_CACHE": str(cache)},
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        )
        return float(done.stdout) * 1024

    libraries = peak("digits")
    used = peak("{use: synthetic, features: AWA2, attributes: attributes}")
    parameters = sum(p.parameters for p in layers(configure("acmr", "CUB"), 2048, 85, 50))
    # Parameters, gradients, two moments and amsgrad's maximum.
    states = 5 * 4 * parameters
    matrix = 37322 * 2048 * 4
    return {
        "peak": used / MB,
        "libraries": libraries / MB,
        "feature_matrix": matrix / MB,
        "states": states / MB,
        "matrices_beside_states_and_libraries": (used - libraries - states) / matrix,
    }


@click.command()
@click.option("--cells", "count", default=500, show_default=True, help="Trivial cells.")
@click.option("--rounds", default=11, show_default=True, help="Starts of the program.")
@click.option("--out", default="benchmark-results", type=click.Path(path_type=Path))
def main(count: int, rounds: int, out: Path) -> None:
    """Time the start of the program and trivial cells; weigh a run on large features."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = install(folder)
        cache = folder / "cache"
        result: dict[str, Any] = {
            "start": start(environment, folder, rounds),
            "cells": cells(environment, folder, count),
            "first_pass": first_pass(cache),
            "memory": memory(environment, folder, cache),
        }
    out.mkdir(parents=True, exist_ok=True)
    (out / "overhead.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    began, each, passed, held = (result[k] for k in ("start", "cells", "first_pass", "memory"))
    click.echo(
        f"gzsl-bench --help: {1e3 * began['help']:.0f} ms, {began['ratio']:.1f} times a bare"
        f" interpreter with click ({1e3 * began['bare']:.0f} ms)\n"
        f"a trivial cell: {1e3 * each['with MLflow']:.1f} ms with MLflow,"
        f" {1e3 * each['records only']:.1f} ms without ({count} cells)\n"
        f"first full pass over {passed['megabytes']:.0f} MB of cached features:"
        f" {passed['seconds']:.2f} s\n"
        f"peak memory of ACMR on AWA2-sized features: {held['peak']:.0f} MB, of which libraries"
        f" {held['libraries']:.0f}, parameters and their states {held['states']:.0f}; the rest is"
        f" {held['matrices_beside_states_and_libraries']:.2f} times the feature matrix"
    )


if __name__ == "__main__":
    main()
