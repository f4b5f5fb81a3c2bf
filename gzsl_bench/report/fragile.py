"""Orders that hang on a single class, and how that is said."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from gzsl_bench.errors import RecordError
from gzsl_bench.report.samples import sample
from gzsl_bench.results.classes import called, class_names
from gzsl_bench.results.comparable import leagues
from gzsl_bench.results.rows import Row
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.paired import fragile_classes

#: Classes that a sentence names.
_NAMED = 5


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
            if classes := named(numbers, first, results):
                found.append(
                    f"{first.dataset}, {first.selection}: {first.label} before"
                    f" {second.label} {described(classes)}."
                )
    return found


def named(
    classes: Sequence[tuple[int, str, str]], row: Row, results: Results
) -> tuple[tuple[str, str, str], ...]:
    """Classes with the names that they have in the data set of a row, where it has any."""
    names = class_names(results.suite.datasets, row.fingerprint)
    return tuple((called(number, names), part, what) for number, part, what in classes)


def described(classes: Sequence[tuple[str, str, str]]) -> str:
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
