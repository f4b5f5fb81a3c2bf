"""From rows of the table to accuracies by seed and class, read from the kept predictions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gzsl_bench.errors import RecordError
from gzsl_bench.records.store import RecordStore
from gzsl_bench.records.strict import skip
from gzsl_bench.results.rows import Row
from gzsl_bench.scoring.calibration import calibrate
from gzsl_bench.scoring.intervals import intervals
from gzsl_bench.scoring.kept import class_accuracies, kept_predictions
from gzsl_bench.scoring.sample import CLASS_METRICS, Sample


def sample(row: Row, store: RecordStore, seeds: Sequence[int] | None = None) -> Sample:
    """Per-class accuracies behind a row, at the checkpoints its rule chose.

    Args:
        row: one row of the table; a calibrated one is calibrated here, too.
        store: has the predictions.
        seeds: which of the row's seeds, in this order; by default all.

    Raises:
        RecordError: predictions are missing or damaged.
    """
    where = {seed: index for index, seed in enumerate(row["seeds"])}
    found = []
    for seed in row["seeds"] if seeds is None else seeds:
        key = row["keys"][where[seed]]
        record = store.read(key)
        if record is None:
            raise RecordError(f"the record of cell {key} is gone")
        kept = kept_predictions(record.predictions(), row["checkpoints"][where[seed]])
        if row.get("gamma"):
            kept = calibrate(kept, row["gamma"][where[seed]])
        found.append(class_accuracies(kept))
    first = found[0]
    return Sample(
        unseen=100 * np.stack([f.unseen for f in found]),
        seen=100 * np.stack([f.seen for f in found]),
        zsl=100 * np.stack([f.zsl for f in found]),
        unseen_ids=first.unseen_ids,
        seen_ids=first.seen_ids,
    )


def with_intervals(table: Sequence[Row], store: RecordStore) -> list[Row]:
    """Rows whose U, S, H and T1 have ``low`` and ``high``, a 95 % interval in percent.

    AUSUC and metrics of plugins are no means over classes and get none; nor does a row whose
    predictions cannot be read, which is said.
    """
    found = []
    for row in table:
        if row.get("unavailable"):
            found.append(row)
            continue
        try:
            ends = intervals(sample(row, store))
        except RecordError as error:  # the row's own numbers stand in its records
            skip(store.layout.cells, error)
            found.append(row)
            continue
        more = {
            name: {**row[name], "low": ends[name][0], "high": ends[name][1]}
            for name in CLASS_METRICS
            if row.get(name)
        }
        found.append({**row, **more})
    return found
