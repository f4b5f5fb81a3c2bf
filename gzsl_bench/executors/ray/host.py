"""What runs on the nodes of a cluster: an actor that is host to one unit's process at a time.

It is a crew of one as on any machine (:class:`~gzsl_bench.executors.local.LocalCrew`), whose
reports the driver fetches.  It is handed the data of a task, reads no data file and writes no
record.
"""

from __future__ import annotations

import os
import queue
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from gzsl_bench.data.tasks import TaskData
from gzsl_bench.engine.events import Event, Progress, WorkerSettings
from gzsl_bench.engine.outlet import Kept, Supplied
from gzsl_bench.engine.sealed import Sealed
from gzsl_bench.engine.units import Unit
from gzsl_bench.executors.crew import Ended, Job
from gzsl_bench.executors.ray.plugins import PluginFiles, unpack

if TYPE_CHECKING:
    from gzsl_bench.executors.local import LocalCrew

#: Seconds that reports of progress are collected before the driver hears them.
PACE = 0.2
#: Seconds after which the driver hears that there is nothing to hear.
SILENCE = 30.0
#: Seconds between two looks at what the driver wants.
_LOOK = 0.1


@dataclass(frozen=True)
class Hello:
    """A host is up.

    Attributes:
        version: of gzsl-bench on its node.
        node: the node's id.
        address: the node's address, for people.
    """

    version: str
    node: str
    address: str


@dataclass(frozen=True)
class Placed:
    """A task lies in sealed memory of a process, where others of its node can open it.

    Attributes:
        name: of the task.
        pid: the process.
        descriptor: its descriptor.
        inode: number of the memory, which tells it from any other.
        described: what :meth:`Sealed.received` needs.
    """

    name: str
    pid: int
    descriptor: int
    inode: int
    described: bytes

    @classmethod
    def of(cls, name: str, task: Sealed) -> Placed:
        """That of a task of this process."""
        inode = os.fstat(task.descriptor).st_ino
        return cls(name, os.getpid(), task.descriptor, inode, task.describe())

    def opened(self) -> Sealed | None:
        """The task, if it still lies there."""
        try:
            descriptor = os.open(f"/proc/{self.pid}/fd/{self.descriptor}", os.O_RDONLY)
        except OSError:
            return None
        if os.fstat(descriptor).st_ino != self.inode:
            os.close(descriptor)
            return None
        return Sealed.received(descriptor, self.described)


Message: TypeAlias = "Event | Kept | Ended | Placed"


class Outbox:
    """Messages for the driver; of reports of progress only the last of each cell."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._progress: dict[str, Progress] = {}
        self._changed = threading.Condition()

    def put(self, message: Message) -> None:
        """Leave a message."""
        with self._changed:
            if isinstance(message, Progress):
                self._progress[message.key] = message
            else:
                self._messages += [*self._progress.values(), message]
                self._progress.clear()
            self._changed.notify_all()

    def take(self) -> list[Message]:
        """What there is, in order; waits for something, but not for ever."""
        with self._changed:
            self._changed.wait_for(lambda: self._messages or self._progress, SILENCE)
            # What matters is told at once; progress of a method that reports every step is not.
            self._changed.wait_for(lambda: self._messages, PACE if self._progress else 0)
            found = [*self._messages, *self._progress.values()]
            self._messages.clear()
            self._progress.clear()
            return found


class Host:
    """The actor.  Its methods are called by the driver and return at once, ``news`` aside."""

    def __init__(
        self, settings: WorkerSettings, plugins: tuple[PluginFiles, ...], memory: int | None
    ) -> None:
        """Unpack plugins.

        Args:
            settings: of the driver; paths there mean nothing here.
            plugins: plugin files.
            memory: bytes for a unit's process and its children; None for no limit.
        """
        self._folder = Path(tempfile.mkdtemp(prefix="gzsl-bench-"))
        places = unpack(plugins, self._folder / "plugins")
        self._settings = replace(settings, root=None, cache=None, plugins=places)
        self._memory, self._address = memory, ""
        self._outbox = Outbox()
        self._wanted: queue.SimpleQueue[Callable[[LocalCrew], bool | None]] = queue.SimpleQueue()
        self._job: Job | None = None
        self._thread = threading.Thread(target=self._live, name="gzsl-bench host", daemon=True)
        self._thread.start()

    def hello(self) -> Hello:
        """Say who we are."""
        import ray

        from gzsl_bench.version import __version__

        self._address = ray.util.get_node_ip_address()
        return Hello(__version__, ray.get_runtime_context().get_node_id(), self._address)

    def start(
        self,
        unit: Unit,
        supplied: Supplied,
        name: str,
        data: TaskData | None,
        placed: Placed | None,
    ) -> None:
        """Start a process for a unit.

        Args:
            unit: the unit.
            supplied: what its process must know of the results folder.
            name: of its task.
            data: the task's arrays, in the node's object store; None where they cannot be had.
            placed: where another host of this node has them.
        """

        def act(crew: LocalCrew) -> None:
            if data is not None and not crew.server.shelf.reserve(name):
                task = placed.opened() if placed is not None else None
                task = task or Sealed.of(data)
                crew.server.shelf.put(name, task)
                self._outbox.put(Placed.of(name, task))
            self._job = Job(unit, time.monotonic())
            crew.start(self._job, supplied)

        self._wanted.put(act)

    def news(self) -> list[Message]:
        """What has happened since the last call."""
        return self._outbox.take()

    def stop(self) -> None:
        """Have the process stop at the next report of its method."""
        self._wanted.put(lambda crew: crew.stop())

    def end(self, verdict: str) -> None:
        """End the process, whatever it is doing."""
        self._wanted.put(lambda crew: crew.end(self._job, verdict) if self._job else None)

    def close(self) -> None:
        """Leave nothing behind on the node."""
        self._wanted.put(lambda crew: True)
        self._thread.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _live(self) -> None:
        """Do what the driver wants and tell it what happens; one thread does both."""
        import sys

        from gzsl_bench.executors.local import LocalCrew

        # A new process would run the program of this one once more, which is Ray's.
        vars(sys.modules["__main__"]).pop("__file__", None)
        crew = LocalCrew(1, self._settings, self._memory)
        over = False
        while not over:
            try:
                over = bool(self._wanted.get(timeout=0 if self._job else _LOOK)(crew))
            except queue.Empty:
                if self._job is not None:
                    crew.hear(_LOOK, self._tell)
            # As a worker that cannot be started: the driver decides what that means.
            except Exception as error:
                self._tell(self._job, Ended(cause=f"{type(error).__name__}: {error}"))
        crew.close()

    def _tell(self, job: Job | None, message: Message) -> None:
        if isinstance(message, Ended):
            self._job = None
            there = f"the worker process on node {self._address}"
            message = replace(message, cause=message.cause.replace("the worker process", there, 1))
        self._outbox.put(message)
