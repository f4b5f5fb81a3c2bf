"""Entries as tables: one for each identity, ranked only within a selection rule.

What a table holds measured the same thing: the same data content, features, class embedding,
setting and arithmetic, on the same test rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gzsl_bench.leaderboard.entries import Entry
from gzsl_bench.records.submissions import STATUSES
from gzsl_bench.report.cells import Table
from gzsl_bench.results.comparable import leagues, marks, obstacle
from gzsl_bench.scoring.rules import rule_of
from gzsl_bench.suite.cells import digest


@dataclass(frozen=True)
class Line:
    """An entry in its table.

    Attributes:
        entry: what is shown.
        who: what the table calls it.
        position: among entries with the same rule, from 1; 0 where it is not ranked, or alone.
        marks: 1 for the best and 2 for the second best, by metric.
        why: why it is not ranked.
    """

    entry: Entry
    who: str
    position: int
    marks: Mapping[str, int]
    why: str


@dataclass(frozen=True)
class Lead:
    """Who leads by a rule, and how far that goes.

    Attributes:
        rule: the rule.
        line: the first of its comparable lines.
        rivals: how many comparable lines there are, itself among them.
        second: the next one; None where there is none.
    """

    rule: str
    line: Line
    rivals: int
    second: Line | None

    @property
    def apart(self) -> bool:
        """Whether its interval of H lies above the next one's."""
        one = self.line.entry.row.summary()
        two = None if self.second is None else self.second.entry.row.summary()
        return bool(two and one.low is not None and two.high is not None and one.low > two.high)


@dataclass(frozen=True)
class Board:
    """The table of one identity.

    Attributes:
        name: of its page's file.
        title: what its sources call the data set, most often.
        features: the feature set.
        attributes: the class embedding.
        fingerprint: hash of the data.
        precision: arithmetic of training.
        setting: inductive or transductive.
        blocks: lines by the rule of their headline, the honest rule first, the best line first.
        notes: what must be said under it.
    """

    name: str
    title: str
    features: str
    attributes: str
    fingerprint: str
    precision: str
    setting: str
    blocks: Mapping[str, Sequence[Line]]
    notes: tuple[str, ...] = ()

    @property
    def lines(self) -> list[Line]:
        """All of them."""
        return [line for lines in self.blocks.values() for line in lines]

    @property
    def leads(self) -> list[Lead]:
        """Who leads, by every rule that gives anybody comparable numbers.

        The first is by the most honest rule that has rivals: alone nobody is ahead of anybody.
        """
        found = []
        for rule, lines in self.blocks.items():
            ranked = [line for line in lines if not line.why]
            if ranked:
                second = ranked[1] if len(ranked) > 1 else None
                found.append(Lead(rule, ranked[0], len(ranked), second))
        return sorted(found, key=lambda lead: lead.rivals < 2)


@dataclass
class Made:
    """The boards, and what stands in none.

    Attributes:
        boards: by title.
        left_out: sentences on entries that contradict others, by source.
    """

    boards: list[Board] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)


def boards(entries: Iterable[Entry]) -> Made:
    """Tables of entries.

    Of entries that rest on the very same records one is shown, which names the others' sources.
    Where records of one data content were tested on different rows, those that most is known of
    and most sources agree on are shown; the others are left out, and named.
    """
    made = Made()
    together: dict[tuple[str, ...], list[Entry]] = {}
    for entry in _once(entries):
        together.setdefault(entry.place, []).append(entry)
    tested = _tested(entry for mine in together.values() for entry in mine)
    for place, mine in together.items():
        kept = []
        for entry in mine:
            if entry.tests == tested[entry.row.fingerprint]:
                kept.append(entry)
            else:
                made.left_out.setdefault(entry.source, []).append(
                    f"{entry.row.label} on {entry.row.dataset} was tested on other rows than the"
                    f" rest of data {entry.row.fingerprint}, so it contradicts them"
                )
        if kept:
            made.boards.append(_board(place, kept))
    made.boards.sort(key=lambda board: (board.title.lower(), board.features, board.name))
    return made


def _once(entries: Iterable[Entry]) -> list[Entry]:
    found: dict[frozenset[tuple[str, str]], Entry] = {}
    for entry in entries:
        other = found.get(entry.same)
        if other is None:
            found[entry.same] = entry
        else:
            first, second = sorted((other, entry), key=lambda each: STATUSES.index(each.status))
            names = (*other.also, *entry.also, second.source)
            found[entry.same] = replace(first, also=names)
    return list(found.values())


def _tested(entries: Iterable[Entry]) -> dict[str, str]:
    """The test rows to believe in, by data content."""
    found: dict[str, dict[str, list[Entry]]] = {}
    for entry in entries:
        found.setdefault(entry.row.fingerprint, {}).setdefault(entry.tests, []).append(entry)

    def weight(mine: Sequence[Entry]) -> tuple[int, int, int]:
        known = min(STATUSES.index(each.status) for each in mine)
        return -known, len({each.source for each in mine}), len(mine)

    return {data: max(by, key=lambda tests: weight(by[tests])) for data, by in found.items()}


def _board(place: tuple[str, ...], entries: Sequence[Entry]) -> Board:
    title = Counter(entry.row.dataset for entry in entries).most_common(1)[0][0]
    mine = sorted(entries, key=lambda entry: (-entry.row.summary().mean, entry.id))
    # One name for one content: what sources call a data set must not keep them apart.
    rows = [replace(entry.row, dataset=title) for entry in mine]
    table = Table(rows)
    best: dict[int, dict[str, int]] = {}
    for (at, name), mark in marks(rows, ["acc_unseen", "acc_seen", "harmonic_mean"]).items():
        best.setdefault(at, {})[name] = mark
    positions: dict[int, int] = {}
    for rivals in leagues(rows).values():
        if len(rivals) < 2:
            continue  # first of one is no rank
        shown = [f"{row.summary().mean:.1f}" for row in rivals]
        for row, h in zip(rivals, shown, strict=True):
            positions[id(row)] = 1 + shown.index(h)
    blocks: dict[str, list[Line]] = {}
    for index, (entry, row) in enumerate(zip(mine, rows, strict=True)):
        line = Line(
            entry=entry,
            who=table.who(row),
            position=positions.get(id(row), 0),
            marks=best.get(index, {}),
            why=obstacle(row),
        )
        blocks.setdefault(entry.lead, []).append(line)
    ordered = sorted(blocks, key=lambda rule: (rule == "last", rule))
    row = rows[0]
    return Board(
        name=f"{_plain(title)}-{digest({'place': place})[:10]}",
        title=title,
        features=row.features,
        attributes=row.attributes,
        fingerprint=row.fingerprint,
        precision=row.precision,
        setting=row.setting,
        blocks={rule: blocks[rule] for rule in ordered},
        notes=tuple(_notes(mine)),
    )


def _notes(entries: Sequence[Entry]) -> Iterable[str]:
    several = Counter((entry.source, entry.row.method) for entry in entries)
    for (source, method), count in several.items():
        if count > 1:
            yield (
                f"{source} has {count} entries of {method} here, each of another configuration or"
                " version: whoever takes the best of them chooses by test results."
            )
    by_folds = [entry for entry in entries if rule_of(entry.lead).needs_folds and entry.folds]
    usual = max((entry.folds for entry in by_folds), key=len, default=())
    for entry in by_folds:
        if entry.folds != usual:
            yield (
                f"{entry.row.label} of {entry.source} chose by validation fold"
                f" {_listed(entry.folds)}, where others have {_listed(usual)}: its records do not"
                " show what the rest would have chosen."
            )


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


def _plain(text: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in text.lower()).strip("-")[:40]
