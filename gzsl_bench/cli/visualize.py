"""``gzsl-bench visualize``: the latent spaces of a suite's methods, drawn."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gzsl_bench import markdown
from gzsl_bench.cli import complete
from gzsl_bench.cli.options import (
    check_folder,
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
    from gzsl_bench.results.names import DataNames
    from gzsl_bench.results.view import Results
    from gzsl_bench.suite.resolve import resolve

    where = place(data)
    check_folder(into or out, "--into" if into else "--out")
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
    results, names = Results(resolved, RecordStore(out)), DataNames(cells)
    begun = [_begun(results, cell, names.of(cell)) for cell in cells]
    _refuse_perplexity(worker, begun, perplexity, points)
    failed: list[GzslBenchError] = []
    shown = list(_all_latents(worker, results, begun, failed))
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
    """One cell of each row of the table whose method offers latents; the others are named.

    Points of a sweep are no methods in their own right and are not drawn.

    Raises:
        PluginError: a method that was asked for offers none, or no method of the suite does.
    """
    from gzsl_bench.errors import PluginError
    from gzsl_bench.suite.sweep import ABOUT as SWEEP

    first: dict[tuple[str, str, str], Cell] = {}
    for cell in resolved.cells:
        if not cell.fold and SWEEP not in cell.about:
            first.setdefault((cell.dataset, cell.label, cell.group), cell)
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


@dataclass(frozen=True)
class _Begun:
    """A cell that is to be drawn.

    Attributes:
        cell: it.
        where: its data set, as no other one is called.
        choice: the checkpoint.
        kept: its latents, where an earlier call left them.
    """

    cell: Cell
    where: str
    choice: Wanted
    kept: KeptLatents | None

    @property
    def title(self) -> str:
        """What to call it while it is made."""
        return f"{self.where} · {self.cell.label} · seed {self.cell.seed}"


@dataclass(frozen=True)
class _Shown:
    """A cell with its latents.

    Attributes:
        begun: the cell.
        kept: its latents.
        agrees: how the training compares with the record's.
    """

    begun: _Begun
    kept: KeptLatents
    agrees: Agreement


def _begun(results: Results, cell: Cell, where: str) -> _Begun:
    from gzsl_bench.engine.visualize import wanted
    from gzsl_bench.records import latents

    choice = wanted(results, cell)
    kept = latents.read(results.store.layout, cell.key, choice.checkpoint)
    return _Begun(cell, where, choice, kept)


def _refuse_perplexity(
    worker: Worker, begun: Sequence[_Begun], perplexity: float, points: int
) -> None:
    """Before anything trains, and once for each data set."""
    from gzsl_bench.results.latents import refuse_perplexity

    for each in {one.where: one for one in begun}.values():
        data = each.kept or worker.bench(each.cell).tests(each.cell.seed)
        refuse_perplexity(perplexity, data.labels, data.unseen, points, each.where)


def _all_latents(
    worker: Worker, results: Results, begun: Sequence[_Begun], failed: list[GzslBenchError]
) -> Iterator[_Shown]:
    """The latents of every cell, from disk or from a training; one that fails stops no other."""
    from gzsl_bench.engine.visualize import agreement, draw_again
    from gzsl_bench.errors import GzslBenchError, NotApplicable
    from gzsl_bench.records import latents

    for each in begun:
        cell, choice, kept = each.cell, each.choice, each.kept
        if choice.note:
            say(f"{each.title}: drawn at the last checkpoint: {choice.note}")
        if kept is None:
            try:
                with Clock(f"training {each.title} again") as clock:
                    kept = draw_again(
                        worker, cell, choice.checkpoint, results.record(cell.key), clock.progress
                    )
            except NotApplicable as reason:
                say(f"left out: {each.title}: not applicable: {reason}")
                continue
            except GzslBenchError as error:
                failed.append(error)
                if len(begun) > 1:  # of the only one it is what the command ends with
                    say(f"left out: {error}")
                continue
            latents.write(results.store.layout, kept)
        else:
            say(f"{each.title}: latents of an earlier call")
        agrees = agreement(kept, results, cell)
        mark = "" if agrees.equal else "warning: "
        say(f"{mark}{each.title}, trained again: {agrees.words}")
        yield _Shown(each, kept, agrees)


def _draw(
    shown: Sequence[_Shown], into: Path, perplexity: float, points: int, density: bool
) -> list[list[Measured]]:
    """A figure per data set; the numbers of every cell."""
    from gzsl_bench.plots import latents as plot
    from gzsl_bench.plots.save import write
    from gzsl_bench.results.latents import PARTS, flatten, measure

    found = [[measure(s.begun.cell.label, part, s.kept) for part in PARTS] for s in shown]
    names: set[str] = set()
    for where in dict.fromkeys(each.begun.where for each in shown):
        rows = []
        for each, numbers in zip(shown, found, strict=True):
            if each.begun.where == where:
                say(f"laying flat {each.begun.title} (t-SNE)")
                planes = [flatten(part, each.kept, perplexity, points) for part in numbers]
                cell, rule = each.begun.cell, each.begun.choice.rule
                rows.append(plot.Row(cell.label, cell.seed, each.kept.checkpoint, rule, planes))
        name = _file_name(where, names)
        title = f"{where}: latents of test images and of class samples"
        drawn = plot.figure(title, rows, perplexity, density)
        write(into, name, drawn, plot.rows(rows, density))
        say(f"{into / name}.png, .pdf, .csv")
    return found


def _print(shown: Sequence[_Shown], found: Sequence[Sequence[Measured]], fmt: str) -> None:
    """The numbers, on standard output."""
    from gzsl_bench.results.latents import plain

    if fmt == "json":
        content: list[dict[str, Any]] = []
        for each, numbers in zip(shown, found, strict=True):
            cell = each.begun.cell
            content.append(
                {"dataset": cell.dataset, "features": cell.request["features"],
                 "attributes": cell.request["attributes"], "method": cell.method,
                 "label": cell.label, "seed": cell.seed, "key": cell.key,
                 "rule": each.begun.choice.rule, "checkpoint": each.kept.checkpoint,
                 "equals_record": each.agrees.equal, "predictions_changed": each.agrees.changed,
                 "parts": plain(numbers)}
            )  # fmt: skip
        put(json.dumps(content, indent=1))
        return
    lines = [
        [s.begun.where, s.begun.cell.label, s.begun.cell.seed,
         f"{s.kept.checkpoint} ({s.begun.choice.rule})", m.part,
         m.classes, m.images, f"{m.mixing:.3f}", f"{m.nearest:.1f}"]
        for s, numbers in zip(shown, found, strict=True)
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
