"""Ways to run units: in this process, or in child processes of this machine."""

from __future__ import annotations

from typing import Protocol

from gzsl_bench.engine.events import Listener, WorkerSettings
from gzsl_bench.engine.work import Work


class Executor(Protocol):
    """Runs units and reports events; returns whether all of them ran, rather than a stop."""

    def run(self, work: Work, settings: WorkerSettings, listen: Listener) -> bool:
        """Run all of the work; False if the user interrupted."""
