"""From rows of the table to accuracies by seed and class, read from the kept predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gzsl_bench.errors import RecordError
from gzsl_bench.hooks.metric import Predictions
from gzsl_bench.records.strict import skip
from gzsl_bench.results.rows import Row
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.calibration import calibrate
from gzsl_bench.scoring.intervals import intervals
from gzsl_bench.scoring.kept import class_accuracies
from gzsl_bench.scoring.sample import CLASS_METRICS, Sample


def sample(row: Row, results: Results, seeds: Sequence[int] | None = None) -> Sample:
    """Per-class accuracies behind a row, at the checkpoints its rule chose.

    Args:
        row: one row of the table; a calibrated one is calibrated here, too.
        results: has the predictions.
        seeds: which of the row's seeds, in this order; by default all.

    Raises:
        RecordError: predictions are missing or damaged.
    """
    where = {seed: index for index, seed in enumerate(row.seeds)}
    found = [
        [class_accuracies(kept) for kept in predictions(row, results, where[seed])]
        for seed in (row.seeds if seeds is None else seeds)
    ]
    first = found[0][0]
    return Sample(
        unseen=100 * np.stack([np.mean([c.unseen for c in each], axis=0) for each in found]),
        seen=100 * np.stack([np.mean([c.seen for c in each], axis=0) for each in found]),
        zsl=100 * np.stack([np.mean([c.zsl for c in each], axis=0) for each in found]),
        unseen_ids=first.unseen_ids,
        seen_ids=first.seen_ids,
    )


def predictions(row: Row, results: Results, index: int) -> list[Predictions]:
    """What one seed of a row predicted at the checkpoints that count, calibrated where the row is.

    Args:
        row: one row of the table.
        results: has the predictions.
        index: of the seed.

    Raises:
        RecordError: predictions are missing or damaged.
    """
    kept = [results.predictions(row.keys[index], number) for number in row.checkpoints[index]]
    return [calibrate(found, row.gamma[index]) for found in kept] if row.gamma else kept


def with_intervals(table: Sequence[Row], results: Results) -> list[Row]:
    """Rows whose U, S, H and T1 have ``low`` and ``high``, a 95 % interval in percent.

    AUSUC and metrics of plugins are no means over classes and get none; nor does a row whose
    predictions cannot be read, which is said.
    """
    found = []
    for row in table:
        if row.unavailable:
            found.append(row)
            continue
        try:
            ends = intervals(sample(row, results))
        except RecordError as error:  # the row's own numbers stand in its records
            skip(results.store.layout.cells, error)
            found.append(row)
            continue
        more = {
            name: replace(summary, low=ends[name][0], high=ends[name][1])
            for name, summary in row.metrics.items()
            if name in CLASS_METRICS and summary is not None
        }
        found.append(replace(row, metrics={**row.metrics, **more}))
    return found
