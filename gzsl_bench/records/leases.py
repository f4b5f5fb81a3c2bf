"""Leases: of several runs in one results folder, one trains a cell.

``<out>/leases/<name>.<n>`` is the n-th lease of a cell (or of an audit).  It is created exclusively
and belongs to the run it names for good; the file with the highest number is the one that counts.
The next number may be created once the last one was given back or its run is lost, and of several
that try one succeeds.  No number is ever used again while a run that could have seen it is alive,
so nobody can mistake a new lease for the one it saw before.  A run that is alone removes them all.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from gzsl_bench.errors import RecordError
from gzsl_bench.records import journal, strict
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.presence import Presence, RunFile

#: What the lease of an audit begins with; that of a cell is its key alone.
AUDIT = "audit-"
_HELD, _FREE = "held", "free"
#: Nobody's cell changes hands so often; a folder that looks like it is broken.
_MOST = 100_000


@dataclass(frozen=True)
class Lease:
    """A lease of ours.

    Attributes:
        name: of what: a cell's key.
        number: counts the leases of it, from 1.
        run: the run that took it.
    """

    name: str
    number: int
    run: str

    def to_bytes(self, state: str) -> bytes:
        """What its file says; both states have the same length, so it is written over in place."""
        return (
            json.dumps({"lease": self.name, "number": self.number, "run": self.run, "state": state})
            + "\n"
        ).encode()


class _Written(TypedDict):
    """As much of a lease's file as is read."""

    run: str
    state: Literal["held", "free"]


_LEASE = TypeAdapter(_Written)


class Leases:
    """Takes and gives back leases for one run."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self._layout = presence.layout
        self._held: set[str] = set()

    def take(self, name: str) -> Lease | None:
        """A lease of ``name``, or None while another run has it.

        Raises:
            RecordError: the folder cannot be read or written.
        """
        if name in self._held:
            return None
        try:
            return self._take(name)
        except OSError as error:
            raise RecordError(
                f"the results folder {self._layout.out} cannot be used: {error}"
            ) from None

    def _take(self, name: str) -> Lease | None:
        last, raw = self._last(name)
        before: str | None = None
        if last:
            holder = _holder(raw)
            if holder is None:
                # Cut short by a crash, or on its way: nobody to ask, so it is watched itself.
                if self._presence.watch.still(f"{name}.{last}", raw) < self._presence.patience:
                    return None
                before = "unknown"
            elif holder:
                # One of ours that we do not have is one that could not be given back.
                ours = holder == self._presence.run
                if not ours and self._presence.look(holder) is not None:
                    return None
                before = None if ours else holder
        lease = Lease(name, last + 1, self._presence.run)
        if not self._create(lease):
            return None
        self._held.add(name)
        if before is not None:
            journal.append(
                self._layout.journal,
                "taken over",
                key=name,
                run=lease.run,
                host=self._presence.me.host,
                before=before,
            )
        return lease

    def holder(self, name: str) -> RunFile | None:
        """The run that has it at the moment, as far as it can be known."""
        last, raw = self._last(name)
        run = _holder(raw) if last else ""
        return self._presence.look(run) if run else None

    def give_back(self, lease: Lease) -> None:
        """Let others have it; without a word where the folder cannot be written."""
        self._held.discard(lease.name)
        with contextlib.suppress(OSError):
            descriptor = os.open(self._path(lease.name, lease.number), os.O_WRONLY)
            try:
                os.pwrite(descriptor, lease.to_bytes(_FREE), 0)
            finally:
                os.close(descriptor)

    def _create(self, lease: Lease) -> bool:
        path = self._path(lease.name, lease.number)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            return False
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            return self._create(lease)
        try:
            os.write(descriptor, lease.to_bytes(_HELD))
        except OSError:
            path.unlink()
            raise
        finally:
            os.close(descriptor)
        return True

    def _last(self, name: str) -> tuple[int, bytes]:
        """The number and content of the lease that counts; 0 where there was none yet."""
        raw = b""
        for number in range(1, _MOST):
            try:
                raw = self._path(name, number).read_bytes()
            except FileNotFoundError:
                return number - 1, raw
        raise OSError(f"{self._layout.leases} holds {_MOST} leases of {name}")

    def _path(self, name: str, number: int) -> Path:
        return self._layout.leases / f"{name}.{number}"


def _holder(raw: bytes) -> str | None:
    """The run that holds a lease: "" if it was given back, None if the file is not whole."""
    try:
        found = strict.parse(_LEASE, raw)
    except RecordError:
        return None
    return found["run"] if found["state"] == _HELD else ""


def lease_files(layout: Layout) -> Iterator[tuple[str, Path]]:
    """Every lease there is or was: of what, and its file; the newest of a name first.

    In that order they may be removed: what is left never looks newer than what is gone.
    """
    if not layout.leases.is_dir():
        return
    found = []
    for path in layout.leases.iterdir():
        name, _, number = path.name.rpartition(".")
        if name and number.isdigit():
            found.append((name, -int(number), path))
    for name, _, path in sorted(found):
        yield name, path
