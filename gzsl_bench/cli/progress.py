"""What a person sees while a suite runs: bars on a terminal, a line per cell elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from gzsl_bench.engine.events import (
    CellElsewhere,
    CellEnded,
    Event,
    Notice,
    Stopping,
    UnitDivided,
    UnitEnded,
    UnitStarted,
    Waiting,
)
from gzsl_bench.engine.events import Progress as CellProgress
from gzsl_bench.engine.selection import select
from gzsl_bench.engine.units import Unit
from gzsl_bench.records.store import RecordStore
from gzsl_bench.suite.cells import Cell

#: Cells that are named before the others are counted.
_SHOWN = 3


class View:
    """One line on standard error for every cell that ends."""

    def __init__(self, cells: Sequence[Cell], units: Sequence[Unit], store: RecordStore) -> None:
        self.store = store
        self.cells = {cell.key: cell for cell in cells}
        self.units = {unit.name: unit for unit in units}
        # A failed cell may be tried again and end twice.
        self.over = {key for key in self.cells if store.finished(key)}
        self.at_start = self.ended
        self.began = time.monotonic()
        if self.ended:
            self.say(f"{self.ended} of {len(self.cells)} cells are finished already")
        if store.presence is not None:
            for run in store.presence.others():
                self.say(f"another run works in this folder and shares the cells: {run.who}")

    @property
    def ended(self) -> int:
        """How many cells have ended."""
        return len(self.over)

    def say(self, line: str) -> None:
        """Print one line for good."""
        click.echo(line, err=True)

    def hear(self, event: Event) -> None:
        """Take notice of what a worker said."""
        if isinstance(event, CellEnded):
            self.over.add(event.key)
            self.say(f"[{self.ended}/{len(self.cells)}] {self.result(event.key)}{self.left()}")
        elif isinstance(event, CellElsewhere) and event.key in self.cells:
            self.over.add(event.key)
            self.say(f"[{self.ended}/{len(self.cells)}] {self.result(event.key)}; by another run")
        elif isinstance(event, Waiting):
            for who, keys in event.held.items():
                self.say(f"waiting for what {who} is training: {self.titles(keys)}")
        elif isinstance(event, UnitDivided):
            self.units.update((part.name, part) for part in event.parts)
        elif isinstance(event, Notice):
            self.say(event.text)
        elif isinstance(event, Stopping):
            self.say("stopping after the running step of each worker; Ctrl-C again stops at once")

    def titles(self, keys: Sequence[str]) -> str:
        """The first of some cells, and how many more there are."""
        shown = [self.cells[key].title for key in keys if key in self.cells][:_SHOWN]
        more = len(keys) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more else "")

    def result(self, key: str) -> str:
        """``CUB · ACMR · seed 0: U 51.2  S 53.0  H 52.1 (312 s)``."""
        record = self.store.read(key)
        title = self.cells[key].title
        if record is None:
            return f"{title}: no record"
        if record.not_applicable:
            return f"{title}: not applicable: {record.content['cause']}"
        if not record.complete:
            return f"{title}: FAILED: {record.content['cause']}"
        metrics = select("last", record.content["checkpoints"])["metrics"]
        return (
            f"{title}: U {metrics['acc_unseen']:.1f}  S {metrics['acc_seen']:.1f}"
            f"  H {metrics['harmonic_mean']:.1f} ({record.content['seconds']:.0f} s)"
        )

    def left(self) -> str:
        """A rough estimate of the rest, from the cells of this run."""
        done, rest = self.ended - self.at_start, len(self.cells) - self.ended
        if not done or not rest:
            return ""
        seconds = (time.monotonic() - self.began) / done * rest
        minutes = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
        return f"; about {minutes} left"

    def close(self) -> None:
        """Nothing to clear away."""


class LiveView(View):
    """Bars: one for the suite, one for every unit that is being trained."""

    def __init__(self, cells: Sequence[Cell], units: Sequence[Unit], store: RecordStore) -> None:
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self.tasks: dict[str, TaskID] = {}
        self.bars.start()
        super().__init__(cells, units, store)
        self.whole = self.bars.add_task("all cells", total=len(self.cells), completed=self.ended)

    def say(self, line: str) -> None:
        """Print one line above the bars."""
        self.bars.console.print(line, markup=False, highlight=False)

    def left(self) -> str:
        """The bars tell."""
        return ""

    def hear(self, event: Event) -> None:
        """Move the bars."""
        super().hear(event)
        if isinstance(event, UnitStarted):
            title = self.units[event.unit].title
            self.tasks[event.unit] = self.bars.add_task(title, total=None)
        elif isinstance(event, CellProgress) and event.unit in self.tasks:
            self.bars.update(self.tasks[event.unit], completed=event.done, total=event.total)
        elif isinstance(event, (CellEnded, CellElsewhere)):
            self.bars.update(self.whole, completed=self.ended)
        elif isinstance(event, UnitEnded) and event.unit in self.tasks:
            self.bars.remove_task(self.tasks.pop(event.unit))

    def close(self) -> None:
        """Clear the bars away."""
        self.bars.stop()


@contextlib.contextmanager
def open_view(cells: Sequence[Cell], units: Sequence[Unit], store: RecordStore) -> Iterator[View]:
    """The view that fits standard error."""
    view = (LiveView if sys.stderr.isatty() else View)(cells, units, store)
    try:
        yield view
    finally:
        view.close()
