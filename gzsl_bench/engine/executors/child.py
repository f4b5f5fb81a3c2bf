"""The life of a worker process: take a unit, train it, report, take the next."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event as EventFlag
from pathlib import Path
from typing import BinaryIO

from gzsl_bench.engine.events import Event, Listener, WorkerSettings
from gzsl_bench.engine.worker import LOG_TAIL, Worker
from gzsl_bench.hooks.manager import load_plugins


def main(pipe: Connection, settings: WorkerSettings, stop: EventFlag) -> None:
    """Serve units from ``pipe`` until it closes.

    Ctrl-C reaches the whole process group, so it is ignored here: the parent decides.  A worker
    whose parent was killed ends at once rather than train for nobody.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # SIGTERM is the parent's "stop now"; its own handler must not be inherited.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    log = _capture_output()
    worker = Worker(
        load_plugins(strict=False, files=settings.plugins),
        settings,
        _sender(pipe),
        should_stop=stop.is_set,
        read_log=lambda: _tail(log),
    )
    while True:
        try:
            unit = pipe.recv()
        except (EOFError, OSError):
            return
        log.truncate(0)
        log.seek(0)
        worker.run(unit)


def _sender(pipe: Connection) -> Listener:
    def send(event: Event) -> None:
        try:
            pipe.send(event)
        except (BrokenPipeError, OSError):
            os._exit(1)  # nobody listens any more

    return send


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _capture_output() -> BinaryIO:
    """Send everything printed, by C libraries too, to a temporary file."""
    log = tempfile.TemporaryFile(prefix="gzsl-bench-")  # noqa: SIM115  it lives as long as we do
    sys.stdout.flush()
    sys.stderr.flush()
    # Append mode: after truncation, writing goes on at the new end.
    path = f"/proc/self/fd/{log.fileno()}"
    target = os.open(path, os.O_WRONLY | os.O_APPEND) if Path(path).exists() else log.fileno()
    os.dup2(target, 1)
    os.dup2(target, 2)
    return log


def _tail(log: BinaryIO) -> str:
    sys.stdout.flush()
    sys.stderr.flush()
    size = os.fstat(log.fileno()).st_size
    log.seek(max(0, size - LOG_TAIL))
    return log.read(LOG_TAIL).decode("utf-8", errors="replace")
