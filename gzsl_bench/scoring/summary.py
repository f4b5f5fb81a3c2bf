"""One number from many seeds: mean, standard deviation, count."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TypedDict


class Summary(TypedDict):
    """Mean and spread of a metric over seeds; ``sd`` has ddof 1 and is None for one seed."""

    mean: float
    sd: float | None
    n: int


def summarize(values: Sequence[float]) -> Summary:
    """Mean, sample standard deviation and count of a non-empty sequence."""
    return {
        "mean": statistics.fmean(values),
        "sd": statistics.stdev(values) if len(values) > 1 else None,
        "n": len(values),
    }
