"""The site: pages that need no script and no network, every link relative.

``index.html`` names the tables, ``tables/`` has a page for each identity, ``methods.html`` a card
for each method, ``entries/`` a page for each entry and the entry as plain data,
``records/SOURCE/KEY.json`` the records.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import tempfile
from base64 import b64encode
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gzsl_bench import atomic
from gzsl_bench.errors import RecordError
from gzsl_bench.leaderboard import kept, pages, sources
from gzsl_bench.leaderboard.boards import boards
from gzsl_bench.leaderboard.entries import Found, families, read
from gzsl_bench.plots.pool import on_all_cores
from gzsl_bench.report.cells import GAP, SIGN, gammas, number, untold
from gzsl_bench.report.html import templating
from gzsl_bench.results.rows import HEADINGS
from gzsl_bench.scoring.rules import RULES, lead, rule_of
from gzsl_bench.version import __version__
from gzsl_bench.wording import duration

if TYPE_CHECKING:
    from jinja2 import Environment

    from gzsl_bench.leaderboard.sources import Source

PACKAGE = "gzsl_bench.leaderboard"
#: Records that are read by one process at a time, and pieces of work between two signs of life.
_PIECE, _ROUND = 100, 64
#: Records whose family is looked up by one process at a time.
_INDEX = 500
#: Reasons that stand on the first page; all of them are in a file.
_SHOWN = 30
_LEAD = lead(tuple(RULES))


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
        gone: what was kept and had to make way for a folder of the same name, a sentence each.
    """

    index: Path
    records: int
    entries: int
    tables: int
    pages: int
    left_out: tuple[str, ...]
    gone: tuple[str, ...] = ()


def build(
    places: Sequence[Path],
    out: Path,
    title: str = "GZSL leaderboard",
    tell: Callable[[int, int], None] = lambda done, total: None,
    keep: bool = False,
) -> Site:
    """Write a site of all records in some places.

    Args:
        places: results folders, exports, results repositories.
        out: the site's folder; an earlier site in it is replaced.
        title: over its first page.
        tell: hears how many of how many records were looked at.
        keep: entries of the earlier site stay, but for those of sources that are given anew, and
            those whose records stand beside more in a new entry.

    Raises:
        RecordError: a place holds no results, the folder is none of ours, or cannot be written;
            nothing can be kept.
    """
    with tempfile.TemporaryDirectory(prefix="gzsl-bench-leaderboard-") as scratch:
        origins = sources.find(places, Path(scratch))
        try:
            if (out / kept.MARK).is_file():
                kept.settle(out)
            names = [source.name for source in origins]
            earlier, replaced = kept.read(out, names) if keep else ([], [])
            if not (origins or earlier):
                without = f"{places[0]} has no submission" if places else "no DIR"
                raise RecordError(
                    f"there is nothing to make a site of: {without}, no site in {out} to keep"
                )
            _refuse_foreign(out)
            found = _entries(origins, out / kept.NEXT / "records", tell)
            anew = [entry for each in found.values() for entry in each.entries]
            for source, each in earlier:
                if rest := kept.without(each, anew):
                    origins.append(source)
                    found[source.name] = rest
            made = _write(origins, found, out, title)
            return replace(made, gone=kept.gone(replaced, anew))
        except OSError as error:
            raise RecordError(f"the site {out} cannot be written: {error}") from error


def _refuse_foreign(out: Path) -> None:
    """Nothing but an earlier site is written over."""
    if out.is_dir() and any(out.iterdir()) and not (out / kept.MARK).is_file():
        raise RecordError(f"{out} holds files and no leaderboard; name an empty folder")
    if not (out / kept.MARK).is_file():
        kept.remember(out, [], {})


def _sweep(out: Path, written: Collection[Path]) -> None:
    """Remove what an earlier site had and this one has not.

    It comes last: a build that ends before has taken nothing away that is kept.
    """
    for room in ("entries", "records", "tables"):
        for path in sorted((out / room).rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                with contextlib.suppress(OSError):
                    path.rmdir()  # where nothing is left in it
            elif path not in written:
                path.unlink()


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
    origins = [
        replace(source, refused=(*source.refused, *made.left_out.get(source.name, ())))
        for source in origins
    ]
    left_out = [
        f"{source.name}: {why}"
        for source in origins
        for why in (
            *(f"cells/{key}: {why}" for key, why in found[source.name].left_out.items()),
            *source.refused,
        )
    ]
    pour = _Pour(out, title, {source.name: source for source in origins})
    for board in made.boards:
        pour.page(f"tables/{board.name}.html", "table.html.j2", **pages.table(board, len(origins)))
        for line in board.lines:
            pour.page(f"entries/{line.entry.id}.html", "entry.html.j2", **pages.entry(board, line))
    pour.page("methods.html", "methods.html.j2", cards=pages.cards(made.boards))
    pour.page(
        "index.html", "index.html.j2",
        boards=[pages.summary(board) for board in made.boards],
        origins=[pages.origin(source, found[source.name], shown) for source in origins],
        left_out=left_out[:_SHOWN],
        more=len(left_out) - _SHOWN,
        rule=rule_of(_LEAD),
    )  # fmt: skip
    written = {*pour.written, *(kept.write(out, entry) for entry in shown)}
    for entry in shown:
        for part in entry.parts:
            record = out / "records" / entry.source / f"{part.key}.json"
            written.add(record)
            if part.rescored:
                written.add(record.with_stem(f"{part.key}-rescored"))
    if left_out:
        written.add(out / "records" / "left-out.txt")
        atomic.write_text(out / "records" / "left-out.txt", "\n".join(left_out) + "\n", "replace")
    kept.remember(out / kept.NEXT, origins, found)
    kept.settle(out)
    _sweep(out, written)
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
        self.written: list[Path] = []
        self._engine: Environment = templating.engine(templating.PACKAGE, PACKAGE)
        script = f"\n{self._engine.get_template('board.js.j2').render()}"
        hashed = b64encode(hashlib.sha256(script.encode()).digest()).decode()
        self._engine.globals |= {
            "version": __version__, "site": title, "script_hash": hashed,
            "origins_by_name": origins,
            "number": number, "headings": HEADINGS,  "untold": untold,
            "sign": SIGN, "gammas": gammas, "gap_heading": GAP,
            "duration": duration, "memory": pages.memory,
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
        self.written.append(path)
