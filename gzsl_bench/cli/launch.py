"""What ``run`` and ``tune`` share: from options to workers, from their events to an exit code."""

from __future__ import annotations

import contextlib
import functools
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gzsl_bench import markdown
from gzsl_bench.cli import complete, options
from gzsl_bench.cli.executors import choose_executor, executor_options, open_executor
from gzsl_bench.executors.early import early
from gzsl_bench.executors.limits import Limits
from gzsl_bench.executors.request import Request
from gzsl_bench.terminal.streams import put, say

if TYPE_CHECKING:
    from gzsl_bench.engine.events import Event, WorkerSettings
    from gzsl_bench.engine.units import Unit
    from gzsl_bench.executors.dispatcher import Executor
    from gzsl_bench.executors.resources import Resources
    from gzsl_bench.executors.run import Outcome
    from gzsl_bench.hooks.manager import Registry
    from gzsl_bench.records.store import RecordStore
    from gzsl_bench.suite.cells import Cell
    from gzsl_bench.suite.datasets import Filter, Place
    from gzsl_bench.suite.load import LoadedSuite
    from gzsl_bench.suite.resolved import ResolvedSuite
    from gzsl_bench.terminal.progress import View
    from gzsl_bench.tracking.mirror import Mirror


def launch_options(command: options.Command) -> options.Command:
    """The argument SUITE and the options of a training, handed on as ``launch``."""

    @functools.wraps(command)
    def launched(
        suite: Path | None,
        data: Path | None,
        plugin: tuple[Path, ...],
        out: Path,
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
        slurm: tuple[str, ...],
        tracking_uri: str | None,
        dry_run: bool,
        inline: bool,
        **rest: Any,
    ) -> int:
        part = options.parse_only(only)
        limits = Limits(timeout, memory_limit, retries)
        if inline and executor != "local":
            raise click.UsageError(
                f"--inline trains in this process; leave it or --executor {executor} out"
            )
        if suite is None and "datasets" not in rest:
            raise click.UsageError("give SUITE")
        name = "inline" if inline else executor
        with contextlib.ExitStack() as stack:
            # Before anything else is imported: it needs a process that can still be forked.
            ahead = stack.enter_context(early()) if name == "local" and not dry_run else None
            from gzsl_bench.cli.compose import Composed
            from gzsl_bench.records.layout import Layout
            from gzsl_bench.tracking import installed, resolve_uri

            request = Request(device, limits, jobs, threads, resources, ray_address, slurm, ahead)
            chosen = choose_executor(name, request) or options.choose_device(device)
            uri = resolve_uri(tracking_uri, Layout(out))
            if uri == Layout(out).tracking_store and not installed():
                uri = None  # nobody asked for it
            where = options.place(data)
            asked = {field.name: rest.pop(field.name, ()) for field in fields(Composed)}
            # A dry run leaves nothing behind, nor does a suite that is refused.
            kept = Path(stack.enter_context(tempfile.TemporaryDirectory())) if dry_run else out
            undo = stack.enter_context(contextlib.ExitStack())
            file = Composed(**asked).file(suite, Layout(kept), plugin, undo)
            launch = Launch(
                file, out, plugin, part, chosen, where, uri, name, request, dry_run,
                accepted=undo.pop_all,
            )  # fmt: skip
            stop_on_terminate()
            code: int = command(launch=launch, **rest)
        return code

    for option in (
        options.debug_option,
        options.inline_option,
        click.option("--dry-run", is_flag=True, help="Say what would be trained, and stop."),
        options.tracking_option,
        executor_options,
        options.limits_options,
        options.threads_option,
        options.jobs_option,
        options.only_option,
        options.device_option,
        options.out_option,
        options.plugin_option,
        options.data_option,
        click.argument(
            "suite",
            required=False,
            type=click.Path(path_type=Path),
            shell_complete=complete.suites,
        ),
    ):
        launched = option(launched)
    return launched  # type: ignore[return-value]


@dataclass(frozen=True)
class Launch:
    """What the options ask for, checked against one another.

    Attributes:
        suite: the suite's file.
        out: the results folder.
        plugin: files of plugins that are not installed.
        only: the part of the suite.
        device: where to train.
        where: data and their copies on this machine.
        uri: of MLflow; None for none.
        executor: name of the executor.
        request: what is asked of it.
        dry_run: say what would be trained, and stop.
        command: for the records; by default the command line.
        accepted: called once all is checked and training begins.
    """

    suite: Path
    out: Path
    plugin: tuple[Path, ...]
    only: Filter
    device: str
    where: Place
    uri: str | None
    executor: str
    request: Request
    dry_run: bool = False
    command: str = ""
    accepted: Callable[[], object] = lambda: None

    def open_suite(self) -> tuple[LoadedSuite, Registry]:
        """The suite's file, checked, and the plugins."""
        from gzsl_bench.cli.validate import open_suite

        return open_suite(self.suite, self.where.root, self.plugin)

    def plan(self, cells: Sequence[Cell], registry: Registry) -> list[Unit]:
        """Units of cells.

        Raises:
            SuiteError: they need a device that is not the one to train on.
        """
        from gzsl_bench.engine.units import MOST_RUNS, plan
        from gzsl_bench.errors import SuiteError

        gpu = self.device.startswith("cuda")
        if not gpu and any(cell.identity["precision"] == "tf32" for cell in cells):
            raise SuiteError(
                f"{self.suite} asks for the precision tf32, which needs a CUDA device, but this run"
                " is on the CPU; use float32 or bf16 there"
            )
        return plan(cells, registry, MOST_RUNS if gpu else 1)

    def describe(self, units: Sequence[Unit], what: str, summary: bool = True) -> int:
        """Print what would be trained, and how many of the cells (``what``) are finished.

        Args:
            units: to be trained.
            what: their cells are called.
            summary: with a table of data sets and methods.
        """
        from gzsl_bench.records.store import RecordStore

        store = RecordStore(self.out)
        done = {c.key: store.finished(c.key) for unit in units for c in unit.cells}
        together: dict[tuple[str, str], list[Cell]] = {}
        for cell in (cell for unit in units for cell in unit.cells):
            together.setdefault((cell.dataset, cell.label), []).append(cell)
        lines = []
        for (dataset, label), cells in together.items():
            seeds = sum(not cell.fold for cell in cells)
            finished = sum(done[cell.key] for cell in cells)
            counts = (seeds, len(cells) - seeds, len(cells) - finished, finished)
            lines.append([dataset, label, *map(str, counts)])
        if summary:
            put(markdown.table(["Data set", "Method", "Seeds", "Folds", "To train", "Done"], lines))
        say(f"{len(done)} {what} in {len(units)} units, {sum(done.values())} finished")
        return 0

    @contextlib.contextmanager
    def training(
        self,
        loaded: LoadedSuite,
        registry: Registry,
        units: int,
    ) -> Iterator[Training]:
        """Be at work in the results folder.

        Args:
            loaded: the suite.
            registry: the plugins.
            units: of the whole suite, finished or not: a resumed suite gets the same workers.
        """
        from gzsl_bench.engine import environment
        from gzsl_bench.engine.placement import place
        from gzsl_bench.executors.run import hold

        placement = place(
            units,
            environment.usable_cores(),
            environment.total_memory(),
            gpu=self.device.startswith("cuda"),
            jobs=self.request.jobs,
            threads=self.request.threads,
        )
        settings = worker_settings(
            self.out, self.where, self.device, placement.threads, loaded.plugins, self.command
        )
        executor = open_executor(self.executor, self.request, registry, placement.workers)
        with hold(self.out) as held:
            self.accepted()
            yield Training(held, executor, settings)


@dataclass(frozen=True)
class Training:
    """A command at work in the results folder.

    Attributes:
        store: the folder, held.
        executor: trains units.
        settings: for its workers.
    """

    store: RecordStore
    executor: Executor
    settings: WorkerSettings

    def run(
        self,
        suite: ResolvedSuite,
        units: Sequence[Unit],
        mirror: Mirror | None,
        table: Callable[[], tuple[str, Sequence[dict[str, Any]]]],
        catch_up: str,
        audit: bool = False,
    ) -> Outcome:
        """Train what is left, showing progress and mirroring each record as it comes; then audit.

        Args:
            suite: its cells.
            units: how they are grouped.
            mirror: shows records in MLflow.
            table: what MLflow is given at the end, for people and for programs.
            catch_up: how to bring MLflow up to date.
            audit: audit the methods, too.
        """
        from gzsl_bench.cli.audit import audit_cells
        from gzsl_bench.engine.events import CellEnded, UnitStarted
        from gzsl_bench.errors import WorkerError
        from gzsl_bench.executors.run import run_units

        with open_view(suite, units, self.store) as view:
            told = False

            def listen(event: Event) -> None:
                nonlocal told
                view.hear(event)
                if isinstance(event, UnitStarted) and mirror is not None:
                    mirror.open()
                here = self.store.presence
                if isinstance(event, CellEnded) and not told and here and here.homeless:
                    told = True
                    view.say(f"{_vanished(self.store)}; the run goes on in a new one")
                if isinstance(event, CellEnded) and mirror is not None:
                    record = self.store.read(event.key)
                    if record is not None:
                        mirror.cell(record)

            try:
                outcome = run_units(
                    self.store, suite.cells, units, self.executor, self.settings, listen
                )
            except WorkerError:
                if mirror is not None:
                    mirror.finish(*table(), "FAILED")
                raise
        if audit and not outcome.interrupted:
            # An executor's processes end with its work: audits begin in fresh ones.
            finished = audit_cells(self.store, suite.cells, self.executor, self.settings)
            outcome = replace(outcome, interrupted=not finished)
        if mirror is not None:
            status = {0: "FINISHED", 130: "KILLED"}.get(outcome.exit_code, "FAILED")
            mirror.finish(*table(), status)
            if mirror.behind:
                say(f"warning: MLflow is behind the records: {mirror.behind}; {catch_up}")
        return outcome

    def conclude(self, outcome: Outcome, interrupted: str = "", failed: str = "") -> None:
        """Say how many cells are there, and what went wrong.

        Args:
            outcome: of the cells.
            interrupted: what else an interruption means.
            failed: what else to do about failed cells.
        """
        from gzsl_bench.report.failures import failures
        from gzsl_bench.terminal.width import columns

        layout = self.store.layout
        say(f"records: {layout.out} ({outcome.done} of {outcome.total} cells)")
        gone = outcome.total - outcome.done - len(outcome.failed)
        if gone and not outcome.interrupted:
            say(
                f"{gone} cells have no record: {_vanished(self.store)}; the same command trains"
                " them again"
            )
        if outcome.interrupted:
            say(f"interrupted{interrupted}; the same command goes on where it stopped")
        if outcome.failed:
            say("\n" + failures(outcome.failed, columns(sys.stderr)))
            say(
                f"{len(outcome.failed)} failed; tracebacks: record.json and log.txt in"
                f" {layout.cells}/KEY*; the same command tries again{failed}"
            )


def _vanished(store: RecordStore) -> str:
    return (
        f"the results folder {store.layout.out} was removed or replaced while the run was at work"
    )


@contextlib.contextmanager
def open_view(suite: ResolvedSuite, units: Sequence[Unit], store: RecordStore) -> Iterator[View]:
    """The view that fits standard error: live, or a line per cell where no cursor can move."""
    from rich.console import Console

    from gzsl_bench.terminal.live import LiveView
    from gzsl_bench.terminal.progress import View

    live = sys.stderr.isatty() and (console := Console(stderr=True)).is_interactive
    view = LiveView(suite, units, store, console) if live else View(suite, units, store)
    view.open()
    try:
        yield view
    finally:
        view.close()


def worker_settings(
    out: Path,
    where: Place,
    device: str,
    threads: int,
    plugins: tuple[Path, ...],
    command: str = "",
) -> WorkerSettings:
    """What workers need to know of this machine and command, by default this command line."""
    from gzsl_bench.engine.events import WorkerSettings
    from gzsl_bench.engine.program import program, started_in

    return WorkerSettings(
        out=out.resolve(),
        root=where.root.resolve() if where.root else None,
        cache=where.cache,
        device=device,
        threads=threads,
        command=command or command_line(),
        program=program(),
        started_in=started_in(Path.cwd()),
        plugins=plugins,
    )


def command_line() -> str:
    """This command, for the record."""
    from gzsl_bench.masking import masked

    return "gzsl-bench " + shlex.join(map(masked, sys.argv[1:]))


def stop_on_terminate() -> None:
    """A batch system's SIGTERM stops a run as Ctrl-C does: records stay whole, resume works."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
