"""Two rows of one data set against each other, on the same seeds and classes.

Everything is read from the records: the same seeds are paired, and classes come from the kept
predictions.  What cannot be tested honestly is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gzsl_bench.errors import RecordError, SuiteError
from gzsl_bench.report.fragile import named
from gzsl_bench.report.samples import sample
from gzsl_bench.results.classes import class_names, nameless
from gzsl_bench.results.comparable import SAME
from gzsl_bench.results.rows import Row
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.intervals import difference_intervals
from gzsl_bench.scoring.paired import PairedResult, fragile_classes, holm, paired
from gzsl_bench.scoring.rules import rule_of
from gzsl_bench.scoring.sample import Sample, means

#: Below it a p-value speaks for a difference, as a 95 % interval without 0 does.
P_LEVEL = 0.05


@dataclass(frozen=True)
class Comparison:
    """A and B on one data set.

    Attributes:
        dataset: the data set's label.
        a: A's label.
        b: B's.
        seeds: the seeds both have; empty where both are deterministic.
        results: U, S, H and T1.
        p_holm: the class p-value of each metric, corrected (Holm) for all metrics and data sets
            that were compared; what shares its records with another comparison counts once.
        tests: how many p-values that correction is for.
        fragile: classes that decide which of the two is ahead: (name, part, ``without``/``twice``).
        unseen: number of unseen classes.
        seen: number of seen classes.
        remarks: sentences that belong under the numbers.
        identity: what the numbers are of: selection rule and data, and of either method
            (``..._of_a``, ``..._of_b``) its name, version, source, preprocessing, setting,
            precision and keys.
    """

    dataset: str
    a: str
    b: str
    seeds: tuple[int, ...]
    results: tuple[PairedResult, ...]
    p_holm: Mapping[str, float]
    tests: int
    fragile: tuple[tuple[str, str, str], ...]
    unseen: int
    seen: int
    remarks: tuple[str, ...] = ()
    identity: Mapping[str, str | None] = field(default_factory=dict)


def head_to_head(one: Row, two: Row, results: Results) -> Comparison:
    """Compare two rows of one data set.

    Args:
        one: A.
        two: B.
        results: of the suite.

    Raises:
        SuiteError: different data, or too few seeds for a stochastic method.
        RecordError: predictions are missing or damaged.
    """
    return corrected([between(one, two, results)], [(one.keys, two.keys)])[0]


def standing(first: Row, second: Row, name: str, results: Results) -> tuple[bool, str, Comparison]:
    """How the best by H stands to the next one, by interval and p-value alike.

    Args:
        first: the best.
        second: the next one.
        name: what the next one is called.
        results: of the suite.

    Returns:
        Whether the lead is established, that is whether the 95 % interval of the difference leaves
        out 0 and p (classes) is below 5 %; the numbers that say so, in words; and all numbers.

    Raises:
        SuiteError: different data, or too few seeds for a stochastic method.
        RecordError: predictions are missing or damaged.
    """
    compared = head_to_head(first, second, results)
    h = next(r for r in compared.results if r.metric == "harmonic_mean")
    by_interval, by_classes = h.low > 0, h.p_classes.p < P_LEVEL
    text = f"{h.difference:+.1f} [{h.low:+.1f}, {h.high:+.1f}] over {name}"
    if by_interval != by_classes:
        text += f", {'yet' if by_interval else 'though'} p (classes) is {h.p_classes.p:.2g}"
    return by_interval and by_classes, text, compared


def ahead(one: Row, two: Row, results: Results) -> tuple[float, float, float]:
    """H of ``one`` minus that of ``two`` on the same seeds and classes, and its 95 % interval.

    Raises:
        SuiteError: different data, or too few seeds for a stochastic method.
        RecordError: predictions are missing or damaged.
    """
    _, first, second = samples(one, two, results)
    low, high = difference_intervals(first, second)["harmonic_mean"]
    return means(first)["harmonic_mean"] - means(second)["harmonic_mean"], low, high


def corrected(compared: Sequence[Comparison], records: Sequence[Any]) -> list[Comparison]:
    """The comparisons with corrected p-values; of those on the same ``records`` one counts."""
    distinct = dict(zip(records, compared, strict=True))
    asked = [(key, r.metric, r.p_classes.p) for key, c in distinct.items() for r in c.results]
    found = dict(
        zip([(key, name) for key, name, _ in asked], holm([p for *_, p in asked]), strict=True)
    )
    return [
        replace(
            each, p_holm={r.metric: found[key, r.metric] for r in each.results}, tests=len(asked)
        )
        for key, each in zip(records, compared, strict=True)
    ]


def _common_seeds(one: Row, two: Row, results: Results) -> tuple[int, ...]:
    """Seeds of both; a deterministic method's single result stands for any seed.

    Raises:
        SuiteError: different data, or too few seeds for a stochastic method.
    """
    dataset = one.dataset
    for name in SAME:
        if getattr(one, name) != getattr(two, name):
            raise SuiteError(
                f"{one.label} and {two.label} differ in {name} on {dataset}"
                f" ({getattr(one, name)}, {getattr(two, name)}), so their numbers are not"
                " comparable"
            )
    about = {row: results.cells[row.keys[0]][0].about for row in (one, two)}
    drawn = [row for row in about if not about[row].get("deterministic")]
    if not drawn:
        return ()
    seeds = tuple(s for s in drawn[0].seeds if all(s in row.seeds for row in drawn))
    if len(seeds) < 2:
        names = " and ".join(row.label for row in drawn)
        raise SuiteError(
            f"{names} on {dataset} {'is' if len(drawn) == 1 else 'are'} stochastic with"
            f" {len(seeds)} seed{'' if len(seeds) == 1 else 's'}"
            f"{'' if len(drawn) == 1 else ' in common'}, which tells nothing from luck; run at"
            " least 2 seeds (--seeds 5)"
        )
    return seeds


def between(one: Row, two: Row, results: Results) -> Comparison:
    """What :func:`head_to_head` gives, its p-values not yet corrected."""
    seeds, first, second = samples(one, two, results)
    dataset = one.dataset
    fragile = named(fragile_classes(first, second), one, results)
    remarks = []
    if one.preprocessing != two.preprocessing:
        remarks.append(
            f"{dataset}: preprocessing differs ({one.label} {one.preprocessing},"
            f" {two.label} {two.preprocessing}): the comparison is of whole recipes."
        )
    if rule_of(one.selection).reads_test:
        remarks.append(f"{dataset}: checkpoints were chosen on the test set; both are optimistic.")
    if fragile and not class_names(results.suite.datasets, one.fingerprint):
        remarks.append(nameless(dataset))
    return Comparison(
        dataset=dataset,
        a=one.label,
        b=two.label,
        seeds=seeds,
        results=tuple(paired(first, second)),
        p_holm={},
        tests=0,
        fragile=fragile,
        unseen=first.unseen.shape[1],
        seen=first.seen.shape[1],
        remarks=tuple(remarks),
        identity=_identity(one, two),
    )


def _identity(one: Row, two: Row) -> dict[str, str | None]:
    """What the numbers of two rows are of: what they share, then what each is."""
    shared = ("selection", "features", "attributes", "fingerprint")
    found: dict[str, str | None] = {name: getattr(one, name) for name in shared}
    for end, row in (("a", one), ("b", two)):
        for name in ("method", "version", "source", "preprocessing", "setting", "precision"):
            found[f"{name}_of_{end}"] = getattr(row, name)
        found[f"keys_of_{end}"] = " ".join(row.keys)
    return found


def samples(
    one: Row, two: Row, results: Results, read: Callable[..., Sample] = sample
) -> tuple[tuple[int, ...], Sample, Sample]:
    """Seeds that two rows of one data set share, and the accuracies of both on these.

    Args:
        one: A.
        two: B.
        results: of the suite.
        read: what reads a row's accuracies.

    Raises:
        SuiteError: different data, or too few seeds for a stochastic method.
        RecordError: predictions are missing or damaged, or of different classes.
    """
    seeds = _common_seeds(one, two, results)
    first, second = (
        _repeated(read(row, results=results, seeds=_of(row, seeds)), max(1, len(seeds)))
        for row in (one, two)
    )
    if not np.array_equal(first.unseen_ids, second.unseen_ids) or not np.array_equal(
        first.seen_ids, second.seen_ids
    ):
        raise RecordError(f"the predictions on {one.dataset} are of different classes")
    return seeds, first, second


def _of(row: Row, seeds: Sequence[int]) -> tuple[int, ...] | None:
    """The common seeds, or all of a deterministic method, which has one that stands for any."""
    return tuple(seeds) if seeds and set(seeds) <= set(row.seeds) else None


def _repeated(given: Sample, count: int) -> Sample:
    """A deterministic method's one seed, as often as the other method has seeds."""
    if given.seeds == count:
        return given
    pick = np.zeros(count, dtype=np.int64)
    return Sample(
        given.unseen[pick], given.seen[pick], given.zsl[pick], given.unseen_ids, given.seen_ids
    )
