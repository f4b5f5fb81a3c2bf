"""Where a worker's results go: to the results folder, or to whoever writes there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gzsl_bench.engine import stacks
from gzsl_bench.errors import RecordError, in_one_line
from gzsl_bench.records import journal
from gzsl_bench.records.audits import AuditStore
from gzsl_bench.records.store import RecordStore

if TYPE_CHECKING:
    from gzsl_bench.engine.events import WorkerSettings
    from gzsl_bench.engine.units import Unit
    from gzsl_bench.records.record import Record

Arrays = Mapping[str, np.ndarray]


class Results(Protocol):
    """What a worker asks of, and leaves in, a results folder."""

    def finished(self, key: str) -> bool:
        """Whether a cell has a final record, so that it need not be trained."""

    def commit(self, record: Record, arrays: Arrays | None, log: str) -> None:
        """Leave the record of a cell."""

    def composition(self, unit: Unit) -> stacks.Composition | None:
        """How an earlier run divided a unit."""

    def compose(self, unit: Unit, composition: stacks.Composition) -> None:
        """Write down how a unit is divided."""

    def predictions(self, key: str) -> Arrays | None:
        """The arrays of a cell's record; None where it has no numbers.

        Raises:
            RecordError: they cannot be read.
        """

    def audited(self, key: str, content: Mapping[str, Any]) -> None:
        """Leave the outcome of a cell's audit."""


class FolderResults:
    """A results folder that this process writes to."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._store = RecordStore(settings.out, settings.run)

    def finished(self, key: str) -> bool:
        """Whether a cell has a final record, so that it need not be trained."""
        return self._store.finished(key)

    def commit(self, record: Record, arrays: Arrays | None, log: str) -> None:
        """Write the record of a cell; one that finds no room becomes a failed one if it can."""
        try:
            self._store.commit(record, arrays, log)
        except RecordError as error:
            # A disk that is too full for predictions may still hold the reason.
            if not record.complete:
                raise
            self._store.commit(record.as_failed(in_one_line(error)), None, log)

    def composition(self, unit: Unit) -> stacks.Composition | None:
        """How an earlier run divided a unit."""
        return stacks.remembered(self._store.layout, unit)

    def compose(self, unit: Unit, composition: stacks.Composition) -> None:
        """Write down how a unit is divided."""
        stacks.remember(self._store.layout, unit, composition)

    def predictions(self, key: str) -> Arrays | None:
        """The arrays of a cell's record; None where it has no numbers."""
        record = self._store.read(key)
        return record.predictions() if record is not None and record.complete else None

    def audited(self, key: str, content: Mapping[str, Any]) -> None:
        """Write the outcome of a cell's audit."""
        AuditStore(self._settings.out).write(key, content)
        journal.append(self._store.layout.journal, "audited", key=key, outcome=content["outcome"])
