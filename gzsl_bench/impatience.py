"""Connections that are cut when the other side takes too long.

What sockets, and the libraries on them, call a timeout is the longest silence between two bytes: a
server that sends one byte a second holds a program as long as it likes, in the headers of an answer
as well as in its body.  So connections are watched from outside, by a clock.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any
from unittest import mock


class Lines:
    """The connections of a block, all of them at once.  Made by :func:`watched`."""

    def __init__(self) -> None:
        self._lines: list[socket.socket] = []

    def add(self, line: socket.socket) -> None:
        """Take note of a connection."""
        # A second descriptor of the same connection: TLS takes the first one over.
        self._lines.append(line.dup())

    def hang_up(self) -> None:
        """End every connection; whoever reads from one finds its end."""
        for line in self._lines:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Forget them; what is kept open for the next request is not watched there."""
        self.hang_up()
        for line in self._lines:
            line.close()

    @contextlib.contextmanager
    def within(
        self, seconds: float, came: Callable[[], int] = lambda: 0, least: int = 1
    ) -> Iterator[threading.Event]:
        """Hang up unless the block ends in time, or goes on well enough.

        Args:
            seconds: how long it may take.
            came: how many bytes have come so far.
            least: bytes within ``seconds`` that earn the same time once more.

        Yields:
            Set once the connections were cut: which looks like their end.
        """
        over, late = threading.Event(), threading.Event()

        def watch() -> None:
            before = came()
            while not over.wait(seconds):
                now = came()
                if now - before < least:
                    late.set()
                    self.hang_up()
                    return
                before = now

        threading.Thread(target=watch, name="gzsl-bench impatience", daemon=True).start()
        try:
            yield late
        finally:
            over.set()


@contextlib.contextmanager
def watched(module: ModuleType = socket) -> Iterator[Lines]:
    """Take note of all connections that are made within the block by way of a module.

    Args:
        module: whose ``create_connection`` makes them: that of the standard library, or urllib3's.
    """
    lines, connect = Lines(), module.create_connection

    def connected(*args: Any, **options: Any) -> Any:
        line = connect(*args, **options)
        lines.add(line)
        return line

    with mock.patch.object(module, "create_connection", connected):
        try:
            yield lines
        finally:
            lines.close()
