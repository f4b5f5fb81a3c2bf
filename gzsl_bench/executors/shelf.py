"""Prepared tasks of a run, each made once on this machine and mapped by all processes that need it.

The first process that asks for a task is told to make it; whoever asks meanwhile waits.  If the
maker dies or fails the next one makes it.
"""

from __future__ import annotations

import threading
from multiprocessing import reduction
from multiprocessing.connection import Connection

from gzsl_bench.engine.bench import prepare
from gzsl_bench.engine.events import WorkerSettings
from gzsl_bench.engine.sealed import Sealed
from gzsl_bench.engine.taskdata import task_name
from gzsl_bench.hooks.manager import Registry
from gzsl_bench.suite.cells import Cell

#: Bytes of tasks that are kept for those who may still ask.
ROOM = 2 << 30
ASK, MADE, FAILED = b"task ", b"made ", b"failed"
_MAKE = b"make"


class Shelf:
    """What the parent keeps; asked by the threads that listen to processes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: The one asked for last comes last.
        self._tasks: dict[str, Sealed] = {}
        self._makers: dict[str, Connection] = {}
        self._waiting: dict[str, list[Connection]] = {}

    def ask(self, name: str, asked: Connection) -> None:
        """Somebody at the other end of ``asked`` needs a task."""
        with self._lock:
            if name in self._tasks:
                self._tasks[name] = self._tasks.pop(name)
                _give(self._tasks[name], asked)
            elif name in self._makers:
                self._waiting.setdefault(name, []).append(asked)
            else:
                self._makers[name] = asked
                _send(asked, _MAKE)

    def put(self, name: str, task: Sealed) -> None:
        """A task was made."""
        with self._lock:
            self._makers.pop(name, None)
            if name in self._tasks:
                self._tasks[name].close()
            self._tasks[name] = task
            for waiting in self._waiting.pop(name, []):
                _give(task, waiting)

    def made(self, asked: Connection, described: bytes) -> None:
        """Take what the process at the other end of ``asked`` was told to make."""
        task = Sealed.received(reduction.recv_handle(asked), described)
        with self._lock:
            name = next(name for name, maker in self._makers.items() if maker is asked)
        self.put(name, task)

    def leave(self, asked: Connection) -> None:
        """A process has failed to make what it was told to, or died: the next one makes it."""
        with self._lock:
            for waiting in self._waiting.values():
                if asked in waiting:
                    waiting.remove(asked)
            for name in [name for name, maker in self._makers.items() if maker is asked]:
                del self._makers[name]
                if self._waiting.get(name):
                    self._makers[name] = self._waiting[name].pop(0)
                    _send(self._makers[name], _MAKE)

    def reserve(self, name: str) -> bool:
        """Whether a task is here; if so it is the last one to be dropped."""
        with self._lock:
            if name in self._tasks:
                self._tasks[name] = self._tasks.pop(name)
            return name in self._tasks

    def trim(self) -> None:
        """Drop tasks that nobody has asked for lately; who has mapped one is not concerned."""
        with self._lock:
            held = sum(task.size for task in self._tasks.values())
            for name in list(self._tasks)[:-1]:  # the last one may be about to be asked for
                if held <= ROOM:
                    return
                task = self._tasks.pop(name)
                held -= task.size
                task.close()

    def clear(self) -> None:
        """Drop all tasks."""
        with self._lock:
            while self._tasks:
                self._tasks.popitem()[1].close()


def _give(task: Sealed, asked: Connection) -> None:
    try:
        asked.send_bytes(task.describe())
        reduction.send_handle(asked, task.descriptor, None)
    except OSError:
        return  # it has died


def _send(asked: Connection, text: bytes) -> None:
    try:
        asked.send_bytes(text)
    except OSError:
        return  # whoever reads there notices as well


class Borrowed:
    """Tasks as the process of a unit gets them: from the shelf, or made for it."""

    def __init__(self, ask: Connection, registry: Registry, settings: WorkerSettings) -> None:
        self._ask, self._registry, self._settings = ask, registry, settings
        self._last: tuple[str, Sealed] | None = None

    def __call__(self, cell: Cell) -> Sealed:
        """The task of a cell.

        Raises:
            DataError: the data are not those that the cell's key was made from.
        """
        name = task_name(cell)
        if self._last is None or self._last[0] != name:  # the cells of a unit have the same
            self._last = name, self._get(name, cell)
        return self._last[1]

    def _get(self, name: str, cell: Cell) -> Sealed:
        self._ask.send_bytes(ASK + name.encode())
        told = self._ask.recv_bytes()
        if told != _MAKE:
            return Sealed.received(reduction.recv_handle(self._ask), told)
        try:
            task = prepare(cell, self._registry, self._settings)
        except BaseException:
            self._ask.send_bytes(FAILED)
            raise
        self._ask.send_bytes(MADE + task.describe())
        reduction.send_handle(self._ask, task.descriptor, None)
        return task
