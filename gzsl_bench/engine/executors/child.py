"""The life of a worker process: take a unit, train it, report."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event as EventFlag

from gzsl_bench.engine.events import Event, WorkerSettings
from gzsl_bench.engine.executors.output import Printing
from gzsl_bench.engine.executors.processes import TAG, kill_tree
from gzsl_bench.engine.kinds import kind_of
from gzsl_bench.engine.worker import Worker
from gzsl_bench.hooks.manager import load_plugins


def main(
    pipe: Connection,
    settings: WorkerSettings,
    stop: EventFlag,
    printed: Connection,
    ask: Connection,
) -> None:
    """Do one unit.

    Ctrl-C is for the parent to decide on: the worker leaves the terminal's process group, leads one
    of its own, and ignores it besides.  A worker whose parent was killed ends at once, with all it
    has started, rather than train for nobody.

    Args:
        pipe: the unit comes in, events go out.
        settings: paths, device, plugins.
        stop: set when the user asks to stop.
        printed: where output goes.
        ask: where questions for that output go.
    """
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # SIGTERM is the parent's "stop now"; its own handler must not be inherited.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    printing = Printing(printed, ask)
    printing.capture()
    _serve(pipe, settings, stop, printing)


def _serve(pipe: Connection, settings: WorkerSettings, stop: EventFlag, printing: Printing) -> None:
    import torch

    from gzsl_bench.engine.executors.state import GlobalState, report_crashes, seed_all

    report_crashes(printing.descriptor)
    torch.set_num_threads(settings.threads)
    state = GlobalState.now()
    registry = load_plugins(strict=False, files=settings.plugins)
    # Importing a plugin must not change what the others are trained with either.
    state.keep("module search path")
    state.restore()
    worker = Worker(
        registry,
        settings,
        lambda event: _send(pipe, event),
        should_stop=stop.is_set,
        read_log=printing.tail,
    )
    try:
        unit = pipe.recv()
    except (EOFError, OSError):
        return
    printing.clear()
    seed_all(unit.cells[0].key)
    kind_of(unit).run(worker, unit)


def _send(pipe: Connection, event: Event) -> None:
    try:
        pipe.send(event)
    except (BrokenPipeError, OSError):
        os._exit(1)  # nobody listens any more


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        kill_tree(os.getpid(), os.environ.get(TAG, ""), spare_root=True)
        os._exit(1)
