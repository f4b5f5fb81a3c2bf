"""The mean H so far of every method on every data set, as cells end."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gzsl_bench.records.record import Record
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.rules import Last, Unchosen
from gzsl_bench.suite.cells import Cell

LAST = Last.name


@dataclass
class Standing:
    """One method on one data set.

    Attributes:
        total: its cells.
        done: how many of them have numbers.
        failed: how many of them have failed.
        each: H of those with numbers, in percent, by key.
        rule: by which H was chosen: the headline rule, or ``last`` while that one has to wait.
        turn: grows with every change, to tell what is new.
    """

    total: int = 0
    done: int = 0
    failed: int = 0
    each: dict[str, float] = field(default_factory=dict)
    rule: str = LAST
    turn: int = 0

    @property
    def h(self) -> float | None:
        """Their mean; None where there is none."""
        return statistics.fmean(self.each.values()) if self.each else None


class Latest:
    """Keeps a :class:`Standing` for every label and data set, of several with one label for each.

    Validation folds are left out, where a suite has other cells: their H is no result.

    Args:
        results: of the suite, whose honest rule counts; records that are there already do, too.
    """

    def __init__(self, results: Results) -> None:
        self.rule = results.suite.lead
        self._results = results
        self._cells = {key: cells[-1] for key, cells in results.cells.items()}
        self.folds = all(cell.fold for cell in self._cells.values())
        #: By key: it has numbers, it failed, or None where the method does not apply.
        self._ends: dict[str, bool | None] = {}
        self.standings: dict[tuple[str, str], Standing] = {}
        self._turn = 0
        ended = []
        for cell in self._cells.values():
            if self._shown(cell):
                found = self.standings.setdefault(self._place(cell), Standing())
                found.total += 1
                record = results.record(cell.key)
                if record is not None and record.final:
                    self._count(cell.key, True)
                    ended.append(cell.key)
        for key in ended:
            self.heard(key)

    def heard(self, key: str) -> None:
        """A cell has a record."""
        cell, record = self._cells.get(key), self._results.record(key)
        if cell is None or record is None:
            return
        if not self._shown(cell):
            self._choose_again(cell)
            return
        found = self._standing(cell)
        self._count(key, None if record.not_applicable else record.complete)
        self._turn += 1
        found.turn = self._turn
        if record.complete:
            before = found.rule
            self._note(found, [key])
            if found.rule != before:  # no mean over two rules
                self._note(found, [*found.each])

    def _note(self, found: Standing, keys: Sequence[str]) -> None:
        """H of cells by the rule that can choose now."""
        for key in keys:
            record = self._results.record(key)
            if record is not None and record.complete:
                metrics, found.rule = self.metrics(self._cells[key], record)
                found.each[key] = float(metrics["harmonic_mean"])

    def metrics(self, cell: Cell, record: Record) -> tuple[Mapping[str, Any], str]:
        """Of a complete record, by the headline rule, and the rule; ``last`` where it must wait."""
        validation = self._results.validation
        if not cell.fold:
            with contextlib.suppress(Unchosen):
                return validation.choose(self.rule, cell, record).metrics, self.rule
        return validation.choose(LAST, cell, record).metrics, LAST

    def _choose_again(self, fold: Cell) -> None:
        """A fold has ended: perhaps the last one that ``val`` waited for."""
        for found in self.standings.values():
            family = next((self._cells[key].family for key in found.each), None)
            if found.rule != self.rule and family == fold.family:
                self._note(found, [*found.each])

    def _count(self, key: str, end: bool | None) -> None:
        """A cell may end twice: a failed one that is tried again."""
        found = self._standing(self._cells[key])
        before = self._ends.get(key)
        self._ends[key] = end
        found.done += (end is True) - (before is True)
        found.failed += (end is False) - (before is False)

    def _shown(self, cell: Cell) -> bool:
        return self.folds or not cell.fold

    def _standing(self, cell: Cell) -> Standing:
        return self.standings[self._place(cell)]

    def _place(self, cell: Cell) -> tuple[str, str]:
        return cell.label, self._results.data_names.of(cell)
