"""``python -m benchmarks.leaderboard``: a leaderboard of 100,000 made-up records.

A results repository is written with ten submissions: of each configuration of a method 20 seeds and
three validation folds of ten seeds, of each record five checkpoints of 600 test rows, and what the
repository's checks would have said of it (with ``--unchecked`` nothing, so that the build computes
every metric again itself).  ``gzsl-bench leaderboard build`` is called on it as a user calls it.
Printed are its time, the processor's, the most memory that it and its processes held at once, and
the bytes of what it wrote.  Bars: 300 s and 2 GiB.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from gzsl_bench import markdown
from gzsl_bench.builtin.metrics import gzsl_bench_metrics
from gzsl_bench.executors.processes import held, tree
from gzsl_bench.records.record import Checkpoint, Provenance, Record
from gzsl_bench.records.store import hash_of
from gzsl_bench.records.submissions import (
    RECOMPUTED,
    Checked,
    Repository,
    Submission,
    Verdict,
)
from gzsl_bench.scoring import packed
from gzsl_bench.scoring.evaluate import evaluate
from gzsl_bench.scoring.kept import kept_predictions
from gzsl_bench.suite.cells import Cell, digest, identity
from gzsl_bench.suite.resolved import ResolvedSuite

SEEN, UNSEEN, ROWS, CHECKPOINTS = 50, 10, 600, 5
#: Seeds of the real task, folds, and seeds of each fold: the records of one configuration.
SEEDS, FOLDS, FOLD_SEEDS = 20, 3, 10
EACH = SEEDS + FOLDS * FOLD_SEEDS
SOURCES, DATA = 10, 20
#: Different predictions of each data set, which records share.
DRAWN = 20
SECONDS, BYTES = 300, 2 * 2**30
_METRICS = {spec.name: spec for spec in gzsl_bench_metrics()}


def drawn(data: int, folder: Path) -> list[tuple[bytes, tuple[Checkpoint, ...], str]]:
    """Predictions of one data set: the file, its metrics, its hash."""
    rng = np.random.default_rng(data)
    seen, unseen = np.arange(SEEN), np.arange(SEEN, SEEN + UNSEEN)
    labels = np.concatenate([rng.choice(seen, ROWS // 2), rng.choice(unseen, ROWS // 2)])
    numbers = np.arange(1, CHECKPOINTS + 1)
    found = []
    for _ in range(DRAWN):
        shape = (CHECKPOINTS, ROWS)
        right = rng.random(shape) < rng.uniform(0.2, 0.8)
        old, new = rng.choice(seen, shape), rng.choice(unseen, shape)
        best_seen, best_unseen = rng.random(shape, np.float32), rng.random(shape, np.float32)
        old = np.where(right & (labels < SEEN), labels, old)
        new = np.where(right & (labels >= SEEN), labels, new)
        arrays = {
            "labels": labels, "seen": seen, "unseen": unseen, "checkpoints": numbers,
            "scored": numbers, "predicted": np.where(best_seen >= best_unseen, old, new),
            "predicted_seen": old, "predicted_unseen": new,
            "best_seen": best_seen, "best_unseen": best_unseen,
        }  # fmt: skip
        with (folder / "drawn.npz").open("wb") as file:
            packed.write(file, arrays)
        rows = tuple(
            Checkpoint(int(n), evaluate(kept_predictions(arrays, int(n)), _METRICS))
            for n in numbers
        )
        raw = (folder / "drawn.npz").read_bytes()
        found.append((raw, rows, hash_of(folder / "drawn.npz")))
    return found


def cells(source: int, data: int, method: int) -> list[Cell]:
    """All cells of one configuration."""
    tasks: list[tuple[str | Mapping[str, Any], int]] = [("real", seed) for seed in range(SEEDS)]
    for fold in range(1, FOLDS + 1):
        folded = {"fold": fold, "content": f"{data}-{fold}", "code": 1}
        tasks += [(folded, seed) for seed in range(FOLD_SEEDS)]
    made = []
    for task, seed in tasks:
        described = identity(
            dataset={"fingerprint": f"{data:016x}", "trainval_order": "", "features": "res101",
                     "attributes": "att"},
            preprocessing="minmax", setting="inductive", seed=seed, precision="float32",
            method={"name": f"m{method}", "version": "1", "source": "0" * 16,
                    "config": {"lr": 0.001, "epochs": 50, "hidden": 1024, "lab": source}},
            task=task,
        )  # fmt: skip
        made.append(
            Cell(
                digest(described), described, f"set {data}", f"m{method}", f"Method {method}",
                seed, {"use": f"set {data}", "features": "res101", "attributes": "att"},
                {"fidelity": "paper", "citation": "Nobody et al., Nothing, CVPR 2022"},
            )
        )  # fmt: skip
    return made


def write(root: Path, records: int, checked: bool) -> Path:
    """A results repository with about so many records."""
    wanted = -(-records // EACH)
    files = [drawn(data, root) for data in range(DATA)]
    metrics = {name: spec.about() for name, spec in _METRICS.items()}
    trained = Provenance(datetime(2026, 1, 1, tzinfo=UTC), 10.0, peak_memory=2**29)
    repository = root / "repository"
    clone = Repository.create(repository)
    for source in range(SOURCES):
        out = repository / "submissions" / f"lab-{source}"
        mine: list[Cell] = []
        said: dict[str, Verdict] = {}
        for number in range(source, wanted, SOURCES):
            data, method = number // SOURCES % DATA, number // (SOURCES * DATA)
            made = cells(source, data, method)
            for cell in made:
                raw, rows, sha256 = files[data][int(cell.key, 16) % DRAWN]
                record = Record.of(cell, "complete", trained, checkpoints=rows, metrics=metrics)
                written = replace(record, predictions_sha256=sha256).to_json()
                place = out / "cells" / cell.key
                place.mkdir(parents=True)
                (place / "predictions.npz").write_bytes(raw)
                (place / "record.json").write_bytes(written)
                hashed = hashlib.sha256(written).hexdigest()
                said[cell.key] = Verdict(RECOMPUTED, record_sha256=hashed)
            mine += made
        suite = ResolvedSuite("made-up", "", ("val", "best_test"), tuple(mine), (), "")
        (out / "suites").mkdir()
        (out / "suites" / "made-up.json").write_text(json.dumps(suite.to_json()))
        about = Submission(f"Lab {source}", "https://example.org", len(mine), "2026-01-01", (), ())
        (out / "submission.json").write_bytes(about.to_json())
        if checked:
            clone.write_checked(f"lab-{source}", Checked(said))
        print(f"{source + 1} of {SOURCES} submissions written", file=sys.stderr)
    return repository


def build(repository: Path, site: Path) -> tuple[float, float, int]:
    """Seconds on the clock and of the processor, and the most bytes that were held at once."""
    options = ["leaderboard", "build", str(repository), "--out", str(site)]
    began, most = time.monotonic(), 0
    command = [sys.executable, "-m", "gzsl_bench", *options]
    with subprocess.Popen(command, stdout=sys.stderr) as process:
        while process.poll() is None:
            most = max(most, held(tree(process.pid)))
            time.sleep(0.2)
    if process.returncode:
        raise SystemExit(f"the command ended with exit code {process.returncode}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - began, used.ru_utime + used.ru_stime, most


def main() -> None:
    """Write the records, build the site, print what it took."""
    parser = argparse.ArgumentParser(prog="benchmarks.leaderboard")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--at", type=Path, help="folder to work in [default: a temporary one]")
    parser.add_argument("--unchecked", action="store_true", help="compute metrics again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gzsl-bench-board-", dir=options.at) as folder:
        root = Path(folder)
        repository = write(root, options.records, not options.unchecked)
        site = root / "site"
        seconds, used, most = build(repository, site)
        pages = [*site.glob("*.*"), *site.glob("tables/*")]
        sizes = [path.stat().st_size for path in pages]
        entries = sum(1 for _ in site.glob("entries/*"))
        count = sum(1 for _ in site.glob("records/*/*.json"))
        rows = [
            ["records", str(count)],
            ["entries", str(entries)],
            ["seconds", f"{seconds:.0f} (bar: {SECONDS})"],
            ["processor seconds", f"{used:.0f}"],
            ["most memory", f"{most / 2**20:.0f} MiB (bar: {BYTES / 2**20:.0f})"],
            ["pages without entries and records", f"{sum(sizes) / 1e6:.2f} MB"],
            ["of that, the largest", f"{max(sizes) / 1e6:.2f} MB"],
        ]
        # Before hundreds of thousands of files are removed again.
        print(markdown.table(["what", "how much"], rows), flush=True)


if __name__ == "__main__":
    main()
