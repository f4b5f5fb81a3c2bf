"""How far a single training is, where there is no suite's run to show."""

from __future__ import annotations

import sys
import time

from gzsl_bench.terminal.streams import say
from gzsl_bench.wording import about, duration


class Clock:
    """How far a training is and how long it may still take, on standard error.

    One line that changes on a terminal, a new line every half minute elsewhere.  Within ``with``:
    at its end it is said how long it took, unless it failed.

    Args:
        what: of what it tells.
        announce: say so at once; else an error at the start is all that is read.
    """

    def __init__(self, what: str, announce: bool = True) -> None:
        self._what = what
        self._live = sys.stderr.isatty()
        self._pause = 0.5 if self._live else 30.0
        self._began = self._told = time.monotonic()
        self._open = False  # a line that has no end yet
        if announce:
            say(what)

    def __enter__(self) -> Clock:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            text = f"{self._what}: done in {duration(time.monotonic() - self._began)}"
            say(f"\r{text}\x1b[K" if self._live else text)
        elif self._open:
            say("")  # what comes next, an error, begins a line of its own

    def progress(self, done: int, total: int) -> None:
        """Say so now and then."""
        now = time.monotonic()
        if now - self._told < self._pause or not 0 < done <= total:
            return
        self._told = now
        left = (now - self._began) * (total - done) / done
        text = f"{self._what}: {100 * done / total:.0f} %, {about(left)} left"
        say(f"\r{text}\x1b[K" if self._live else text, nl=not self._live)
        self._open = self._live
