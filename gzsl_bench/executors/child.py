"""The life of the process of a unit: take it, train it, report, end."""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import os
import signal
import threading
import weakref
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event as EventFlag

from gzsl_bench.engine.bench import Tasks
from gzsl_bench.engine.events import Event, UnitBroke, UnitEnded, WorkerSettings
from gzsl_bench.engine.kinds import kind_of
from gzsl_bench.engine.outlet import FolderOutlet, Kept, MessageOutlet, Outlet
from gzsl_bench.engine.sealed import Sealed
from gzsl_bench.engine.worker import Worker
from gzsl_bench.errors import DataError, in_one_line, traced
from gzsl_bench.executors.output import Printing, flush
from gzsl_bench.executors.processes import kill_tree, mark
from gzsl_bench.executors.shelf import Borrowed
from gzsl_bench.hooks.manager import Registry, load_plugins
from gzsl_bench.suite.cells import Cell

#: Seconds for what methods and libraries have registered to be done at the end of the process.
_GRACE = 2.0


def main(
    tag: str,
    pipe: Connection,
    printed: Connection,
    ask: Connection,
    *,
    settings: WorkerSettings,
    stop: EventFlag,
    registry: Registry | None,
) -> None:
    """Train the unit that comes through ``pipe``, then end; a fork of the server begins here.

    Ctrl-C is for the parent to decide on: the process leaves the terminal's process group, leads
    one of its own, and ignores it besides.  If the parent was killed it ends at once, with all it
    has started, rather than train for nobody.

    Args:
        tag: marks all the processes that come from this one.
        pipe: the unit comes in, events go out.
        printed: where output goes.
        ask: where questions for that output go.
        settings: paths, device, plugins.
        stop: set when the user asks to stop.
        registry: the plugins, where the server has them.
    """
    _begin_anew(tag)
    printing = Printing(printed, ask)
    printing.capture()
    _report_crashes(printing.descriptor)
    try:
        unit, supplied = pipe.recv()
    except (EOFError, OSError):
        os._exit(1)
    threading.Thread(target=_die_with_parent, args=(pipe, tag), daemon=True).start()
    if registry is None:
        registry = load_plugins(strict=False, files=settings.plugins)
    ended: list[UnitEnded] = []

    def tell(event: Event) -> None:
        if isinstance(event, UnitEnded):
            ended.append(event)  # told once there is nothing left to do
        else:
            _send(pipe, event)

    tasks: Tasks = Borrowed(ask, registry, settings)
    outlet: Outlet = FolderOutlet(settings)
    if supplied is not None:
        outlet = MessageOutlet(supplied, lambda message: _send(pipe, message))
        if supplied.fault:
            tasks = _no_tasks(supplied.fault)
    if settings.share < 1:
        import torch

        torch.cuda.set_per_process_memory_fraction(settings.share)
    worker = Worker(registry, settings, tell, stop.is_set, printing.tail, tasks, outlet)
    try:
        kind_of(unit).run(worker, unit)
    # What cannot even be recorded here is told: the parent may still be able to.
    except BaseException as error:
        _send(pipe, UnitBroke(unit.name, in_one_line(error), traced(error)))
        flush()
        os._exit(1)
    _run_exit_functions()
    flush()
    _send(pipe, ended.pop())
    os._exit(0)


def _begin_anew(tag: str) -> None:
    """Leave the terminal's process group; what the server has registered is the server's to do."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    mark(tag)
    atexit._clear()
    weakref.finalize._registry.clear()  # type: ignore[attr-defined]
    weakref.finalize._registered_with_atexit = False  # type: ignore[attr-defined]


def _run_exit_functions() -> None:
    """Do what methods and libraries have registered, in the seconds that there are for it."""
    last = threading.Thread(target=atexit._run_exitfuncs, daemon=True)
    last.start()
    last.join(_GRACE)


def _no_tasks(fault: str) -> Tasks:
    def refuse(cell: Cell) -> Sealed:
        raise DataError(fault)

    return refuse


def _report_crashes(descriptor: int) -> None:
    """Write tracebacks of all threads there when a signal ends the process, SIGTERM included."""
    faulthandler.enable(descriptor, all_threads=True)
    faulthandler.register(signal.SIGTERM, descriptor, all_threads=True, chain=True)


def _send(pipe: Connection, event: Event | Kept) -> None:
    try:
        pipe.send(event)
    except (BrokenPipeError, OSError):
        os._exit(1)  # nobody listens any more


def _die_with_parent(pipe: Connection, tag: str) -> None:
    """Nothing more comes through ``pipe`` but its end."""
    with contextlib.suppress(OSError):
        pipe.poll(None)
    kill_tree(os.getpid(), tag, spare_root=True)
    os._exit(1)
