"""What a worker knows of the results folder and leaves there, by itself or through another."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

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


@dataclass(frozen=True)
class Kept:
    """What a process leaves with whoever writes to the folder.

    Attributes:
        how: name of the method of :class:`FolderOutlet` that takes it.
        what: the arguments of that.
    """

    how: str
    what: tuple[Any, ...]


@dataclass(frozen=True)
class Supplied:
    """What a process that cannot read the results folder must know for its unit.

    Attributes:
        composition: how an earlier run divided the unit.
        predictions: of the records that an audit compares with.
        fault: why its data cannot be had; "" where they can.
    """

    composition: stacks.Composition | None = None
    predictions: Mapping[str, Arrays] = field(default_factory=dict)
    fault: str = ""


class FolderOutlet:
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
        """The arrays of a cell's record; None where it has no numbers.

        Raises:
            RecordError: they cannot be read.
        """
        record = self._store.read(key)
        return record.predictions() if record is not None and record.complete else None

    def audited(self, key: str, content: Mapping[str, Any]) -> None:
        """Write the outcome of a cell's audit."""
        AuditStore(self._settings.out).write(key, content)
        journal.append(self._store.layout.journal, "audited", key=key, outcome=content["outcome"])

    def keep(self, message: Kept) -> None:
        """Write what another process has left with us."""
        getattr(self, message.how)(*message.what)

    def supply(self, unit: Unit, compared: Sequence[str]) -> Supplied:
        """What another process must know of the folder.

        Args:
            unit: what it is to do.
            compared: keys of the records whose predictions it compares with.
        """
        predictions: dict[str, Arrays] = {}
        for key in compared:
            # What cannot be read is missed where it is compared.
            with contextlib.suppress(RecordError):
                found = self.predictions(key)
                if found is not None:
                    predictions[key] = found
        composition = self.composition(unit) if len(unit.cells) > 1 else None
        return Supplied(composition, predictions)


class MessageOutlet:
    """A results folder somewhere else, that somebody writes to for us.

    Args:
        supplied: what we must know of it.
        send: takes what we leave there.
    """

    def __init__(self, supplied: Supplied, send: Callable[[Kept], None]) -> None:
        self._supplied, self._send = supplied, send

    def finished(self, key: str) -> bool:
        """No: units come without what is finished."""
        return False

    def commit(self, record: Record, arrays: Arrays | None, log: str) -> None:
        """Send a record."""
        self._send(Kept("commit", (record, arrays, log)))

    def composition(self, unit: Unit) -> stacks.Composition | None:
        """As it was supplied."""
        return self._supplied.composition

    def compose(self, unit: Unit, composition: stacks.Composition) -> None:
        """Send how a unit is divided."""
        self._send(Kept("compose", (unit, composition)))

    def predictions(self, key: str) -> Arrays | None:
        """As they were supplied."""
        return self._supplied.predictions.get(key)

    def audited(self, key: str, content: Mapping[str, Any]) -> None:
        """Send the outcome of an audit."""
        self._send(Kept("audited", (key, content)))


#: What a worker asks of, and leaves in, a results folder.
Outlet: TypeAlias = FolderOutlet | MessageOutlet
