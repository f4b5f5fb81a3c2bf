"""What is wrong with the printed numbers: recomputed from them where that is possible.

Four checks need nothing but the numbers: H against the interval that rounding of U and S allows,
cells that repeat, tables that contradict each other, and U and S that another table prints the
other way round.  What arithmetic cannot show (a fine-tuned backbone, say) is typed in
``facts.json`` with the source of the evidence.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from gzsl_bench.data.known import KNOWN
from gzsl_bench.published.entries import (
    COUNTS_SOURCE,
    TABLES,
    Entry,
    canonical,
    counts,
    entries,
    facts,
    matches,
)
from gzsl_bench.scoring.metrics import harmonic

#: Two tables that print one number may round it differently, or misprint a last digit.
_SAME = 0.25
_SLACK = 1e-9
#: Entries whose conditions differ by intention: disagreeing is no contradiction.
_RERUN = "reproduction"
#: Data sets with two class embeddings in use: one that is not told may be either.
_TWO_EMBEDDINGS = ("CUB", "FLO")


@dataclass(frozen=True)
class Finding:
    """Something wrong with an entry, or between two.

    Attributes:
        status: ``inconsistent``, ``duplicate``, ``swapped?``, ``contradiction`` or
            ``not comparable: why``; a question mark where the evidence is no proof.
        table: where the entry stands.
        method: whose row it is; ``-`` for a table of counts.
        dataset: the data set.
        detail: what was found, with the numbers.
        source: the evidence.
        recomputed: whether the finding follows from printed numbers by arithmetic.
        printed: the row's U/S/H, which tell rows of one method on one data set apart.
    """

    status: str
    table: str
    method: str
    dataset: str
    detail: str
    source: str
    recomputed: bool
    printed: str = ""


def harmonic_interval(entry: Entry) -> tuple[float, float] | None:
    """The values of H, in percent, that the printed U and S leave possible.

    H grows with both, so the smallest and the largest U and S that round to what is printed give
    the ends.  None where U or S is not printed.
    """
    unseen, seen = entry.value("U"), entry.value("S")
    if unseen is None or seen is None:
        return None
    step_unseen, step_seen = entry.half_step("U"), entry.half_step("S")
    low = harmonic(max(unseen - step_unseen, 0.0), max(seen - step_seen, 0.0))
    return low, harmonic(unseen + step_unseen, seen + step_seen)


@cache
def findings() -> tuple[Finding, ...]:
    """Every finding: recomputed ones first, then those that rest on a source."""
    rows = entries()
    found = [
        *_inconsistent(rows),
        *_duplicates(rows),
        *_contradictions(rows),
        *_same_elsewhere(rows),
        *_counts(),
        *_swapped(rows),
        *_typed(rows),
    ]
    return tuple(dict.fromkeys(found))


def status(entry: Entry) -> str:
    """``ok`` where nothing was found against an entry, else what was, separated by semicolons."""
    own = dict.fromkeys(
        finding.status
        for finding in findings()
        if (finding.table, finding.method, finding.dataset)
        == (entry.table, entry.method, entry.dataset)
        and _concerns(finding, entry)
    )
    return "; ".join(own) or "ok"


def _concerns(finding: Finding, entry: Entry) -> bool:
    """A method may have several rows on a data set: typed findings name theirs by conditions."""
    if finding.recomputed:
        return entry.setting == "gzsl" and finding.printed == numbers(entry)
    return any(
        item["status"] == finding.status and matches(entry, item["match"])
        for item in facts()["findings"]
    )


def _inconsistent(rows: Sequence[Entry]) -> Iterator[Finding]:
    for entry in rows:
        allowed, printed = harmonic_interval(entry), entry.value("H")
        if allowed is None or printed is None:
            continue
        step = entry.half_step("H")
        if allowed[0] - step - _SLACK <= printed <= allowed[1] + step + _SLACK:
            continue
        # H is concave in U and S: a mean of H over runs lies below the H of their means.
        direction = (
            "above, which no averaging over runs explains"
            if printed > allowed[1]
            else "below; a mean of H over several runs would lie below, too"
        )
        yield _finding(
            "inconsistent",
            entry,
            f"H is printed {entry.printed['H']}; U {entry.printed['U']} and S {entry.printed['S']}"
            f" allow {allowed[0]:.2f} to {allowed[1]:.2f}, so the printed H lies {direction}",
        )


def _duplicates(rows: Sequence[Entry]) -> Iterator[Finding]:
    cells: dict[tuple[Any, ...], list[Entry]] = defaultdict(list)
    for entry in rows:
        if {"U", "S"} <= entry.printed.keys():
            cells[entry.table, entry.source, entry.value("U"), entry.value("S")].append(entry)
    for alike in cells.values():
        for first, second in itertools.combinations(alike, 2):
            if (first.method, first.dataset) == (second.method, second.dataset):
                continue
            what = "U, S and H" if first.value("H") == second.value("H") else "U and S"
            for one, other in ((first, second), (second, first)):
                yield _finding(
                    "duplicate",
                    one,
                    f"{what} ({_shown(one)}) repeat the cells of {other.method} on {other.dataset}",
                )


def _contradictions(rows: Sequence[Entry]) -> Iterator[Finding]:
    """The same method, data set and conditions with another H in another place."""
    found: dict[str, tuple[Entry, dict[str, list[Entry]]]] = {}
    printed: dict[tuple[str, str], dict[str, set[float | None]]] = defaultdict(dict)
    for entry in rows:
        own = printed[canonical(entry.method), entry.dataset]
        own.setdefault(entry.source, set()).add(entry.value("H"))
    for first, second in _pairs(rows):
        comparable = (
            first.dataset == second.dataset
            and first.split == second.split
            and _alike(first.embedding, second.embedding, first.dataset not in _TWO_EMBEDDINGS)
            and _alike(first.features, second.features, True)
        )
        one, two = first.value("H"), second.value("H")
        if not comparable or one is None or two is None or one == two:
            continue
        # Where a place prints both, their conditions differ, told or not.
        if any({one, two} <= h for h in printed[canonical(first.method), first.dataset].values()):
            continue
        # Of an original and a quotation the quotation is wrong; two quotations, or a paper that
        # contradicts itself, are wrong in one of two places, and H cannot say which.
        if second.secondary and not first.secondary:
            first, second = second, first
        both = first.table.startswith("acmr") == second.table.startswith("acmr") and (
            first.table.startswith("acmr") or (first.secondary and second.secondary)
        )
        for here, there in ((first, second), (second, first))[: 1 + both]:
            places = found.setdefault(repr(here), (here, {}))[1]
            places.setdefault(there.printed["H"], []).append(there)
    for here, others in found.values():
        for value, there_too in others.items():
            detail = f"H is {here.printed['H']} here and {value} in {_places(there_too)}"
            yield _finding("contradiction", here, detail)


def _alike(one: str | None, other: str | None, unknown: bool) -> bool:
    """Whether two conditions are the same; where one is not told, what ``unknown`` says."""
    return unknown if None in (one, other) else one == other


def _same_elsewhere(rows: Sequence[Entry]) -> Iterator[Finding]:
    """The same three numbers under the names of two data sets."""
    for first, second in _pairs(rows):
        if first.dataset == second.dataset or not {"U", "S", "H"} <= first.printed.keys():
            continue
        one, two = ({entry.value("U"), entry.value("S")} for entry in (first, second))
        if one == two and first.value("H") == second.value("H"):
            numbers = f"{_shown(first)}/{first.printed['H']}"
            yield _finding(
                "contradiction",
                first,
                f"these numbers ({numbers}) stand under {second.dataset} in {_place(second)}",
            )


def _pairs(rows: Sequence[Entry]) -> Iterator[tuple[Entry, Entry]]:
    """Entries of one method in two places, neither of them a re-run by others."""
    methods: dict[str, list[Entry]] = defaultdict(list)
    for entry in rows:
        if entry.setting == "gzsl" and entry.kind != _RERUN:
            methods[canonical(entry.method)].append(entry)
    for own in methods.values():
        for first, second in itertools.combinations(own, 2):
            if (first.table, first.source) != (second.table, second.source):
                yield first, second


def _counts() -> Iterator[Finding]:
    """Table 1 against the sizes measured on the files."""
    columns = (
        ("feature_dim", "dimensions"),
        ("attribute_dim", "attributes"),
        ("images", "rows"),
        ("seen_classes", "seen"),
        ("unseen_classes", "unseen"),
    )
    for row in counts():
        known = KNOWN[row["dataset"]]
        wrong = [
            f"{name.replace('_', ' ')} {row[name]} (right: {getattr(known, field)})"
            for name, field in columns
            if int(row[name]) != getattr(known, field)
        ]
        if wrong:
            detail = f"printed {', '.join(wrong)}"
            source = f"{COUNTS_SOURCE}, against the split's own index lists"
            yield Finding("contradiction", "acmr-1", "-", row["dataset"], detail, source, True)


def _swapped(rows: Sequence[Entry]) -> Iterator[Finding]:
    """Another place prints the same two numbers for U and S the other way round."""
    found: dict[str, tuple[Entry, dict[str, list[Entry]]]] = {}
    for entry, witness in _pairs(rows):
        if entry.dataset != witness.dataset or not {"U", "S"} <= entry.printed.keys():
            continue
        unseen, seen = entry.value("U"), entry.value("S")
        other_unseen, other_seen = witness.value("U"), witness.value("S")
        if unseen is None or seen is None or other_unseen is None or other_seen is None:
            continue
        crossed = max(abs(unseen - other_seen), abs(seen - other_unseen))
        if crossed <= _SAME < abs(unseen - seen):
            places = found.setdefault(repr(entry), (entry, {}))[1]
            places.setdefault(_shown(witness), []).append(witness)
    for entry, others in found.values():
        for shown, there_too in others.items():
            detail = f"U/S are {_shown(entry)} here and {shown} in {_places(there_too)}"
            yield _finding("swapped?", entry, detail)


def _typed(rows: Sequence[Entry]) -> Iterator[Finding]:
    for item in facts()["findings"]:
        source = f"{item['source']} ({item['evidence']})"
        for entry in rows:
            if matches(entry, item["match"]):
                yield _finding(item["status"], entry, item["detail"], source)


def _finding(what: str, entry: Entry, detail: str, source: str = "") -> Finding:
    """A finding on an entry: by arithmetic on its own source, or by another source."""
    where = entry.table, entry.method, entry.dataset
    return Finding(what, *where, detail, source or entry.source, not source, numbers(entry))


def numbers(entry: Entry) -> str:
    """``53.1/57.7/55.3``; what is not printed is a dash."""
    return "/".join(entry.printed.get(name, "-") for name in ("U", "S", "H"))


def _shown(entry: Entry) -> str:
    return f"{entry.printed['U']}/{entry.printed['S']}"


def _places(entries: Sequence[Entry]) -> str:
    """Other rows, the first named well enough to look it up."""
    more = len(dict.fromkeys(entry.table for entry in entries)) - 1
    tables = "tables" if more > 1 else "table"
    return _place(entries[0]) + (f" and {more} more {tables}" if more else "")


def _place(entry: Entry) -> str:
    return TABLES.get(entry.table) or f"{entry.source} (as {entry.method})"
