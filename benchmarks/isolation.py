"""``python -m benchmarks.isolation``: what a process of its own costs a unit."""

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
from gzsl_bench.engine.events import Event, UnitEnded, WorkerSettings
from gzsl_bench.engine.units import plan
from gzsl_bench.executors.dispatcher import Executor
from gzsl_bench.executors.inline import InlineExecutor
from gzsl_bench.executors.limits import Limits
from gzsl_bench.executors.local import LocalExecutor
from gzsl_bench.executors.run import run_units
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
) -> tuple[float, list[float]]:
    """Seconds until the first unit has ended, and from each unit's end to that of the next."""
    loaded = load_suite(path)
    check_names(loaded, registry, ())
    cells = resolve(loaded, registry, Place(None, None)).cells
    ends: list[float] = []

    def listen(event: Event) -> None:
        if isinstance(event, UnitEnded):
            ends.append(time.perf_counter())

    settings = WorkerSettings(out, None, None, "cpu", 1, plugins=(plugin,))
    begun = time.perf_counter()
    store = RecordStore(out)
    outcome = run_units(store, cells, plan(cells, registry, 1), executor, settings, listen)
    if outcome.done != len(cells):
        raise click.ClickException(f"only {outcome.done} of {len(cells)} trivial cells completed")
    return ends[0] - begun, [after - before for before, after in itertools.pairwise(ends)]


@click.command()
@click.option("--cells", default=20, show_default=True, help="Trivial cells in a turn.")
@click.option("--turns", default=5, show_default=True, help="Turns of each, one after the other.")
@click.option("--out", default="benchmark-results", type=click.Path(path_type=Path))
def main(cells: int, turns: int, out: Path) -> None:
    """Time trivial units, one at a time, in this process and in processes that are watched."""
    first: dict[str, list[float]] = {"inline": [], "process": []}
    each: dict[str, list[float]] = {"inline": [], "process": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path, plugin = suite(folder, cells)
        registry = load_plugins(files=[plugin])
        watched = Limits(timeout=3600, memory=64 << 30)
        for turn in range(turns):
            for place in each:
                executor = (
                    InlineExecutor(registry) if place == "inline" else LocalExecutor(1, watched)
                )
                begun, units = measure(path, plugin, registry, executor, folder / f"{place}-{turn}")
                first[place].append(begun)
                each[place] += units
    unit = {place: median(found) for place, found in each.items()}
    cost = unit["process"] - unit["inline"]
    result: dict[str, Any] = {
        "cells": cells,
        "turns": turns,
        "cores": usable_cores(),
        "until the first unit has ended": {place: median(found) for place, found in first.items()},
        "unit": unit,
        "isolation": cost,
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "isolation.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    click.echo(
        f"a trivial unit: {1e3 * unit['process']:.1f} ms in a process of its own,"
        f" {1e3 * unit['inline']:.1f} ms inline; isolation costs {1e3 * cost:.1f} ms\n"
        f"until the first unit has ended: {median(first['process']):.1f} s"
    )


if __name__ == "__main__":
    main()
