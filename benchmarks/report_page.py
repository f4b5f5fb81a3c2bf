"""``python -m benchmarks.report_page``: how long a report of a large suite takes, and its size.

Records are made up (true numbers of test rows and classes, random scores) and committed as a run
would commit them; what is timed is ``gzsl-bench report`` on them.
"""

from __future__ import annotations

import resource
import time
from datetime import UTC, datetime
from pathlib import Path

import click
import numpy as np

from gzsl_bench.builtin.metrics import gzsl_bench_metrics
from gzsl_bench.data.known import KNOWN
from gzsl_bench.hooks.metric import Predictions
from gzsl_bench.records.record import COMPLETE, Checkpoint, Provenance, Record
from gzsl_bench.records.store import RecordStore
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.evaluate import evaluate
from gzsl_bench.suite.cells import REAL, Cell, digest, identity
from gzsl_bench.suite.resolve import ResolvedSuite

DATASETS = ("CUB", "SUN", "AWA1", "AWA2")
FOLDS = 3


@click.command()
@click.option("--methods", default=10, show_default=True)
@click.option("--seeds", default=10, show_default=True)
@click.option("--checkpoints", default=20, show_default=True)
@click.option("--out", default="benchmark-results/report", type=click.Path(path_type=Path))
def main(methods: int, seeds: int, checkpoints: int, out: Path) -> None:
    """Make up a suite of 4 data sets, its validation folds too, and time its report."""
    from gzsl_bench.report.html.page import build

    store = RecordStore(out)
    suite = fabricate(store, methods, seeds, checkpoints)
    real = sum(not cell.fold for cell in suite.cells)
    before, began = _processor_seconds(), time.monotonic()
    report = build(Results(suite, store), out)
    took, used = time.monotonic() - began, _processor_seconds() - before
    click.echo(
        f"{real} cells and {len(suite.cells) - real} folds, {checkpoints} checkpoints each:"
        f" {took:.1f} s ({used:.1f} s of processor time), {report.size / 1e6:.2f} MB,"
        f" peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB"
    )


def fabricate(store: RecordStore, methods: int, seeds: int, checkpoints: int) -> ResolvedSuite:
    """Commit a record for every cell that has none."""
    cells: list[Cell] = []
    for name in DATASETS:
        for m in range(methods):
            where: list[tuple[int, int]] = [(0, seed) for seed in range(seeds)]
            where += [(fold, 0) for fold in range(1, FOLDS + 1)]
            cells += [_cell(name, m, fold, seed) for fold, seed in where]
    for cell in cells:
        if store.read(cell.key) is None:
            store.commit(*_record(cell, checkpoints))
    return ResolvedSuite(
        name="large",
        description="Made-up records in the true shapes.",
        selection=("last", "val", "best_test"),
        cells=tuple(cells),
        datasets=tuple(
            {"label": name, "features": "res101", "attributes": "att", "fingerprint": name,
             "sizes": {"seen_classes": KNOWN[name].seen, "unseen_classes": KNOWN[name].unseen,
                       "test_seen": KNOWN[name].test_seen,
                       "test_unseen": KNOWN[name].test_unseen}}
            for name in DATASETS
        ),
        text="name: large\n",
        calibration=True,
    )  # fmt: skip


def _cell(dataset: str, method: int, fold: int, seed: int) -> Cell:
    described = identity(
        dataset={"fingerprint": dataset, "trainval_order": "", "features": "res101",
                 "attributes": "att"},
        preprocessing="minmax",
        setting="inductive",
        method={"name": f"method_{method}", "version": "1", "source": None,
                "config": {"epochs": 100, "factor": method}},
        seed=seed,
        precision="float32",
        task={"fold": fold} if fold else REAL,
    )  # fmt: skip
    return Cell(
        digest(described), described, dataset, f"method_{method}", f"Method {method}", seed,
        {"use": dataset, "features": "res101", "attributes": "att"},
        {"fidelity": "paper", "citation": "none", "deterministic": False, "distribution": "none"},
    )  # fmt: skip


def _record(cell: Cell, checkpoints: int) -> tuple[Record, dict[str, np.ndarray]]:
    known = KNOWN[cell.dataset]
    rng = np.random.default_rng(int(cell.key[:12], 16))
    unseen = np.arange(known.unseen)
    seen = np.arange(known.unseen, known.unseen + known.seen)
    labels = np.concatenate(
        [np.resize(seen, known.test_seen), np.resize(unseen, known.test_unseen)]
    )
    of_unseen = labels < known.unseen
    metrics = {metric.name: metric for metric in gzsl_bench_metrics()}
    kind = np.min_scalar_type(int(seen[-1]))
    rows, columns = [], []
    for number in range(1, checkpoints + 1):
        skill = 0.6 * number / checkpoints + 0.02 * int(cell.method.rpartition("_")[2])
        right = rng.random(labels.size) < skill
        among_seen = np.where(right & ~of_unseen, labels, rng.choice(seen, labels.size))
        among_unseen = np.where(right & of_unseen, labels, rng.choice(unseen, labels.size))
        best_seen = (rng.standard_normal(labels.size) + ~of_unseen).astype(np.float32)
        best_unseen = (rng.standard_normal(labels.size) + of_unseen).astype(np.float32)
        best = np.where(best_seen >= best_unseen, among_seen, among_unseen)
        scores = best_seen.astype(np.float64), best_unseen.astype(np.float64)
        found = Predictions(labels, seen, unseen, best, among_seen, among_unseen, *scores)
        rows.append(Checkpoint(number, evaluate(found, metrics)))
        columns.append((best.astype(kind), among_seen.astype(kind), among_unseen.astype(kind),
                        best_seen, best_unseen))  # fmt: skip
    numbers = np.arange(1, checkpoints + 1)
    names = ("predicted", "predicted_seen", "predicted_unseen", "best_seen", "best_unseen")
    stacked = [np.stack(column) for column in zip(*columns, strict=True)]
    arrays = dict(zip(names, stacked, strict=True))
    arrays |= {"labels": labels, "seen": seen, "unseen": unseen, "checkpoints": numbers,
               "scored": numbers}  # fmt: skip
    epochs = range(1, 101)
    record = Record.of(
        cell,
        COMPLETE,
        Provenance(
            datetime(2026, 1, 1, tzinfo=UTC), 100.0 + cell.seed, "u", (cell.key,),
            versions={"python": "3", "gzsl-bench": "0"}, hardware={"device": "cpu"},
            command="gzsl-bench run",
        ),
        checkpoints=rows,
        curves={
            name: [(e, 100 / e + float(rng.random())) for e in epochs]
            for name in ("loss", "kl", "distance", "reconstruction", "classifier_loss")
        },
        metrics={name: dict(spec.about()) for name, spec in metrics.items()},
    )  # fmt: skip
    return record, arrays


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
