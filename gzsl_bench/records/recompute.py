"""Whether a record's numbers are those of its predictions: computed again, not believed."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from gzsl_bench.builtin.metrics import gzsl_bench_metrics
from gzsl_bench.errors import GzslBenchError, RecordError
from gzsl_bench.hooks.metric import MetricSpec
from gzsl_bench.records.record import MAIN, Record
from gzsl_bench.scoring.evaluate import evaluate, outdated
from gzsl_bench.scoring.kept import fitting, kept_predictions
from gzsl_bench.scoring.many import usual

#: Metrics that every installation has.
BUILTIN: Mapping[str, MetricSpec] = {spec.name: spec for spec in gzsl_bench_metrics()}
#: Of those, what is computed in no time from predicted classes alone.
QUICK: Mapping[str, MetricSpec] = {n: m for n, m in BUILTIN.items() if not m.needs_scores}


def compute_again(
    record: Record,
    metrics: Mapping[str, MetricSpec],
    arrays: Mapping[str, np.ndarray] | None = None,
) -> set[str]:
    """Compare every metric of every checkpoint with the record's predictions.

    Args:
        record: a complete one; its metrics may be those of a rescoring.
        metrics: those to compute.
        arrays: its predictions as :func:`fitting` gave them, where they have been read.

    Returns:
        Names of recorded metrics that nobody computed: those not in ``metrics`` and those of
        another version of a formula.

    Raises:
        RecordError: a value is another one, or cannot be computed.
    """
    kept = fitting(record.predictions()) if arrays is None else arrays
    old = {name for name, _, _ in outdated(record.metrics, metrics.values())}
    now = {name: spec for name, spec in metrics.items() if name not in old}
    left: set[str] = set()
    at_once = {n: v for n, v in usual(kept).items() if n in now and now[n] == BUILTIN.get(n)}
    rest = {name: spec for name, spec in now.items() if name not in at_once}
    places = {number: place for place, number in enumerate(kept["checkpoints"].tolist())}
    for row in record.checkpoints:
        if row.number not in places:
            raise RecordError(f"the predictions hold no checkpoint {row.number}")
        values = {name: float(found[places[row.number]]) for name, found in at_once.items()}
        try:
            if rest:
                values |= evaluate(kept_predictions(kept, row.number), rest)
        except GzslBenchError as error:
            raise RecordError(str(error)) from None
        for name, shown in row.metrics.items():
            if name not in values:
                left.add(name)
            elif not _same(shown, values[name]):
                raise RecordError(
                    f"{name} at checkpoint {row.number} is {values[name]!r}, computed from the"
                    f" predictions, but {shown!r} is recorded"
                )
        _agree_with_each_other(row.number, row.metrics)
    return left


def _agree_with_each_other(number: int, metrics: Mapping[str, float]) -> None:
    """H follows from U and S, by whatever version they were computed."""
    if not {MAIN, "acc_unseen", "acc_seen"} <= metrics.keys():
        return
    u, s, h = metrics["acc_unseen"], metrics["acc_seen"], metrics[MAIN]
    if not _same(h, 2 * u * s / (u + s) if u + s else 0.0):
        raise RecordError(
            f"{MAIN} at checkpoint {number} is recorded as {h!r}, which is not that of"
            f" acc_unseen {u!r} and acc_seen {s!r}"
        )


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
