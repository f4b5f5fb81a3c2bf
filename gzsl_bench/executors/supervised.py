"""The process of a unit as its parent sees it: started, watched, ended."""

from __future__ import annotations

import contextlib
import signal
import uuid
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe

from gzsl_bench.engine.outlet import Supplied
from gzsl_bench.engine.units import Unit
from gzsl_bench.executors.forks import Forked, ForkServer
from gzsl_bench.executors.output import Output
from gzsl_bench.executors.processes import kill_tree

#: Seconds between SIGTERM, at which a worker still writes where it was, and SIGKILL.
GRACE = 5.0


@dataclass
class Supervised:
    """The process of a unit.

    Attributes:
        process: the process.
        pipe: events come in.
        output: keeps what it prints.
        tag: marks all the processes that come from it.
        server: had it forked.
        verdict: why it was ended, if its parent did that.
    """

    process: Forked
    pipe: Connection
    output: Output
    tag: str
    server: ForkServer
    verdict: str | None = None

    @classmethod
    def start(cls, server: ForkServer, unit: Unit, supplied: Supplied | None = None) -> Supervised:
        """Start the process of a unit; does not wait for it.

        Args:
            server: has it forked.
            unit: what it is to do.
            supplied: what it must know of the results folder; None where it can look there itself.
        """
        tag = uuid.uuid4().hex
        ours, theirs = Pipe()
        reading, printed = Pipe(duplex=False)
        answering, ask = Pipe()
        process = server.fork(tag, [end.fileno() for end in (theirs, printed, ask)])
        for end in (theirs, printed, ask):
            end.close()
        output = Output(reading, answering, server.shelf)
        output.start()
        # One that has died already is noticed when it is listened to.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            ours.send((unit, supplied))
        return cls(process, ours, output, tag, server)

    def end(self, verdict: str, grace: float = GRACE) -> None:
        """Stop it and all it started; returns when it is dead."""
        self.verdict = self.verdict or verdict
        if self.process.is_alive():
            self.process.terminate()
            self.process.join(grace)
        self._kill()
        self.process.join(grace)

    def close(self) -> str:
        """Clear away what is left of it; returns what it printed last."""
        self.pipe.close()
        self._kill()
        self.process.join(GRACE)
        printed = self.output.finish()
        return printed if self.process.pid else self.server.printed()

    def _kill(self) -> None:
        if self.process.pid is None:
            self.process.terminate()
        else:
            kill_tree(self.process.pid, self.tag)

    def cause(self) -> str:
        """Why it died, in words."""
        if self.verdict:
            return self.verdict
        code = self.process.exitcode
        if code is None:
            return "the worker process ended after its server had died"
        if code >= 0:
            return f"the worker process ended with exit code {code}"
        return f"the worker process was killed by signal {_signal(-code)}"


def _signal(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        return str(number)
    hint = ": by somebody, or by the system for want of memory" * (number == signal.SIGKILL)
    return f"{number} ({name}{hint})"
