"""How far apart means may lie by chance: a yardstick for sweeps."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gzsl_bench.scoring.summary import Summary


def pooled_sd(summaries: Sequence[Summary]) -> float | None:
    """Standard deviation within groups, over all of them: the root of the weighted mean variance.

    Returns:
        None where no group has two values.
    """
    known = [(s.n - 1, s.sd**2) for s in summaries if s.sd is not None]
    if not known:
        return None
    return math.sqrt(sum(n * variance for n, variance in known) / sum(n for n, _ in known))


def spread(summaries: Sequence[Summary]) -> float:
    """The largest mean minus the smallest."""
    means = [summary.mean for summary in summaries]
    return max(means) - min(means)


def chance_spread(summaries: Sequence[Summary], sd: float) -> float:
    """The spread to expect of these groups' means if all came from one normal distribution.

    The expected range of independent normal means with standard deviations ``sd / sqrt(n)``: the
    integral of 1 - P(all below x) - P(all above x) over x.

    Args:
        summaries: at least one; only their ``n`` counts.
        sd: standard deviation of a single value.
    """
    from scipy.integrate import quad
    from scipy.stats import norm

    if sd == 0 or len(summaries) < 2:
        return 0.0
    scales = [sd / math.sqrt(summary.n) for summary in summaries]

    def neither(x: float) -> float:
        below = [float(norm.cdf(x / scale)) for scale in scales]
        return 1 - math.prod(below) - math.prod(1 - b for b in below)

    return 2 * float(quad(neither, 0, 10 * max(scales))[0])  # symmetric about 0
