"""The site: pages that need no script and no network, every link relative.

``index.html`` names the tables, ``tables/`` has a page for each identity, ``methods.html`` a card
for each method, ``entries/`` a page for each entry, ``records/SOURCE/KEY.json`` the records.
"""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gzsl_bench import atomic
from gzsl_bench.errors import RecordError
from gzsl_bench.leaderboard import sources
from gzsl_bench.leaderboard.boards import Board, Line, boards
from gzsl_bench.leaderboard.entries import Entry, Found, families, read
from gzsl_bench.plots.pool import on_all_cores
from gzsl_bench.records.submissions import STATUSES
from gzsl_bench.report.cells import GAP, SIGN, gammas, number, untold
from gzsl_bench.report.html import templating
from gzsl_bench.results.rows import HEADINGS, Row
from gzsl_bench.scoring.rules import GAMMA, RULES, lead, rule_of
from gzsl_bench.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment

    from gzsl_bench.leaderboard.sources import Source

PACKAGE = "gzsl_bench.leaderboard"
#: Left at the root of a site: only a folder that has it is written anew.
MARK = "leaderboard.json"
#: Records that are read by one process at a time, and pieces of work between two signs of life.
_PIECE, _ROUND = 100, 64
#: Records whose family is looked up by one process at a time.
_INDEX = 500
#: Reasons that stand on the first page; all of them are in a file.
_SHOWN = 30
_LEAD = lead(tuple(RULES))
_TEST = next(name for name, rule in RULES.items() if rule.reads_test)
#: The metrics of every table.
_THREE = ("harmonic_mean", "acc_unseen", "acc_seen")


@dataclass(frozen=True)
class Site:
    """What was written.

    Attributes:
        index: its first page.
        records: how many are shown.
        entries: how many lines the tables have.
        tables: how many there are.
        pages: bytes of all but ``entries/`` and ``records/``.
        left_out: what is not shown because something is wrong with it, a sentence each.
    """

    index: Path
    records: int
    entries: int
    tables: int
    pages: int
    left_out: tuple[str, ...]


def build(
    places: Sequence[Path],
    out: Path,
    title: str = "GZSL leaderboard",
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Site:
    """Write a site of all records in some places.

    Args:
        places: results folders, exports, results repositories.
        out: the site's folder; an earlier site in it is replaced.
        title: over its first page.
        tell: hears how many of how many records were looked at.

    Raises:
        RecordError: a place holds no results, the folder is none of ours, or cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="gzsl-bench-leaderboard-") as scratch:
        origins = sources.find(places, Path(scratch))
        try:
            _clear(out)
            found = _entries(origins, out / "records", tell)
            return _write(origins, found, out, title)
        except OSError as error:
            raise RecordError(f"the site {out} cannot be written: {error}") from error


def _clear(out: Path) -> None:
    """Make room for a site, where nothing but an earlier one is in the way."""
    if out.is_dir() and any(out.iterdir()):
        if not (out / MARK).is_file():
            raise RecordError(f"{out} holds files and no leaderboard; name an empty folder")
        for name in ("entries", "records", "tables"):
            shutil.rmtree(out / name, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    atomic.write_json(out / MARK, {"made_by": f"gzsl-bench {__version__}"})


def _entries(
    origins: Sequence[Source], into: Path, tell: Callable[[int, int], None]
) -> dict[str, Found]:
    """What is shown of every source, by its name."""
    keys = {source.name: source.keys for source in origins}
    total, done = sum(map(len, keys.values())), 0
    found: dict[str, Found] = {}
    for source in origins:
        mine = keys[source.name]
        index = [
            functools.partial(families, mine[k : k + _INDEX], source.folder)
            for k in range(0, len(mine), _INDEX)
        ]
        together: dict[str, list[str]] = {}
        for part in on_all_cores(index):
            for family, members in part.items():
                together.setdefault(family, []).extend(members)
        known = {} if source.closed else sources.datasets(source)
        pieces = list(_pieces(together.values()))
        results: list[Found] = []
        for k in range(0, len(pieces), _ROUND):
            work = pieces[k : k + _ROUND]
            results += on_all_cores([_reader(source, piece, known, into) for piece in work])
            done += sum(len(family) for piece in work for family in piece)
            tell(done, total)
        found[source.name] = _together(results)
    return found


def _reader(
    source: Source,
    piece: Sequence[Sequence[str]],
    known: Mapping[str, Mapping[str, Any]],
    into: Path,
) -> Callable[[], Found]:
    return functools.partial(read, source, piece, known, into)


def _pieces(together: Iterable[Sequence[str]]) -> Iterable[list[Sequence[str]]]:
    """Families in portions of about as many records."""
    piece: list[Sequence[str]] = []
    for family in together:
        piece.append(family)
        if sum(map(len, piece)) >= _PIECE:
            yield piece
            piece = []
    if piece:
        yield piece


def _together(results: Sequence[Found]) -> Found:
    apart: dict[str, int] = {}
    for found in results:
        for why, count in found.apart.items():
            apart[why] = apart.get(why, 0) + count
    left_out = {key: why for found in results for key, why in found.left_out.items()}
    return Found(tuple(e for found in results for e in found.entries), left_out, apart)


def _write(origins: Sequence[Source], found: Mapping[str, Found], out: Path, title: str) -> Site:
    entries = [entry for each in found.values() for entry in each.entries]
    made = boards(entries)
    shown = [line.entry for board in made.boards for line in board.lines]
    left_out = [
        *(f"{s.name}: {problem}" for s in origins for problem in s.refused),
        *(
            f"{n}: cells/{k}: {why}"
            for n, each in found.items()
            for k, why in each.left_out.items()
        ),
        *made.left_out,
    ]
    there = {entry.id for entry in shown}
    for entry in entries:
        if entry.id not in there:  # its records were copied before it was known
            for part in entry.parts:
                for place in (out / "records" / entry.source).glob(f"{part.key}*.json"):
                    place.unlink()
    pour = _Pour(out, title, {source.name: source for source in origins})
    for board in made.boards:
        pour.page(f"tables/{board.name}.html", "table.html.j2", **_table(board, len(origins)))
        for line in board.lines:
            pour.page(f"entries/{line.entry.id}.html", "entry.html.j2", **_entry(board, line))
    pour.page("methods.html", "methods.html.j2", cards=_cards(made.boards))
    pour.page(
        "index.html", "index.html.j2",
        boards=[_summary(board) for board in made.boards],
        origins=[_origin(source, found[source.name], shown) for source in origins],
        left_out=left_out[:_SHOWN],
        more=len(left_out) - _SHOWN,
        rule=rule_of(_LEAD),
    )  # fmt: skip
    if left_out:
        atomic.write_text(out / "records" / "left-out.txt", "\n".join(left_out) + "\n", "replace")
    return Site(
        index=out / "index.html",
        records=sum(len(entry.parts) for entry in shown),
        entries=len(shown),
        tables=len(made.boards),
        pages=sum(p.stat().st_size for p in [*out.glob("*.*"), *out.glob("tables/*")]),
        left_out=tuple(left_out),
    )


class _Pour:
    """Writes pages.

    Args:
        out: the site.
        title: of the site.
        origins: sources by name.
    """

    def __init__(self, out: Path, title: str, origins: Mapping[str, Source]) -> None:
        self._out = out
        self._engine: Environment = templating.engine(templating.PACKAGE, PACKAGE)
        script = f"\n{self._engine.get_template('board.js.j2').render()}"
        hashed = b64encode(hashlib.sha256(script.encode()).digest()).decode()
        self._engine.globals |= {
            "version": __version__, "site": title, "script_hash": hashed,
            "origins_by_name": origins,
            "number": number, "headings": HEADINGS,  "untold": untold,
            "sign": SIGN, "gammas": gammas, "gap_heading": GAP,
            "duration": duration, "memory": memory,
            "several": len(origins) > 1,
        }  # fmt: skip
        style = self._engine.get_template("style.css.j2").render()
        more = self._engine.get_template("board.css.j2").render()
        atomic.write_text(out / "style.css", style + more)

    def page(self, name: str, template: str, **context: Any) -> None:
        """Write ``name``; links in it are made relative by ``root``."""
        text = self._engine.get_template(template).render(
            root="../" * name.count("/"), page=name, **context
        )
        path = self._out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="replace")


def duration(seconds: float) -> str:
    """``41 s``, ``12 min``, ``3.4 h``."""
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def memory(count: int | None) -> str:
    """``1.2 GiB``."""
    return "-" if count is None else f"{count / 2**30:.1f} GiB"


def _summary(board: Board) -> dict[str, Any]:
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


def _origin(source: Source, found: Found, shown: Sequence[Entry]) -> dict[str, Any]:
    mine = [entry for entry in shown if source.name in (entry.source, *entry.also)]
    return {
        "source": source,
        "records": sum(len(entry.parts) for entry in mine),
        "entries": len(mine),
        "statuses": _statuses(mine),
        "left_out": len(found.left_out) + len(source.refused),
        "apart": found.apart,
    }


def _table(board: Board, origins: int) -> dict[str, Any]:
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
        "notes": [*_about(lines), *board.notes],
        "doubt": any(untold(line.entry.row) for line in lines),
    }


def _numbers(entry: Entry, rule: str) -> Row | None:
    row = entry.rows.get(rule)
    return None if row is None or row.unavailable else row


def _choices(values: Iterable[str]) -> list[str]:
    """What a filter offers; nothing where all lines agree."""
    found = sorted({value for value in values if value})
    return found if len(found) > 1 else []


def _about(lines: Sequence[Line]) -> list[str]:
    """What sources say of the data: what made features and embedding, what backbones had seen."""
    rows = [line.entry.row for line in lines]
    said = [note for row in rows for note in (*row.notes, row.exposure) if note]
    return list(dict.fromkeys(said))


def _entry(board: Board, line: Line) -> dict[str, Any]:
    entry = line.entry
    trained: dict[tuple[str, ...], list[str]] = {}
    for part in entry.parts:
        of = f"fold {part.fold} seed {part.seed}" if part.fold else f"seed {part.seed}"
        rest = tuple(part.trained[name] for name in ("hardware", "versions", "program", "command"))
        trained.setdefault(rest, []).append(of)
    return {
        "board": board,
        "line": line,
        "entry": entry,
        "source": entry.source,
        "rows": _told(entry),
        "choosers": _choosers(entry),
        "calibrated": any(row.gamma for row in entry.rows.values()),
        "three": [n for n in HEADINGS if n in _THREE],
        "metrics": [n for n in HEADINGS if any(r.metrics.get(n) for r in entry.rows.values())],
        "config": json.dumps(entry.identity["method"]["config"], indent=1, sort_keys=True),
        "identity": _identity(entry.identity),
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


def _cards(made: Sequence[Board]) -> list[dict[str, Any]]:
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
