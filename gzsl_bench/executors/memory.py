"""Watches what workers hold in memory, and ends one that holds more than it may.

A limit of the system's (``RLIMIT_AS``) counts address space, of which torch and CUDA reserve far
more than they use, so the parent looks at what is really held, child processes included.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from gzsl_bench.executors.limits import in_gib
from gzsl_bench.executors.processes import held, resident, tree
from gzsl_bench.executors.supervised import Supervised

#: Seconds between two looks.
PAUSE = 0.2
#: Seconds for the worker to write where it was: at this rate it may fill the machine.
_GRACE = 1.0


class MemoryWatch(threading.Thread):
    """A thread of the parent, whose main thread may be busy with MLflow.

    Args:
        workers: those to watch, by whatever; they come and go.
        limit: bytes for each of them; None to watch nothing.
    """

    def __init__(self, workers: Mapping[Any, Supervised], limit: int | None) -> None:
        super().__init__(name="gzsl-bench memory", daemon=True)
        self._workers, self._limit = workers, limit
        self._over = threading.Event()
        if limit is not None:
            self.start()

    def stop(self) -> None:
        """End."""
        self._over.set()
        if self.is_alive():
            self.join()

    def run(self) -> None:
        """Look at every worker again and again."""
        assert self._limit is not None
        while not self._over.wait(PAUSE):
            for worker in list(self._workers.values()):
                if worker.verdict is None:
                    self._look(worker, self._limit)

    @staticmethod
    def _look(worker: Supervised, limit: int) -> None:
        if worker.process.pid is None:
            return
        processes = tree(worker.process.pid)
        # Quick first: what is resident is at least what is held, but for what was swapped.
        if resident(processes) <= limit:
            return
        size = held(processes)
        if size > limit:
            worker.end(
                f"stopped: the worker process and its children held {in_gib(size)} of memory, more"
                f" than the {in_gib(limit)} of --memory-limit",
                _GRACE,
            )
