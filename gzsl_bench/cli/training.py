"""A command at work in the results folder: what is left is trained, shown, mirrored, summed up."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gzsl_bench.terminal.streams import say
from gzsl_bench.wording import counted

if TYPE_CHECKING:
    from gzsl_bench.engine.events import Event, WorkerSettings
    from gzsl_bench.engine.units import Unit
    from gzsl_bench.executors.dispatcher import Executor
    from gzsl_bench.executors.run import Outcome
    from gzsl_bench.records.store import RecordStore
    from gzsl_bench.suite.datasets import Place
    from gzsl_bench.suite.resolved import ResolvedSuite
    from gzsl_bench.terminal.progress import View
    from gzsl_bench.tracking.mirror import Mirror


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

    def conclude(
        self, outcome: Outcome, suite: ResolvedSuite, interrupted: str = "", failed: str = ""
    ) -> None:
        """Say how many cells are there, and what went wrong.

        Args:
            outcome: of the cells.
            suite: what they are cells of.
            interrupted: what else an interruption means.
            failed: what else to do about failed cells.
        """
        from gzsl_bench.report.failures import failures
        from gzsl_bench.results.names import DataNames
        from gzsl_bench.terminal.width import columns

        layout = self.store.layout
        say(f"records: {layout.out} ({outcome.done} of {counted(outcome.total, 'cell')})")
        gone = outcome.total - outcome.done - len(outcome.failed)
        if gone and not outcome.interrupted:
            say(
                f"{counted(gone, 'cell')} without a record: {_vanished(self.store)}; the same"
                " command trains again"
            )
        if outcome.interrupted:
            say(f"interrupted{interrupted}; the same command goes on where it stopped")
        if outcome.failed:
            data_names = DataNames(suite.cells)
            names = {cell.key: data_names.of(cell) for cell in suite.cells}
            say("\n" + failures(outcome.failed, columns(sys.stderr), names))
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
