"""Predictions that were made elsewhere as cells with records, like those that were trained here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gzsl_bench.engine.outside.question import questions
from gzsl_bench.engine.outside.sheet import Sheet, read_sheet
from gzsl_bench.engine.sink import CellSink
from gzsl_bench.errors import DataError, SuiteError
from gzsl_bench.hooks.manager import Registry
from gzsl_bench.records.record import COMPLETE, Provenance, Record
from gzsl_bench.scoring import predict
from gzsl_bench.scoring.evaluate import about_metrics
from gzsl_bench.suite.cells import EXTERNAL, IDENTITY_VERSION, REAL, Cell, digest
from gzsl_bench.suite.datasets import Found
from gzsl_bench.suite.load import LoadedSuite
from gzsl_bench.suite.resolved import ResolvedSuite

#: Hex digits of the digest of all answers of a method to one data set.
_SOURCE = 16


@dataclass(frozen=True)
class Outsider:
    """What is said of a method that was trained elsewhere.

    Attributes:
        label: what tables call it.
        citation: its publication, in one line.
        version: of its code.
        setting: ``inductive``, or ``transductive`` where it has seen test features.
    """

    label: str
    citation: str = ""
    version: str = EXTERNAL
    setting: str = "inductive"


@dataclass(frozen=True, eq=False)
class Scored:
    """A record to be, with its predictions."""

    record: Record
    arrays: dict[str, np.ndarray]


def scored(
    files: Sequence[Path],
    found: Sequence[Found],
    outsider: Outsider,
    registry: Registry,
    provenance: Provenance,
    dataset: str | None = None,
    fold: int = 0,
) -> tuple[list[Cell], list[Scored]]:
    """Check files and compute their metrics; nothing is written.

    Args:
        files: of one method; a seed of the real task or of a fold each.
        found: the data sets they may be about.
        outsider: the method.
        registry: has the metrics.
        provenance: of the scoring.
        dataset: whose real task, or ``fold``, files answer that do not say so themselves.
        fold: of that.

    Raises:
        DataError: a file does not fit its task, or two files answer the same.
    """
    asked = [question for each in found for question in questions(each)]
    sheets = [read_sheet(path, asked, dataset, fold) for path in files]
    places: dict[tuple[str, int], Path] = {}
    for path, sheet in zip(files, sheets, strict=True):
        place = sheet.question.name, sheet.seed
        if place in places:
            raise DataError(
                f"{path} and {places[place]} both answer {sheet.question.title} with seed"
                f" {sheet.seed}; give each training a seed of its own"
            )
        places[place] = path
    cells, records = [], []
    for each in found:
        mine = [s for s in sheets if s.question.dataset == each.entry.name]
        together = hashlib.sha256("\n".join(sorted(s.digest for s in mine)).encode()).hexdigest()
        for sheet in mine:
            cell = _cell(sheet, each, outsider, together[:_SOURCE])
            cells.append(cell)
            records.append(_record(cell, sheet, registry, provenance))
    return cells, records


def suite_with(loaded: LoadedSuite, found: Sequence[Found], cells: Sequence[Cell]) -> ResolvedSuite:
    """The suite with these cells alone, to be merged with what the folder remembers of it.

    Raises:
        SuiteError: the suite has a method of that label.
    """
    labels = {entry.name for entry in loaded.suite.methods}
    for cell in cells:
        if cell.label in labels:
            raise SuiteError(
                f"{loaded.file.path} has a method called {cell.label!r} of its own; choose another"
                " label for --method"
            )
    return ResolvedSuite(
        name=loaded.suite.name,
        description=loaded.suite.description,
        selection=tuple(loaded.suite.selection),
        cells=tuple(cells),
        datasets=tuple(each.describe() for each in found),
        text=loaded.file.text,
        calibration=loaded.suite.calibration,
    )


def _cell(sheet: Sheet, found: Found, outsider: Outsider, source: str) -> Cell:
    folds = {fold.number: fold for fold in found.folds}
    number = sheet.question.fold
    described: dict[str, Any] = {
        "identity_version": IDENTITY_VERSION,
        "dataset": found.identity(),
        "preprocessing": EXTERNAL,
        "setting": outsider.setting,
        "task": folds[number].describe() if number else REAL,
        "method": {
            "name": outsider.label,
            "version": outsider.version,
            "source": source,
            "config": {},
        },
        "seed": sheet.seed,
        "precision": "float32",
        "code": {"predictions": predict.NUMERICS},
    }
    return Cell(
        key=digest(described),
        identity=described,
        dataset=found.entry.name,
        method=outsider.label,
        label=outsider.label,
        seed=sheet.seed,
        request={
            "use": found.asked.name,
            "features": found.asked.features,
            "attributes": found.asked.attributes,
        },
        about={"fidelity": EXTERNAL, "citation": outsider.citation or None},
    )


def _given(scores: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """A scorer that looks nothing up: rows are shown in the order of the scores."""
    return scores


def _record(cell: Cell, sheet: Sheet, registry: Registry, provenance: Provenance) -> Scored:
    question = sheet.question
    rows = len(question.images)
    tests = predict.TestSet(
        torch.zeros(rows, 1), question.labels, question.seen, question.unseen, torch.arange(rows)
    )
    metrics = {n: m for n, m in registry.metrics.items() if sheet.scored or not m.needs_scores}
    sink = CellSink(tests, metrics, lambda done, total: None, lambda: None)
    for index, number in enumerate(sheet.numbers):
        scores = torch.from_numpy(np.ascontiguousarray(sheet.scores(index)))
        sink.checkpoint(number, partial(_given, scores))
    arrays = sink.arrays()
    for index in range(len(sheet.numbers)):
        if count := sheet.contradicted(index, arrays["predicted"][index]):
            raise DataError(
                f"the predictions for {question.title} contradict themselves: of {count} rows"
                " `predicted` is not the better one of `predicted_seen` and `predicted_unseen`"
            )
    if not sheet.scored:
        none = np.zeros((0, rows), dtype=np.float32)
        arrays |= {"scored": arrays["scored"][:0], "best_seen": none, "best_unseen": none}
    record = Record.of(
        cell,
        COMPLETE,
        replace(provenance, trained=(cell.key,)),
        checkpoints=sink.rows,
        axes=sheet.axes,
        metrics=about_metrics(registry),
    )
    return Scored(record, arrays)
