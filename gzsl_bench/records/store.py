"""The records of a results folder: written once, atomically, and never replaced.

A record is written beside its place, flushed to disk and moved there by one rename.  Renaming a
folder onto one that holds files fails, so the first final record of a key wins whatever else is
running.  A failed cell leaves a record too; a later success moves it aside.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from gzsl_bench import locks
from gzsl_bench.errors import RecordError
from gzsl_bench.masking import masked
from gzsl_bench.records import journal, rescored
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.presence import Presence
from gzsl_bench.records.record import PREDICTIONS, Checkpoint, OtherVersion, Record, parsed
from gzsl_bench.records.rescored import overlaid
from gzsl_bench.records.strict import skip, warn
from gzsl_bench.scoring import packed

_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
#: Seconds to wait for another process that moves a failure aside.
PATIENCE = 10.0


#: Which file a path is, and since when: number, time of the last change, size.
_Seen = tuple[int, int, int] | None


@dataclass(frozen=True)
class _Known:
    """What was read of a key, and from which files."""

    file: _Seen
    rescoring: _Seen
    record: Record | None
    fingerprint: str = ""


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
        self._known: dict[str, _Known] = {}
        self._places: dict[str, tuple[Path, Path]] = {}

    @property
    def shared(self) -> bool:
        """Whether other runs are at work in the folder."""
        return self.presence is not None and bool(self.presence.others())

    def read(self, key: str) -> Record | None:
        """The record of a key, or None; one that does not fit is skipped.

        Metrics that were computed again (``gzsl-bench rescore``) take the place of recorded ones.
        Its files are opened again only where they have changed.
        """
        places = self._places.get(key)
        if places is None:  # paths take longer to be made than files to be looked at
            path = self.layout.cell(key)
            places = path / "record.json", self.layout.rescoring(key)
            self._places[key] = places
        file, rescoring = map(_seen, places)
        known = self._known.get(key)
        if known is None or (known.file, known.rescoring) != (file, rescoring):
            read = self._open(key, self.layout.cell(key))
            known = self._known[key] = _Known(file, rescoring, *read)
        return known.record

    def _open(self, key: str, path: Path) -> tuple[Record | None, str]:
        """A record and which one it is; None where there is none or it is skipped."""
        try:
            raw = (path / "record.json").read_bytes()
            record = parsed(raw, key, path)
        except FileNotFoundError:
            return None, ""
        except (OSError, RecordError) as error:
            skip(path, error)
            return None, ""
        whole = overlaid(self.layout, record, raw) if record.complete else record
        return whole, rescored.fingerprint(raw)

    def learn(self, other: RecordStore) -> None:
        """Take over what another store of this folder has read; what has changed is read again."""
        self._known |= other._known

    def rescore(
        self, record: Record, checkpoints: Sequence[Checkpoint], metrics: Mapping[str, Any]
    ) -> None:
        """Let metrics that were computed again count from now on; the record stays as it is.

        Args:
            record: as it was read here.
            checkpoints: all of them.
            metrics: how to read each metric, and whose version computed it.

        Raises:
            RecordError: the folder cannot be written.
        """
        known = self._known[record.key]
        # In the order in which they will be read: a mirror compares what it shows to the letter.
        ordered = tuple(Checkpoint(c.number, dict(sorted(c.metrics.items()))) for c in checkpoints)
        rescored.write(self.layout, record.key, known.fingerprint, ordered, metrics)
        now = replace(record, checkpoints=ordered, metrics=dict(sorted(metrics.items())))
        seen = _seen(self.layout.rescoring(record.key))
        self._known[record.key] = replace(known, rescoring=seen, record=now)

    def finished(self, key: str) -> bool:
        """Whether a record of the key exists that is final.

        Raises:
            RecordError: a newer version of the program wrote it, so it must not be replaced.
        """
        record = self.read(key)
        if record is None:
            self._refuse_newer(key)
        return record is not None and record.final

    def _refuse_newer(self, key: str) -> None:
        path = self.layout.cell(key)
        try:
            parsed((path / "record.json").read_bytes(), key)
        except OtherVersion as error:
            if error.newer:
                raise RecordError(f"the record {path}: {error}") from None
        except (OSError, RecordError):
            pass

    def __iter__(self) -> Iterator[Record]:
        """All readable records, by key."""
        if self.layout.cells.is_dir():
            for path in sorted(self.layout.cells.iterdir()):
                record = self.read(path.name)
                if record is not None:
                    yield record

    def commit(
        self, record: Record, arrays: Mapping[str, np.ndarray] | None = None, log: str = ""
    ) -> bool:
        """Write a record; returns whether it is the one that counts.

        Args:
            record: what became of a cell.
            arrays: of ``predictions.npz``.
            log: ``log.txt``.

        Raises:
            RecordError: the disk is full, the folder cannot be written, or no record fits in it.
        """
        key = record.key
        try:
            draft = self._draft(record, arrays, masked(log))
        except (OSError, ValueError, TypeError, RecordError) as error:
            raise RecordError(
                f"the record of cell {key} cannot be written to {self.layout.out}: {error}"
            ) from error
        try:
            won = self._move_into_place(key, draft)
        except OSError as error:
            raise RecordError(f"{self.layout.cell(key)} cannot be written: {error}") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        journal.append(
            self.layout.journal,
            "committed" if won else "superseded",
            key=key,
            status=record.status,
        )
        return won

    def _draft(self, record: Record, arrays: Mapping[str, np.ndarray] | None, log: str) -> Path:
        draft = self.layout.draft(self.run, record.key)
        draft.mkdir(parents=True)
        try:
            if arrays is not None:
                with (draft / PREDICTIONS).open("wb") as file:
                    packed.write(file, arrays)
                    _flush(file)
                record = replace(record, predictions_sha256=hash_of(draft / PREDICTIONS))
            with (draft / "log.txt").open("w", encoding="utf-8", errors="replace") as text:
                text.write(log)
                _flush(text)
            with (draft / "record.json").open("wb") as file:
                file.write(record.to_json())
                _flush(file)
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
            with self._alone():
                if self.finished(key):
                    return False
                self._move_aside(key, place)
        raise RecordError(f"{place} is taken and cannot be moved aside")

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Let nobody else move a failure away meanwhile: what was judged is what is moved."""
        place = self.layout.out / ".aside.lock"
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            if locks.take(descriptor, patience=PATIENCE) is False:
                warn(
                    f"another process holds {place} for {PATIENCE:.0f} s and does nothing; failures"
                    " are moved aside all the same"
                )
            yield
        finally:
            os.close(descriptor)

    def _move_aside(self, key: str, place: Path) -> None:
        self.layout.failed.mkdir(parents=True, exist_ok=True)
        for number in range(1, 10_000):
            aside = self.layout.failed / f"{key}-{number}"
            try:
                place.rename(aside)
            except FileNotFoundError:
                return  # somebody else has moved it
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise RecordError(f"{place} cannot be moved aside: {error}") from error
            else:
                # One that was frozen between judging and moving may have got hold of a later one.
                if _is_final(aside, key):
                    with contextlib.suppress(OSError):
                        aside.rename(place)
                return


def _is_final(folder: Path, key: str) -> bool:
    try:
        return parsed((folder / "record.json").read_bytes(), key).final
    except (OSError, RecordError):
        return False


def _seen(path: Path) -> _Seen:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def hash_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    """Flush a folder's entries, so that a rename survives a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
