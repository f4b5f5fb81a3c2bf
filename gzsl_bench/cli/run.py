"""``gzsl-bench run``: a suite from its file to its answer."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from gzsl_bench.cli.compose import composing
from gzsl_bench.cli.launch import Launch, launch_options
from gzsl_bench.cli.options import seeds_option
from gzsl_bench.terminal.streams import put, say

if TYPE_CHECKING:
    from gzsl_bench.engine.units import Unit
    from gzsl_bench.records.store import RecordStore
    from gzsl_bench.results.rows import Row
    from gzsl_bench.results.view import Results
    from gzsl_bench.suite.resolved import ResolvedSuite
    from gzsl_bench.tracking.mirror import Mirror


@click.command("run")
@launch_options
@composing
@seeds_option
@click.option(
    "--only-failed", is_flag=True, help="Only cells with a failed record: leave new ones alone."
)
@click.option(
    "--audit",
    is_flag=True,
    help="Afterwards train one seed per data set and method twice more, once with scorers that are"
    " shown noise: a method that learns from what it is shown gives other scores and fails"
    " (docs/audit.md).",
)
@click.option(
    "--keep-models",
    is_flag=True,
    help="Afterwards train each cell of the real task once more and keep the model of the"
    " checkpoint that the honest rule chooses, if it predicts as recorded (docs/models.md).",
)
def run_command(
    launch: Launch, seeds: list[int] | None, only_failed: bool, audit: bool, keep_models: bool
) -> int:
    """Run SUITE, a file or the name of one that comes along, and print who is best, how surely.

    In place of SUITE: data sets with -d and methods with -m.

    What has a complete record is left alone, failed cells are tried again, so an interrupted suite
    goes on where it was.  Exit code: 0 all cells done, 1 some failed (or an audit did), 2 bad input
    or missing data, 130 interrupted.
    """
    from gzsl_bench.cli.audit import conclude
    from gzsl_bench.cli.models import keep
    from gzsl_bench.engine.models import require
    from gzsl_bench.records.store import RecordStore
    from gzsl_bench.records.suites import current, remember
    from gzsl_bench.report.answer import answer
    from gzsl_bench.report.table import render
    from gzsl_bench.results.rescore import out_of_date
    from gzsl_bench.results.rows import rows
    from gzsl_bench.results.view import Results
    from gzsl_bench.suite.resolve import resolve
    from gzsl_bench.terminal.width import bold, columns

    loaded, registry = launch.open_suite()
    resolved = resolve(loaded, registry, launch.where, seeds=seeds, only=launch.only)
    looked = RecordStore(launch.out)
    _warn(resolved, looked)
    units = launch.plan(resolved.cells, registry)
    whole, asked = len(units), resolved
    if only_failed:
        asked, units = _failed_part(resolved, units, looked)
        if not units:
            say(f"no cell of {launch.suite} has a failed record in {launch.out}: nothing to do")
            return 0
    if launch.dry_run:
        return launch.describe(units, "cell")
    if keep_models:
        require()
    with launch.training(loaded, registry, whole) as training:
        store = training.store
        store.learn(looked)
        results = Results(resolved, store)
        remembered = remember(store.layout, resolved)
        everything = results.of(remembered)
        idle = not audit and all(store.finished(cell.key) for cell in asked.cells)
        mirror = _open_mirror(launch.uri, everything, idle)
        sync = f"gzsl-bench sync {shlex.quote(resolved.name)} --out {shlex.quote(str(launch.out))}"

        def mirrored() -> tuple[str, Sequence[dict[str, Any]]]:
            table = rows(results.of(current(store.layout, remembered)))
            return render(table), [row.to_json() for row in table]

        catch_up = f"nothing is lost, bring it up to date with: {sync}"
        outcome = training.run(asked, units, mirror, mirrored, catch_up, audit)
        table = rows(results)
        if table:
            put(answer(table, results, resolved.lead, columns(), bold()))
        for sentence in out_of_date(results):
            say(f"warning: {sentence}")
        training.conclude(outcome, resolved, failed=", --only-failed these alone")
        if table and not outcome.interrupted:
            _say_next(everything, table, launch.uri is not None)
        if launch.uri and mirror and not mirror.behind and not outcome.interrupted:
            shown = results.of(current(store.layout, resolved))
            _renew_front(launch.uri, shown, sync, whole=outcome.exit_code == 0)
        if keep_models and not outcome.interrupted:
            keep(results, registry, training.settings)
        if audit and not outcome.interrupted and not conclude(resolved.cells, store):
            return 1
        return outcome.exit_code


def _warn(resolved: ResolvedSuite, store: RecordStore) -> None:
    """Warnings of the suite that no earlier run has said."""
    from gzsl_bench.records.suites import told

    before = told(store.layout, resolved)
    for warning in resolved.warnings:
        if warning not in before:
            say(f"warning: {warning}")


def _open_mirror(uri: str | None, results: Results, idle: bool) -> Mirror | None:
    """What mirrors the run in MLflow; None where nobody wants that, or MLflow shows all there is.

    Args:
        uri: of MLflow; None for none.
        results: of the suite, as it is remembered.
        idle: nothing will be trained.
    """
    from gzsl_bench.tracking import open_mirror, stamp

    # A visit takes longer than all else that a run with nothing to do does.
    if uri is None or (idle and stamp.holds(uri, results)):
        return None
    return open_mirror(uri, results, later=True)


def _say_next(results: Results, table: Sequence[Row], mirrored: bool) -> None:
    """What there is to do with the numbers."""
    from gzsl_bench.report.html.age import stale
    from gzsl_bench.tracking import installed

    suite, out = results.suite, results.store.layout.out
    if old := stale(results, out):
        say(f"{old}; gzsl-bench report makes it anew")
    where = f"{shlex.quote(suite.name)} --out {shlex.quote(str(out))}"
    # Of methods that failed there is nothing to compare.
    labels = list(dict.fromkeys(row.label for row in table if any(row.metrics.values())))
    commands = [("report", where, "a page with intervals, curves and all behind them")]
    if mirrored:
        commands.append(("ui", where, "the same in MLflow"))
    elif not installed():
        commands.append(
            ("sync", where, "the same in MLflow, once `pip install 'gzsl-bench[mlflow]'` is done")
        )
    if len(labels) > 1:
        commands.append(("compare", f"{where} {shlex.join(labels[:2])}", "two methods"))
    commands.append(("table", where, "every rule and metric; --format latex for papers"))
    for name, arguments, about in commands:
        say(f"next, {about}: gzsl-bench {name} {arguments}")


def _renew_front(uri: str, results: Results, sync: str, whole: bool) -> None:
    """Show the report in MLflow, too, after the results and never at their expense; if it is there.

    A suite that trained for moments has none, and nothing is behind.

    Args:
        uri: of MLflow.
        results: what it is to show.
        sync: the command that brings it up to date.
        whole: nothing failed: MLflow then shows all there is, which is noted.
    """
    from gzsl_bench.tracking import front, stamp

    behind: str | None = None
    if front.worthwhile(results):
        try:
            behind = front.refresh(uri, results)
        except KeyboardInterrupt:
            behind = "interrupted"
    if behind:
        say(f"warning: the report in MLflow is not renewed: {behind}; {sync} does it")
    elif whole:
        with contextlib.suppress(OSError):  # it only saves time
            stamp.leave(uri, results)


def _failed_part(
    resolved: ResolvedSuite, units: list[Unit], store: RecordStore
) -> tuple[ResolvedSuite, list[Unit]]:
    """The cells with a failed record, in the company they have in the whole suite."""
    from gzsl_bench.engine.units import unfinished

    records = {cell.key: store.read(cell.key) for cell in resolved.cells}
    others = {key for key, record in records.items() if record is None or record.final}
    cells = tuple(cell for cell in resolved.cells if cell.key not in others)
    return replace(resolved, cells=cells), unfinished(units, others)
