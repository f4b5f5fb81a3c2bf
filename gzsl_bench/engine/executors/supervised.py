"""A worker process as its parent sees it: started, given units, watched, ended."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
import uuid
from dataclasses import dataclass, field
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
#: Where the report of ``faulthandler`` begins.
_CRASH = re.compile(r"^(?:Fatal Python error: |(?:Current t|T)hread 0x[0-9a-f]+ )", re.MULTILINE)
#: Characters of such a report that are looked for and kept.
_CRASH_LENGTH = 20_000


@dataclass
class Supervised:
    """A worker process and the unit it is on.

    Attributes:
        process: the process.
        pipe: units go out, events come in.
        output: keeps what it prints.
        tag: marks all the processes that come from it.
        unit: what it was given and has not ended.
        begun: it has said that it took the unit up.
        since: when the unit was given, taken up, or its last cell ended (monotonic seconds).
        ended: keys of the unit's cells that have ended.
        used: it has taken up a unit before.
        verdict: why it was ended, if its parent did that.
    """

    process: SpawnProcess
    pipe: Connection
    output: Output
    tag: str
    unit: Unit | None = None
    begun: bool = False
    since: float = 0.0
    ended: set[str] = field(default_factory=set)
    used: bool = False
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
        """Hand a unit over."""
        self.unit, self.begun, self.ended = unit, False, set()
        self.since = time.monotonic()
        # A worker that died while idle is noticed in the next round.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.pipe.send(unit)

    def send_home(self) -> None:
        """Ask it to end once it is idle."""
        with contextlib.suppress(OSError):
            self.pipe.send(None)

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

    def tidy(self) -> int:
        """End the processes that a unit left behind; how many there were."""
        return kill_tree(self.pid, self.tag, spare_root=True)

    def cause(self, doing: str) -> str:
        """Why it died, in words."""
        if self.verdict:
            return self.verdict
        code = self.process.exitcode
        if code is None or code >= 0:
            return f"the worker process ended with exit code {code} while it {doing}"
        return f"the worker process was killed by signal {_signal(-code)} while it {doing}"


def _signal(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        return str(number)
    hint = ": by somebody, or by the system for want of memory" * (number == signal.SIGKILL)
    return f"{number} ({name}{hint})"


def crash_report(printed: str) -> str:
    """Where all threads were when a signal ended the worker; "" if it does not say."""
    tail = printed[-_CRASH_LENGTH:]
    found = _CRASH.search(tail)
    return tail[found.start() :] if found else ""
