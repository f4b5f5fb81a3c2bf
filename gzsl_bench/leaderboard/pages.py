"""What the templates of a site's pages are told, made of boards and entries."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gzsl_bench.leaderboard.boards import Board, Line
from gzsl_bench.leaderboard.entries import Entry, Found
from gzsl_bench.records.submissions import STATUSES
from gzsl_bench.report.cells import untold
from gzsl_bench.results.rows import HEADINGS, Row
from gzsl_bench.scoring.rules import GAMMA, RULES, rule_of

if TYPE_CHECKING:
    from gzsl_bench.leaderboard.sources import Source

_TEST = next(name for name, rule in RULES.items() if rule.reads_test)
#: The metrics of every table.
_THREE = ("harmonic_mean", "acc_unseen", "acc_seen")


def memory(count: int | None) -> str:
    """``1.2 GiB``."""
    return "-" if count is None else f"{count / 2**30:.1f} GiB"


def summary(board: Board) -> dict[str, Any]:
    """A line of the first page on a table."""
    return {
        "board": board,
        "methods": len({line.entry.row.method for line in board.lines}),
        "statuses": _statuses(line.entry for line in board.lines),
    }


def _statuses(entries: Iterable[Entry]) -> dict[str, int]:
    found = dict.fromkeys(STATUSES, 0)
    for entry in entries:
        found[entry.status] += 1
    return {status: count for status, count in found.items() if count}


def origin(source: Source, found: Found, shown: Sequence[Entry]) -> dict[str, Any]:
    """A line of the first page on a source."""
    mine = [entry for entry in shown if source.name in (entry.source, *entry.also)]
    return {
        "source": source,
        "records": sum(len(entry.parts) for entry in mine),
        "entries": len(mine),
        "statuses": _statuses(mine),
        "left_out": len(found.left_out) + len(source.refused),
        "apart": found.apart,
    }


def table(board: Board, origins: int) -> dict[str, Any]:
    """The page of a table; filters by source where there are several origins."""
    lines = board.lines
    rules = [r for r in RULES if any(_numbers(line.entry, r) for line in lines)]
    return {
        "board": board,
        "blocks": [
            {"rule": rule_of(rule), "lines": mine, "other": [r for r in rules if r != rule]}
            for rule, mine in board.blocks.items()
        ],
        "test": _TEST,
        "calibrated": any(line.entry.calibrated for line in lines),
        "choices": {
            "family": _choices(line.entry.row.family for line in lines),
            "fidelity": _choices(line.entry.row.fidelity for line in lines),
            "status": _choices(line.entry.status for line in lines),
            "source": _choices(line.entry.source for line in lines) if origins > 1 else [],
        },
        "notes": [*_about(lines, origins), *board.notes],
        "doubt": any(untold(line.entry.row) for line in lines),
    }


def _numbers(entry: Entry, rule: str) -> Row | None:
    row = entry.rows.get(rule)
    return None if row is None or row.unavailable else row


def _choices(values: Iterable[str]) -> list[str]:
    """What a filter offers; nothing where all lines agree."""
    found = sorted({value for value in values if value})
    return found if len(found) > 1 else []


def _about(lines: Sequence[Line], origins: int) -> list[str]:
    """What sources say of the data: what made features and embedding, what backbones had seen.

    Nobody has checked it, so it stands under a common table with the names of those who say it.
    """
    said: dict[str, dict[str, None]] = {}
    for entry in (line.entry for line in lines):
        for note in filter(None, (*entry.row.notes, entry.row.exposure)):
            said.setdefault(note, {})[entry.source] = None
    return [f"{', '.join(who)}: {n}" if origins > 1 else n for n, who in said.items()]


def entry(board: Board, line: Line) -> dict[str, Any]:
    """The page of an entry: where a line of a table comes from."""
    mine = line.entry
    trained: dict[tuple[str, ...], list[str]] = {}
    for part in mine.parts:
        of = f"fold {part.fold} seed {part.seed}" if part.fold else f"seed {part.seed}"
        rest = tuple(part.trained[name] for name in ("hardware", "versions", "program", "command"))
        trained.setdefault(rest, []).append(of)
    return {
        "board": board,
        "line": line,
        "entry": mine,
        "source": mine.source,
        "rows": _told(mine),
        "choosers": _choosers(mine),
        "calibrated": any(row.gamma for row in mine.rows.values()),
        "three": [n for n in HEADINGS if n in _THREE],
        "metrics": [n for n in HEADINGS if any(r.metrics.get(n) for r in mine.rows.values())],
        "config": json.dumps(mine.identity["method"]["config"], indent=1, sort_keys=True),
        "identity": _identity(mine.identity),
        "trained": [(", ".join(of), *rest) for rest, of in trained.items()],
    }


def _told(entry: Entry) -> list[Row]:
    """Its rows; a calibrated one that lacks what its rule lacks says nothing more."""
    said = {row.unavailable for rule, row in entry.rows.items() if not rule.endswith(GAMMA)}
    return [
        row
        for rule, row in entry.rows.items()
        if not (row.unavailable and rule.endswith(GAMMA) and row.unavailable in said)
    ]


def _choosers(entry: Entry) -> list[Row]:
    """Rows by what they chose: a calibrated one only where it is another checkpoint."""
    found = [row for row in entry.rows.values() if not row.unavailable]
    plain = {row.selection: row.checkpoints for row in found}
    return [
        row
        for row in found
        if row.checkpoints != plain.get(row.selection.removesuffix(GAMMA)) or not row.gamma
    ]


def _identity(identity: Mapping[str, Any]) -> dict[str, str]:
    """All that fixes the numbers, but for the configuration, as texts."""
    data, method = identity["dataset"], identity["method"]
    return {
        **{f"data: {name.replace('_', ' ')}": str(value) for name, value in data.items()},
        **{n: str(identity[n]) for n in ("preprocessing", "setting", "precision")},
        **{f"method: {n}": str(method.get(n)) for n in ("name", "version", "source")},
        "numbers of code": ", ".join(f"{n} {v}" for n, v in sorted(identity["code"].items())),
    }


def cards(made: Sequence[Board]) -> list[dict[str, Any]]:
    """A card for each method, by name: what its plugin says, and where it stands."""
    found: dict[str, dict[str, Any]] = {}
    for board in made:
        for line in board.lines:
            entry = line.entry
            card = found.setdefault(
                entry.row.method,
                {"labels": {}, "families": {}, "fidelities": {}, "citations": {}, "builds": {},
                 "configs": {}, "places": {}},
            )  # fmt: skip
            method = entry.identity["method"]
            card["labels"][entry.row.label] = None
            card["families"][entry.row.family] = None
            card["fidelities"][entry.row.fidelity] = None
            card["citations"][str(entry.about.get("citation") or "")] = None
            plugin = " ".join(
                str(entry.about.get(n) or "") for n in ("distribution", "distribution_version")
            )
            build = f"version {method['version']}, source {method.get('source') or 'unknown'}"
            card["builds"][f"{build} ({plugin.strip() or 'no plugin'})"] = None
            config = ", ".join(f"{n}={_plain(v)}" for n, v in sorted(method["config"].items()))
            where = f"{board.title} ({board.features})"
            card["configs"].setdefault(config or "none", {})[where] = None
            # Lines of a table come best first.
            first, count = card["places"].get(board.name, (board, line, 0))[1:]
            card["places"][board.name] = board, first, count + 1
    return [{"name": name, **found[name]} for name in sorted(found, key=str.lower)]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
