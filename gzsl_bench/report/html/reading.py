"""Records for a page that needs most of them several times: each is read once.

Predictions of all checkpoints are large (megabytes a cell), and a page shows those that a rule
chose, so only these are kept in memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields

import numpy as np

from gzsl_bench.errors import RecordError
from gzsl_bench.records.record import Record
from gzsl_bench.records.store import RecordStore
from gzsl_bench.results.validation import Validation
from gzsl_bench.scoring.rules import Unchosen
from gzsl_bench.suite.resolve import ResolvedSuite

#: Arrays of ``predictions.npz`` with a row per checkpoint, and the list that numbers their rows.
_NUMBERED: Mapping[str, str] = {
    "predicted": "checkpoints",
    "predicted_seen": "checkpoints",
    "predicted_unseen": "checkpoints",
    "best_seen": "scored",
    "best_unseen": "scored",
}
_READERS = 2


@dataclass(frozen=True)
class _Kept(Record):
    """A record whose predictions are read once and reduced to some checkpoints."""

    numbers: set[int] = field(default_factory=set)
    memory: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

    def predictions(self) -> dict[str, np.ndarray]:
        """The arrays of the checkpoints that are wanted."""
        if self.key not in self.memory:
            self.memory[self.key] = _reduced(super().predictions(), self.numbers)
        return self.memory[self.key]


class ReadOnce(RecordStore):
    """A results folder as it is when it is first looked at.

    Args:
        store: the results folder.
        suite: its cells are what will be asked for.
    """

    def __init__(self, store: RecordStore, suite: ResolvedSuite) -> None:
        super().__init__(store.layout.out)
        self._memory: dict[str, dict[str, np.ndarray]] = {}
        self._records: dict[str, Record | None] = {
            cell.key: super(ReadOnce, self).read(cell.key) for cell in suite.cells
        }
        wanted = self._wanted(suite)
        for key, record in self._records.items():
            if record is not None:
                numbers = wanted.get(key, set())
                kept = {f.name: getattr(record, f.name) for f in fields(record)}
                self._records[key] = _Kept(**kept, numbers=numbers, memory=self._memory)
        self._prefetch(key for key, numbers in wanted.items() if numbers)

    def read(self, key: str) -> Record | None:
        """The record of a key, or None."""
        if key not in self._records:
            self._records[key] = super().read(key)
        return self._records[key]

    def _wanted(self, suite: ResolvedSuite) -> dict[str, set[int]]:
        """Checkpoints that the suite's rules choose, of the real cells and of their folds."""
        validation = Validation(suite, self)
        found: dict[str, set[int]] = {}
        families: dict[str, set[int]] = {}
        for cell in suite.cells:
            record = self._records[cell.key]
            if cell.fold or record is None or not record.complete:
                continue
            for rule in suite.selection:
                with contextlib.suppress(Unchosen):
                    number = validation.choose(rule, cell, record).number
                    found.setdefault(cell.key, set()).add(number)
                    families.setdefault(cell.family, set()).add(number)
        if suite.calibration:
            for cell in suite.cells:
                record = self._records[cell.key]
                if cell.fold and cell.family in families and record and record.complete:
                    found[cell.key] = families[cell.family]
        return found

    def _prefetch(self, keys: Iterable[str]) -> None:
        """Unpacking takes most of the time and runs without Python's lock."""

        def fetch(key: str) -> None:
            record = self._records[key]
            # What cannot be read is reported by whoever needs it.
            with contextlib.suppress(RecordError):
                if record is not None:
                    record.predictions()

        with ThreadPoolExecutor(_READERS) as readers:
            list(readers.map(fetch, keys))


def _reduced(arrays: Mapping[str, np.ndarray], numbers: set[int]) -> dict[str, np.ndarray]:
    """The same arrays with the wanted checkpoints only; files that are none of ours stay whole."""
    if not {"checkpoints", "scored"} <= arrays.keys():
        return dict(arrays)
    rows = {
        name: np.flatnonzero(np.isin(arrays[name], list(numbers)))
        for name in ("checkpoints", "scored")
    }
    found = dict(arrays)
    for name, numbered in _NUMBERED.items():
        if name in arrays:
            found[name] = arrays[name][rows[numbered]]
    for name, kept in rows.items():
        found[name] = arrays[name][kept]
    return found
