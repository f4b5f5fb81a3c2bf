"""``gzsl-bench rescore``: metrics computed again from kept predictions, without training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gzsl_bench import markdown
from gzsl_bench.cli import complete
from gzsl_bench.cli.options import (
    debug_option,
    json_option,
    out_option,
    plugin_option,
    tracking_option,
)
from gzsl_bench.terminal.streams import put, say
from gzsl_bench.wording import counted

if TYPE_CHECKING:
    from gzsl_bench.results.rescore import RescoreReport
    from gzsl_bench.results.view import Results


@click.command("rescore")
@click.argument("suite", required=False, shell_complete=complete.stored)
@out_option
@tracking_option
@json_option
@plugin_option
@debug_option
def rescore_command(
    suite: str | None,
    out: Path,
    tracking_uri: str | None,
    as_json: bool,
    plugin: tuple[Path, ...],
) -> int:
    """Compute every installed metric of SUITE's finished cells again, from their predictions.

    Without SUITE: of the only one in the results folder.  Needs neither the data nor the methods,
    only the metrics' plugins: what is installed, what --plugin names, and what SUITE lists where it
    is a file.  Records stay untouched: the new values lie beside them in
    DIR/rescored and count from now on, in tables and in MLflow.
    """
    from gzsl_bench.cli.validate import open_plugins
    from gzsl_bench.errors import PluginError
    from gzsl_bench.records.store import RecordStore
    from gzsl_bench.records.suites import recall
    from gzsl_bench.results.rescore import rescore
    from gzsl_bench.results.view import Results
    from gzsl_bench.tracking import resolve_uri

    store = RecordStore(out)
    uri = resolve_uri(tracking_uri, store.layout)
    results = Results(recall(store.layout, suite), store)
    listed = _listed(suite, plugin)
    try:
        registry = open_plugins([*plugin, *listed])
    except PluginError as error:
        if not listed:
            raise
        # That of a method, maybe, which is not needed here.
        say(f"warning: {error}")
        registry = open_plugins(plugin)
    report = rescore(results, registry)
    _show(report, as_json)
    if uri is not None:
        _mirror(uri, results)
    return 1 if report.unreadable or any(m.failed for m in report.metrics.values()) else 0


def _listed(suite: str | None, given: Sequence[Path]) -> list[Path]:
    """Plugin files that a suite's file lists, besides those given; of one that is gone, none."""
    from gzsl_bench.errors import GzslBenchError
    from gzsl_bench.suite.load import load_suite

    if suite is None or not Path(suite).is_file():
        return []
    try:
        found = load_suite(Path(suite)).plugins
    except GzslBenchError:
        return []  # its metrics are then among those that nobody has
    known = {path.resolve() for path in given}
    return [path for path in found if path.resolve() not in known]


def _show(report: RescoreReport, as_json: bool) -> None:
    if as_json:
        put(json.dumps(asdict(report), indent=1))
    else:
        lines = [
            [name, found.same, found.added, found.changed] for name, found in report.metrics.items()
        ]
        titles = ["metric", "same", "added", "changed"]
        put(markdown.table(titles, lines))
    say(
        f"{counted(report.records, 'finished record')}, {report.written} with other metrics than"
        " before (counts above are checkpoints)"
    )
    if report.unknown:
        say(
            "warning: not computed again, since no plugin here has"
            f" {'it' if len(report.unknown) == 1 else 'them'}: {', '.join(report.unknown)};"
            " --plugin FILE names one that is not installed"
        )
    for found in report.metrics.values():
        for cause in found.failed:
            say(f"error: {cause}")
    for key, cause in report.unreadable.items():
        say(f"error: the record of cell {key} cannot be rescored: {cause}")


def _mirror(uri: str, results: Results) -> None:
    """Bring MLflow up to date, where there is an MLflow store."""
    from gzsl_bench.masking import masked
    from gzsl_bench.tracking import sync
    from gzsl_bench.tracking.address import sqlite_file

    file = sqlite_file(uri)
    if file is not None and not file.exists():
        say(f"there is no MLflow store at {masked(uri)} to update (gzsl-bench sync makes one)")
        return
    done = sync(uri, results)
    say(
        f"MLflow at {masked(uri)}: {counted(done.repaired + done.created, 'run')} updated,"
        f" {done.unchanged} unchanged"
    )
