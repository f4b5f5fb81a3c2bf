"""``run --keep-models`` and ``gzsl-bench predict``: models kept, and made to score new rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gzsl_bench.cli import complete
from gzsl_bench.cli.options import (
    check_folder,
    choose_device,
    data_option,
    debug_option,
    device_option,
    out_option,
    place,
    plugin_option,
)
from gzsl_bench.terminal.clock import Clock
from gzsl_bench.terminal.streams import put, say

if TYPE_CHECKING:
    from gzsl_bench.engine.events import WorkerSettings
    from gzsl_bench.hooks.manager import Registry
    from gzsl_bench.results.view import Results
    from gzsl_bench.suite.cells import Cell


def keep(results: Results, registry: Registry, settings: WorkerSettings) -> None:
    """Keep the models of a suite's finished cells of the real task that have none yet."""
    from gzsl_bench.engine.models import keep_models, trained_together
    from gzsl_bench.engine.worker import Worker
    from gzsl_bench.errors import GzslBenchError

    worker, layout = Worker(registry, settings, lambda event: None), results.store.layout
    missing: dict[tuple[str, ...], tuple[list[Cell], list[Cell]]] = {}
    for key, (cell, *_) in results.cells.items():
        record = results.record(key)
        if cell.fold or record is None or not record.complete or layout.model(key).exists():
            continue
        together = trained_together(results, cell)
        keys = tuple(each.key for each in together)
        missing.setdefault(keys, ([], together))[0].append(cell)
    for cells, together in missing.values():
        titles = ", ".join(cell.title for cell in cells)
        beside = f", {len(together)} as one" if len(together) > 1 else ""
        try:
            with Clock(f"training {titles} again for the model{beside}") as clock:
                kept = keep_models(worker, results, cells, together, clock.progress)
        except GzslBenchError as error:
            say(f"warning: {titles}: no model was kept: {error}")
            continue
        for cell, choice in zip(cells, kept, strict=True):
            if isinstance(choice, GzslBenchError):
                say(f"warning: {cell.title}: no model was kept: {choice}")
                continue
            chosen = f"checkpoint {choice.checkpoint} ({choice.rule})"
            say(f"{layout.model(cell.key)}: {chosen}, predicts as recorded")


def _check_free(to: Path) -> None:
    """Refuse what is there, the features perhaps, before anything is computed.

    Raises:
        DataError: the file is there, or no .npy.
    """
    from gzsl_bench.errors import DataError

    if to.suffix != ".npy":
        raise DataError(f"--to {to}: scores are written as .npy; name a file that ends so")
    if to.exists():
        raise DataError(f"--to {to} is there already; name another file, or remove it")
    check_folder(to.parent, "--to")


@click.command("predict")
@click.argument("key", shell_complete=complete.models)
@click.argument("features", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--to",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.npy",
    help="Write the scores of all classes there, [rows, classes].",
)
@data_option
@plugin_option
@out_option
@device_option
@debug_option
def predict_command(
    key: str,
    features: Path,
    to: Path | None,
    data: Path | None,
    plugin: tuple[Path, ...],
    out: Path,
    device: str,
) -> None:
    """Score FEATURES (.npy or .csv, [rows, dimensions]) with the model that was kept of KEY.

    KEY is a record's key or how it begins.  Features are as the data set has them, before any
    preprocessing.  First the model has to predict the test rows as they are recorded, for which the
    data are needed.  Prints row, best class and its score as CSV.
    """  # fmt: skip
    import numpy as np

    from gzsl_bench import atomic
    from gzsl_bench.cli.training import worker_settings
    from gzsl_bench.cli.validate import open_plugins
    from gzsl_bench.data.arrays import PLAIN, read_array
    from gzsl_bench.engine.again import find
    from gzsl_bench.engine.environment import usable_cores
    from gzsl_bench.engine.models import open_model, require
    from gzsl_bench.engine.worker import Worker
    from gzsl_bench.errors import DataError
    from gzsl_bench.records.store import RecordStore

    require()
    if to is not None:
        _check_free(to)
    store = RecordStore(out)
    record = find(store, key)
    if features.suffix not in PLAIN:
        raise DataError(f"{features} has to be one array: a file {', '.join(PLAIN)}")
    rows = read_array(features, None)
    registry, chosen = open_plugins(plugin), choose_device(device)
    settings = worker_settings(out, place(data), chosen, usable_cores(), tuple(plugin))
    model = open_model(Worker(registry, settings, lambda event: None), record, store.layout)
    say(f"checkpoint {model.checkpoint} of {record.key} predicts its test rows as recorded")
    scores = model.scores(np.asarray(rows), str(features))
    if to is not None:
        with atomic.writing(to) as file:
            np.save(file, scores)
        put(str(to))
        return
    put("row,class,score")
    for row, best in enumerate(scores.argmax(1)):
        put(f"{row},{best},{scores[row, best]:.6g}")
