"""The usual metrics of many checkpoints at once, for those who compute thousands of records again.

The formulas of :mod:`gzsl_bench.scoring.metrics`, added up in another order: equal but for the last
bits.  What is recorded is computed there.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gzsl_bench.hooks.metric import FloatArray
from gzsl_bench.scoring.kept import Arrays

#: Predictions of so many rows and checkpoints are held as whole numbers at a time: about 40 MB.
_BLOCK = 400_000
#: Ids of classes lie below it.
_MOST = 1 << 20


def usual(kept: Arrays) -> dict[str, FloatArray]:
    """U, S, H, T1, both shares across the parts and, with scores, AUSUC in percent.

    Args:
        kept: what :func:`~gzsl_bench.scoring.kept.fitting` gave.

    Returns:
        [K] by metric, in the order of ``kept["checkpoints"]``; nothing where a class is named
        twice or by no usual number, which these formulas do not know of.
    """
    both = np.concatenate([kept["seen"], kept["unseen"]])
    if both.min() < 0 or both.max() >= _MOST or np.bincount(both.astype(int)).max() > 1:
        return {}
    rows = _Rows(kept)
    size = max(1, _BLOCK // kept["labels"].size)
    blocks = [
        dict(rows.metrics(slice(k, k + size))) for k in range(0, kept["checkpoints"].size, size)
    ]
    return {n: 100 * np.concatenate([block[n] for block in blocks]) for n in blocks[0]}


class _Rows:
    """What all checkpoints have in common: rows by class and by part."""

    def __init__(self, kept: Arrays) -> None:
        self._kept = kept
        self._labels = labels = kept["labels"].astype(np.int64)
        self._order = np.argsort(labels)
        counts = np.bincount(labels)
        classes = np.flatnonzero(counts)
        self._counts = counts[classes]
        self._starts = self._counts.cumsum() - self._counts
        self._is_unseen = np.zeros(1 + max(kept["seen"].max(), kept["unseen"].max()), dtype=bool)
        self._is_unseen[kept["unseen"]] = True
        self._unseen = self._is_unseen[classes]
        places = ((counts > 0).cumsum() - 1)[labels]
        self._from_unseen = self._unseen[places]
        parts = np.where(self._unseen, self._unseen.sum(), (~self._unseen).sum())
        self._weight = (1.0 / (self._counts * parts))[places]

    def metrics(self, block: slice) -> Iterator[tuple[str, FloatArray]]:
        """Of some checkpoints, as shares."""
        kept, labels = self._kept, self._labels
        predicted = kept["predicted"][block]
        u, s = self._means(predicted == labels)
        yield "acc_unseen", u
        yield "acc_seen", s
        total = u + s
        yield "harmonic_mean", 2 * u * s / np.where(total > 0, total, 1.0)
        right_unseen = kept["predicted_unseen"][block] == labels
        yield "zsl_acc", self._means(right_unseen)[0]
        across = self._is_unseen[predicted] != self._from_unseen
        wrong_unseen, wrong_seen = self._means(across)
        yield "unseen_as_seen", wrong_unseen
        yield "seen_as_unseen", wrong_seen
        if kept["scored"].size:
            right_seen = kept["predicted_seen"][block] == labels
            yield "ausuc", self._area(block, right_unseen, right_seen)

    def _means(self, hits: np.ndarray) -> tuple[FloatArray, FloatArray]:
        """Means over unseen and over seen classes of the share of [K, N] hits in each."""
        right = np.add.reduceat(hits[:, self._order], self._starts, axis=1, dtype=np.int64)
        shares = right / self._counts
        return shares[:, self._unseen].mean(1), shares[:, ~self._unseen].mean(1)

    def _area(self, block: slice, right_unseen: np.ndarray, right_seen: np.ndarray) -> FloatArray:
        """Areas under the seen-unseen curves: see :func:`~gzsl_bench.scoring.metrics.bias_sweep`.

        Rows that flip at the same bias flip together: each stands where the last of them does.
        """
        bias = np.subtract(
            self._kept["best_seen"][block], self._kept["best_unseen"][block], dtype=np.float64
        )
        # The order of equal ones fixes how sums are rounded; numpy's other sorts have it depend on
        # the processor.
        order = np.argsort(bias, axis=1, kind="stable")
        bias = np.take_along_axis(bias, order, 1)
        there = np.arange(bias.shape[1])
        ends = np.where(bias[:, 1:] != bias[:, :-1], there[:-1], there[-1])
        ends = np.append(ends, np.full((len(ends), 1), there[-1]), axis=1)
        ends = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]

        def passed(right: np.ndarray) -> FloatArray:
            sums = np.take_along_axis(self._weight * right, order, 1).cumsum(1)
            found = np.take_along_axis(sums, ends, 1)
            return np.append(np.zeros((len(found), 1)), found, axis=1)

        gained = passed(right_unseen & self._from_unseen)
        lost = passed(right_seen & ~self._from_unseen)
        return np.asarray(np.trapezoid(lost[:, -1:] - lost, gained, axis=1))
