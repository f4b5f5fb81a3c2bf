"""``python -m benchmarks.harness``: what the harness costs beside the training itself.

Everything is timed by the real command, in processes of its own, imports included.  A trivial cell
scores by a random matrix; what one costs is the difference between a suite of many and one of one.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from benchmarks.plugin_runs import alternate, configure, median
from benchmarks.roofline import layers
from gzsl_bench.builtin.synthetic import load
from gzsl_bench.hooks.dataset import DatasetRequest
from gzsl_bench.records.store import RecordStore

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


def timed(*words: str | Path) -> tuple[float, float]:
    """Seconds and processor seconds of a Python command.

    Raises:
        CalledProcessError: it failed.
    """

    def used() -> float:
        found = resource.getrusage(resource.RUSAGE_CHILDREN)
        return found.ru_utime + found.ru_stime

    before, began = used(), time.perf_counter()
    subprocess.run([sys.executable, *map(str, words)], check=True, capture_output=True)
    return time.perf_counter() - began, used() - before


def run(folder: Path, name: str, content: str, *options: str) -> tuple[float, float]:
    """Run a suite into ``folder/name`` without MLflow, unless the options say otherwise."""
    suite, plugin = folder / f"{name}.yaml", folder / "trivial_plugin.py"
    suite.write_text(f"name: {name}\n{content}", encoding="utf-8")
    plugin.write_text(PLUGIN, encoding="utf-8")
    words: list[str | Path] = [
        "-m",
        "gzsl_bench",
        "run",
        suite,
        "--out",
        folder / name,
        "--device",
        "cpu",
    ]
    return timed(*words, "--plugin", plugin, "--tracking-uri", "none", *options)


def start(rounds: int) -> dict[str, float]:
    """``gzsl-bench --help`` against an interpreter that imports click and ends."""
    turns = alternate(
        [lambda: timed("-c", "import click")[0], lambda: timed("-m", "gzsl_bench", "--help")[0]],
        rounds,
    )
    bare, ours = map(median, turns)
    return {"bare": bare, "help": ours, "ratio": ours / bare}


def cells(folder: Path, count: int) -> dict[str, float]:
    """Seconds per trivial cell: in a process of its own that is watched, with MLflow, inline."""
    found: dict[str, float] = {}
    for name, options in (
        ("process", ["--jobs", "1", "--timeout", "1h"]),
        ("mlflow", ["--jobs", "1", "--tracking-uri", f"sqlite:///{folder / 'mlflow.db'}"]),
        ("inline", ["--inline"]),
    ):
        one, many = (
            run(
                folder,
                f"{name}-{seeds}",
                f"datasets: [digits]\nmethods: [trivial]\nseeds: {seeds}\n",
                *options,
            )[0]
            for seeds in (1, count + 1)
        )
        found[name] = (many - one) / count
    return found | {"isolation": found["process"] - found["inline"]}


def finished(folder: Path, count: int) -> dict[str, tuple[float, float]]:
    """What commands take on a suite of so many finished cells, wall and processor seconds."""
    entries = (
        f"  - {{use: eszsl, label: E{k}, config: {{feature_penalty: {1 + k}.0}}}}\n"
        for k in range(count)
    )
    content = "datasets: [digits]\nmethods:\n" + "".join(entries)
    run(folder, "finished", content, "--inline")
    words = folder / "finished.yaml", "--out", folder / "finished"
    found = {name: timed("-m", "gzsl_bench", name, *words) for name in ("table", "report")}
    return found | {"run": run(folder, "finished", content, "--inline")}


def first_pass(cache: Path) -> dict[str, float]:
    """Opening the cached copy of AWA2-sized features and reading all of it once."""
    request = DatasetRequest("synthetic", None, "AWA2", "attributes", cache)
    load(request)  # writes the copy, and warms the page cache
    seconds = []
    for _ in range(5):
        begun = time.perf_counter()
        features = load(request).features
        features.sum()
        seconds.append(time.perf_counter() - begun)
    return {"seconds": median(seconds), "megabytes": features.nbytes / MB}


def memory(folder: Path) -> dict[str, float]:
    """Peak memory of a short ACMR run on AWA2-sized features, against its allowance."""
    methods = "methods: [{use: acmr, config: {epochs: 1, classifier_epochs: 2}}]\n"
    peaks = []
    for name, data in (
        ("digits", "digits"),
        ("awa2", "{use: synthetic, features: AWA2, attributes: attributes}"),
    ):
        run(folder, name, f"datasets: [{data}]\n{methods}", "--inline")
        store = RecordStore(folder / name)
        (key,) = (place.name for place in store.layout.cells.iterdir())
        record = store.read(key)
        assert record is not None
        peaks.append(record.provenance.peak_memory or 0)
    parameters = sum(p.parameters for p in layers(configure("acmr", "CUB"), 2048, 85, 50))
    # Parameters, gradients, two moments and amsgrad's maximum.
    states, matrix = 5 * 4 * parameters, 37322 * 2048 * 4
    return {
        "peak": peaks[1] / MB,
        "libraries": peaks[0] / MB,
        "feature_matrix": matrix / MB,
        "states": states / MB,
        "matrices_beside_states_and_libraries": (peaks[1] - peaks[0] - states) / matrix,
    }


def whole(folder: Path, suite: Path, options: tuple[str, ...]) -> dict[str, float]:
    """A suite as a user runs it, data generated or converted anew: seconds, and cells an hour."""
    out = folder / "whole"
    cache = f"import os; os.environ['GZSL_BENCH_CACHE'] = {str(folder / 'new cache')!r}; "
    program = f"{cache}from gzsl_bench.cli.main import main; main()"
    wall, used = timed("-c", program, "run", suite, "--out", out, *options)
    trained = sum(1 for _ in RecordStore(out).layout.cells.iterdir())
    return {"wall": wall, "processor": used, "cells": trained, "an hour": 3600 * trained / wall}


@click.command()
@click.argument("options", nargs=-1)
@click.option("--suite", type=click.Path(path_type=Path), help="Time this suite, nothing else.")
@click.option("--cells", "count", default=500, show_default=True, help="Trivial cells.")
@click.option("--finished", "there", default=200, show_default=True, help="Finished cells.")
@click.option("--rounds", default=11, show_default=True, help="Starts of the program.")
@click.option("--out", default="benchmark-results", type=click.Path(path_type=Path))
def main(
    options: tuple[str, ...], suite: Path | None, count: int, there: int, rounds: int, out: Path
) -> None:
    """Time the start of the program, trivial cells and commands with nothing left to do.

    With --suite, what follows ``--`` goes to `gzsl-bench run`: ``-- --device cuda --seeds 2``.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if suite is not None:
            found = whole(folder, suite, options)
            click.echo(", ".join(f"{what} {value:.1f}" for what, value in found.items()))
            return
        result: dict[str, Any] = {
            "start": start(rounds),
            "cells": cells(folder, count),
            "finished": finished(folder, there),
            "first_pass": first_pass(folder / "cache"),
            "memory": memory(folder),
        }
    out.mkdir(parents=True, exist_ok=True)
    (out / "harness.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    began, each, passed, held = (result[k] for k in ("start", "cells", "first_pass", "memory"))
    click.echo(
        f"gzsl-bench --help: {1e3 * began['help']:.0f} ms, {began['ratio']:.1f} times a bare"
        f" interpreter with click ({1e3 * began['bare']:.0f} ms)\n"
        f"a trivial cell: {1e3 * each['process']:.1f} ms in a process of its own,"
        f" {1e3 * each['inline']:.1f} ms inline (isolation costs {1e3 * each['isolation']:.1f}),"
        f" {1e3 * each['mlflow']:.1f} ms with MLflow ({count} cells)"
    )
    for command, (wall, used) in result["finished"].items():
        click.echo(f"{command} of {there} finished cells: {wall:.1f} s, {used:.1f} of a processor")
    click.echo(
        f"first full pass over {passed['megabytes']:.0f} MB of cached features:"
        f" {passed['seconds']:.2f} s\n"
        f"peak memory of ACMR on AWA2-sized features: {held['peak']:.0f} MB, of which libraries"
        f" {held['libraries']:.0f}, parameters and their states {held['states']:.0f}; the rest is"
        f" {held['matrices_beside_states_and_libraries']:.2f} times the feature matrix"
    )


if __name__ == "__main__":
    main()
