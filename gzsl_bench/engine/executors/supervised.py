"""A worker process as its parent sees it: started, given its unit, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import uuid
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.synchronize import Event as EventFlag

from gzsl_bench.engine.events import WorkerSettings
from gzsl_bench.engine.executors.child import main
from gzsl_bench.engine.executors.output import Output
from gzsl_bench.engine.executors.processes import TAG, kill_tree
from gzsl_bench.engine.units import Unit

#: Seconds between SIGTERM, at which a worker still writes where it was, and SIGKILL.
GRACE = 5.0


@dataclass
class Supervised:
    """A worker process, which lives for one unit.

    Attributes:
        process: the process.
        pipe: units go out, events come in.
        output: keeps what it prints.
        tag: marks all the processes that come from it.
        verdict: why it was ended, if its parent did that.
    """

    process: SpawnProcess
    pipe: Connection
    output: Output
    tag: str
    verdict: str | None = None

    @classmethod
    def start(cls, context: SpawnContext, settings: WorkerSettings, stop: EventFlag) -> Supervised:
        """Start a worker process; it loads the plugins while it is given its first unit."""
        tag = uuid.uuid4().hex
        ours, theirs = context.Pipe()
        reading, printed = context.Pipe(duplex=False)
        answering, ask = context.Pipe()
        process = context.Process(
            target=main,
            args=(theirs, settings, stop, printed, ask),
            name="gzsl-bench worker",
            daemon=False,
        )
        # Multiprocessing's own helper is shared by all workers, so it must not bear a tag.
        resource_tracker.ensure_running()
        # Until it ignores Ctrl-C by itself a worker must not be hit by it: the mask is inherited.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        os.environ[TAG] = tag
        try:
            process.start()
        finally:
            del os.environ[TAG]
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for end in (theirs, printed, ask):
            end.close()
        output = Output(reading, answering)
        output.start()
        return cls(process, ours, output, tag)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process.pid is not None
        return self.process.pid

    def give(self, unit: Unit) -> None:
        """Hand the unit over."""
        # One that has died already is noticed when it is listened to.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.pipe.send(unit)

    def end(self, verdict: str, grace: float = GRACE) -> None:
        """Stop it and all it started; returns when it is dead."""
        self.verdict = self.verdict or verdict
        if self.process.is_alive():
            with contextlib.suppress(OSError):
                os.kill(self.pid, signal.SIGTERM)
            self.process.join(grace)
        kill_tree(self.pid, self.tag)
        self.process.join(grace)

    def close(self) -> str:
        """Clear away what is left of it; returns what it printed last."""
        self.pipe.close()
        kill_tree(self.pid, self.tag)
        self.process.join(GRACE)
        return self.output.finish()

    def cause(self) -> str:
        """Why it died, in words."""
        if self.verdict:
            return self.verdict
        code = self.process.exitcode
        if code is None or code >= 0:
            return f"the worker process ended with exit code {code}"
        return f"the worker process was killed by signal {_signal(-code)}"


def _signal(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        return str(number)
    hint = ": by somebody, or by the system for want of memory" * (number == signal.SIGKILL)
    return f"{number} ({name}{hint})"
