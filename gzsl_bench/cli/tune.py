"""``gzsl-bench tune``: hyper-parameters chosen on validation folds, written as a suite to run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gzsl_bench.cli.executors import executor_options, open_executor, parse_cluster
from gzsl_bench.cli.options import (
    data_option,
    debug_option,
    device_option,
    inline_option,
    jobs_option,
    limits_options,
    only_option,
    out_option,
    parse_limits,
    parse_only,
    place,
    plugin_option,
    threads_option,
    tracking_option,
)
from gzsl_bench.cli.run import (
    MOST_RUNS,
    any_left,
    choose_device,
    stop_on_terminate,
    worker_settings,
)

if TYPE_CHECKING:
    from gzsl_bench.engine.events import Event, WorkerSettings
    from gzsl_bench.engine.executors import Executor
    from gzsl_bench.engine.executors.resources import Resources
    from gzsl_bench.engine.run import Outcome
    from gzsl_bench.engine.tuning import Tuning
    from gzsl_bench.engine.units import Unit
    from gzsl_bench.records.store import RecordStore


@click.command("tune")
@click.argument("suite", type=click.Path(path_type=Path))
@data_option
@plugin_option
@out_option
@click.option(
    "--write", type=click.Path(dir_okay=True, path_type=Path), metavar="PATH",
    help="Where the tuned suite goes [default: OUT/suites/NAME-tuned.yaml].",
)  # fmt: skip
@device_option
@only_option
@jobs_option
@threads_option
@limits_options
@executor_options
@tracking_option
@click.option(
    "--format", "fmt", type=click.Choice(["github", "json"]), default="github", show_default=True,
    help="How to print the trials: the 20 best of each search, or all of them as JSON.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would be trained, and stop.")
@inline_option
@debug_option
def tune_command(
    suite: Path,
    data: Path | None,
    plugin: tuple[Path, ...],
    out: Path,
    write: Path | None,
    device: str,
    only: tuple[str, ...],
    jobs: int | None,
    threads: int | None,
    timeout: float | None,
    memory_limit: int | None,
    retries: int,
    executor: str,
    ray_address: str | None,
    resources: Resources | None,
    tracking_uri: str | None,
    fmt: str,
    dry_run: bool,
    inline: bool,
    debug: bool,
) -> int:
    """Try what SUITE lists under `tune`, on validation folds alone, and write the best as a suite.

    Every method with a search space is tuned on each of its data sets.  No test row is used, none
    is given to a worker.  What has a complete record is left alone, so an interrupted search goes
    on where it was.  Needs Optuna: pip install 'gzsl-bench[tune]'.  Exit code: 0 all trials done,
    1 some failed, 2 bad input or missing data, 130 interrupted.
    """
    from gzsl_bench.cli.placement import place_workers
    from gzsl_bench.cli.validate import open_suite
    from gzsl_bench.engine import search
    from gzsl_bench.engine.run import hold
    from gzsl_bench.engine.tuning import prepare
    from gzsl_bench.engine.units import plan
    from gzsl_bench.records.layout import Layout
    from gzsl_bench.report.trials import render_trials, trial_rows
    from gzsl_bench.report.tuned import check_writable
    from gzsl_bench.tracking import resolve_uri

    part = parse_only(only)
    limits = parse_limits(timeout, memory_limit, retries, inline)
    cluster = parse_cluster(executor, ray_address, resources, device, memory_limit, inline, threads)
    chosen = cluster.device if cluster else choose_device(device)
    uri = resolve_uri(tracking_uri, Layout(out))
    search.require()
    where = place(data)
    loaded, registry = open_suite(suite, where.root, plugin)
    path = write or Layout(out).tuned(loaded.suite.name)
    check_writable(path, suite)
    tuning = prepare(loaded, registry, where, part)
    for warning in tuning.suite.warnings:
        click.echo(f"warning: {warning}", err=True)
    _refuse_tf32(tuning, suite, chosen)
    units = plan(tuning.suite.cells, registry, MOST_RUNS if chosen.startswith("cuda") else 1)
    if dry_run:
        _describe(tuning, units, out)
        return 0
    stop_on_terminate()
    placement = place_workers(
        Layout(out),
        len(units),
        device=chosen,
        jobs=jobs,
        threads=threads,
        measured=not inline and cluster is None and any_left(tuning.suite, out),
    )
    settings = worker_settings(out, where, chosen, placement.threads, loaded.plugins)
    trainer = open_executor(
        registry,
        inline=inline,
        jobs=placement.workers,
        asked_jobs=jobs,
        limits=limits,
        cluster=cluster,
        address=ray_address,
    )
    with hold(out) as store:
        outcome = _train(store, tuning, units, trainer, settings, uri)
        click.echo(render_trials(trial_rows(tuning, store), fmt))
        _conclude(tuning, store, outcome, path, out)
        return outcome.exit_code


def _train(
    store: RecordStore,
    tuning: Tuning,
    units: list[Unit],
    executor: Executor,
    settings: WorkerSettings,
    uri: str | None,
) -> Outcome:
    """Train what is left, showing progress and mirroring each trial as it becomes whole."""
    from gzsl_bench.cli.progress import open_view
    from gzsl_bench.engine.events import CellEnded
    from gzsl_bench.engine.run import run_units
    from gzsl_bench.report.trials import render_trials, trial_rows
    from gzsl_bench.tracking.trials import open_trial_mirror

    mirror = open_trial_mirror(uri, tuning, store) if uri else None
    cells = tuning.suite.cells
    with open_view(tuning.suite, units, store) as view:

        def listen(event: Event) -> None:
            view.hear(event)
            if isinstance(event, CellEnded) and mirror is not None:
                record = store.read(event.key)
                if record is not None:
                    mirror.cell(record)

        outcome = run_units(store, cells, units, executor, settings, listen)
    if mirror is not None:
        table = trial_rows(tuning, store)
        status = {0: "FINISHED", 130: "KILLED"}.get(outcome.exit_code, "FAILED")
        mirror.finish(render_trials(table), table, status)
        if mirror.behind:
            click.echo(
                f"warning: MLflow is behind the records: {mirror.behind};"
                " the same command brings it up to date",
                err=True,
            )
    return outcome


def _conclude(tuning: Tuning, store: RecordStore, outcome: Outcome, path: Path, out: Path) -> None:
    """Write the suite if every search has come to a choice, and say what went wrong."""
    from gzsl_bench.cli.terminal import columns
    from gzsl_bench.report.table import failures
    from gzsl_bench.report.tuned import chosen, edges, tuned_suite, write_suite

    click.echo(f"records: {store.layout.out} ({outcome.done} of {outcome.total} cells)", err=True)
    if outcome.interrupted:
        click.echo(
            "interrupted, so no suite was written; the same command goes on where it stopped",
            err=True,
        )
    if outcome.failed:
        click.echo("\n" + failures(outcome.failed, columns(sys.stderr)), err=True)
        click.echo(
            f"{len(outcome.failed)} failed; tracebacks: record.json and log.txt in"
            f" {store.layout.cells}/KEY; the same command tries again",
            err=True,
        )
    if outcome.interrupted:
        return
    found = chosen(tuning, store)
    if found is None:
        click.echo("no suite was written: a search has no trial that is complete", err=True)
        return
    for line in edges(found):
        click.echo(f"note: {line}", err=True)
    write_suite(path, tuned_suite(tuning, found, store))
    click.echo(f"chosen values: {path}; next: gzsl-bench run {path} --out {out}", err=True)


def _describe(tuning: Tuning, units: list[Unit], out: Path) -> None:
    from gzsl_bench.records.store import RecordStore

    store = RecordStore(out)
    for unit in units:
        left = [cell for cell in unit.cells if not store.finished(cell.key)]
        click.echo(f"{'to train' if left else 'done':>8}  {unit.title}  {unit.cells[0].key}")
    cells = {cell.key for cell in tuning.suite.cells}
    done = sum(store.finished(key) for key in cells)
    trials = sum(len(search.trials) for search in tuning.searches)
    click.echo(
        f"{trials} trials: {len(cells)} fold cells in {len(units)} units, {done} finished", err=True
    )


def _refuse_tf32(tuning: Tuning, suite: Path, device: str) -> None:
    from gzsl_bench.errors import SuiteError

    asked = any(cell.identity["precision"] == "tf32" for cell in tuning.suite.cells)
    if asked and not device.startswith("cuda"):
        raise SuiteError(
            f"{suite} asks for the precision tf32, which needs a CUDA device, but this run is on"
            " the CPU; use float32 or bf16 there"
        )
