"""Names of files in a results folder.

<out>/cells/<key>/{record.json, predictions.npz, log.txt}    finished and failed cells
<out>/rescored/<key>.json                                    metrics computed again, beside them
<out>/imported/<key>.json                                    which records came from elsewhere
<out>/failed/<key>-<n>/                                      earlier failures of a retried cell
<out>/audits/<key>.json                                      outcomes of audits
<out>/latents/<key>.npz                                      what `visualize` draws of a cell
<out>/models/<key>.safetensors                               a cell's chosen checkpoint
<out>/units/<name>.json                                      how units were divided to fit
<out>/suites/<name>.json                                     suites as they were resolved
<out>/suites/<name>~<hash>.json                              others that have run under that name
<out>/suites/<name>-tuned.yaml                               what `tune` chose, as a suite to run
<out>/suites/<name>.yaml                                     what options of `run` stand for
<out>/runs/<id>.json, <id>.lost                              runs at work, and those that died
<out>/leases/<key>.<n>                                       which of them trains a cell
<out>/journal.jsonl                                          what happened, append-only
<out>/mlflow.db, <out>/mlartifacts/                          the default MLflow store
<out>/mirrored/<name>.sha256                                 what that store was last given
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

#: Owner of drafts that no run writes.
NOBODY = "none"


@dataclass(frozen=True)
class Layout:
    """Paths within the results folder ``out``."""

    out: Path

    @property
    def cells(self) -> Path:
        """One folder per cell that finished or failed."""
        return self.out / "cells"

    def rescoring(self, key: str) -> Path:
        """Metrics of a cell that were computed again."""
        return self.rescored / f"{key}.json"

    @property
    def rescored(self) -> Path:
        """Metrics computed again, one file per cell."""
        return self.out / "rescored"

    def imported(self, key: str) -> Path:
        """Where a record came from, if not from a training here."""
        return self.out / "imported" / f"{key}.json"

    @property
    def failed(self) -> Path:
        """Failures of cells that were tried again."""
        return self.out / "failed"

    @property
    def audits(self) -> Path:
        """Outcomes of audits, one file per audited cell."""
        return self.out / "audits"

    def latents(self, key: str) -> Path:
        """What can be drawn of a cell's latent space."""
        return self.out / "latents" / f"{key}.npz"

    def model(self, key: str) -> Path:
        """The model of a cell's chosen checkpoint."""
        return self.out / "models" / f"{key}.safetensors"

    @property
    def scratch(self) -> Path:
        """Records being written; on the same file system, so that a rename is atomic."""
        return self.out / "tmp"

    def draft(self, run: str, name: str) -> Path:
        """A place of its own for something that the run ``run`` writes."""
        return self.scratch / f"{run or NOBODY}.{name}-{uuid.uuid4().hex[:12]}"

    @property
    def runs(self) -> Path:
        """Signs of life of the runs at work."""
        return self.out / "runs"

    @property
    def leases(self) -> Path:
        """Which run trains what."""
        return self.out / "leases"

    @property
    def journal(self) -> Path:
        """The append-only log of what happened."""
        return self.out / "journal.jsonl"

    @property
    def lock(self) -> Path:
        """Held, together, by the runs that use the folder."""
        return self.out / ".lock"

    @property
    def tracking_store(self) -> str:
        """URI of the default MLflow store."""
        return f"sqlite:///{(self.out / 'mlflow.db').resolve()}"

    @property
    def artifacts(self) -> Path:
        """Artifacts of the default MLflow store."""
        return self.out.resolve() / "mlartifacts"

    def mirrored(self, name: str) -> Path:
        """What a store was last given of the suite ``name``."""
        return self.out / "mirrored" / f"{name}.sha256"

    def suite(self, name: str) -> Path:
        """The resolved suite ``name``."""
        return self.out / "suites" / f"{name}.json"

    def composed(self, name: str) -> Path:
        """The suite that options of ``run`` stand for."""
        return self.out / "suites" / f"{name}.yaml"

    def tuned(self, name: str) -> Path:
        """The suite with the values that were chosen for the suite ``name``."""
        return self.out / "suites" / f"{name}-tuned.yaml"

    def unit(self, name: str) -> Path:
        """How the unit ``name`` was divided into stacks."""
        return self.out / "units" / f"{name}.json"

    def cell(self, key: str) -> Path:
        """The record folder of a cell."""
        return self.cells / key
