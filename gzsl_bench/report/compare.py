"""Two methods of a suite side by side, data set by data set; and all of them ranked over data sets.

Everything is read from the records: the same seeds are paired, and classes come from the kept
predictions.  What cannot be tested honestly is refused with the reason.
"""

from __future__ import annotations

import functools
import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gzsl_bench.errors import GzslBenchError, RecordError, SuiteError, unknown_name
from gzsl_bench.report.cells import Table
from gzsl_bench.report.samples import sample
from gzsl_bench.results.classes import called, class_names, nameless
from gzsl_bench.results.comparable import (
    SAME,
    Place,
    leagues,
    obstacle,
    place,
    same_images,
    taint,
)
from gzsl_bench.results.rows import NO_RULE, Row, rows
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.intervals import difference_intervals
from gzsl_bench.scoring.paired import PairedResult, fragile_classes, holm, paired
from gzsl_bench.scoring.ranks import FEWEST, Ranking, ranking
from gzsl_bench.scoring.rules import rule_of
from gzsl_bench.scoring.sample import Sample, means
from gzsl_bench.suite.resolved import ResolvedSuite

#: Below it a p-value speaks for a difference, as a 95 % interval without 0 does.
P_LEVEL = 0.05
#: Classes that a sentence names.
_NAMED = 5
#: The verdict on a lead, in the same words everywhere.
ESTABLISHED, NOT_ESTABLISHED = "lead established", "lead not established"


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


def compare(
    results: Results,
    a: str,
    b: str,
    rule: str,
    datasets: Sequence[str] = (),
) -> tuple[list[Comparison], list[str]]:
    """Compare two methods on every data set that both have.

    Args:
        results: of the suite.
        a: label (or name) of the first method.
        b: of the second.
        rule: the selection rule whose checkpoints count.
        datasets: labels to limit the comparison to.

    Returns:
        The comparisons, and why data sets were left out.

    Raises:
        SuiteError: unknown names, or nothing that can be compared.
    """
    suite = results.suite
    table = table_of(results, rule)
    label_a, label_b = (method_label(name, suite) for name in (a, b))
    if label_a == label_b:
        raise SuiteError(f"{label_a!r} cannot be compared with itself; name two methods")
    names = list(dict.fromkeys(cell.dataset for cell in suite.cells))
    for name in datasets:
        if name not in names:
            raise SuiteError(unknown_name("data set of this suite", name, names))
    pairs, reasons = [], []
    for name in datasets or names:
        try:
            found = [_only(table, name, label) for label in (label_a, label_b)]
            seeds = _common_seeds(name, found, results)
        except SuiteError as error:
            reasons.append(str(error))
            continue
        pairs.append((name, found[0], found[1], seeds))
    if not pairs:
        raise SuiteError(reasons[0] if reasons else "nothing can be compared")
    compared = [_compare(name, one, two, seeds, results) for name, one, two, seeds in pairs]
    return _corrected(compared, [(one.keys, two.keys) for _, one, two, _ in pairs]), reasons


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
    seeds = _common_seeds(one.dataset, (one, two), results)
    return _corrected([_compare(one.dataset, one, two, seeds, results)], [(one.keys, two.keys)])[0]


def against_best(
    results: Results, rule: str, datasets: Sequence[str] = ()
) -> tuple[list[Comparison], list[str]]:
    """The best method of every data set against each of the others, by H alone.

    Args:
        results: of the suite.
        rule: the selection rule whose checkpoints count.
        datasets: labels to limit it to.

    Returns:
        The comparisons, A the best of its data set and the order that of H; p-values are corrected
        for all of them. And why pairs were left out.
    """
    table = [row for row in table_of(results, rule) if not datasets or row.dataset in datasets]
    cells, reasons = Table(table), []
    compared: list[Comparison] = []
    records: list[Any] = []
    for rivals in leagues(table).values():
        best, *others = sorted(rivals, key=lambda row: -row.summary().mean)
        for other in others:
            try:
                seeds = _common_seeds(best.dataset, (best, other), results)
                found = _compare(best.dataset, best, other, seeds, results)
            except GzslBenchError as error:
                reasons.append(str(error))
                continue
            h = tuple(r for r in found.results if r.metric == "harmonic_mean")
            where, a, b = cells.where(best), cells.who(best), cells.who(other)
            remarks = tuple(r for r in found.remarks if r != nameless(best.dataset))
            compared.append(
                replace(found, results=h, dataset=where, a=a, b=b, fragile=(), remarks=remarks)
            )
            records.append((best.keys, other.keys))
    return _corrected(compared, records), reasons


def standing(first: Row, second: Row, name: str, results: Results) -> tuple[bool, str, Comparison]:
    """How the best by H stands to the next one, by interval and p-value alike.

    Args:
        first: the best.
        second: the next one.
        name: what the next one is called.
        results: of the suite.

    Returns:
        Whether the lead is established, that is whether the 95 % interval of the difference leaves
        out 0 and p (classes) is below 5 %; it in words; and all numbers.

    Raises:
        SuiteError: different data, or too few seeds for a stochastic method.
        RecordError: predictions are missing or damaged.
    """
    compared = head_to_head(first, second, results)
    h = next(r for r in compared.results if r.metric == "harmonic_mean")
    by_interval, by_classes = h.low > 0, h.p_classes.p < P_LEVEL
    clear = by_interval and by_classes
    text = f"{ESTABLISHED if clear else NOT_ESTABLISHED}: {h.difference:+.1f}"
    text += f" [{h.low:+.1f}, {h.high:+.1f}] over {name}"
    if by_interval != by_classes:
        text += f", {'yet' if by_interval else 'though'} p (classes) is {h.p_classes.p:.2g}"
    return clear, text, compared


def open_ranks(rivals: Sequence[Row], results: Results) -> dict[Row, tuple[int, int]]:
    """The ranks by H that each row may have: 1 + those surely ahead of it to all but those behind.

    Each row is compared with every other one on the seeds and classes both have, at 95 % after
    Bonferroni for its comparisons, so that its ranks hold the true one at 95 % (Mogstad, Romano,
    Shaikh and Wilhelm, Inference for Ranks, Review of Economic Studies 2024, there with a
    bootstrap).  What cannot be compared is not told apart.

    Args:
        rivals: rows that may be ranked with one another.
        results: of the suite.
    """
    read = functools.cache(sample)
    above, below = dict.fromkeys(rivals, 0), dict.fromkeys(rivals, 0)
    level = 1 - P_LEVEL / max(1, len(rivals) - 1)
    for one, two in itertools.combinations(rivals, 2):
        try:
            seeds = _common_seeds(one.dataset, (one, two), results)
            first, second = _samples(one.dataset, one, two, seeds, results, read)
        except GzslBenchError:
            continue
        low, high = difference_intervals(first, second, level)["harmonic_mean"]
        better, worse = (one, two) if low > 0 else (two, one)
        if low > 0 or high < 0:
            below[better] += 1
            above[worse] += 1
    return {row: (1 + above[row], len(rivals) - below[row]) for row in rivals}


def ahead(one: Row, two: Row, results: Results) -> tuple[float, float, float]:
    """H of ``one`` minus that of ``two`` on the same seeds and classes, and its 95 % interval.

    Raises:
        SuiteError: different data, or too few seeds for a stochastic method.
        RecordError: predictions are missing or damaged.
    """
    seeds = _common_seeds(one.dataset, (one, two), results)
    first, second = _samples(one.dataset, one, two, seeds, results)
    low, high = difference_intervals(first, second)["harmonic_mean"]
    return means(first)["harmonic_mean"] - means(second)["harmonic_mean"], low, high


def _corrected(compared: Sequence[Comparison], records: Sequence[Any]) -> list[Comparison]:
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


def table_of(results: Results, rule: str) -> list[Row]:
    """The suite's rows by one rule, those without numbers among them.

    Raises:
        SuiteError: the suite does not select by this rule.
    """
    known = results.suite.rules
    if rule not in known:
        raise SuiteError(unknown_name("selection rule of this suite", rule, known))
    return [row for row in rows(results) if row.selection in (rule, NO_RULE)]


def method_label(name: str, suite: ResolvedSuite) -> str:
    """The label that a label or an unambiguous method name stands for.

    Raises:
        SuiteError: nothing, or several labels, are called so.
    """
    labels = dict.fromkeys(cell.label for cell in suite.cells)
    if name in labels:
        return name
    of_method = dict.fromkeys(cell.label for cell in suite.cells if cell.method == name)
    if len(of_method) == 1:
        return next(iter(of_method))
    if of_method:
        raise SuiteError(f"{name!r} stands for several rows: say {' or '.join(of_method)}")
    raise SuiteError(unknown_name("method of this suite", name, labels))


def rank(table: Sequence[Row]) -> tuple[Ranking | None, str]:
    """Rank all methods over the data sets that all of them have, by H.

    Data sets that hold the same images have one vote: the mean H over those of them that all
    methods have.

    Args:
        table: rows of one rule; those that :func:`~gzsl_bench.results.comparable.obstacle` keeps
            out of rankings are passed over.

    Returns:
        The ranking and a sentence on data sets that count once, where there are such; or None and
        the reason there is no ranking.
    """
    votes: dict[str, dict[Place, dict[str, float]]] = {}
    empty = dict.fromkeys(row.label for row in table if row.unavailable)
    table = [row for row in table if not obstacle(row)]
    for row in table:
        here = votes.setdefault(row.images, {}).setdefault(place(row), {})
        if row.label in here:
            return None, (
                f"no ranking over data sets: {row.label} has several rows on {row.dataset}"
            )
        here[row.label] = row.summary().mean
    labels = list(dict.fromkeys(row.label for row in table))
    # Who has no numbers at all keeps nobody from being ranked, and is named.
    never = ", ".join(name for name in empty if name not in labels)
    without = f" (besides {never}, without any)" if never else ""
    scores = []
    for variants in votes.values():
        complete = [here for here in variants.values() if len(here) == len(labels)]
        if complete:
            scores.append([statistics.fmean(here[name] for here in complete) for name in labels])
    once = "; ".join(
        f"{' and '.join(names)} hold the same images and have one vote"
        for names in same_images(table).values()
    )
    if len(labels) < 2:
        return None, "no ranking over data sets: it needs at least two methods"
    if len(scores) < FEWEST:
        return None, (
            f"no ranking over data sets: it needs at least {FEWEST} data sets on which all"
            f" {len(labels)} methods{without} have numbers, and there {_count(len(scores))}"
            + (f" ({once})" if once else "")
        )
    return ranking(labels, np.array(scores)), once


def fragile_pairs(table: Sequence[Row], results: Results) -> list[str]:
    """Neighbours in the order by H whose order hangs on a single class, one sentence each."""
    found = []
    for rivals in leagues(table).values():
        ordered = sorted(rivals, key=lambda r: -r.summary().mean)
        for first, second in itertools.pairwise(ordered):
            try:
                numbers = fragile_classes(sample(first, results), sample(second, results))
            except RecordError:  # said where their intervals are missing
                continue
            if classes := _named(numbers, first, results):
                found.append(
                    f"{first.dataset}, {first.selection}: {first.label} before"
                    f" {second.label} {describe_fragile(classes)}."
                )
    return found


def _named(
    classes: Sequence[tuple[int, str, str]], row: Row, results: Results
) -> tuple[tuple[str, str, str], ...]:
    names = class_names(results.suite.datasets, row.fingerprint)
    return tuple((called(number, names), part, what) for number, part, what in classes)


def describe_fragile(classes: Sequence[tuple[str, str, str]]) -> str:
    """``hangs on single classes: without unseen class Ovenbird or Sora the order turns``."""
    parts = []
    for how, words in (("without", "without"), ("twice", "with one more like")):
        here: dict[str, list[str]] = {}
        for name, part, what in classes:
            if what == how:
                here.setdefault(part, []).append(name)
        which = [f"{part} class {_any(names)}" for part, names in here.items()]
        parts += [f"{words} {' or '.join(which)}"] if which else []
    return f"hangs on single classes: {', or '.join(parts)} the order turns"


def _any(names: Sequence[str]) -> str:
    """``1, 2 or 3``; of many a few."""
    shown, more = names[:_NAMED], len(names) - _NAMED
    others = [f"{more} more"] if more > 0 else []
    *first, last = [*shown, *others]
    return f"{', '.join(first)} or {last}" if first else last


def _only(table: Sequence[Row], dataset: str, label: str) -> Row:
    found = [row for row in table if row.dataset == dataset and row.label == label]
    if not found:
        raise SuiteError(f"{label} has no finished cell on {dataset}")
    if len(found) > 1:
        raise SuiteError(
            f"{label} has {len(found)} rows on {dataset} (table shows how they differ), so it is"
            " not clear which one to compare"
        )
    row = found[0]
    if row.unavailable:
        by = "" if row.selection == NO_RULE else f"{row.selection} of "
        raise SuiteError(f"{by}{label} on {dataset}: {row.unavailable}")
    if why := taint(row):
        raise SuiteError(
            f"{label} on {dataset}: {why}, so its numbers are comparable with no other"
        )
    return row


def _common_seeds(dataset: str, found: Sequence[Row], results: Results) -> tuple[int, ...]:
    """Seeds of both; a deterministic method's single result stands for any seed.

    Raises:
        SuiteError: different data, or too few seeds for a stochastic method.
    """
    one, two = found
    for name in SAME:
        if getattr(one, name) != getattr(two, name):
            raise SuiteError(
                f"{one.label} and {two.label} differ in {name} on {dataset}"
                f" ({getattr(one, name)}, {getattr(two, name)}), so their numbers are not"
                " comparable"
            )
    drawn = [row for row in found if not results.cells[row.keys[0]][0].about.get("deterministic")]
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


def _compare(
    dataset: str, one: Row, two: Row, seeds: Sequence[int], results: Results
) -> Comparison:
    first, second = _samples(dataset, one, two, seeds, results)
    fragile = _named(fragile_classes(first, second), one, results)
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
        seeds=tuple(seeds),
        results=tuple(paired(first, second)),
        p_holm={},
        tests=0,
        fragile=fragile,
        unseen=first.unseen.shape[1],
        seen=first.seen.shape[1],
        remarks=tuple(remarks),
    )


def _samples(
    dataset: str,
    one: Row,
    two: Row,
    seeds: Sequence[int],
    results: Results,
    read: Callable[..., Sample] = sample,
) -> tuple[Sample, Sample]:
    """Accuracies of both on the same seeds and classes.

    Args:
        dataset: what it is called.
        one: A.
        two: B.
        seeds: that both have.
        results: of the suite.
        read: what reads a row's accuracies.
    """
    first, second = (
        _repeated(read(row, results=results, seeds=_of(row, seeds)), max(1, len(seeds)))
        for row in (one, two)
    )
    if not np.array_equal(first.unseen_ids, second.unseen_ids) or not np.array_equal(
        first.seen_ids, second.seen_ids
    ):
        raise RecordError(f"the predictions on {dataset} are of different classes")
    return first, second


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


def _count(number: int) -> str:
    return "is 1" if number == 1 else f"are {number}"
