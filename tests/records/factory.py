"""Cells and records made by hand: no data, no training.  Imported as ``records_factory``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from gzsl_bench.records.record import Checkpoint, Provenance, Record
from gzsl_bench.records.store import RecordStore, hash_of
from gzsl_bench.suite.cells import Cell, digest, identity

ROW = {"number": 1, "metrics": {"harmonic_mean": 50.25}}
_PROVENANCE = (
    "seconds", "peak_memory", "versions", "hardware", "command", "program", "started_in",
    "trained", "unit",
)  # fmt: skip


def make_cell(seed: int = 0, label: str = "M", dataset: str = "D", **config: Any) -> Cell:
    """A cell of the method ``m``."""
    described = identity(
        dataset={
            "fingerprint": f"fp-{dataset}", "trainval_order": "", "features": "res101",
            "attributes": "att",
        },
        preprocessing="minmax", setting="inductive",
        method={"name": "m", "version": "1", "source": "0", "config": {"who": label, **config}},
        seed=seed, precision="float32",
    )  # fmt: skip
    return Cell(
        digest(described), described, dataset, "m", label, seed,
        {"use": dataset, "features": "res101", "attributes": "att"}, {"fidelity": "paper"},
    )  # fmt: skip


def made(cell: Cell, status: str = "complete", **fields: Any) -> Record:
    """A record of a cell; a complete one has a checkpoint if none are given.

    Args:
        cell: what it is of.
        status: what became of it.
        fields: checkpoints as mappings, curves, cause, and whatever a Provenance takes.
    """
    started = datetime.fromisoformat(fields.pop("started", "2026-05-01T10:00:00+00:00"))
    about = {name: fields.pop(name) for name in _PROVENANCE if name in fields}
    rows = fields.pop("checkpoints", None) or ([ROW] if status == "complete" else [])
    return Record.of(
        cell,
        status,
        Provenance(started, **{"seconds": 1.0, **about}),
        checkpoints=[Checkpoint(row["number"], row["metrics"]) for row in rows],
        **fields,
    )


def commit(
    store: RecordStore,
    cell: Cell,
    content: Mapping[str, Any] | None = None,
    arrays: Mapping[str, np.ndarray] | None = None,
    log: str = "",
) -> bool:
    """Commit :func:`made` of what ``content`` says; whether it counts."""
    return store.commit(made(cell, **(content or {})), arrays, log)


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a ``record.json`` by hand."""
    content = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    change(content)
    (folder / "record.json").write_text(json.dumps(content), encoding="utf-8")


def put_predictions(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Give a record other predictions, as whoever forges one would: with the right hash."""
    with (folder / "predictions.npz").open("wb") as file:
        np.savez_compressed(file, **arrays)
    hashed = hash_of(folder / "predictions.npz")
    edit(folder, lambda content: content.update(predictions_sha256=hashed))
