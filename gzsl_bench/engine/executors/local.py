"""Units in child processes of this machine, spawned afresh and reused while they stay healthy."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.synchronize import Event as EventFlag

from gzsl_bench.engine.auditing import AuditUnit, bury_audits
from gzsl_bench.engine.events import CellEnded, Event, Listener, UnitEnded, WorkerSettings
from gzsl_bench.engine.executors.child import main
from gzsl_bench.engine.units import Unit
from gzsl_bench.engine.work import Work
from gzsl_bench.records.store import FAILED, RecordStore

#: Seconds a worker gets to end after the first Ctrl-C before we ask again at the second.
_PATIENCE = 5.0


@dataclass
class _Child:
    """A worker process and the unit it is on."""

    process: SpawnProcess
    pipe: Connection
    unit: Unit | None = None
    ended: set[str] = field(default_factory=set)


class LocalExecutor:
    """Up to ``jobs`` worker processes side by side.

    A worker that dies takes no other one with it: its unfinished cells get a failed record, and a
    new worker takes the next unit.
    """

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._context: SpawnContext = multiprocessing.get_context("spawn")

    def run(self, work: Work, settings: WorkerSettings, listen: Listener) -> bool:
        """Run all of the work; False if the user interrupted."""
        stop = self._context.Event()
        children: list[_Child] = []
        try:
            return self._loop(work, children, stop, settings, listen)
        finally:
            for child in children:
                child.pipe.close()  # a worker ends when its pipe does
            deadline = time.monotonic() + _PATIENCE
            for child in children:
                child.process.join(max(0.0, deadline - time.monotonic()))
                if child.process.is_alive():
                    child.process.kill()
                    child.process.join()

    def _loop(
        self,
        work: Work,
        children: list[_Child],
        stop: EventFlag,
        settings: WorkerSettings,
        listen: Listener,
    ) -> bool:
        told: deque[Event] = deque()
        while True:
            try:
                self._assign(work, children, stop, settings)
                # Only now: the listener (MLflow, say) may take longer than a worker's next unit.
                while told:
                    listen(told.popleft())
                busy = [child for child in children if child.unit is not None]
                if not busy and (stop.is_set() or not work.left):
                    return not stop.is_set()
                if not busy:
                    work.wait()
                    continue
                for child in self._ready(busy):
                    self._hear(child, children, work, settings, told.append)
            except KeyboardInterrupt:
                if stop.is_set():  # the second time: at once
                    for child in children:
                        child.process.terminate()
                    return False
                stop.set()
                work.clear()

    def _assign(
        self,
        work: Work,
        children: list[_Child],
        stop: EventFlag,
        settings: WorkerSettings,
    ) -> None:
        while work.left and not stop.is_set():
            idle = next((child for child in children if child.unit is None), None)
            if idle is None and len(children) >= self._jobs:
                return
            unit = work.take()
            if unit is None:
                return
            if idle is None:
                idle = self._spawn(stop, settings)
                children.append(idle)
            idle.unit, idle.ended = unit, set()
            # A worker that died while idle is noticed by its sentinel in the next round.
            with contextlib.suppress(BrokenPipeError):
                idle.pipe.send(idle.unit)

    def _spawn(self, stop: EventFlag, settings: WorkerSettings) -> _Child:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=main, args=(theirs, settings, stop), name="gzsl-bench worker", daemon=False
        )
        # Until it ignores Ctrl-C by itself a worker must not be hit by it: the mask is inherited.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        return _Child(process, ours)

    @staticmethod
    def _ready(busy: Sequence[_Child]) -> list[_Child]:
        """Children that said something or died."""
        handles = {child.pipe: child for child in busy} | {
            child.process.sentinel: child for child in busy
        }
        found = [handles[h] for h in connection.wait(list(handles), timeout=1.0)]  # type: ignore[index]
        # What a dead worker forked may keep its pipe and sentinel open.
        found += [child for child in busy if not child.process.is_alive()]
        return list({id(child): child for child in found}.values())

    def _hear(
        self,
        child: _Child,
        children: list[_Child],
        work: Work,
        settings: WorkerSettings,
        listen: Listener,
    ) -> None:
        unit = child.unit
        assert unit is not None
        closed = False
        try:
            while child.pipe.poll():
                event: Event = child.pipe.recv()
                if isinstance(event, CellEnded):
                    child.ended.add(event.key)
                if isinstance(event, UnitEnded):
                    child.unit = None
                listen(event)
        except (EOFError, OSError):
            closed = True  # a closed pipe stays readable: only reading it tells
            child.process.join(_PATIENCE)
            if child.process.is_alive():  # it closed the pipe and lives on: of no use any more
                child.process.kill()
        if child.unit is not None and (closed or not child.process.is_alive()):
            self._bury(child, settings, listen)
        if child.unit is None:
            work.done(unit)
        if not child.process.is_alive() and child in children:
            children.remove(child)
            child.pipe.close()

    @staticmethod
    def _bury(child: _Child, settings: WorkerSettings, listen: Listener) -> None:
        """Record the cells of a worker that died without a word."""
        unit = child.unit
        assert unit is not None
        child.process.join()
        code = child.process.exitcode
        how = (
            f"was killed by signal {-code}" if code and code < 0 else f"ended with exit code {code}"
        )
        if isinstance(unit, AuditUnit):
            bury_audits(unit, settings, f"the worker process {how} while it audited", listen)
            child.unit = None
            listen(UnitEnded(unit.name))
            return
        store = RecordStore(settings.out, settings.run)
        for cell in unit.cells:
            if cell.key in child.ended or store.finished(cell.key):
                continue
            store.commit(
                cell.key,
                {
                    "status": FAILED,
                    "cause": f"the worker process {how} while it trained this unit",
                    "traceback": "",
                    "identity": dict(cell.identity),
                    "dataset": cell.dataset,
                    "request": dict(cell.request),
                    "method": cell.method,
                    "label": cell.label,
                    "seed": cell.seed,
                    "about": dict(cell.about),
                    "unit": {"name": unit.name, "cells": [c.key for c in unit.cells]},
                },
            )
            listen(CellEnded(unit.name, cell.key))
        child.unit = None
        listen(UnitEnded(unit.name))
