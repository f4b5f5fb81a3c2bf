"""What a worker prints, Python and C code and child processes alike, goes through the parent.

The parent keeps the end of it in memory: a flood of output fills no disk, and what a worker printed
last is there after it has died.  The worker asks for it when it writes a record, and for its task.
"""

from __future__ import annotations

import os
import sys
import threading
from multiprocessing import connection
from multiprocessing.connection import Connection

from gzsl_bench.executors.shelf import ASK, FAILED, MADE, Shelf

#: Bytes that are kept; less than what a record keeps, so that the note about the rest fits in.
KEPT = 190_000
_CHUNK = 1 << 16
#: Reads that empty any pipe, after which a flood has to wait.
_READS = 64
_END = -1

_TELL = b"tell"


class Output(threading.Thread):
    """The parent's end: a thread that reads one worker's output and answers its questions."""

    def __init__(self, printed: Connection, asked: Connection, shelf: Shelf) -> None:
        super().__init__(name="gzsl-bench output", daemon=True)
        self._printed, self._asked, self._shelf = printed, asked, shelf
        self._woken, self._wake = connection.Pipe(duplex=False)
        self._kept = bytearray()
        self._dropped = 0
        os.set_blocking(printed.fileno(), False)

    def run(self) -> None:
        """Read until :meth:`finish`."""
        open_ends: list[Connection] = [self._printed, self._asked, self._woken]
        while True:
            ready = connection.wait(open_ends)
            if self._woken in ready:
                return
            if self._printed in ready and self._read() == _END:
                open_ends.remove(self._printed)
            if self._asked in ready and not self._answer():
                self._shelf.leave(self._asked)
                open_ends.remove(self._asked)

    def finish(self) -> str:
        """Stop, and give what the worker printed last; it is dead by now."""
        if self.is_alive():
            self._wake.send_bytes(b"")
            self.join()
        self._shelf.leave(self._asked)
        self._empty()
        for end in (self._printed, self._asked, self._woken, self._wake):
            end.close()
        return self._tail().decode("utf-8", errors="replace")

    def _answer(self) -> bool:
        """One question of the worker; False if it will ask no more."""
        try:
            question = self._asked.recv_bytes()
            if question == _TELL:
                self._empty()  # what it printed before it asked
                self._asked.send_bytes(self._tail())
            elif question == FAILED:
                self._shelf.leave(self._asked)
            elif question.startswith(ASK):
                self._shelf.ask(question.removeprefix(ASK).decode(), self._asked)
            else:
                self._shelf.made(self._asked, question.removeprefix(MADE))
        except (EOFError, OSError):
            return False
        return True

    def _empty(self) -> None:
        """Read what is in the pipe."""
        for _ in range(_READS):
            if self._read() <= 0:
                return

    def _read(self) -> int:
        """Take some output; how many bytes it was, 0 where there is none now, or ``_END``."""
        try:
            chunk = os.read(self._printed.fileno(), _CHUNK)
        except BlockingIOError:
            return 0
        except OSError:
            return _END
        self._kept += chunk
        if len(self._kept) > 2 * KEPT:
            self._dropped += len(self._kept) - KEPT
            del self._kept[:-KEPT]
        return len(chunk) or _END

    def _tail(self) -> bytes:
        dropped = self._dropped + max(0, len(self._kept) - KEPT)
        note = f"[{dropped} bytes of output before this were dropped]\n" if dropped else ""
        return note.encode() + bytes(self._kept[-KEPT:])


class Printing:
    """The worker's end."""

    def __init__(self, printed: Connection, ask: Connection) -> None:
        self._printed, self._ask = printed, ask

    @property
    def descriptor(self) -> int:
        """Where output goes; of use even if a plugin closes standard output."""
        return self._printed.fileno()

    def capture(self) -> None:
        """Send everything that is printed there from now on, by C libraries too."""
        flush()
        os.dup2(self.descriptor, 1)
        os.dup2(self.descriptor, 2)
        for stream in (sys.stdout, sys.stderr):
            # Line by line: what a process that dies at once had printed must not die with it.
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]

    def tail(self) -> str:
        """What was printed last."""
        flush()
        try:
            self._ask.send_bytes(_TELL)
            return self._ask.recv_bytes().decode("utf-8", errors="replace")
        except (EOFError, OSError):
            os._exit(1)  # the parent has gone


def flush() -> None:
    """Flush what is left of the streams: a plugin may have closed or replaced them."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            continue
