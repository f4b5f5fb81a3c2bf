"""``gzsl-bench run``: a suite from its file to its table."""

from __future__ import annotations

import shlex
import signal
import sys
from dataclasses import replace
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
    parse_seeds,
    place,
    plugin_option,
    seeds_option,
    threads_option,
    tracking_option,
)

if TYPE_CHECKING:
    from gzsl_bench.engine.events import Event, WorkerSettings
    from gzsl_bench.engine.executors import Executor
    from gzsl_bench.engine.executors.resources import Resources
    from gzsl_bench.engine.run import Outcome
    from gzsl_bench.engine.units import Unit
    from gzsl_bench.records.store import RecordStore
    from gzsl_bench.suite.resolve import Place, ResolvedSuite


#: Most runs of one unit on a GPU; how many of them its memory holds is measured there.
MOST_RUNS = 32


@click.command("run")
@click.argument("suite", type=click.Path(path_type=Path))
@data_option
@plugin_option
@out_option
@device_option
@seeds_option
@only_option
@click.option(
    "--only-failed", is_flag=True, help="Only cells with a failed record: leave new ones alone."
)
@jobs_option
@threads_option
@limits_options
@executor_options
@tracking_option
@click.option(
    "--audit",
    is_flag=True,
    help="Afterwards train one seed per data set and method twice more, once with scorers that are"
    " shown noise: a method that learns from what it is shown gives other scores and fails"
    " (docs/audit.md).",
)
@click.option("--dry-run", is_flag=True, help="Say what would run, and stop.")
@inline_option
@debug_option
def run_command(
    suite: Path,
    data: Path | None,
    plugin: tuple[Path, ...],
    out: Path,
    device: str,
    seeds: str | None,
    only: tuple[str, ...],
    only_failed: bool,
    jobs: int | None,
    threads: int | None,
    timeout: float | None,
    memory_limit: int | None,
    retries: int,
    executor: str,
    ray_address: str | None,
    resources: Resources | None,
    tracking_uri: str | None,
    audit: bool,
    dry_run: bool,
    inline: bool,
    debug: bool,
) -> int:
    """Run SUITE and print its table.

    What has a complete record is left alone, failed cells are tried again, so an interrupted suite
    goes on where it was.  Exit code: 0 all cells done, 1 some failed (or an audit did), 2 bad input
    or missing data, 130 interrupted.
    """
    from gzsl_bench.cli.placement import place_workers
    from gzsl_bench.cli.validate import open_suite
    from gzsl_bench.engine.run import hold
    from gzsl_bench.engine.stale import made_by_other_source
    from gzsl_bench.engine.units import plan
    from gzsl_bench.errors import SuiteError
    from gzsl_bench.records.layout import Layout
    from gzsl_bench.records.store import RecordStore
    from gzsl_bench.records.suites import remember
    from gzsl_bench.suite.resolve import resolve
    from gzsl_bench.tracking import resolve_uri

    chosen_seeds, part = parse_seeds(seeds), parse_only(only)
    limits = parse_limits(timeout, memory_limit, retries, inline)
    cluster = parse_cluster(executor, ray_address, resources, device, memory_limit, inline, threads)
    chosen = cluster.device if cluster else choose_device(device)
    uri = resolve_uri(tracking_uri, Layout(out))
    where = place(data)
    loaded, registry = open_suite(suite, where.root, plugin)
    resolved = resolve(loaded, registry, where, seeds=chosen_seeds, only=part)
    stale = made_by_other_source(resolved.cells, registry, RecordStore(out))
    for warning in (*resolved.warnings, *stale):
        click.echo(f"warning: {warning}", err=True)
    gpu = chosen.startswith("cuda")
    if not gpu and any(cell.identity["precision"] == "tf32" for cell in resolved.cells):
        raise SuiteError(
            f"{suite} asks for the precision tf32, which needs a CUDA device, but this run is on"
            " the CPU; use float32 or bf16 there"
        )
    stack = MOST_RUNS if gpu else 1
    units = plan(resolved.cells, registry, stack)
    whole = len(units)
    asked: ResolvedSuite = resolved
    if only_failed:
        asked, units = _failed_part(resolved, units, out)
        if not units:
            click.echo(f"no cell of {suite} has a failed record in {out}: nothing to do", err=True)
            return 0
    if dry_run:
        _describe(asked, units, out)
        return 0
    stop_on_terminate()
    placement = place_workers(
        Layout(out),
        whole,
        device=chosen,
        jobs=jobs,
        threads=threads,
        measured=not inline and cluster is None and (audit or any_left(asked, out)),
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
        outcome, shown = _train(
            store,
            remember(store.layout, resolved),
            asked,
            units,
            trainer,
            settings,
            uri,
            audit,
        )
        _conclude(resolved, store, outcome)
        if uri is not None and shown and not outcome.interrupted:
            _renew_front(uri, resolved, store)
        if audit and not outcome.interrupted:
            from gzsl_bench.cli.audit import conclude

            passed = conclude(resolved.cells, store)
            return outcome.exit_code if passed else 1
        return outcome.exit_code


def _train(
    store: RecordStore,
    remembered: ResolvedSuite,
    resolved: ResolvedSuite,
    units: list[Unit],
    executor: Executor,
    settings: WorkerSettings,
    uri: str | None,
    audit: bool,
) -> tuple[Outcome, bool]:
    """Train what is left, showing progress and mirroring each record as it comes; then audit.

    Returns:
        What came of it, and whether MLflow shows all of it.
    """
    from gzsl_bench.cli.audit import audit_cells
    from gzsl_bench.cli.progress import open_view
    from gzsl_bench.engine.events import CellEnded
    from gzsl_bench.engine.run import run_units
    from gzsl_bench.errors import WorkerError
    from gzsl_bench.records.suites import current
    from gzsl_bench.report.rows import rows
    from gzsl_bench.report.table import render
    from gzsl_bench.tracking import open_mirror

    mirror = open_mirror(uri, remembered, store) if uri else None
    with open_view(resolved, units, store) as view:

        def listen(event: Event) -> None:
            view.hear(event)
            if isinstance(event, CellEnded) and mirror is not None:
                record = store.read(event.key)
                if record is not None:
                    mirror.cell(record)

        try:
            outcome = run_units(store, resolved.cells, units, executor, settings, listen)
        except WorkerError:
            if mirror is not None:
                table = rows(remembered, store)
                mirror.finish(render(table), table, "FAILED")
            raise
    if audit and not outcome.interrupted:
        # An executor's processes end with its work: audits begin in fresh ones.
        finished = audit_cells(store, resolved.cells, executor, settings)
        outcome = replace(outcome, interrupted=not finished)
    if mirror is not None:
        table = rows(current(store.layout, remembered), store)
        status = {0: "FINISHED", 130: "KILLED"}.get(outcome.exit_code, "FAILED")
        mirror.finish(render(table), table, status)
        if mirror.behind:
            click.echo(
                f"warning: MLflow is behind the records: {mirror.behind}; nothing is lost, bring it"
                f" up to date with: gzsl-bench sync {shlex.quote(remembered.name)} --out"
                f" {shlex.quote(str(store.layout.out))}",
                err=True,
            )
    return outcome, mirror is not None and mirror.behind is None


def _conclude(resolved: ResolvedSuite, store: RecordStore, outcome: Outcome) -> None:
    """The table, then what went wrong."""
    from gzsl_bench.cli.terminal import columns, show_table
    from gzsl_bench.report.fit import USUAL
    from gzsl_bench.report.rows import rows
    from gzsl_bench.report.table import failures

    table = rows(resolved, store)
    if table:
        show_table(table, resolved.name, store.layout.out, columns() or USUAL)
    click.echo(f"records: {store.layout.out} ({outcome.done} of {outcome.total} cells)", err=True)
    if outcome.interrupted:
        click.echo("interrupted; the same command goes on where it stopped", err=True)
    if outcome.failed:
        click.echo("\n" + failures(outcome.failed, columns(sys.stderr)), err=True)
        click.echo(
            f"{len(outcome.failed)} failed; tracebacks: record.json and log.txt in"
            f" {store.layout.cells}/KEY; the same command tries again, --only-failed these alone",
            err=True,
        )


def _renew_front(uri: str, resolved: ResolvedSuite, store: RecordStore) -> None:
    """Show the report in MLflow, too: after the results, and never at their expense."""
    from gzsl_bench.records.suites import current
    from gzsl_bench.tracking import front

    suite = current(store.layout, resolved)
    if not front.worthwhile(suite, store):
        return
    try:
        behind = front.refresh(uri, suite, store)
    except KeyboardInterrupt:
        behind = "interrupted"
    if behind:
        click.echo(
            f"warning: the report in MLflow is not renewed: {behind}; gzsl-bench sync"
            f" {shlex.quote(suite.name)} --out {shlex.quote(str(store.layout.out))} does it",
            err=True,
        )


def _failed_part(
    resolved: ResolvedSuite, units: list[Unit], out: Path
) -> tuple[ResolvedSuite, list[Unit]]:
    """The cells with a failed record, in the company they have in the whole suite."""
    from gzsl_bench.engine.units import unfinished
    from gzsl_bench.records.store import RecordStore

    records = {cell.key: RecordStore(out).read(cell.key) for cell in resolved.cells}
    others = {key for key, record in records.items() if record is None or record.final}
    cells = tuple(cell for cell in resolved.cells if cell.key not in others)
    return replace(resolved, cells=cells), unfinished(units, others)


def any_left(resolved: ResolvedSuite, out: Path) -> bool:
    """Whether there is anything to train."""
    from gzsl_bench.records.store import RecordStore

    store = RecordStore(out)
    return not all(store.finished(cell.key) for cell in resolved.cells)


def _describe(resolved: ResolvedSuite, units: list[Unit], out: Path) -> None:
    from gzsl_bench.records.store import RecordStore

    store = RecordStore(out)
    for unit in units:
        left = [cell for cell in unit.cells if not store.finished(cell.key)]
        click.echo(f"{'to run' if left else 'done':>8}  {unit.title}  {unit.cells[0].key}")
    cells = {cell.key for cell in resolved.cells}
    done = sum(store.finished(key) for key in cells)
    click.echo(f"{len(cells)} cells in {len(units)} units, {done} finished", err=True)


def choose_device(asked: str) -> str:
    """The device to train on; ``auto`` takes a GPU where there is one."""
    import torch

    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(asked)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise click.UsageError(
            f"--device {asked!r} is not understood; use auto, cpu, cuda or cuda:N"
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise click.UsageError(
            f"--device {asked} is not there: torch sees {torch.cuda.device_count()} CUDA devices"
        )
    return asked


def worker_settings(
    out: Path, where: Place, device: str, threads: int, plugins: tuple[Path, ...]
) -> WorkerSettings:
    """What workers need to know of this machine and command."""
    from gzsl_bench.engine import environment
    from gzsl_bench.engine.events import WorkerSettings
    from gzsl_bench.masking import masked

    return WorkerSettings(
        out=out.resolve(),
        root=where.root.resolve() if where.root else None,
        cache=where.cache,
        device=device,
        threads=threads,
        command="gzsl-bench " + shlex.join(map(masked, sys.argv[1:])),
        git_commit=environment.git_commit(Path.cwd()),
        plugins=plugins,
    )


def stop_on_terminate() -> None:
    """A batch system's SIGTERM stops a run as Ctrl-C does: records stay whole, resume works."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
