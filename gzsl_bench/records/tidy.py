"""What runs leave behind, and clearing it away; never a record that counts.

A run that begins or ends alone clears what nobody can need: drafts and signs of life of runs that
are gone, and every lease, since nobody is there to hold one.  ``gzsl-bench records gc`` does the
same after runs that were killed, and clears, if asked, earlier failures of cells tried again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gzsl_bench.atomic import is_draft
from gzsl_bench.errors import RecordError
from gzsl_bench.records import journal
from gzsl_bench.records.audits import AuditStore
from gzsl_bench.records.folderlock import FolderLock
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.leases import AUDIT, lease_files
from gzsl_bench.records.presence import Presence
from gzsl_bench.records.store import RecordStore

DRAFT, RUN, LEASE, FAILURE = "draft", "lost run", "lease", "earlier failure"


@dataclass(frozen=True)
class Leftover:
    """Something that may go.

    Attributes:
        kind: what it is.
        path: the file or folder.
        size: its bytes.
    """

    kind: str
    path: Path
    size: int


def sweep(presence: Presence) -> None:
    """Clear what a run that is alone needs not keep; call only while holding the folder's lock."""
    if not presence.alone():
        return
    layout = presence.layout
    # Leases of unfinished cells, too: none says as well as one given back that a cell is free.
    gone = [*_drafts(presence), *presence.lost(), *(path for _, path in lease_files(layout))]
    for path in gone:
        _remove(path)
    for folder in (layout.scratch, layout.leases):
        with contextlib.suppress(OSError):  # what is not empty stays
            folder.rmdir()


def leftovers(layout: Layout, *, failed: bool = False) -> list[Leftover]:
    """What ``gc`` would remove at this moment.

    Args:
        layout: the results folder.
        failed: earlier failures of cells that were tried again, too.
    """
    presence = Presence(layout)
    alone = presence.alone()
    found = [(DRAFT, path) for path in _drafts(presence)]
    found += [(RUN, path) for path in presence.lost()]
    done = _settled(layout)
    found += [(LEASE, path) for name, path in lease_files(layout) if alone or done(name)]
    if failed and layout.failed.is_dir():
        found += [(FAILURE, path) for path in sorted(layout.failed.iterdir())]
    return [Leftover(kind, path, _size(path)) for kind, path in found]


def collect(layout: Layout, *, failed: bool = False) -> list[Leftover]:
    """Remove the leftovers; what was removed.

    Raises:
        RecordError: a run is at work in the folder, or it cannot be written.
    """
    lock = FolderLock(layout.lock)
    try:
        alone = lock.exclusive() and not Presence(layout).others()
    except OSError as error:
        raise RecordError(f"the results folder {layout.out} cannot be written: {error}") from None
    try:
        if not alone:
            raise RecordError(
                f"a run is at work in the results folder {layout.out}, or was on another machine"
                " until a moment ago; gc waits for nobody: try again when it has ended"
            )
        found = leftovers(layout, failed=failed)
        gone = [entry for entry in found if _remove(entry.path)]
        journal.append(layout.journal, "collected", removed=len(gone))
        return gone
    finally:
        lock.release()


def _settled(layout: Layout) -> Callable[[str], bool]:
    """Whether nobody will ever need a lease of that name again."""
    store, audits = RecordStore(layout.out), AuditStore(layout.out)

    def settled(name: str) -> bool:
        if name.startswith(AUDIT):
            return audits.settled(name.removeprefix(AUDIT))
        try:
            return store.finished(name)
        except RecordError:  # of a newer version: it is there
            return True

    return settled


def _drafts(presence: Presence) -> Iterator[Path]:
    """Drafts whose run is gone, and single files that were being written."""
    layout = presence.layout
    if layout.scratch.is_dir():
        for path in sorted(layout.scratch.iterdir()):
            owner = path.name.partition(".")[0]
            if presence.look(owner) is None:
                yield path
    places = (layout.suite("x"), layout.unit("x"), layout.latents("x"))
    for folder in (layout.rescored, layout.audits, *(place.parent for place in places)):
        if folder.is_dir():
            yield from sorted(p for p in folder.iterdir() if is_draft(p))


def _remove(path: Path) -> bool:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError:
        return False
    return True


def _size(path: Path) -> int:
    if path.is_symlink() or not path.is_dir():
        files = [path]
    else:
        files = [Path(folder, name) for folder, _, names in os.walk(path) for name in names]
    total = 0
    for file in files:
        with contextlib.suppress(OSError):
            total += file.lstat().st_size
    return total
