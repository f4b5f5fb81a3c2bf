"""Running a resolved suite: what is left to do, done by an executor, under the folder's lock."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from gzsl_bench.engine.events import Listener, WorkerSettings
from gzsl_bench.engine.executors import Executor
from gzsl_bench.engine.units import Unit, unfinished
from gzsl_bench.engine.work import Work
from gzsl_bench.errors import RecordError
from gzsl_bench.records import journal
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.store import Record, RecordStore
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
    """Hold the results folder for one run; the lock goes with the process, however it ends.

    Raises:
        RecordError: another run holds it, or the folder cannot be written.
    """
    layout = Layout(out)
    lock = FileLock(layout.lock)
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise RecordError(
            f"another gzsl-bench run is using the results folder {out}; wait for it, or choose"
            " another folder with --out"
        ) from None
    except OSError as error:
        raise RecordError(f"the results folder {out} cannot be written: {error}") from None
    try:
        store = RecordStore(out)
        store.sweep()
        yield store
    finally:
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
    finished = {key for key in keys if store.finished(key)}
    todo = unfinished(units, finished)
    log = store.layout.journal
    journal.append(log, "started", cells=len(keys), finished=len(finished), units=len(todo))
    completed = executor.run(Work(todo), settings, listen) if todo else True
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
        done=outcome.done,
        failed=len(outcome.failed),
    )
    return outcome
