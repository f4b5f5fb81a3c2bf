"""What is known of a suite: the one object that commands hand on.

A record is read when it is first asked for (:class:`~gzsl_bench.records.store.RecordStore` reads it
again only where its file has changed); of predictions, megabytes a cell, the checkpoints that the
suite's rules choose are kept in memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gzsl_bench.errors import RecordError
from gzsl_bench.hooks.metric import Predictions
from gzsl_bench.records.audits import AuditStore
from gzsl_bench.records.record import Record
from gzsl_bench.records.store import RecordStore
from gzsl_bench.results.names import DataNames
from gzsl_bench.results.validation import Validation
from gzsl_bench.scoring.calibration import Bias, best_gamma
from gzsl_bench.scoring.kept import among, fitting, picked
from gzsl_bench.scoring.rules import Unchosen
from gzsl_bench.suite.cells import Cell
from gzsl_bench.suite.resolved import ResolvedSuite

_READERS = 2


@dataclass(frozen=True)
class _Held:
    """Predictions in memory, and of which checkpoints they are."""

    numbers: frozenset[int]
    arrays: Mapping[str, np.ndarray]


class Results:
    """The cells of a suite and what a results folder holds of them, now and as it grows.

    Args:
        suite: the suite.
        store: the results folder.

    Attributes:
        suite: the suite.
        store: the results folder.
        audits: its audits.
    """

    def __init__(self, suite: ResolvedSuite, store: RecordStore) -> None:
        self.suite = suite
        self.store = store
        self.audits = AuditStore(store.layout.out)
        self._held: dict[str, _Held] = {}
        self._biases: dict[tuple[tuple[str, ...], int], Bias] = {}

    def of(self, suite: ResolvedSuite) -> Results:
        """Another suite of the same folder, or this one with more cells; nothing is read twice."""
        found = Results(suite, self.store)
        found._held, found._biases = self._held, self._biases
        return found

    @cached_property
    def cells(self) -> Mapping[str, tuple[Cell, ...]]:
        """The suite's cells by key; one training may stand in several rows of its table."""
        found: dict[str, tuple[Cell, ...]] = {}
        for cell in self.suite.cells:
            found[cell.key] = (*found.get(cell.key, ()), cell)
        return found

    @cached_property
    def data_names(self) -> DataNames:
        """What to call the cells' data sets, so that no two share a name."""
        return DataNames(self.suite.cells)

    @cached_property
    def families(self) -> Mapping[str, str]:
        """What the cells of the real task share with their validation folds, by key."""
        return {key: cells[0].family for key, cells in self.cells.items()}

    @cached_property
    def folds(self) -> Mapping[str, tuple[Cell, ...]]:
        """Cells of validation folds by family, each key once."""
        found: dict[str, tuple[Cell, ...]] = {}
        for key, (cell, *_) in self.cells.items():
            if cell.fold:
                family = self.families[key]
                found[family] = (*found.get(family, ()), cell)
        return found

    def by_family(self) -> list[str]:
        """The suite's keys, cells that share validation folds together, after these."""
        order: dict[str, list[str]] = {}
        for key, family in self.families.items():
            order.setdefault(family, []).append(key)
        return [
            key
            for keys in order.values()
            for key in sorted(keys, key=lambda key: not self.cells[key][0].fold)
        ]

    @cached_property
    def validation(self) -> Validation:
        """What rules choose of the cells."""
        return Validation(self)

    def record(self, key: str) -> Record | None:
        """The record of a cell, or None."""
        return self.store.read(key)

    @property
    def begun(self) -> bool:
        """Whether any cell of the suite has a record."""
        return any(self.record(key) is not None for key in self.cells)

    def missing(self) -> tuple[list[Cell], list[Record]]:
        """Cells of the suite that have not run, and records of those that failed."""
        waiting, failed = [], []
        for cell in self.suite.cells:
            record = self.record(cell.key)
            if record is None:
                waiting.append(cell)
            elif not record.final:
                failed.append(record)
        return waiting, failed

    def predictions(self, key: str, number: int) -> Predictions:
        """What a cell predicted at one of its checkpoints.

        Raises:
            RecordError: its predictions are missing or damaged, or have no such checkpoint.
        """
        held = self._held.get(key)
        if held is None or number not in held.numbers:
            record = self.record(key)
            if record is None:
                raise RecordError(f"the record of cell {key} is gone")
            held = self._hold(key, record.predictions(), number)
        return picked(held.arrays, number)

    def biases(self, folds: Sequence[Cell], numbers: Sequence[int]) -> Mapping[int, Bias]:
        """The gamma that validation folds choose at each of these checkpoints, worked out once.

        Args:
            folds: cells with a complete record.
            numbers: of checkpoints that all of them have.

        Raises:
            RecordError: predictions are missing or damaged.
        """
        family = tuple(fold.key for fold in folds)
        lacking = [number for number in numbers if (family, number) not in self._biases]
        for number in lacking:
            scored = [self.predictions(fold.key, number) for fold in folds]
            if any(found.best_seen is None for found in scored):
                raise RecordError("its folds have predicted classes and no scores")
            found = best_gamma(scored, [fold.fold for fold in folds])
            self._biases[family, number] = found
        if lacking:  # nobody asks for their predictions again
            for key in family:
                self._held.pop(key, None)
        return {number: self._biases[family, number] for number in numbers}

    def arrays(self, record: Record) -> dict[str, np.ndarray]:
        """The predictions of all checkpoints of a record, as :func:`fitting` gave them.

        Raises:
            RecordError: they are missing or damaged.
        """
        found = fitting(record.predictions())
        numbers = self._chosen(record.key)
        self._held[record.key] = _Held(numbers, among(found, numbers) if numbers else {})
        return found

    def prefetch(self) -> None:
        """Read what rules choose: unpacking takes most of the time, and several threads help."""

        def fetch(key: str) -> None:
            record = self.record(key)
            # What cannot be read is reported by whoever needs it.
            with contextlib.suppress(RecordError):
                if record is not None and record.complete and self._chosen(key):
                    self._hold(key, record.predictions())

        def calibrate(cell: Cell) -> None:
            record = self.record(cell.key)
            with contextlib.suppress(Unchosen):
                if record is not None and record.complete:
                    self.validation.gamma(cell, record.checkpoints[-1].number)

        with ThreadPoolExecutor(_READERS) as readers:
            if self.suite.calibration:
                list(readers.map(calibrate, (cells[0] for cells in self._real.values())))
            keys = [key for key, (cell, *_) in self.cells.items() if not cell.fold]
            list(readers.map(fetch, [key for key in keys if key not in self._held]))

    def _hold(self, key: str, arrays: Mapping[str, np.ndarray], *more: int) -> _Held:
        numbers = self._chosen(key) | set(more)
        held = _Held(numbers, fitting(among(arrays, numbers)) if numbers else {})
        self._held[key] = held
        return held

    def _chosen(self, key: str) -> frozenset[int]:
        """Checkpoints of a cell that the suite's rules choose, or of a fold that they calibrate."""
        cells = self.cells.get(key, ())
        if not cells:
            return frozenset()
        if not cells[0].fold:
            return self._by_rules(cells[0], self.suite.rules)
        if not self.suite.calibration:
            return frozenset()
        record = self.record(key)
        if self.suite.calibrates_by_folds and record is not None:
            return frozenset(checkpoint.number for checkpoint in record.checkpoints)
        real = self._real.get(self.families[key], ())
        return frozenset().union(*(self._by_rules(cell, self.suite.selection) for cell in real))

    @cached_property
    def _real(self) -> Mapping[str, list[Cell]]:
        """Cells of the real task by family."""
        found: dict[str, list[Cell]] = {}
        for key, (cell, *_) in self.cells.items():
            if not cell.fold:
                found.setdefault(self.families[key], []).append(cell)
        return found

    def _by_rules(self, cell: Cell, rules: Iterable[str]) -> frozenset[int]:
        record = self.record(cell.key)
        found: set[int] = set()
        if record is not None and record.complete:
            for rule in rules:
                with contextlib.suppress(Unchosen):
                    found.update(self.validation.numbers(rule, cell, record))
        return frozenset(found)
