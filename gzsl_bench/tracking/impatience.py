"""Requests end: within some seconds as a whole, and before an answer fills the memory.

What ``requests`` calls a timeout is the longest silence between two bytes.  A server that sends one
byte a second, or never stops, holds a run as long as it likes; a compressed answer of a megabyte
unpacks to gigabytes.  MLflow offers no limit for either, so its requests are watched from outside.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any
from unittest import mock

#: Seconds of a request, from the first byte to the last; MLflow answers in milliseconds.
WHOLE = 20.0
#: Bytes of an answer, unpacked; a thousand runs with their metrics have a few megabytes.
MOST = 64 * 2**20
_CHUNK = 2**16


class TooMuch(OSError):
    """A server sends more than it can have to say."""


@contextlib.contextmanager
def impatient() -> Iterator[None]:
    """Hold every request that is made within the block to :data:`WHOLE` and :data:`MOST`."""
    import requests
    from urllib3.util import connection

    begin, connect = requests.Session.send, connection.create_connection
    lines: list[socket.socket] = []

    def connected(*args: Any, **options: Any) -> Any:
        line = connect(*args, **options)
        # A second descriptor of the same connection: TLS takes the first one over.
        lines.append(line.dup())
        return line

    def hang_up() -> None:
        for line in lines:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def send(session: Any, request: Any, **options: Any) -> Any:
        late = threading.Event()

        def give_up() -> None:
            late.set()
            hang_up()

        watch = threading.Timer(WHOLE, give_up)
        watch.daemon = True
        watch.start()
        try:
            # What is unpacked has no limit within the libraries; MLflow's answers are short.
            request.headers["Accept-Encoding"] = "identity"
            answer = begin(session, request, **{**options, "stream": True})
            if not options.get("stream"):
                _read(answer)
            if late.is_set():  # a connection that is cut in mid-answer looks like its end
                raise requests.exceptions.ConnectionError(
                    f"Connection given up: no whole answer within {WHOLE:.0f} s"
                )
            return answer
        finally:
            watch.cancel()

    with (
        mock.patch.object(connection, "create_connection", connected),
        mock.patch.object(requests.Session, "send", send),
    ):
        try:
            yield
        finally:
            hang_up()  # what is kept open for the next request is not watched there
            for line in lines:
                line.close()


def _read(answer: Any) -> None:
    """Take the body in, as ``answer.content`` would, up to a limit."""
    packing = answer.headers.get("Content-Encoding", "identity")
    if packing != "identity":
        answer.close()
        raise TooMuch(f"the server's answer is packed ({packing}), though it was asked not to")
    body = bytearray()
    for chunk in answer.iter_content(_CHUNK):
        body += chunk
        if len(body) > MOST:
            answer.close()
            raise TooMuch(f"the server's answer has more than {MOST >> 20} MB")
    answer._content = bytes(body)
