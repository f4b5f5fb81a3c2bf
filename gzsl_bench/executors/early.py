"""The server of units, forked of the command itself before anything is in the way of that.

A fork needs a process of one thread that knows nothing of CUDA, which a command is only at its
start: MLflow and asking for devices end that (numpy would, and comes up with one thread where a
command is looked up).  So the first thing that a training does is to
import torch and to fork; both go on with torch imported, and save importing it twice.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gzsl_bench.executors.processes import one_thread, threads

if TYPE_CHECKING:
    from gzsl_bench.executors.forks import Server


class Early:
    """A server that waits to be used, by one crew."""

    def __init__(self, server: Server | None) -> None:
        self._server = server

    def take(self) -> Server | None:
        """The server, which is the caller's to end then; None where there is none any more."""
        server, self._server = self._server, None
        return server


@contextlib.contextmanager
def early() -> Iterator[Early]:
    """Fork the server now, if this process can be forked; end it if nobody takes it."""
    found = Early(_fork())
    try:
        yield found
    finally:
        unused = found.take()
        if unused is not None:
            unused.end()


def _fork() -> Server | None:
    # Elsewhere system libraries do not survive a fork.
    if not sys.platform.startswith("linux") or threads() > 1:
        return None
    with one_thread():
        import gzsl_bench.stacked  # noqa: F401
        from gzsl_bench.executors.forks import Server
    if threads() > 1:
        return None
    return Server("fork", multiprocessing.get_context("spawn").Event())
