"""The last H of every method on every data set, as cells end."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
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
        h: H of the last one that ended, in percent; None before that.
        rule: by which H was chosen: the headline rule, or ``last`` while that one has to wait.
        key: whose H it is.
        turn: grows with every change, to tell what is new.
    """

    total: int = 0
    done: int = 0
    failed: int = 0
    h: float | None = None
    rule: str = LAST
    key: str = ""
    turn: int = 0


class Latest:
    """Keeps a :class:`Standing` for every label and data set.

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
        newest: dict[int, str] = {}
        for cell in self._cells.values():
            if self._shown(cell):
                found = self.standings.setdefault((cell.label, cell.dataset), Standing())
                found.total += 1
                record = results.record(cell.key)
                if record is not None and record.final:
                    self._count(cell.key, True)
                    newest[id(found)] = cell.key
        for key in newest.values():
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
            metrics, found.rule = self.metrics(cell, record)
            found.h, found.key = float(metrics["harmonic_mean"]), key

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
            cell = self._cells.get(found.key)
            if found.rule != self.rule and cell is not None and cell.family == fold.family:
                record = self._results.record(found.key)
                if record is not None and record.complete:
                    metrics, found.rule = self.metrics(cell, record)
                    found.h = float(metrics["harmonic_mean"])

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
        return self.standings[cell.label, cell.dataset]
