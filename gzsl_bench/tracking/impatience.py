"""Requests end: within some seconds as a whole, and before an answer fills the memory.

MLflow offers no limit for either: a server may send a byte a second, never stop, or send a
megabyte that unpacks to gigabytes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

from gzsl_bench.impatience import watched

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

    begin = requests.Session.send
    with watched(connection) as lines:

        def send(session: Any, request: Any, **options: Any) -> Any:
            # What is unpacked has no limit within the libraries; MLflow's answers are short.
            request.headers["Accept-Encoding"] = "identity"
            with lines.within(WHOLE) as late:
                answer = begin(session, request, **{**options, "stream": True})
                if not options.get("stream"):
                    _read(answer)
                if late.is_set():  # a connection that is cut in mid-answer looks like its end
                    raise requests.exceptions.ConnectionError(
                        f"Connection given up: no whole answer within {WHOLE:.0f} s"
                    )
                return answer

        with mock.patch.object(requests.Session, "send", send):
            yield


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
