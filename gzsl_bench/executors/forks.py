"""Processes of units forked of one that has everything imported, as whoever needs them sees it.

Starting Python, torch and the plugins takes seconds; a fork of a process that has them a few
hundredths of one, and like a fresh process it knows nothing of other units.

The server (:mod:`gzsl_bench.executors.serving`) is a fork of the command where that is possible
(:mod:`gzsl_bench.executors.early`), so that torch is imported once, and else a Python of its own.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
import types
import uuid
from collections.abc import Iterator
from multiprocessing import connection, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event as EventFlag
from pathlib import Path

from gzsl_bench.engine.events import WorkerSettings
from gzsl_bench.executors.output import Output
from gzsl_bench.executors.processes import kill_tree, one_thread
from gzsl_bench.executors.serving import serve
from gzsl_bench.executors.shelf import Shelf

#: Seconds that the server gets to end, and that what it knows of a process gets to arrive.
GRACE = 5.0


class Forked:
    """The process of a unit, as whoever had it forked sees it; used like multiprocessing's own."""

    def __init__(self, status: Connection, server: BaseProcess) -> None:
        self.sentinel = status
        self.pid: int | None = None
        self.exitcode: int | None = None
        self.peak_memory: int | None = None
        self._server = server
        self._lost = False  # nothing more will be told
        self._reading = threading.Lock()

    def is_alive(self) -> bool:
        """Whether it runs, or is about to be forked."""
        self._hear(0)
        if self.exitcode is not None:
            return False
        # Without its server nobody learns how it ends.
        return not self._lost or (self.pid is not None and _runs(self.pid))

    def join(self, timeout: float) -> None:
        """Wait for its end, and for news of it."""
        deadline = time.monotonic() + timeout
        while self.is_alive() and (left := deadline - time.monotonic()) > 0:
            if self._lost:
                time.sleep(min(left, 0.01))
            else:
                self._hear(left)

    def terminate(self) -> None:
        """Ask it to end; one that is not forked yet goes with its server."""
        with contextlib.suppress(OSError):
            os.kill(self._server.pid if self.pid is None else self.pid, signal.SIGTERM)  # type: ignore[arg-type]

    def _hear(self, timeout: float) -> None:
        """Read the process id, then the exit code and the most memory that it held."""
        if self._lost:
            return
        dead = not self._server.is_alive()
        with contextlib.suppress(OSError):
            connection.wait([self.sentinel], timeout)
        # A thread that watches memory listens, too: what both have waited for only one can read.
        with self._reading:
            try:
                while self.exitcode is None and self.sentinel.poll(0):
                    told, *held = map(int, self.sentinel.recv_bytes().split())
                    if self.pid is None:
                        self.pid = told
                    else:
                        self.exitcode, self.peak_memory = told, held[0] if held else None
            except (EOFError, OSError):
                dead = True
            self._lost = self._lost or dead or self.exitcode is not None
        if dead and self.pid is None:  # it was never born: what ended the server prevented it
            self._server.join(GRACE)
            self.exitcode = self._server.exitcode


class Server:
    """A server as whoever started it sees it: a process, and our ends of what leads there.

    Attributes:
        process: the process.
        requests: tags and descriptors of forks go in.
        orders: :class:`WorkerSettings` and the server's own tag go in, once.
        printed: its output comes out.
        stop: set when the user asks to stop; the processes of units inherit it.
    """

    def __init__(self, method: str, stop: EventFlag) -> None:
        """Start it.

        Args:
            method: of multiprocessing: "fork", of this process, or "spawn".
            stop: for the processes of units.
        """
        context: multiprocessing.context.BaseContext = multiprocessing.get_context(method)
        self.stop = stop
        self.requests, theirs = socket.socketpair()
        self.printed, printed = context.Pipe(duplex=False)
        ordered, self.orders = context.Pipe(duplex=False)
        # Multiprocessing's own helper is shared by all, so it must not bear a tag.
        resource_tracker.ensure_running()
        kept = (theirs, printed, ordered)
        inherited = _open_descriptors() if method == "fork" else set()
        inherited -= {0, 1, 2, resource_tracker.getfd(), *(end.fileno() for end in kept)}
        self.process: BaseProcess = context.Process(  # type: ignore[attr-defined]
            target=serve, args=(*kept, stop, inherited), name="gzsl-bench server", daemon=False
        )
        # Until it ignores Ctrl-C by itself it must not be hit by it: the mask is inherited.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with one_thread(), _no_main():
                self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for end in kept:
            end.close()

    def order(self, settings: WorkerSettings) -> str:
        """Have it import plugins and get ready; returns the tag that marks it."""
        tag = uuid.uuid4().hex
        with contextlib.suppress(OSError):  # a dead one is noticed when it is asked to fork
            self.orders.send((settings, tag))
        return tag

    def end(self, tag: str = "") -> None:
        """End it; processes that it has forked stay."""
        self.requests.close()
        self.orders.close()
        self.process.join(GRACE)
        kill_tree(self.process.pid or 0, tag)
        self.process.join(GRACE)


class ForkServer:
    """Has processes forked: starts the server when it is first needed, and another one after that.

    Args:
        settings: names plugins, device, threads.
        waiting: a server that has been started already; None to start one.

    Attributes:
        stop: set when the user asks to stop; the processes of units inherit it.
        shelf: prepared tasks, for the processes of units.
    """

    def __init__(self, settings: WorkerSettings, waiting: Server | None = None) -> None:
        self._settings, self._waiting = settings, waiting
        self.stop = waiting.stop if waiting else multiprocessing.get_context("spawn").Event()
        self.shelf = Shelf()
        self._server: Server | None = None
        self._output: Output | None = None
        self._tag = ""
        self._printed = ""

    def fork(self, tag: str, descriptors: list[int]) -> Forked:
        """Fork a process that runs :func:`child.main` with these descriptors; does not wait."""
        if self._server is None or not self._server.process.is_alive():
            self._start()
        assert self._server is not None
        ours, theirs = multiprocessing.Pipe(duplex=False)
        # A server that has just died is noticed by the end of what it would have told.
        with contextlib.suppress(OSError):
            socket.send_fds(self._server.requests, [tag.encode()], [theirs.fileno(), *descriptors])
        theirs.close()
        return Forked(ours, self._server.process)

    def printed(self) -> str:
        """What the server printed last, once it is dead."""
        if self._server is not None and not self._server.process.is_alive():
            self._end()
        return self._printed

    def close(self) -> None:
        """End the server; processes that it has forked stay."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.end()
        self._end()

    def _end(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        assert self._output is not None
        server.end(self._tag)
        self._printed = self._output.finish()

    def _start(self) -> None:
        self._end()
        waiting, self._waiting = self._waiting, None
        self._server = waiting or Server("spawn", self.stop)
        self._tag = self._server.order(self._settings)
        answering, ask = multiprocessing.Pipe()  # it has no questions
        ask.close()
        self._output = Output(self._server.printed, answering, self.shelf)
        self._output.start()


def _open_descriptors() -> set[int]:
    # The one that lists them is closed by now, and its number may be taken again.
    return {int(path.name) for path in Path("/proc/self/fd").iterdir()}


@contextlib.contextmanager
def _no_main() -> Iterator[None]:
    """Hide the script at work, which the server would begin by running again."""
    before = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = before


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in b"ZX"
    except OSError:
        return False
