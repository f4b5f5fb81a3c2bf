"""Running a resolved suite: what is left to do, done by an executor, shared with other runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gzsl_bench.engine.audit.plan import plan_audits
from gzsl_bench.engine.events import Listener, WorkerSettings
from gzsl_bench.engine.units import Unit, unfinished
from gzsl_bench.engine.work import Work, sharing
from gzsl_bench.errors import RecordError
from gzsl_bench.executors.dispatcher import Executor
from gzsl_bench.records import journal
from gzsl_bench.records.audits import AuditStore
from gzsl_bench.records.folderlock import FolderLock
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.leases import AUDIT
from gzsl_bench.records.presence import Presence
from gzsl_bench.records.record import Record
from gzsl_bench.records.store import RecordStore
from gzsl_bench.records.tidy import sweep
from gzsl_bench.suite.cells import Cell


@dataclass(frozen=True)
class Outcome:
    """How a suite ended.

    Attributes:
        total: cells asked for.
        done: cells with a complete record.
        failed: records of failed cells.
        interrupted: the user stopped it.
    """

    total: int
    done: int
    failed: tuple[Record, ...]
    interrupted: bool

    @property
    def exit_code(self) -> int:
        """0 all cells done, 1 some failed, 130 interrupted."""
        if self.interrupted:
            return 130
        return 1 if self.done < self.total else 0


@contextlib.contextmanager
def hold(out: Path) -> Iterator[RecordStore]:
    """Be one of the runs that work in the results folder, until the block ends.

    Raises:
        RecordError: a run of an older version holds it, or the folder cannot be written.
    """
    layout = Layout(out)
    lock, presence = FolderLock(layout.lock), Presence(layout)
    try:
        out.mkdir(parents=True, exist_ok=True)
        if lock.exclusive():
            sweep(presence)
        lock.shared()
        presence.enter()
    except OSError as error:
        lock.release()
        raise RecordError(f"the results folder {out} cannot be written: {error}") from None
    presence.start()
    try:
        yield RecordStore(out, presence.run, presence)
    finally:
        presence.leave()
        with contextlib.suppress(OSError):
            if lock.exclusive():
                sweep(presence)
        lock.release()


def run_units(
    store: RecordStore,
    cells: Sequence[Cell],
    units: Sequence[Unit],
    executor: Executor,
    settings: WorkerSettings,
    listen: Listener,
) -> Outcome:
    """Run what is not finished; cells with a complete record are left alone.

    Args:
        store: the results folder, held by the caller.
        cells: all cells asked for.
        units: how they are grouped.
        executor: runs the units.
        settings: for the workers.
        listen: hears every event.
    """
    keys = list(dict.fromkeys(cell.key for cell in cells))
    share = sharing(store, units, lambda key: store.layout.cell(key) / "record.json", listen)
    finished = {key for key in keys if store.finished(key)}
    todo = unfinished(units, finished)
    log, run = store.layout.journal, store.run
    journal.append(
        log, "started", run=run, cells=len(keys), finished=len(finished), units=len(todo)
    )
    work = Work(todo, share)
    try:
        completed = executor.run(work, replace(settings, run=run), listen) if todo else True
    finally:
        work.close()
    records = [store.read(key) for key in keys]
    outcome = Outcome(
        total=len(keys),
        done=sum(1 for record in records if record is not None and record.final),
        failed=tuple(r for r in records if r is not None and not r.final),
        interrupted=not completed,
    )
    journal.append(
        log,
        "interrupted" if outcome.interrupted else "ended",
        run=run,
        done=outcome.done,
        failed=len(outcome.failed),
    )
    return outcome


def run_audits(
    store: RecordStore,
    cells: Sequence[Cell],
    executor: Executor,
    settings: WorkerSettings,
    listen: Listener,
) -> bool:
    """Audit what has not been audited yet; False if the user interrupted.

    Args:
        store: the results folder, held by the caller.
        cells: the suite's cells.
        executor: runs the trainings, in processes that have trained nothing before.
        settings: for the workers.
        listen: hears every event.
    """
    units = plan_audits(cells, store)
    folder = AuditStore(store.layout.out).folder
    share = sharing(store, units, lambda c: folder / f"{c.removeprefix(AUDIT)}.json", listen)
    work = Work(units, share)
    try:
        return executor.run(work, replace(settings, run=store.run), listen) if units else True
    finally:
        work.close()
