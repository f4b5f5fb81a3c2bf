"""Adding the records of a results folder to a results repository; git is left to the caller."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gzsl_bench.errors import RecordError
from gzsl_bench.hooks.metric import MetricSpec
from gzsl_bench.records.export import MANIFEST, gather
from gzsl_bench.records.recompute import BUILTIN
from gzsl_bench.records.store import RecordStore
from gzsl_bench.records.submissions import Repository, Submission
from gzsl_bench.records.unpacked import ABOUT, Folder, write
from gzsl_bench.records.verify import verify
from gzsl_bench.suite.cells import EXTERNAL
from gzsl_bench.wording import counted

#: Bytes of a file that hosts of git take; GitHub's limit is 100 MiB.
MOST_OF_A_HOST = 100 * 2**20


@dataclass(frozen=True)
class Submitted:
    """What a submission holds now.

    Attributes:
        folder: where it lies.
        records: how many.
        failed: records of failed cells, which are no part of it.
        changed: names of files that were written or removed; none where it was there already.
        large: names of files that many hosts of git refuse.
    """

    folder: Path
    records: int
    failed: int
    changed: tuple[str, ...]
    large: tuple[str, ...]


def submit(
    store: RecordStore,
    repository: Repository,
    name: str,
    *,
    who: str,
    contact: str,
    text: str = "",
    suite: str | None = None,
    metrics: Mapping[str, MetricSpec] = BUILTIN,
) -> Submitted:
    """Write ``submissions/NAME/``; the same records give the same files, whenever.

    Args:
        store: the results folder.
        repository: where to.
        name: of the submission; one that is there may grow.
        who: whose results these are.
        contact: an address that answers.
        text: whatever else is to be said.
        suite: a suite's name or file, if not everything.
        metrics: computed again before anything is written.

    Raises:
        RecordError: something is damaged, contradicts itself or what was submitted before, or was
            made by a program that nobody else can have.
    """
    place = repository.submission(name)
    for _ in Folder(place).members():
        pass  # a link in somebody's repository would have files elsewhere replaced, and removed
    # Outcomes of audits are verdicts, which nobody passes on himself.
    files, done = gather(store, suite, audited=False)
    keys = sorted({name.split("/")[1] for name in files if name.startswith("cells/")})
    problems = [*done.damaged, *verify(store, keys, metrics=metrics).problems]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise RecordError(f"{store.layout.out} cannot be submitted: {problems[0]}{more}")
    found = [record for key in keys if (record := store.read(key)) is not None]
    made = {record.key: record.provenance for record in found}
    changed = [
        record.key
        for record in found
        if record.about["fidelity"] != EXTERNAL  # this program did not train those
        and record.provenance.program is not None
        and record.provenance.program.dirty
    ]
    if changed:
        raise RecordError(
            f"{counted(len(changed), 'record')} ({changed[0]} first) made by a gzsl-bench whose"
            " files differ from its commit, so nobody can make that again: run the suite with a"
            " commit or a release as it is"
        )
    about = Submission.of(made.values(), done.suites, who, contact, text)
    _refuse_other(files, place)
    try:
        written = write(place, {**files, ABOUT: about.to_json()})
    except OSError as error:
        raise RecordError(f"{place} cannot be written: {error.strerror or error}") from None
    large = [n for n in files if (place / n).stat().st_size > MOST_OF_A_HOST]
    return Submitted(place, len(made), done.failed, tuple(written), tuple(large))


def _refuse_other(files: Mapping[str, Path | bytes], place: Path) -> None:
    """A submission may grow; what stands in it is neither replaced nor taken back."""
    try:
        before = json.loads((place / MANIFEST).read_bytes())["files"]
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{place / MANIFEST} cannot be read: {error}") from None
    now = files[MANIFEST]
    assert isinstance(now, bytes)
    ours = json.loads(now)["files"]
    for name, entry in sorted(before.items()):
        if name.startswith("cells/") and ours.get(name) != entry:
            key = name.split("/")[1]
            has = "has other bytes of" if name in ours else "has not"
            raise RecordError(
                f"{place} holds the cell {key}, and the results folder {has} it: choose another"
                " --name for other records, or remove that folder first to replace it"
            )
