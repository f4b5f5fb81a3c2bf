"""One number from many seeds: mean, standard deviation, count."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Summary:
    """Mean and spread of a metric over seeds.

    Attributes:
        mean: over the seeds.
        sd: sample standard deviation (ddof 1); None for one seed.
        n: how many seeds.
        low: lower end of an interval, where one was computed.
        high: its upper end.
    """

    mean: float
    sd: float | None
    n: int
    low: float | None = None
    high: float | None = None

    def to_json(self) -> dict[str, float | None]:
        """Plain data: without the interval where there is none."""
        found: dict[str, float | None] = {"mean": self.mean, "sd": self.sd, "n": self.n}
        if self.low is not None:
            found |= {"low": self.low, "high": self.high}
        return found


def summarize(values: Sequence[float]) -> Summary:
    """Mean, sample standard deviation and count of a non-empty sequence."""
    return Summary(
        mean=statistics.fmean(values),
        sd=statistics.stdev(values) if len(values) > 1 else None,
        n=len(values),
    )
