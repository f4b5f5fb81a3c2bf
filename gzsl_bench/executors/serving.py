"""The life of the process that those of units are forked of: import, then fork on request.

What is forked must have one thread and no CUDA: where importing the plugins leaves anything else,
they are not imported here, and every unit's process imports them for itself.
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
from collections.abc import Callable
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from multiprocessing.synchronize import Event as EventFlag

from gzsl_bench.engine import environment
from gzsl_bench.engine.events import WorkerSettings
from gzsl_bench.executors.processes import mark, threads
from gzsl_bench.hooks.manager import Registry, load_plugins

#: Bytes of a request: the tag of the process to be.
_REQUEST = 32
#: Descriptors that come with it: status, and the three of :func:`child.main`.
_DESCRIPTORS = 4
#: Seconds between two looks at forks whose death nothing has told.
_LOOK = 0.5
_UNFIT = 73
_PR_SET_PDEATHSIG = 1


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
