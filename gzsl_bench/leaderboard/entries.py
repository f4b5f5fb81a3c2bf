"""From the records of a source to entries of the board: one configuration of a method each.

A family of records, those that differ in seed and task alone, is read, checked and turned into rows
by the code that every table uses, and dropped again: memory holds one family's records at a time.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gzsl_bench.errors import RecordError
from gzsl_bench.leaderboard.judged import Judged, count, judge, recomputed
from gzsl_bench.leaderboard.sources import Source
from gzsl_bench.records import strict
from gzsl_bench.records.store import RecordStore
from gzsl_bench.records.submissions import (
    REPRODUCED,
    STATUSES,
    Status,
)
from gzsl_bench.report.samples import with_intervals
from gzsl_bench.results.comparable import SAME
from gzsl_bench.results.rows import HEADINGS, NO_RULE, Row, rows
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.axes import described as placed
from gzsl_bench.scoring.rules import GAMMA, RULES, lead
from gzsl_bench.suite.cells import Cell, digest
from gzsl_bench.suite.resolved import ResolvedSuite


@dataclass(frozen=True)
class Part:
    """One record behind an entry.

    Attributes:
        key: its cell's.
        seed: of the training.
        fold: of the validation, from 1; 0 for the real task.
        status: what is known of it.
        why: a sentence on that, where the repository's check left one.
        sha256: of its ``record.json``.
        rescored: its metrics were computed again later and lie beside it.
        checkpoints: those that rules chose, in words, by rule; of folds none.
        metrics: U, S and H in percent at the checkpoint of the leading rule; of folds none.
        seconds: training and scoring; what a stack took is shared out.
        memory: peak of the process in bytes; None where not recorded.
        trained: when, on what, with which versions, by which program.
    """

    key: str
    seed: int
    fold: int
    status: Status
    why: str
    sha256: str
    rescored: bool
    checkpoints: Mapping[str, str]
    metrics: Mapping[str, float]
    seconds: float
    memory: int | None
    trained: Mapping[str, str]


@dataclass(frozen=True)
class Entry:
    """One configuration of a method on one data content, as one source has it.

    Attributes:
        id: names its page.
        source: the source's name.
        rows: with intervals, by selection rule.
        lead: the rule of its headline: the honest one where its folds are there, else ``last``.
        status: the weakest of its records'.
        reproduced: how many of its trainings were reproduced.
        believed: metrics that nobody computed again.
        parts: its records, those of the real task first.
        about: what the plugin says of the method.
        identity: what fixes the numbers, but for seed and task.
        tests: names the test rows: hash of their labels and classes.
        also: other sources that have the very same records.
    """

    id: str
    source: str
    rows: Mapping[str, Row]
    lead: str
    status: Status
    reproduced: int
    believed: tuple[str, ...]
    parts: tuple[Part, ...]
    about: Mapping[str, Any]
    identity: Mapping[str, Any]
    tests: str
    also: tuple[str, ...] = ()

    @property
    def row(self) -> Row:
        """Its headline."""
        return self.rows[self.lead]

    @property
    def calibrated(self) -> Row | None:
        """Its headline with calibrated scores, where they could be."""
        row = self.rows.get(self.lead + GAMMA)
        return None if row is None or row.unavailable else row

    @property
    def place(self) -> tuple[str, ...]:
        """What entries of one table have in common: data content, features, embedding, setting."""
        return tuple(str(getattr(self.row, name)) for name in SAME)

    @property
    def real(self) -> tuple[Part, ...]:
        """Its trainings on the real task."""
        return tuple(part for part in self.parts if not part.fold)

    @property
    def folds(self) -> tuple[int, ...]:
        """Numbers of the validation folds it has."""
        return tuple(sorted({part.fold for part in self.parts if part.fold}))

    @property
    def seconds(self) -> float:
        """Mean time of one training."""
        return statistics.fmean(part.seconds for part in self.real)

    @property
    def memory(self) -> int | None:
        """The most memory that one of its trainings held, in bytes."""
        return max((part.memory for part in self.real if part.memory), default=None)

    @property
    def same(self) -> frozenset[tuple[str, str]]:
        """Equal for entries that rest on the very same records."""
        return frozenset((part.key, part.sha256) for part in self.parts)


@dataclass(frozen=True)
class Found:
    """What became of some records of a source.

    Attributes:
        entries: of those with numbers.
        left_out: by key, why a record is not shown.
        apart: by reason, how many records stand in no table although nothing is wrong with them.
    """

    entries: tuple[Entry, ...]
    left_out: Mapping[str, str]
    apart: Mapping[str, int]


def families(keys: Sequence[str], folder: Path) -> dict[str, list[str]]:
    """Keys by family; what cannot be read is a family of its own, and its reader says why."""
    store, found = RecordStore(folder), dict[str, list[str]]()
    for key in keys:
        try:
            content = json.loads(strict.plain(store.layout.cell(key) / "record.json"))
            family = Cell("", content["identity"], "", "", "", 0, {}, {}).family
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            family = key
        found.setdefault(family, []).append(key)
    return found


def read(
    source: Source,
    together: Iterable[Sequence[str]],
    known: Mapping[str, Mapping[str, Any]],
    out: Path,
) -> Found:
    """Entries of a source.

    Args:
        source: has the records.
        together: keys of each family.
        known: what its suites keep of their data, by fingerprint.
        out: records that are shown are copied to ``out/SOURCE/KEY.json``.
    """
    entries: list[Entry] = []
    left_out: dict[str, str] = {}
    apart: dict[str, int] = {}
    for keys in together:
        store = RecordStore(source.folder)
        judged = {key: one for key in keys if (one := judge(source, store, key, left_out, apart))}
        results = _results(source, store, judged, known)
        if results is not None:
            judged = recomputed(results, judged, left_out)
            # Of what is left; predictions that are in memory are not read again.
            results = _results(source, store, judged, known, results)
        if results is not None:
            entry = _entry(source, store, judged, results, left_out)
            if entry is not None:
                entries.append(entry)
                _copy(judged, out / source.name)
                continue
        for _ in judged:
            count(apart, "without numbers on the real task")
    return Found(tuple(entries), left_out, apart)


def _results(
    source: Source,
    store: RecordStore,
    judged: Mapping[str, Judged],
    known: Mapping[str, Mapping[str, Any]],
    earlier: Results | None = None,
) -> Results | None:
    """A suite of a family; None where no training on the real task gave numbers."""
    if not any(each.record.complete for each in judged.values()):
        return None
    cells = [each.record.cell for each in judged.values()]
    first = min((c for c in cells if not c.fold), key=lambda c: c.seed, default=None)
    if first is None:
        return None
    # Suites may have called one training by several names.
    cells = [replace(cell, dataset=first.dataset, label=first.label) for cell in cells]
    cells.sort(key=lambda cell: (cell.fold, cell.seed))
    about = known.get(str(first.identity["dataset"]["fingerprint"]))
    suite = ResolvedSuite(
        name=source.name,
        description="",
        selection=tuple(RULES),
        cells=tuple(cells),
        datasets=() if about is None else ({**about, "label": first.dataset},),
        text="",
        calibration=True,
    )
    return Results(suite, store) if earlier is None else earlier.of(suite)


def _entry(
    source: Source,
    store: RecordStore,
    judged: Mapping[str, Judged],
    results: Results,
    left_out: dict[str, str],
) -> Entry | None:
    """The entry of a family; None where no rule gives it numbers."""
    cells = results.suite.cells
    first = cells[0]
    table = [row for row in with_intervals(rows(results), results) if row.selection != NO_RULE]
    by_rule = {row.selection: row for row in table if not row.unavailable}
    order = (lead(tuple(RULES)), "last")
    chosen = next((rule for rule in order if rule in by_rule), None)
    if chosen is None:
        return None
    try:
        tests = _tests(by_rule[chosen], results)
    except RecordError as error:
        left_out |= dict.fromkeys(judged, str(error))
        return None
    parts = tuple(_part(judged[cell.key], cell, by_rule, chosen) for cell in cells)
    statuses = [part.status for part in parts]
    identity = {n: v for n, v in first.identity.items() if n not in ("seed", "task")}
    return Entry(
        id=digest({"source": source.name, "family": first.family})[:12],
        source=source.name,
        rows={row.selection: row for row in table},
        lead=chosen,
        status=_weakest(statuses),
        reproduced=sum(part.status == REPRODUCED for part in parts if not part.fold),
        believed=tuple(sorted(frozenset().union(*(each.believed for each in judged.values())))),
        parts=parts,
        about=first.about,
        identity=identity,
        tests=tests,
    )


def _weakest(statuses: Sequence[Status]) -> Status:
    return max(statuses, key=STATUSES.index)


def _tests(row: Row, results: Results) -> str:
    """Names the test rows of a row's trainings.

    Raises:
        RecordError: they were tested on different ones, or predictions cannot be read.
    """
    found = (results.predictions(k, n[-1]) for k, n in zip(row.keys, row.checkpoints, strict=True))
    names = {
        hashlib.sha256(
            b"|".join(part.tobytes() for part in (each.labels, each.seen, each.unseen))
        ).hexdigest()
        for each in found
    }
    if len(names) > 1:
        raise RecordError("seeds of one configuration were tested on rows with different labels")
    return names.pop()[:16]


def _part(judged: Judged, cell: Cell, by_rule: Mapping[str, Row], chosen: str) -> Part:
    record = judged.record
    about = record.provenance
    numbers: dict[str, int] = {}
    for rule, row in by_rule.items():
        if cell.key in row.keys:
            numbers[rule] = row.checkpoints[row.keys.index(cell.key)][-1]
    metrics = next(
        (c.metrics for c in record.checkpoints if not cell.fold and c.number == numbers[chosen]), {}
    )
    return Part(
        key=cell.key,
        seed=cell.seed,
        fold=cell.fold,
        status=judged.status,
        why=judged.why,
        sha256=hashlib.sha256(judged.raw).hexdigest(),
        rescored=judged.again is not None,
        checkpoints={rule: placed(record.axes, number) for rule, number in numbers.items()},
        metrics={name: metrics[name] for name in HEADINGS if name in metrics},
        seconds=record.seconds_each,
        memory=about.peak_memory,
        trained={
            "started": about.started.date().isoformat(),
            "hardware": _pairs(about.hardware),
            "versions": _pairs(about.versions),
            "program": str(about.program or "unknown"),
            "command": about.command,
        },
    )


def _copy(judged: Mapping[str, Judged], into: Path) -> None:
    """The entry's records as they are, and metrics that were computed again beside them."""
    into.mkdir(parents=True, exist_ok=True)
    for key, each in judged.items():
        (into / f"{key}.json").write_bytes(each.raw)
        if each.again is not None:
            (into / f"{key}-rescored.json").write_bytes(each.again)


def _pairs(content: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in content.items() if value is not None)
