"""``gzsl-bench visualize``: the latent spaces of a suite's methods, drawn."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gzsl_bench import markdown
from gzsl_bench.cli import complete
from gzsl_bench.cli.options import (
    choose_device,
    data_option,
    debug_option,
    device_option,
    format_option,
    only_option,
    out_option,
    place,
    plugin_option,
)
from gzsl_bench.terminal.clock import Clock
from gzsl_bench.terminal.streams import put, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gzsl_bench.engine.visualize import Agreement, Wanted
    from gzsl_bench.engine.worker import Worker
    from gzsl_bench.errors import GzslBenchError
    from gzsl_bench.hooks.manager import Registry
    from gzsl_bench.records.latents import KeptLatents
    from gzsl_bench.results.latents import Measured
    from gzsl_bench.results.view import Results
    from gzsl_bench.suite.cells import Cell
    from gzsl_bench.suite.datasets import Filter
    from gzsl_bench.suite.resolved import ResolvedSuite


@click.command("visualize")
@click.argument("suite", required=False, shell_complete=complete.known_suites)
@data_option
@plugin_option
@out_option
@device_option
@only_option
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    metavar="N",
    help="Which run is drawn [default: the suite's first seed].",
)
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Where to write latents_DATASET.png, .pdf and .csv [default: the results folder].",
)
@click.option(
    "--perplexity",
    type=click.FloatRange(1, min_open=True),
    default=30,
    show_default=True,
    help="Of t-SNE: about how many neighbours a point keeps.",
)
@click.option(
    "--points",
    type=click.IntRange(2),
    default=2000,
    show_default=True,
    metavar="N",
    help="Most images of a panel, and as many samples; of more, every class keeps the same share.",
)
@click.option(
    "--density",
    is_flag=True,
    help="Show where many points lie and no single one, for data whose rows must not be published.",
)
@format_option("github", "json", text="How to print the numbers.")
@debug_option
def visualize_command(
    suite: str | None,
    data: Path | None,
    plugin: tuple[Path, ...],
    out: Path,
    device: str,
    only: Filter,
    seed: int | None,
    into: Path | None,
    perplexity: float,
    points: int,
    density: bool,
    fmt: str,
) -> int:
    """Draw where images and classes lie in the latent spaces of SUITE's methods (t-SNE).

    Trains one seed of each method once more, to the checkpoint that the suite's honest rule
    chooses, and compares its predictions with the record's.  The latents are kept in DIR/latents,
    so that drawing them again trains nothing.  Records stay untouched.  Exit code: 1 where a method
    could not be trained again and is left out.

    SUITE is a file, or the name of a suite in the results folder or of a shipped one.  Without it:
    the only one in the results folder.
    """
    from gzsl_bench.cli.launch import stop_on_terminate
    from gzsl_bench.cli.training import worker_settings
    from gzsl_bench.cli.validate import open_stored_suite
    from gzsl_bench.engine import environment
    from gzsl_bench.engine.placement import place as workers_and_threads
    from gzsl_bench.engine.worker import Worker
    from gzsl_bench.errors import NotApplicable
    from gzsl_bench.records.store import RecordStore
    from gzsl_bench.results.view import Results
    from gzsl_bench.suite.resolve import resolve

    where = place(data)
    chosen = choose_device(device)
    loaded, registry = open_stored_suite(suite, out, where.root, plugin)
    seeds = None if seed is None else [seed]
    resolved = resolve(loaded, registry, where, seeds=seeds, only=only)
    cells = drawable(resolved, registry, only)
    # A cell with a record is trained with the threads of that; these are for the others.
    cores, memory = environment.usable_cores(), environment.total_memory()
    placement = workers_and_threads(len(cells), cores, memory, gpu=chosen.startswith("cuda"))
    settings = worker_settings(out, where, chosen, placement.threads, loaded.plugins)
    stop_on_terminate()
    worker = Worker(registry, settings, lambda event: None)
    failed: list[GzslBenchError] = []
    shown = list(_all_latents(worker, Results(resolved, RecordStore(out)), cells, failed))
    if not shown:
        raise (
            failed[0]
            if failed
            else NotApplicable("there is nothing to draw: no method applies to these data")
        )
    found = _draw(shown, into or out, perplexity, points, density)
    _print(shown, found, fmt)
    return 1 if failed else 0


def drawable(resolved: ResolvedSuite, registry: Registry, part: Filter) -> list[Cell]:
    """One cell of each data set and method that offers latents; the others are named.

    Points of a sweep are no methods in their own right and are not drawn.

    Raises:
        PluginError: a method that was asked for offers none, or no method of the suite does.
    """
    from gzsl_bench.errors import PluginError
    from gzsl_bench.suite.sweep import ABOUT as SWEEP

    first: dict[tuple[str, str], Cell] = {}
    for cell in resolved.cells:
        if not cell.fold and SWEEP not in cell.about:
            first.setdefault((cell.dataset, cell.label), cell)
    able = sorted(name for name, spec in registry.methods.items() if spec.latents)
    without = {c.label: c.method for c in first.values() if c.method not in able}
    cells = [cell for cell in first.values() if cell.label not in without]
    if without and (part.methods or not cells):
        named = ", ".join(
            label if label == method else f"{label} ({method})" for label, method in without.items()
        )
        raise PluginError(
            f"{named}: no latents to draw; methods that offer some: {', '.join(able) or 'none'}"
        )
    for label in without:
        say(f"left out: {label} offers no latents")
    return cells


def _all_latents(
    worker: Worker, results: Results, cells: Sequence[Cell], failed: list[GzslBenchError]
) -> Iterator[tuple[Cell, Wanted, KeptLatents, Agreement]]:
    """The latents of every cell, from disk or from a training; one that fails stops no other."""
    from gzsl_bench.engine.visualize import agreement, draw_again, wanted
    from gzsl_bench.errors import GzslBenchError, NotApplicable
    from gzsl_bench.records import latents

    for cell in cells:
        choice = wanted(results, cell)
        if choice.note:
            say(f"{cell.title}: drawn at the last checkpoint: {choice.note}")
        kept = latents.read(results.store.layout, cell.key, choice.checkpoint)
        if kept is None:
            try:
                with Clock(f"training {cell.title} again") as clock:
                    kept = draw_again(
                        worker, cell, choice.checkpoint, results.record(cell.key), clock.progress
                    )
            except NotApplicable as reason:
                say(f"left out: {cell.title}: not applicable: {reason}")
                continue
            except GzslBenchError as error:
                failed.append(error)
                if len(cells) > 1:  # of the only one it is what the command ends with
                    say(f"left out: {error}")
                continue
            latents.write(results.store.layout, kept)
        else:
            say(f"{cell.title}: latents of an earlier call")
        agrees = agreement(kept, results, cell)
        mark = "" if agrees.equal else "warning: "
        say(f"{mark}{cell.title}, trained again: {agrees.words}")
        yield cell, choice, kept, agrees


def _draw(
    shown: Sequence[tuple[Cell, Wanted, KeptLatents, Agreement]],
    into: Path,
    perplexity: float,
    points: int,
    density: bool,
) -> list[list[Measured]]:
    """A figure per data set; the numbers of every cell."""
    from gzsl_bench.plots import latents as plot
    from gzsl_bench.plots.save import write
    from gzsl_bench.results.latents import PARTS, flatten, measure

    found = [[measure(cell.label, part, kept) for part in PARTS] for cell, _, kept, _ in shown]
    names: set[str] = set()
    for dataset in dict.fromkeys(cell.dataset for cell, *_ in shown):
        rows = []
        for (cell, choice, kept, _), numbers in zip(shown, found, strict=True):
            if cell.dataset == dataset:
                say(f"laying flat {cell.title} (t-SNE)")
                planes = [flatten(each, kept, perplexity, points) for each in numbers]
                rows.append(plot.Row(cell.label, cell.seed, kept.checkpoint, choice.rule, planes))
        name = _file_name(dataset, names)
        title = f"{dataset}: latents of test images and of class samples"
        drawn = plot.figure(title, rows, perplexity, density)
        write(into, name, drawn, plot.rows(rows, density))
        say(f"{into / name}.png, .pdf, .csv")
    return found


def _print(
    shown: Sequence[tuple[Cell, Wanted, KeptLatents, Agreement]],
    found: Sequence[Sequence[Measured]],
    fmt: str,
) -> None:
    """The numbers, on standard output."""
    from gzsl_bench.results.latents import plain

    if fmt == "json":
        content: list[dict[str, Any]] = [
            {"dataset": cell.dataset, "method": cell.method, "label": cell.label,
             "seed": cell.seed, "key": cell.key, "rule": choice.rule,
             "checkpoint": kept.checkpoint, "equals_record": agrees.equal,
             "predictions_changed": agrees.changed, "parts": plain(numbers)}
            for (cell, choice, kept, agrees), numbers in zip(shown, found, strict=True)
        ]  # fmt: skip
        put(json.dumps(content, indent=1))
        return
    lines = [
        [cell.dataset, cell.label, cell.seed, f"{kept.checkpoint} ({choice.rule})", m.part,
         m.classes, m.images, f"{m.mixing:.3f}", f"{m.nearest:.1f}"]
        for (cell, choice, kept, _), numbers in zip(shown, found, strict=True)
        for m in numbers
    ]  # fmt: skip
    headings = ["Data set", "Method", "Seed", "Checkpoint", "Part", "Classes", "Images", "Mixing",
                "Nearest mean %"]  # fmt: skip
    put(markdown.table(headings, lines))


def _file_name(dataset: str, taken: set[str]) -> str:
    """``latents_CUB``: letters that file systems take, no two data sets alike."""
    from gzsl_bench.plots.save import unused

    return unused(
        "latents_" + (re.sub(r"[^A-Za-z0-9._-]+", "-", dataset).strip(".-") or "data"), taken
    )
