"""Units in this very process: for debuggers and tests."""

from __future__ import annotations

from gzsl_bench.engine.events import Listener, WorkerSettings
from gzsl_bench.engine.work import Work
from gzsl_bench.engine.worker import Worker
from gzsl_bench.hooks.manager import Registry


class InlineExecutor:
    """One unit after the other, no isolation."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def run(self, work: Work, settings: WorkerSettings, listen: Listener) -> bool:
        """Run all of the work; False if the user interrupted."""
        worker = Worker(self._registry, settings, listen)
        try:
            while work.left:
                unit = work.take()
                if unit is None:
                    work.wait()
                    continue
                worker.run(unit)
                work.done(unit)
        except KeyboardInterrupt:
            return False
        return True
