"""What ``run`` and ``tune`` share: from options to units and workers."""

from __future__ import annotations

import contextlib
import functools
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from gzsl_bench import markdown
from gzsl_bench.cli import complete, options
from gzsl_bench.cli.executors import choose_executor, executor_options, open_executor
from gzsl_bench.cli.training import Training, worker_settings
from gzsl_bench.executors.early import Early, early
from gzsl_bench.executors.limits import Limits
from gzsl_bench.executors.request import Request
from gzsl_bench.terminal.streams import put, say
from gzsl_bench.wording import counted

if TYPE_CHECKING:
    from gzsl_bench.engine.units import Unit
    from gzsl_bench.executors.resources import Resources
    from gzsl_bench.hooks.manager import Registry
    from gzsl_bench.records.layout import Layout
    from gzsl_bench.suite.cells import Cell
    from gzsl_bench.suite.datasets import Filter, Place
    from gzsl_bench.suite.load import LoadedSuite


#: In the order in which ``--help`` has them, the last first.
_OPTIONS = (
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
)


def launch_options(command: options.Command) -> options.Command:
    """The argument SUITE and the options of a training, handed on as ``launch``."""

    @functools.wraps(command)
    def launched(**given: Any) -> int:
        asked = _Asked(**{part.name: given.pop(part.name) for part in fields(_Asked)})
        asked.refuse_contradictions(needs_suite="datasets" not in given)
        with ExitStack() as stack:
            # Before anything else is imported: it needs a process that can still be forked.
            ahead = stack.enter_context(early()) if asked.forks else None
            launch = asked.launch(given, ahead, stack)
            stop_on_terminate()
            code: int = command(launch=launch, **given)
        return code

    for option in _OPTIONS:
        launched = option(launched)
    return launched  # type: ignore[return-value]


@dataclass(frozen=True)
class _Asked:
    """The argument SUITE and the options of a training, by the names that click gives them."""

    suite: Path | None
    data: Path | None
    plugin: tuple[Path, ...]
    out: Path
    device: str
    only: Filter
    jobs: int | None
    threads: int | None
    timeout: float | None
    memory_limit: int | None
    retries: int
    executor: str
    ray_address: str | None
    resources: Resources | None
    slurm: tuple[str, ...]
    tracking_uri: str | None
    dry_run: bool
    inline: bool

    def refuse_contradictions(self, needs_suite: bool) -> None:
        """What can be refused before anything is imported.

        Args:
            needs_suite: the command has no other way to say what is to be trained.

        Raises:
            UsageError: options that do not go together.
        """
        if self.inline and self.executor != "local":
            raise click.UsageError(
                f"--inline trains in this process; leave it or --executor {self.executor} out"
            )
        if self.suite is None and needs_suite:
            raise click.UsageError("give SUITE")

    @property
    def forks(self) -> bool:
        """Whether processes of this machine will train."""
        return self.executor == "local" and not self.inline and not self.dry_run

    def launch(self, given: dict[str, Any], ahead: Early | None, stack: ExitStack) -> Launch:
        """All of it, checked.

        Args:
            given: other options; those that compose a suite are taken out.
            ahead: has a server for processes of this machine.
            stack: closed when the command ends.

        Raises:
            UsageError: options that do not go together, or name nothing.
        """
        from gzsl_bench.cli.compose import Composed
        from gzsl_bench.records.layout import Layout

        executor = "inline" if self.inline else self.executor
        limits = Limits(self.timeout, self.memory_limit, self.retries)
        request = Request(
            self.device, limits, self.jobs, self.threads, self.resources, self.ray_address,
            self.slurm, ahead,
        )  # fmt: skip
        device = choose_executor(executor, request) or options.choose_device(self.device)
        uri = _tracking(self.tracking_uri, Layout(self.out))
        where = options.place(self.data)
        names = [part.name for part in fields(Composed)]
        composed = Composed(**{name: given.pop(name) for name in names if name in given})
        # A dry run leaves nothing behind, nor does a suite that is refused.
        kept = stack.enter_context(TemporaryDirectory()) if self.dry_run else self.out
        undo = stack.enter_context(ExitStack())
        return Launch(
            suite=composed.file(self.suite, Layout(Path(kept)), self.plugin, undo),
            out=self.out,
            plugin=self.plugin,
            only=self.only,
            device=device,
            where=where,
            uri=uri,
            executor=executor,
            request=request,
            dry_run=self.dry_run,
            accepted=undo.pop_all,
        )


def _tracking(asked: str | None, layout: Layout) -> str | None:
    """Where MLflow is; None for none, or where nobody asked for it and it is not installed."""
    from gzsl_bench.tracking import installed, resolve_uri

    uri = resolve_uri(asked, layout)
    return None if uri == layout.tracking_store and not installed() else uri


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
        from gzsl_bench.results.names import DataNames

        store = RecordStore(self.out)
        names = DataNames(cell for unit in units for cell in unit.cells)
        done = {c.key: store.finished(c.key) for unit in units for c in unit.cells}
        together: dict[tuple[str, str], list[Cell]] = {}
        for cell in (cell for unit in units for cell in unit.cells):
            together.setdefault((names.of(cell), cell.label), []).append(cell)
        lines = []
        for (dataset, label), cells in together.items():
            seeds = sum(not cell.fold for cell in cells)
            finished = sum(done[cell.key] for cell in cells)
            counts = (seeds, len(cells) - seeds, len(cells) - finished, finished)
            lines.append([dataset, label, *map(str, counts)])
        if summary:
            put(markdown.table(["Data set", "Method", "Seeds", "Folds", "To train", "Done"], lines))
        say(
            f"{counted(len(done), what)} in {counted(len(units), 'unit')},"
            f" {sum(done.values())} finished"
        )
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


def stop_on_terminate() -> None:
    """A batch system's SIGTERM stops a run as Ctrl-C does: records stay whole, resume works."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
