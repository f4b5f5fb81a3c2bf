"""A process with everything imported, of which the process of every unit is forked.

Starting Python, torch and the plugins takes seconds; a fork of a process that has them a few
hundredths of one, and like a fresh process it knows nothing of other units.  What is forked must
have one thread and no CUDA: where importing the plugins leaves anything else, they are not imported
here, and every unit's process imports them for itself.

The server is a fork of the command where that is possible (:mod:`gzsl_bench.executors.early`), so
that torch is imported once, and else a Python of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
import types
import uuid
from collections.abc import Callable, Iterator
from multiprocessing import connection, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event as EventFlag
from pathlib import Path

from gzsl_bench.engine import environment
from gzsl_bench.engine.events import WorkerSettings
from gzsl_bench.executors.output import Output
from gzsl_bench.executors.processes import kill_tree, mark, one_thread, threads
from gzsl_bench.executors.shelf import Shelf
from gzsl_bench.hooks.manager import Registry, load_plugins

#: Seconds that the server gets to end, and that what it knows of a process gets to arrive.
GRACE = 5.0
#: Bytes of a request: the tag of the process to be.
_REQUEST = 32
#: Descriptors that come with it: status, and the three of :func:`child.main`.
_DESCRIPTORS = 4
#: Seconds between two looks at forks whose death nothing has told.
_LOOK = 0.5
_UNFIT = 73
_PR_SET_PDEATHSIG = 1


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


# In the server -----------------------------------------------------------------------------------


def serve(
    requests: socket.socket,
    printed: Connection,
    ordered: Connection,
    stop: EventFlag,
    inherited: set[int],
) -> None:
    """The life of the server: import, then fork on request until the connection closes.

    Args:
        requests: tags and descriptors of forks come in; its end is the server's.
        printed: where output goes.
        ordered: settings and the server's tag come in.
        stop: set when the user asks to stop.
        inherited: open descriptors that are whoever's this is a fork of.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    assert parent.pid is not None
    _detach(parent.pid)
    _redirect(printed.fileno(), inherited)

    import gzsl_bench.stacked  # noqa: F401
    from gzsl_bench.engine.fit import settle
    from gzsl_bench.executors import child
    from gzsl_bench.records import record

    try:
        settings, tag = ordered.recv()
    except EOFError:  # it was not needed
        os._exit(0)
    mark(tag)
    # No pool of threads is made that a fork would lose.
    settle("0", 1)
    environment.versions()
    record.adapter()
    registry = _with_plugins(settings)

    def run(tag: str, ends: list[Connection], others: list[Connection]) -> None:
        requests.close()
        for end in others:
            end.close()
        child.main(tag, *ends, settings=settings, stop=stop, registry=registry)

    gc.collect()
    gc.freeze()  # collections in the forks touch, and so copy, none of it
    _answer(requests, run)


def _detach(parent: int) -> None:
    """Leave the terminal's process group, whose Ctrl-C is for the parent; die with the parent."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # SIGTERM is the parent's "stop now"; its own handler must not be inherited.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(AttributeError, OSError):  # Linux has it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _redirect(printed: int, inherited: set[int]) -> None:
    """Read nothing, print to ``printed``, and close what is open for whoever this is a fork of."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for descriptor in (1, 2):
        os.dup2(printed, descriptor)
    for descriptor in inherited:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    # Line by line: what a process that dies at once had printed must not die with it.
    sys.stdout, sys.stderr = (
        os.fdopen(number, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)
        for number in (1, 2)
    )


def _with_plugins(settings: WorkerSettings) -> Registry | None:
    """Import the plugins in a fork, which serves in this process's place and ends it with itself.

    Where they make it unfit to be forked, this process serves after all, without plugins: None.
    """
    server = os.getpid()
    fork = os.fork()
    if not fork:
        _detach(server)
        registry = load_plugins(strict=False, files=settings.plugins)
        if not _fit(settings.device):
            os._exit(_UNFIT)
        return registry
    code = os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1])
    if code < 0:
        os.kill(server, -code)
    if code != _UNFIT:
        os._exit(code)
    return None


def _fit(device: str) -> bool:
    """Whether this process can be forked: one thread, and nothing of CUDA."""
    import torch

    if threads() > 1 or torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return False
    if not device.startswith("cuda"):
        return True
    # Asking for devices is enough to spoil CUDA in forks, and only a fork can tell.
    probe = os.fork()
    if not probe:
        os._exit(torch.cuda._is_in_bad_fork())
    return os.waitpid(probe, 0)[1] == 0


def _answer(requests: socket.socket, run: Callable[..., None]) -> None:
    """Fork on request, and tell how forks end, until nobody can ask any more."""
    context = multiprocessing.get_context("fork")
    forks: dict[ForkProcess, Connection] = {}
    while True:
        ends = [process.sentinel for process in forks]
        ready = connection.wait([requests, *ends], _LOOK if forks else None)
        # What a dead process has forked may keep its sentinel open.
        for process in list(forks):
            if (ended := _ended(process)) is not None:
                _tell(forks.pop(process), *ended)
        if requests in ready:
            tag, descriptors, _, _ = socket.recv_fds(requests, _REQUEST, _DESCRIPTORS)
            if not tag:
                return
            status, *rest = (Connection(descriptor) for descriptor in descriptors)
            process = context.Process(
                target=run, args=(tag.decode(), rest, [status, *forks.values()]), daemon=False
            )
            process.start()
            _tell(status, process.pid)
            forks[process] = status
            for end in rest:
                end.close()


def _ended(process: ForkProcess) -> tuple[int, ...] | None:
    """Exit code of a fork and, where it is known, the most bytes it held; None while it lives.

    Waited for here, since only whoever waits for a process is told what it used.
    """
    assert process.pid is not None
    popen = process._popen  # type: ignore[attr-defined]
    try:
        pid, status, used = os.wait4(process.pid, os.WNOHANG)
    except ChildProcessError:
        # Starting a process, multiprocessing waits for those that have just died.
        return (popen.returncode,)
    if not pid:
        return None
    code = popen.returncode = os.waitstatus_to_exitcode(status)  # nobody is to wait again
    return code, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _tell(status: Connection, *numbers: int | None) -> None:
    with contextlib.suppress(OSError):
        status.send_bytes(" ".join(map(str, numbers)).encode())
