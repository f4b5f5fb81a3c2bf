"""Units in this very process: for debuggers and tests."""

from __future__ import annotations

from collections.abc import Sequence

from gzsl_bench.engine.events import Listener, WorkerSettings
from gzsl_bench.engine.units import Unit
from gzsl_bench.engine.worker import Worker
from gzsl_bench.hooks.manager import Registry


class InlineExecutor:
    """One unit after the other, no isolation."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def run(self, units: Sequence[Unit], settings: WorkerSettings, listen: Listener) -> bool:
        """Run all units; False if the user interrupted."""
        worker = Worker(self._registry, settings, listen)
        try:
            for unit in units:
                worker.run(unit)
        except KeyboardInterrupt:
            return False
        return True
