"""The records of a results folder: written once, atomically, and never replaced.

A record is written beside its place, flushed to disk and moved there by one rename.  Renaming a
folder onto one that holds files fails, so the first final record of a key wins whatever else is
running.  A failed cell leaves a record too; a later success moves it aside.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from gzsl_bench.errors import RecordError
from gzsl_bench.masking import masked
from gzsl_bench.records import journal
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.presence import Presence
from gzsl_bench.records.rescored import overlaid

RECORD_VERSION = 1
COMPLETE = "complete"
FAILED = "failed"
#: The method says that it cannot work on this kind of data: final, and no failure.
NOT_APPLICABLE = "not applicable"
#: Every status a record may have.
STATUSES = (COMPLETE, FAILED, NOT_APPLICABLE)
#: The arrays of a record, and the field of ``record.json`` that holds the file's SHA-256.
PREDICTIONS, PREDICTIONS_HASH = "predictions.npz", "predictions_sha256"
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST)


@dataclass(frozen=True)
class Checkpoint:
    """What was measured at one point of a training."""

    number: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Record:
    """A finished or failed cell as read from disk.

    Attributes:
        path: its folder.
        content: the parsed ``record.json``, with the metrics of a later rescoring.
    """

    path: Path
    content: Mapping[str, Any]

    @property
    def key(self) -> str:
        """The cell's key."""
        return str(self.content["key"])

    @property
    def cause(self) -> str:
        """Why there are no numbers."""
        return str(self.content.get("cause", ""))

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """In the order they came."""
        rows = self.content.get("checkpoints", ())
        return tuple(Checkpoint(row["number"], row["metrics"]) for row in rows)

    @property
    def complete(self) -> bool:
        """Whether there are numbers."""
        return bool(self.content["status"] == COMPLETE)

    @property
    def not_applicable(self) -> bool:
        """Whether the method said that it cannot work on these data."""
        return bool(self.content["status"] == NOT_APPLICABLE)

    @property
    def final(self) -> bool:
        """Whether there is nothing left to try: numbers, or no way to have any."""
        return self.complete or self.not_applicable

    def predictions(self) -> dict[str, np.ndarray]:
        """The arrays of ``predictions.npz``.

        Raises:
            RecordError: the file is missing, damaged or another one than was recorded.
        """
        path = self.path / PREDICTIONS
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise RecordError(f"the predictions {path} cannot be read: {error}") from error
        wanted = self.content.get(PREDICTIONS_HASH)  # records of the first versions have none
        if wanted is not None and hashlib.sha256(raw).hexdigest() != wanted:
            raise RecordError(
                f"the predictions {path} cannot be read: they are not those that were recorded"
                f" (their SHA-256 is not {wanted})"
            )
        try:
            with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except Exception as error:
            raise RecordError(f"the predictions {path} cannot be read: {error}") from error


def seconds_of(content: Mapping[str, Any]) -> float:
    """What one run took: the time of runs that were trained as one is shared out among them."""
    together = len(content.get("unit", {}).get("trained", ())) or 1
    return float(content.get("seconds") or 0.0) / together


class RecordStore:
    """Reads and commits the records of one results folder.

    Attributes:
        layout: its files.
        run: id of the run that writes, so that nobody clears its drafts away.
        presence: the sign of life of that run, where it is this process's own.
    """

    def __init__(self, out: Path, run: str = "", presence: Presence | None = None) -> None:
        self.layout = Layout(out)
        self.run = run
        self.presence = presence

    @property
    def shared(self) -> bool:
        """Whether other runs are at work in the folder."""
        return self.presence is not None and bool(self.presence.others())

    def read(self, key: str) -> Record | None:
        """The record of a key, or None; one that cannot be trusted counts as absent.

        Metrics that were computed again (``gzsl-bench rescore``) take the place of recorded ones.

        Raises:
            RecordError: a record of a newer version of the program.
        """
        path = self.layout.cell(key)
        try:
            raw = (path / "record.json").read_bytes()
            content = json.loads(raw)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError):
            return None
        if not isinstance(content, dict) or content.get("key") != key:
            return None
        version = content.get("record_version")
        if not isinstance(version, int) or content.get("status") not in STATUSES:
            return None
        if version > RECORD_VERSION:
            raise RecordError(
                f"{path} was written by a newer gzsl-bench (record version"
                f" {version}, this one reads up to {RECORD_VERSION}); upgrade"
            )
        if content["status"] == COMPLETE:
            content = overlaid(self.layout, content, raw)
        return Record(path, content)

    def finished(self, key: str) -> bool:
        """Whether a record of the key exists that is final."""
        record = self.read(key)
        return record is not None and record.final

    def __iter__(self) -> Iterator[Record]:
        """All readable records, by key."""
        if self.layout.cells.is_dir():
            for path in sorted(self.layout.cells.iterdir()):
                record = self.read(path.name)
                if record is not None:
                    yield record

    def commit(
        self,
        key: str,
        content: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray] | None = None,
        log: str = "",
    ) -> bool:
        """Write a record; returns whether it is the one that counts.

        Args:
            key: the cell's key.
            content: ``record.json`` without ``record_version`` and ``key``; has a ``status``.
            arrays: ``predictions.npz``.
            log: ``log.txt``.

        Raises:
            RecordError: the disk is full or the folder cannot be written.
        """
        full = {"record_version": RECORD_VERSION, "key": key, **_without_secrets(content)}
        try:
            draft = self._draft(key, full, arrays, masked(log))
        except (OSError, ValueError, TypeError) as error:
            raise RecordError(
                f"the record of cell {key} cannot be written to {self.layout.out}: {error}"
            ) from error
        try:
            won = self._move_into_place(key, draft)
        except OSError as error:
            raise RecordError(f"{self.layout.cell(key)} cannot be written: {error}") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        # The record is in place: a journal that cannot be written loses nothing.
        with contextlib.suppress(OSError):
            journal.append(
                self.layout.journal,
                "committed" if won else "superseded",
                key=key,
                status=full["status"],
            )
        return won

    def _draft(
        self,
        key: str,
        content: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray] | None,
        log: str,
    ) -> Path:
        draft = self.layout.draft(self.run, key)
        draft.mkdir(parents=True)
        try:
            if arrays is not None:
                with (draft / PREDICTIONS).open("wb") as file:
                    np.savez_compressed(file, **dict(arrays))  # type: ignore[arg-type]
                    _flush(file.fileno(), file)
                content = {**content, PREDICTIONS_HASH: hash_of(draft / PREDICTIONS)}
            with (draft / "log.txt").open("w", encoding="utf-8", errors="replace") as text:
                text.write(log)
                _flush(text.fileno(), text)
            with (draft / "record.json").open("w", encoding="utf-8") as text:
                json.dump(content, text, indent=1, sort_keys=True, allow_nan=False)
                _flush(text.fileno(), text)
            _sync_folder(draft)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        return draft

    def adopt(self, key: str, folder: Path) -> bool:
        """Move a whole, checked record from a folder beside ours into place; whether it counts.

        Args:
            key: the cell's key.
            folder: the record's files; moved if it counts, else left to the caller.

        Raises:
            RecordError: the folder cannot be written.
        """
        try:
            for path in folder.iterdir():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
            _sync_folder(folder)
            return self._move_into_place(key, folder)
        except OSError as error:
            raise RecordError(f"{self.layout.cell(key)} cannot be written: {error}") from error

    def _move_into_place(self, key: str, draft: Path) -> bool:
        """One rename; a failure that stands in the way of anything newer is moved aside."""
        place = self.layout.cell(key)
        place.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(100):
            try:
                draft.rename(place)
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise RecordError(f"{place} cannot be written: {error}") from error
            else:
                with contextlib.suppress(OSError):  # the record is there; only the power may fail
                    _sync_folder(place.parent)
                return True
            # Under the lock nobody else moves a failure away, so what was judged is what is moved.
            with FileLock(self.layout.out / ".aside.lock"):
                if self.finished(key):
                    return False
                self._move_aside(key, place)
        raise RecordError(f"{place} is taken and cannot be moved aside")

    def _move_aside(self, key: str, place: Path) -> None:
        self.layout.failed.mkdir(parents=True, exist_ok=True)
        for number in range(1, 10_000):
            try:
                place.rename(self.layout.failed / f"{key}-{number}")
            except FileNotFoundError:
                return  # somebody else has moved it
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise RecordError(f"{place} cannot be moved aside: {error}") from error
            else:
                return


def hash_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _without_secrets(content: Mapping[str, Any]) -> dict[str, Any]:
    """What people wrote or a plugin said may hold a password; what a key is made of stays."""
    free = {name: content[name] for name in ("cause", "traceback", "command") if name in content}
    return {**content, **{n: masked(v) for n, v in free.items() if isinstance(v, str)}}


def _flush(descriptor: int, file: Any) -> None:
    file.flush()
    os.fsync(descriptor)


def _sync_folder(path: Path) -> None:
    """Flush a folder's entries, so that a rename survives a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
