"""Which runs are at work in a results folder: ``<out>/runs/<id>.json``, one file per live run.

A run counts up a number in its file.  Whoever wants to know whether it lives watches that number
with a clock of its own, so that clocks of different machines are never compared: a run whose file
stood still for ``patience`` watched seconds is lost, and one of this machine whose process has
ended is lost at once.  The first to notice renames the file to ``<id>.lost``; that one rename is
the verdict, for everybody and for the run itself, should it ever wake up.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter

from gzsl_bench.errors import RecordError
from gzsl_bench.records import journal, machine, strict
from gzsl_bench.records.layout import Layout

#: Seconds a run's file has to stand still; ``GZSL_BENCH_LEASE_SECONDS`` replaces it.
PATIENCE = 60.0
#: Signs of life within that time; as many looks at least before a run is lost.
BEATS = 12
_LIVE, _LOST = ".json", ".lost"


def patience() -> float:
    """The seconds after which a run that gives no sign of life is lost."""
    try:
        asked = float(os.environ.get("GZSL_BENCH_LEASE_SECONDS", PATIENCE))
    except ValueError:
        return PATIENCE
    return asked if 0 < asked < float("inf") else PATIENCE


@dataclass(frozen=True)
class RunFile:
    """What a run says of itself.

    Attributes:
        run: its id.
        host: its machine's name.
        machine: what process ids mean something in.
        pid: its process id.
        started: start of its process, in the machine's own measure.
        patience: seconds after which it agrees to be lost.
        beat: how often it gave a sign of life.
    """

    __pydantic_config__: ClassVar[ConfigDict] = strict.STRICT

    run: str
    host: str
    machine: str
    pid: int
    started: int | None
    patience: float
    beat: int = 0

    @property
    def who(self) -> str:
        """``myhost, process 1234``."""
        return f"{self.host}, process {self.pid}"

    def to_bytes(self) -> bytes:
        """JSON of the same length whatever the count, so that it is written over in place."""
        text = json.dumps({k: v for k, v in vars(self).items() if k != "beat"})
        return f'{text[:-1]}, "beat": {self.beat:>15}}}\n'.encode()

    @classmethod
    def parse(cls, raw: bytes) -> RunFile | None:
        """The inverse; None for what is no such file (or is being written)."""
        try:
            return strict.parse(TypeAdapter(cls), raw)
        except RecordError:
            return None


@dataclass
class Watch:
    """How long something has been seen to stand still, by a clock of our own.

    Time in which nobody looked does not count beyond ``step`` seconds: whoever was stopped for an
    hour with all its neighbours must not take them for dead when it wakes up first.

    Attributes:
        clock: seconds that only ever grow.
        step: the most seconds that one look may add.
    """

    clock: Callable[[], float]
    step: float
    _seen: dict[str, tuple[bytes, float, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def still(self, name: str, content: bytes) -> float:
        """Look at ``name``, which is ``content`` now; the seconds it has stood still."""
        with self._lock:
            now = self.clock()
            before, seconds, looked = self._seen.get(name, (b"", 0.0, now))
            if name not in self._seen or before != content:
                seconds = 0.0
            else:
                seconds += min(max(0.0, now - looked), self.step)
            self._seen[name] = (content, seconds, now)
            return seconds


class Presence:
    """This run's sign of life in a results folder, and its view of the other runs there."""

    def __init__(
        self,
        layout: Layout,
        *,
        seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.layout = layout
        self.patience = patience() if seconds is None else seconds
        self.watch = Watch(clock, self.patience / BEATS)
        self.me = self._introduce()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._folder: os.stat_result | None = None

    def _introduce(self) -> RunFile:
        pid = os.getpid()
        return RunFile(
            run=uuid.uuid4().hex[:12],
            host=machine.host(),
            machine=machine.machine(),
            pid=pid,
            started=machine.process_start(pid),
            patience=self.patience,
        )

    @property
    def run(self) -> str:
        """The id of this run; another one after it was taken for lost and woke up."""
        return self.me.run

    # Being there ---------------------------------------------------------------------------------

    def enter(self) -> None:
        """Appear among the runs.

        Raises:
            OSError: the folder cannot be written.
        """
        path = self._path(self.run)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._folder = self._folder or self.layout.out.stat()
        with path.open("xb") as file:
            file.write(self.me.to_bytes())

    @property
    def homeless(self) -> bool:
        """Whether the results folder is another one than it was, or none, and our records gone."""
        try:
            now = self.layout.out.stat()
        except OSError:
            return True
        return self._folder is not None and not os.path.samestat(self._folder, now)

    def start(self) -> None:
        """Keep beating, and watching the others, in a thread until :meth:`leave`."""
        self._thread = threading.Thread(target=self._live, name="gzsl-bench pulse", daemon=True)
        self._thread.start()

    def leave(self) -> None:
        """Go; what this run still holds is free from now on."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with contextlib.suppress(OSError):
            self._path(self.run).unlink()

    def beat(self) -> None:
        """Give a sign of life; whoever was taken for lost comes back as another run."""
        self.me = RunFile(**{**vars(self.me), "beat": self.me.beat + 1})
        try:
            # Written over, never made: the file's absence is how we learn that we were given up.
            descriptor = os.open(self._path(self.run), os.O_WRONLY)
        except FileNotFoundError:
            before, self.me = self.me, self._introduce()
            with contextlib.suppress(OSError):
                self.enter()
                journal.append(
                    self.layout.journal,
                    "returned",
                    run=self.run,
                    before=before.run,
                    host=self.me.host,
                )
            return
        try:
            os.pwrite(descriptor, self.me.to_bytes(), 0)
        finally:
            os.close(descriptor)

    def _live(self) -> None:
        while not self._stop.wait(self.patience / BEATS):
            # A full or unreachable disk is no reason to stop trying.
            with contextlib.suppress(OSError):
                self.beat()
            with contextlib.suppress(OSError):
                self.others()

    # Watching ------------------------------------------------------------------------------------

    def others(self) -> list[RunFile]:
        """The other runs that are alive, as far as can be known by now."""
        found = [self.look(path.stem) for path in self._files(_LIVE) if path.stem != self.run]
        return [run for run in found if run is not None]

    def look(self, run: str) -> RunFile | None:
        """What a run says of itself if it is alive or may be; None if it ended or is lost."""
        path = self._path(run)
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return None  # it left, or it is lost already
        except OSError:
            raw = b""
        found = RunFile.parse(raw)
        still = self.watch.still(run, raw)
        if found is not None and machine.surely_gone(found.machine, found.pid, found.started):
            self.give_up(run, found, "its process has ended")
            return None
        allowed = self.patience if found is None else max(self.patience, found.patience)
        if still >= allowed:
            self.give_up(run, found, f"it gave no sign of life for {still:.0f} s")
            return None
        return found or RunFile(run, "an unknown machine", "", 0, None, self.patience)

    def give_up(self, run: str, found: RunFile | None, reason: str) -> bool:
        """Declare a run lost; of several who try, one does, and says so in the journal."""
        try:
            self._path(run).rename(self._path(run).with_suffix(_LOST))
        except OSError:
            return False
        about = {} if found is None else {"host": found.host, "lost_pid": found.pid}
        journal.append(self.layout.journal, "lost", run=run, reason=reason, **about)
        return True

    def _path(self, run: str) -> Path:
        return self.layout.runs / f"{run}{_LIVE}"

    def _files(self, suffix: str) -> Iterator[Path]:
        if self.layout.runs.is_dir():
            yield from sorted(self.layout.runs.glob(f"*{suffix}"))

    # Tidying up ----------------------------------------------------------------------------------

    def alone(self) -> bool:
        """Whether no other run is, or may be, alive; means little without the exclusive lock."""
        return not self.others()

    def lost(self) -> list[Path]:
        """What lost runs left of themselves."""
        return list(self._files(_LOST))
