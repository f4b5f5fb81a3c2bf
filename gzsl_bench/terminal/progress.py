"""What a person sees while a suite runs: a live view on a terminal, a line per cell elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gzsl_bench.engine.events import (
    CellElsewhere,
    CellEnded,
    Event,
    Notice,
    Progress,
    Stopping,
    UnitDivided,
    UnitEnded,
    UnitStarted,
    Waiting,
)
from gzsl_bench.engine.pace import Pace
from gzsl_bench.engine.units import Unit
from gzsl_bench.records.store import RecordStore
from gzsl_bench.results.latest import Latest
from gzsl_bench.results.view import Results
from gzsl_bench.suite.cells import Cell
from gzsl_bench.suite.resolved import ResolvedSuite
from gzsl_bench.terminal.streams import say
from gzsl_bench.wording import about, counted

#: Cells that are named before the others are counted.
_SHOWN = 3
#: Seconds without a line, after which one says how far a cell is.
_QUIET = 60.0
#: Seconds between two looks at what other runs have finished.
_LOOK = 30.0
#: Letters of a cause: the whole of it is in the record.
_CAUSE = 240


class View:
    """One line on standard error for every cell that ends, and one a minute while none does.

    Attributes:
        drawn: whether the state of things is drawn all the while.

    Args:
        suite: its cells, and the rule whose H is shown.
        units: how the cells are grouped.
        store: the results folder.
        pace: what estimates the rest.
    """

    drawn = False

    def __init__(
        self,
        suite: ResolvedSuite,
        units: Sequence[Unit],
        store: RecordStore,
        pace: Pace | None = None,
    ) -> None:
        self.store = store
        results = Results(suite, store)
        # Data sets of one label are told apart, in titles and in what their cells take.
        names = results.data_names
        self.cells = {cell.key: replace(cell, dataset=names.of(cell)) for cell in suite.cells}
        self.units = {unit.name: self._named(unit) for unit in units}
        self.pace = pace or Pace()
        self.latest = Latest(results)
        self.several = len(suite.selection) > 1
        # A failed cell may be tried again and end twice.
        self.over = {key for key in self.cells if store.finished(key)}
        self.failed: set[str] = set()
        self.stopping = False
        self.by_others: set[str] = set()
        self.spoke = self.looked = self.pace.now()

    def open(self) -> None:
        """Say what is there already, and who else works here."""
        if self.ended:
            are = "is" if self.ended == 1 else "are"
            self.say(f"{self.ended} of {counted(len(self.cells), 'cell')} {are} finished already")
        if not self.drawn and (left := len(self.cells) - self.ended):
            self.say(f"training {counted(left, 'cell')}: a line for each when it ends")
        if self.store.presence is not None:
            for run in self.store.presence.others():
                self.say(f"another run works in this folder and shares the cells: {run.who}")

    @property
    def ended(self) -> int:
        """How many cells have ended."""
        return len(self.over)

    @property
    def waiting(self) -> list[Cell]:
        """Cells that are neither finished nor at work."""
        busy = {cell.key for job in list(self.pace.jobs.values()) for cell in job.unit.cells}
        return [cell for key, cell in self.cells.items() if key not in busy | self.over]

    def say(self, line: str) -> None:
        """Print one line for good."""
        self.spoke = self.pace.now()
        say(one_line(line))

    def hear(self, event: Event) -> None:
        """Take notice of what a worker said."""
        self._look_around()
        if isinstance(event, UnitStarted) and event.unit in self.units:
            self.pace.started(self.units[event.unit])
        elif isinstance(event, Progress):
            self.pace.reported(event.unit, event.key, event.done, event.total)
            if not self.drawn and self.pace.now() - self.spoke >= _QUIET:
                self._tell_progress(event)
        elif isinstance(event, CellEnded):
            self.pace.finished(event.unit, event.key)
            self._over(event.key, "", self.left())
        elif isinstance(event, CellElsewhere) and event.key in self.cells:
            self._elsewhere(event.key)
        elif isinstance(event, UnitEnded):
            self.pace.ended(event.unit)
        elif isinstance(event, Waiting):
            for who, keys in event.held.items():
                self.say(f"waiting for what {who} is training: {self.titles(keys)}")
        elif isinstance(event, UnitDivided):
            self.units.update((part.name, self._named(part)) for part in event.parts)
        elif isinstance(event, Notice):
            self.say(event.text)
        elif isinstance(event, Stopping):
            self.stopping = True
            self.say("stopping after the running step of each worker; Ctrl-C again stops at once")

    def _named(self, unit: Unit) -> Unit:
        return replace(unit, cells=tuple(self.cells.get(cell.key, cell) for cell in unit.cells))

    def _look_around(self) -> None:
        """See what other runs have finished, which this one would learn when its turn comes."""
        if self.pace.now() - self.looked < _LOOK:
            return
        self.looked = self.pace.now()
        if not self.store.shared:
            return
        # Looking for each of thousands of records would take seconds on a file server.
        there = {path.name for path in self.store.layout.cells.glob("*")}
        for cell in self.waiting:
            if cell.key in there and (record := self.store.read(cell.key)) and record.final:
                self._elsewhere(cell.key)

    def _elsewhere(self, key: str) -> None:
        if key not in self.by_others:
            self.by_others.add(key)
            self.pace.elsewhere(self.cells[key])
            self._over(key, "; by another run", "")

    def _over(self, key: str, by: str, left: str) -> None:
        self.over.add(key)
        self.latest.heard(key)
        record = self.store.read(key)
        failed = record is not None and not record.final
        (self.failed.add if failed else self.failed.discard)(key)
        self.say(f"[{self.ended}/{len(self.cells)}] {self.result(key)}{by}{left}")

    def _tell_progress(self, event: Progress) -> None:
        if event.key in self.cells and event.total:
            share = f"{100 * event.done / event.total:.0f} %"
            place = f"[{self.ended}/{len(self.cells)}]"
            self.say(f"{place} {self.cells[event.key].title}: {share}{self.left()}")

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
            return f"{title}: not applicable: {_short(record.cause)}"
        if not record.complete:
            return f"{title}: FAILED: {_short(record.cause)}"
        metrics, rule = self.latest.metrics(self.cells[key], record)
        by = f"by {rule}, " if self.several and not self.cells[key].fold else ""
        return (
            f"{title}: U {metrics['acc_unseen']:.1f}  S {metrics['acc_seen']:.1f}"
            f"  H {metrics['harmonic_mean']:.1f} ({by}{record.seconds_each:.0f} s)"
            + _not_finite(record.not_finite)
        )

    def left(self) -> str:
        """A rough estimate of the rest."""
        seconds = self.pace.left(self.waiting)
        rest = len(self.cells) - self.ended
        return "" if seconds is None or not rest else f"; {about(seconds)} left"

    def close(self) -> None:
        """Nothing to clear away."""


def one_line(text: str) -> str:
    """Whatever a method's message holds: no line breaks, no control characters."""
    return "".join(c if c.isprintable() else " " for c in text)


def _not_finite(since: Mapping[str, int]) -> str:
    """Logged values that are no numbers any more, though scores are."""
    named = [f"{name} is not finite from step {step} on" for name, step in since.items()]
    return f"; warning: {_short(', '.join(named))}" if named else ""


def _short(cause: str) -> str:
    """A cause as part of a sentence."""
    text = " ".join(one_line(cause).split())
    return text if len(text) <= _CAUSE else text[: _CAUSE - 1] + "…"
