"""Two methods on the same seeds and classes: difference, interval, p-values, effect size.

Two questions are kept apart, since one p-value cannot answer both:

* *classes*: would other classes tell the same story?  Under the null hypothesis the two methods are
  exchangeable class by class; a permutation swaps all results (of all seeds) of A and B on a random
  set of classes and computes the metric again.
* *seeds*: would other seeds?  The signs of the differences between seeds are flipped.  With n seeds
  no two-sided p-value below 2 / 2^n exists, which is said beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gzsl_bench.hooks.metric import FloatArray
from gzsl_bench.scoring.intervals import difference_intervals
from gzsl_bench.scoring.sample import (
    CLASS_METRICS,
    SEED,
    Sample,
    harmonic_rows,
    means,
    one_class_changed,
    weighted,
)

#: Up to this many units all sign patterns are gone through; beyond, they are drawn.
EXACT = 14
PERMUTATIONS = 10_000
#: An effect size over fewer seeds than this means nothing.
FEWEST_SEEDS = 6
_SLACK = 1e-9


@dataclass(frozen=True)
class PValue:
    """A two-sided p-value.

    Attributes:
        p: the value.
        units: how many units were permuted.
        exact: all patterns were gone through.
        smallest: no smaller value exists for so many units and patterns.
    """

    p: float
    units: int
    exact: bool
    smallest: float


@dataclass(frozen=True)
class PairedResult:
    """One metric of A and B on one data set, in percent.

    Attributes:
        metric: its recorded name.
        a: A's mean over seeds.
        b: B's.
        difference: a - b.
        low: lower end of the interval of the difference.
        high: upper end.
        p_classes: permuting classes.
        p_seeds: permuting seeds; None where there is one (deterministic methods).
        dz: Cohen's dz, mean over standard deviation of the differences, over ``dz_units``; None
            where all differences are equal or there are fewer than two (of seeds: than six).
        dz_units: ``classes``, or ``seeds`` for H, which no single class has.
        won: classes on which A is better; None for H.
        lost: classes on which B is better.
        tied: the others.
    """

    metric: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    p_classes: PValue
    p_seeds: PValue | None
    dz: float | None
    dz_units: str
    won: int | None
    lost: int | None
    tied: int | None


def paired(a: Sample, b: Sample) -> list[PairedResult]:
    """Compare two samples of the same seeds (row by row) and classes (column by column).

    Raises:
        ValueError: the shapes differ.
    """
    if a.unseen.shape != b.unseen.shape or a.seen.shape != b.seen.shape:
        raise ValueError("paired samples need the same seeds and classes")
    ends = difference_intervals(a, b)
    mean_a, mean_b = means(a), means(b)
    classes = _class_tests(a, b)
    per_seed = _per_seed(a, b)
    found = []
    for name in CLASS_METRICS:
        by_class = _by_class(a, b, name)
        units = per_seed[name] if by_class is None else by_class
        count = [None] * 3 if by_class is None else _won(by_class)
        found.append(
            PairedResult(
                metric=name,
                a=mean_a[name],
                b=mean_b[name],
                difference=mean_a[name] - mean_b[name],
                low=ends[name][0],
                high=ends[name][1],
                p_classes=classes[name],
                p_seeds=sign_flip(per_seed[name]) if a.seeds > 1 else None,
                dz=None if by_class is None and a.seeds < FEWEST_SEEDS else cohens_dz(units),
                dz_units="seeds" if by_class is None else "classes",
                won=count[0],
                lost=count[1],
                tied=count[2],
            )
        )
    return found


def sign_flip(differences: FloatArray) -> PValue:
    """Two-sided sign-flip test of mean 0 of differences [k], one per unit."""
    signs, exact = _patterns(len(differences))
    flipped = np.abs(np.where(signs, -differences, differences).mean(1))
    return _p_value(flipped, abs(float(differences.mean())), len(differences), exact)


def cohens_dz(differences: FloatArray) -> float | None:
    """Mean over sample standard deviation of ``differences`` [n]; None where that is 0 or n < 2."""
    if len(differences) < 2:
        return None
    spread = float(differences.std(ddof=1))
    return float(differences.mean()) / spread if spread > _SLACK else None


def holm(values: list[float]) -> list[float]:
    """p-values corrected for their number (Holm 1979), in the order given."""
    order = sorted(range(len(values)), key=values.__getitem__)
    adjusted = [0.0] * len(values)
    largest = 0.0
    for position, index in enumerate(order):
        largest = max(largest, min(1.0, values[index] * (len(values) - position)))
        adjusted[index] = largest
    return adjusted


def fragile_classes(a: Sample, b: Sample) -> list[tuple[int, str, str]]:
    """Classes without which, or with one more like which, the other method would lead by H.

    Args:
        a: one method.
        b: another, on the same classes; its seeds may be others.

    Returns:
        ``(class id, "unseen" or "seen", "without" or "twice")``; empty where no single class
        matters, and where the two are level to begin with.
    """
    lead = means(a)["harmonic_mean"] - means(b)["harmonic_mean"]
    if abs(lead) <= _SLACK:
        return []
    found = []
    for how, amount in (("without", -1.0), ("twice", 1.0)):
        turns = zip(one_class_changed(a, amount), one_class_changed(b, amount), strict=True)
        for part, ids, (mine, theirs) in zip(
            ("unseen", "seen"), (a.unseen_ids, a.seen_ids), turns, strict=True
        ):
            if how == "without" and len(ids) < 2:
                continue  # nothing would be left
            after = weighted(a, mine)["harmonic_mean"] - weighted(b, theirs)["harmonic_mean"]
            flips = after * np.sign(lead) < -_SLACK
            found += [(int(ids[i]), part, how) for i in np.flatnonzero(flips)]
    return found


def _class_tests(a: Sample, b: Sample) -> dict[str, PValue]:
    """Permutation of classes, the metric computed again for each pattern."""
    unseen, seen = a.unseen.shape[1], a.seen.shape[1]
    found = {}
    for name in CLASS_METRICS:
        sizes = (0 if name == "acc_seen" else unseen, 0)
        if name in ("acc_seen", "harmonic_mean"):
            sizes = (sizes[0], seen)
        swap, exact = _patterns(sum(sizes))
        mean_a = _swapped(a, b, swap, sizes, name)
        mean_b = _swapped(b, a, swap, sizes, name)
        observed = abs(means(a)[name] - means(b)[name])
        found[name] = _p_value(np.abs(mean_a - mean_b), observed, sum(sizes), exact)
    return found


def _swapped(
    own: Sample, other: Sample, swap: FloatArray, sizes: tuple[int, int], name: str
) -> FloatArray:
    """A metric of ``own`` where the classes marked in each row of ``swap`` are the other's."""
    part_unseen, part_seen = swap[:, : sizes[0]], swap[:, sizes[0] :]

    def mixed(mine: FloatArray, theirs: FloatArray, marks: FloatArray) -> FloatArray:
        return np.asarray(mine.mean(1) + marks @ (theirs - mine).T / mine.shape[1])

    if name == "zsl_acc":
        return np.asarray(mixed(own.zsl, other.zsl, part_unseen).mean(1))
    if name == "acc_seen":
        return np.asarray(mixed(own.seen, other.seen, part_seen).mean(1))
    unseen = mixed(own.unseen, other.unseen, part_unseen)
    if name == "acc_unseen":
        return np.asarray(unseen.mean(1))
    return np.asarray(harmonic_rows(unseen, mixed(own.seen, other.seen, part_seen)).mean(1))


def _patterns(units: int) -> tuple[FloatArray, bool]:
    """All patterns of 0 and 1 [2^k, k], or many drawn ones, and whether it is all of them."""
    if units <= EXACT:
        numbers = np.arange(2**units)[:, None]
        return ((numbers >> np.arange(units)) & 1).astype(np.float64), True
    rng = np.random.default_rng(SEED)
    return rng.integers(0, 2, size=(PERMUTATIONS, units)).astype(np.float64), False


def _p_value(permuted: FloatArray, observed: float, units: int, exact: bool) -> PValue:
    extreme = int((permuted >= observed - _SLACK).sum())
    if exact:
        return PValue(extreme / len(permuted), units, True, min(1.0, 2 / len(permuted)))
    # The observed pattern is one of the possible ones, so p is never 0.
    total = len(permuted) + 1
    return PValue((extreme + 1) / total, units, False, 1 / total)


def _by_class(a: Sample, b: Sample, name: str) -> FloatArray | None:
    """Differences by class, averaged over seeds; None for H."""
    field = {"acc_unseen": "unseen", "acc_seen": "seen", "zsl_acc": "zsl"}.get(name)
    if field is None:
        return None
    return np.asarray(getattr(a, field).mean(0) - getattr(b, field).mean(0))


def _per_seed(a: Sample, b: Sample) -> dict[str, FloatArray]:
    """Differences by seed: [n]."""

    def metrics(sample: Sample) -> dict[str, FloatArray]:
        unseen, seen = sample.unseen.mean(1), sample.seen.mean(1)
        return {
            "acc_unseen": unseen,
            "acc_seen": seen,
            "harmonic_mean": harmonic_rows(unseen, seen),
            "zsl_acc": sample.zsl.mean(1),
        }

    mine, theirs = metrics(a), metrics(b)
    return {name: mine[name] - theirs[name] for name in mine}


def _won(differences: FloatArray) -> list[int | None]:
    won = int((differences > _SLACK).sum())
    lost = int((differences < -_SLACK).sum())
    return [won, lost, len(differences) - won - lost]
