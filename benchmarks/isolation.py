"""``python -m benchmarks.isolation``: what a unit costs in a worker beside its training."""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from benchmarks.overhead import PLUGIN
from benchmarks.plugin_runs import median
from gzsl_bench.engine.events import Event, UnitEnded, UnitStarted, WorkerSettings
from gzsl_bench.engine.executors.dispatcher import Executor
from gzsl_bench.engine.executors.inline import InlineExecutor
from gzsl_bench.engine.executors.limits import Limits
from gzsl_bench.engine.executors.local import LocalExecutor
from gzsl_bench.engine.run import run_units
from gzsl_bench.engine.units import plan
from gzsl_bench.hooks.manager import Registry, load_plugins
from gzsl_bench.records.machine import usable_cores
from gzsl_bench.records.store import RecordStore
from gzsl_bench.suite.load import check_names, load_suite
from gzsl_bench.suite.resolve import Place, resolve


def suite(folder: Path, cells: int) -> tuple[Path, Path]:
    """A suite of trivial cells, and the file of its plugin."""
    plugin = folder / "trivial_plugin.py"
    plugin.write_text(PLUGIN, encoding="utf-8")
    path = folder / "trivial.yaml"
    path.write_text(f"name: trivial\ndatasets: [digits]\nmethods: [trivial]\nseeds: {cells}\n")
    return path, plugin


def measure(
    path: Path, plugin: Path, registry: Registry, executor: Executor, out: Path
) -> dict[str, float]:
    """Seconds until the first unit begins, of that unit, and the median of the others."""
    loaded = load_suite(path)
    check_names(loaded, registry, ())
    cells = resolve(loaded, registry, Place(None, None)).cells
    ends: list[float] = []
    starts: list[float] = []

    def listen(event: Event) -> None:
        if isinstance(event, UnitStarted):
            starts.append(time.perf_counter())
        elif isinstance(event, UnitEnded):
            ends.append(time.perf_counter())

    settings = WorkerSettings(out, None, None, "cpu", 1, plugins=(plugin,))
    begun = time.perf_counter()
    store = RecordStore(out)
    outcome = run_units(store, cells, plan(cells, registry, 1), executor, settings, listen)
    if outcome.done != len(cells):
        raise click.ClickException(f"only {outcome.done} of {len(cells)} trivial cells completed")
    each = [after - before for before, after in itertools.pairwise(ends)]
    return {
        "until the first unit": starts[0] - begun,
        "first unit": ends[0] - starts[0],
        "unit": median(each),
    }


@click.command()
@click.option("--cells", default=100, show_default=True, help="Trivial cells, a unit each.")
@click.option("--out", default="benchmark-results", type=click.Path(path_type=Path))
def main(cells: int, out: Path) -> None:
    """Time trivial units in this process and in one worker that is watched and put in order."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path, plugin = suite(folder, cells)
        registry = load_plugins(files=[plugin])
        watched = Limits(timeout=3600, memory=64 << 30)
        inline, worker = (
            measure(path, plugin, registry, executor, folder / place)
            for executor, place in (
                (InlineExecutor(registry), "inline"),
                (LocalExecutor(1, watched), "worker"),
            )
        )
    cost = worker["unit"] - inline["unit"]
    result: dict[str, Any] = {
        "cells": cells,
        "cores": usable_cores(),
        "processes": sum(1 for _ in Path("/proc").glob("[0-9]*")),
        "inline": inline,
        "worker": worker,
        "isolation": cost,
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "isolation.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    click.echo(
        f"a trivial unit: {1e3 * worker['unit']:.1f} ms in a warm worker,"
        f" {1e3 * inline['unit']:.1f} ms inline; isolation costs {1e3 * cost:.1f} ms\n"
        f"a worker's start: {worker['until the first unit']:.1f} s until it takes up a unit,"
        f" {worker['first unit']:.1f} s for the first one"
    )


if __name__ == "__main__":
    main()
