"""A submission checked: nothing that it says of itself is believed, and each record gets a verdict.

It is merged into an empty results folder, as ``records import`` would take it: names, hashes, keys
and every metric.  What is left over is compared with the data and the plugins of this machine and
with each other, and some of it is trained again.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from gzsl_bench.engine.again import reproduce, rounds_otherwise
from gzsl_bench.engine.program import program
from gzsl_bench.errors import RecordError, in_one_line
from gzsl_bench.records import imported
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.merge import merge
from gzsl_bench.records.record import parsed
from gzsl_bench.records.store import RecordStore
from gzsl_bench.records.submissions import (
    AS_SUBMITTED,
    NOT_REPRODUCED,
    RECOMPUTED,
    REFUSED,
    REPRODUCED,
    Checked,
    Repository,
    Status,
    Submission,
    Verdict,
    fingerprints,
)
from gzsl_bench.records.verify import KEY, checked
from gzsl_bench.submissions.match import (
    DataHere,
    NotHere,
    refuse_other_data,
    refuse_other_name,
    why_not_trainable,
)

if TYPE_CHECKING:
    from gzsl_bench.engine.worker import Worker
    from gzsl_bench.records.record import Provenance, Record

#: No two seeds share so large a part of their best scores, unless the seed changes nothing.
_MOST_SHARED = 0.5
#: Signs of a sentence.
_LONGEST = 1000
#: Of fewer distinct scores nothing is concluded.
_FEWEST = 20
#: No machine trains so many times faster than another.
_FASTEST = 1000.0


@dataclass(frozen=True)
class Retraining:
    """What is trained again.

    Attributes:
        seeds: how many of each row of a table: of a data set, method, configuration and fold.
        limit: seconds that a training may take; it is given up when it next reports progress.
        tell: told what is about to be trained.
    """

    seeds: int = 0
    limit: float | None = None
    tell: Callable[[str], None] = lambda text: None


@dataclass
class _Draft:
    """A record on its way to a verdict."""

    record: Record
    digest: str = ""
    scores: np.ndarray = field(default_factory=lambda: np.empty(0))
    status: Status = RECOMPUTED
    said: str = ""
    seconds: float | None = None
    trainable: bool = False


def check(
    repository: Repository,
    name: str,
    worker: Worker,
    retraining: Retraining | None = None,
    known: Mapping[str, tuple[str, str]] | None = None,
) -> Checked:
    """Check one submission; nothing is written.

    Args:
        repository: the results repository.
        name: of the submission.
        worker: with the plugins and the data; its results folder is not used.
        retraining: what is trained again; nothing, if not given.
        known: by digest of predictions, the method that gave them and where
            (:func:`predictions_of`).
    """
    with TemporaryDirectory(prefix="gzsl-bench-check-") as scratch:
        store = RecordStore(Path(scratch))
        try:
            about = repository.about(name)
            merged = merge(store, repository.submission(name), worker.registry.metrics)
        except RecordError as error:
            return _refused(repository, name, plain(str(error)))
        check = _Check(name, store, worker, retraining or Retraining(), known or {})
        for place, sentence in (line.split(": ", 1) for line in merged.refused):
            check.refuse(place, sentence)
        check.look_at_records()
        check.look_at_each_other()
        check.train_again()
        suites = (place.stem for place in repository.submission(name).glob("suites/*.json"))
        claimed = "" if merged.refused else _claims(about, check.provenances, suites)
        loose = [*check.loose, *([claimed] if claimed else ())]
        found = dict(check.verdicts(repository))
        return Checked(found, tuple(map(plain, loose)), str(program()))


def _refused(repository: Repository, name: str, why: str) -> Checked:
    """A submission that is refused with all that lies in it."""
    layout = Layout(repository.submission(name))
    keys = (place.name for place in layout.cells.glob("*") if KEY.fullmatch(place.name))
    found = {key: Verdict(REFUSED, why, *fingerprints(layout, key)) for key in sorted(keys)}
    return Checked(found, (why,), str(program()))


def predictions_of(name: str, found: Checked) -> dict[str, tuple[str, str]]:
    """Whose predictions a check saw in the submission ``name``: digest -> method, and where."""
    return {
        verdict.predictions: (verdict.method, f"{name}/{key}")
        for key, verdict in found.records.items()
        if verdict.predictions is not None
    }


def _claims(about: Submission, found: Iterable[Provenance], suites: Iterable[str]) -> str:
    """What ``submission.json`` says that the records do not."""
    true = Submission.of(found, suites, about.who, about.contact, about.text)
    for what in ("records", "when", "programs", "suites"):
        said, is_so = getattr(about, what), getattr(true, what)
        if said != is_so:
            return f"submission.json says {what} {said!r}, and it is {is_so!r}"
    return ""


@dataclass
class _Check:
    """One submission being checked, in a results folder of its own."""

    name: str
    store: RecordStore
    worker: Worker
    retraining: Retraining
    known: Mapping[str, tuple[str, str]]
    refused: dict[str, str] = field(default_factory=dict)
    loose: list[str] = field(default_factory=list)
    drafts: dict[str, _Draft] = field(default_factory=dict)
    provenances: list[Provenance] = field(default_factory=list)

    def refuse(self, place: str, sentence: str) -> None:
        """Something in the submission is not what it should be: a record, or what lies beside."""
        part, _, rest = place.partition("/")
        if part == "suites":
            self.loose.append(f"{place}: {sentence}")
        else:
            key = rest.removesuffix(".json")
            self.refused.setdefault(key, sentence if part == "cells" else f"{place}: {sentence}")
            self.drafts.pop(key, None)

    def look_at_records(self) -> None:
        """Compare each record with the data and the plugins of this machine."""
        layout, data = self.store.layout, DataHere(self.worker.registry, self.worker.settings)
        for path in layout.audits.glob("*.json"):
            self.refuse(f"audits/{path.name}", "audits of others count for nothing")
        places: list[tuple[list[tuple[str, str]], Path]] = []
        for path in layout.cells.iterdir() if layout.cells.is_dir() else ():
            record = parsed((path / "record.json").read_bytes(), path.name)
            self.provenances.append(record.provenance)
            places.append((sorted(record.request.items()), path))
        believed = imported.believed(layout, [path.name for _, path in places])
        for _, path in sorted(places):  # by data set
            if path.name not in self.refused:
                try:
                    draft = self._look_at(checked(path), data, believed.get(path.name, ()))
                except RecordError as error:
                    self.refuse(f"cells/{path.name}", str(error))
                else:
                    self.drafts[path.name] = draft

    def _look_at(self, record: Record, data: DataHere, believed: Iterable[str]) -> _Draft:
        if not record.complete:
            return _Draft(_light(record), status=AS_SUBMITTED, said=f"no numbers: {record.cause}")
        refuse_other_name(record, self.worker.registry)
        arrays = record.predictions()
        draft = _Draft(_light(record), _digest(arrays), _distinct(arrays))
        try:
            found = data.found(record)
        except NotHere as error:
            draft.status, draft.said = AS_SUBMITTED, str(error)
            return draft
        refuse_other_data(record, found)
        here = self.worker.settings.device
        draft.said = why_not_trainable(record, found, self.worker.registry, here)
        draft.trainable = not draft.said
        if names := ", ".join(sorted(believed)):
            draft.status = AS_SUBMITTED
            draft.said = f"not computed again, for they are of other plugins than here: {names}"
        return draft

    def look_at_each_other(self) -> None:
        """Seeds are trainings of their own, and predictions belong to one method."""
        for group in self._groups():
            for index, one in enumerate(group):
                for other in group[:index]:
                    # Of a method that says it is deterministic there is one seed.
                    if one.digest == other.digest or _shared(one, other) > _MOST_SHARED:
                        said = (
                            f"seeds {other.record.seed} and {one.record.seed} have the same scores:"
                            " one was copied, or the method does not say that it is deterministic"
                        )
                        self.refuse(f"cells/{one.record.key}", said)
                        self.refuse(f"cells/{other.record.key}", said)
        seen = dict(self.known)
        for key, draft in sorted(self.drafts.items()):
            if not draft.digest:
                continue
            method, where = seen.setdefault(
                draft.digest, (draft.record.method, f"{self.name}/{key}")
            )
            if method != draft.record.method:
                said = f"its predictions are, to the last score, those of {method!r} in {where}"
                draft.said = "; ".join(filter(None, (said, draft.said)))

    def _groups(self) -> list[list[_Draft]]:
        """Records that differ in the seed alone."""
        found: dict[str, list[_Draft]] = {}
        for draft in self.drafts.values():
            if draft.record.complete:
                found.setdefault(draft.record.cell.group, []).append(draft)
        return [sorted(group, key=lambda draft: draft.record.seed) for group in found.values()]

    def train_again(self) -> None:
        """Train some seeds of each row again."""
        together = "".join(sorted(one.digest for one in self.drafts.values()))

        def lot(draft: _Draft) -> str:
            """Which seed comes first: whoever changes one record draws anew."""
            return hashlib.sha256(f"{together} {draft.record.key}".encode()).hexdigest()

        for group in self._groups():
            able = [one for one in group if one.trainable and one.status == RECOMPUTED]
            able.sort(key=lot)
            tried, rest = able[: self.retraining.seeds], able[self.retraining.seeds :]
            for draft in tried:
                self._train(draft)
            if any(draft.status == NOT_REPRODUCED for draft in tried):
                for draft in rest:
                    draft.said = "another seed of this row was trained again and came out otherwise"

    def _train(self, draft: _Draft) -> None:
        limit = self.retraining.limit
        record = checked(self.store.layout.cell(draft.record.key))
        self.retraining.tell(plain(record.cell.title))
        started = time.monotonic()

        def hurry(done: int, total: int) -> None:
            if limit is not None and time.monotonic() - started > limit:
                raise RecordError(f"it takes longer than {limit:g} s")

        try:
            self.worker.bench(record.cell)  # reading the data is no part of a training
            started = time.monotonic()
            found = reproduce(self.worker, record, hurry)
        except Exception as error:  # plugins fail as they like
            draft.said = f"it could not be trained again: {in_one_line(error)}"
            return
        took = time.monotonic() - started
        draft.seconds = float(f"{took:.2g}")
        if not found.same_predictions or not found.rounded:
            draft.said = f"trained again here, it {found.words}"
            if why := rounds_otherwise(record, self.worker.settings.device):
                draft.said += f"; {why}"
            else:
                draft.status = NOT_REPRODUCED
        elif record.provenance.seconds * _FASTEST < took:
            said = f"it took {took:.2g} s here, and {record.provenance.seconds:g} s are recorded"
            self.refuse(f"cells/{record.key}", said)
        else:
            draft.status, draft.said = REPRODUCED, ""

    def verdicts(self, repository: Repository) -> Iterator[tuple[str, Verdict]]:
        """What was found of each record, by key."""
        layout = Layout(repository.submission(self.name))
        for key in sorted({*self.drafts, *self.refused}):
            record, rescored = fingerprints(layout, key)
            draft = self.drafts.get(key)
            if draft is None:
                yield key, Verdict(REFUSED, plain(self.refused[key]), record, rescored)
            else:
                yield key, Verdict(
                    draft.status, plain(draft.said), record, rescored,
                    draft.digest or None, draft.record.method, draft.seconds,
                )  # fmt: skip


def plain(text: str) -> str:
    """A sentence that quotes what somebody else wrote: nothing that a terminal or a log obeys."""
    shown = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."


def _light(record: Record) -> Record:
    """A record without its numbers: those of thousands would fill the memory."""
    return replace(record, checkpoints=(), curves={}, traceback="")


def _distinct(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Ascending scores of the last checkpoint that no two rows have: no ties, nothing saturated."""
    if not arrays["scored"].size:
        return np.empty(0)
    last = np.concatenate([arrays["best_seen"][-1], arrays["best_unseen"][-1]])
    values, counts = np.unique(last.astype(np.float32), return_counts=True)
    found: np.ndarray = values[counts == 1]
    return found


def _shared(one: _Draft, other: _Draft) -> float:
    """The part of their distinct scores that two trainings have in common."""
    least = min(one.scores.size, other.scores.size)
    both = np.intersect1d(one.scores, other.scores, assume_unique=True)
    return both.size / least if least >= _FEWEST else 0.0


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Digest of classes and scores at all checkpoints, whatever the types they are kept as."""
    hashed = hashlib.sha256()
    for name, kind in (("predicted", "<i8"), ("best_seen", "<f8"), ("best_unseen", "<f8")):
        hashed.update(f"{name} {arrays[name].shape}".encode())
        hashed.update(np.ascontiguousarray(arrays[name], dtype=kind).data)
    return hashed.hexdigest()
