"""The registry: every printed row as data, with its conditions where a source tells them.

Values stay as they were printed (their decimals say how far they were rounded).  Rows of papers
and repositories stand in ``data/papers``, a file for each, with their conditions; what applies to
many rows of the older tables stands once in ``facts.json``, with its basis; later ones override
earlier.  ``data/releases.csv`` says of public code how it chose the epoch that was reported.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

from gzsl_bench.published.schema import PrintedRow, Release

#: The ACMR paper's tables, by short name: what to call them.
TABLES: Mapping[str, str] = {
    "acmr-2": "Fang et al. (ACMR), AAAI 2022, Table 2",
    "acmr-3": "Fang et al. (ACMR), AAAI 2022, Table 3",
}
COUNTS_SOURCE = "Fang et al. (ACMR), AAAI 2022, Table 1"

_COLUMNS = ("U", "S", "H", "T1")
_KINDS = {"no": "published (own)", "quoted": "published (quoted)", "rerun": "reproduction"}
#: What a suite calls the rules of :attr:`Release.selection`.
_RULES = {"test": "best_test", "val": "val", "last": "last", "unknown": None}


@dataclass(frozen=True)
class Entry:
    """One printed row.

    Attributes:
        table: ``acmr-2``, ``acmr-3``, ``gbu`` or the name of a file in ``data/papers``.
        method: the method as the table calls it.
        dataset: the data set as gzsl-bench calls it.
        printed: ``U``, ``S``, ``H`` and ``T1`` in percent, as printed; absent ones are left out.
        setting: ``gzsl`` or ``zsl``.
        kind: whether the method's authors printed it, others quoted or re-ran it.
        source: where it can be read.
        note: what stands beside it.
        split: ``PS`` (Proposed Split) or ``standard split``.
        features: feature set, None where unknown.
        embedding: class embedding, None where unknown.
        selection: how the checkpoint or the hyper-parameters were chosen, None where unknown.
        backbone: the network behind the features, None where unknown.
        fine_tuned: whether it was trained on the data set, None where unknown.
        image_size: side of the images in pixels, None where unknown.
        secondary: whether it stands in another paper's table.
        checked: whether the row was held against its source a second time.
    """

    table: str
    method: str
    dataset: str
    printed: Mapping[str, str]
    setting: str
    kind: str
    source: str
    note: str = ""
    split: str = "PS"
    features: str | None = None
    embedding: str | None = None
    selection: str | None = None
    backbone: str | None = None
    fine_tuned: bool | None = None
    image_size: int | None = None
    secondary: bool = False
    checked: bool = False

    def value(self, name: str) -> float | None:
        """A printed number, or None."""
        return float(self.printed[name]) if name in self.printed else None

    def half_step(self, name: str) -> float:
        """How far the true number may lie from the printed one; tables have a decimal at least."""
        return float(0.5 * 10 ** -max(1, len(self.printed[name].partition(".")[2])))

    @property
    def where(self) -> str:
        """``acmr-2 · DAZLE · SUN``."""
        return f"{self.table} · {self.method} · {self.dataset}"


@cache
def facts() -> Mapping[str, Any]:
    """Conditions, typed-in findings, other names of methods, and which of them ours stand for."""
    content: Mapping[str, Any] = json.loads(_text("facts.json"))
    return content


@cache
def entries() -> tuple[Entry, ...]:
    """Every printed row of the registry, table by table."""
    return tuple(_with_conditions(entry) for entry in _printed())


@cache
def counts() -> tuple[Mapping[str, str], ...]:
    """Table 1 of the ACMR paper: sizes of the data sets, as printed."""
    return tuple(_rows("acmr_counts.csv"))


@cache
def releases() -> tuple[Release, ...]:
    """Public code, and how it chose the epoch that was reported."""
    return tuple(Release.model_validate(row) for row in _rows("releases.csv"))


@cache
def papers() -> Mapping[str, tuple[PrintedRow, ...]]:
    """The rows of ``data/papers``, file by file in the order of their names."""
    folder = resources.files("gzsl_bench.published") / "data" / "papers"
    names = sorted(item.name for item in folder.iterdir() if item.name.endswith(".csv"))
    return {
        name.removesuffix(".csv"): tuple(
            PrintedRow.model_validate(row) for row in _rows(f"papers/{name}")
        )
        for name in names
    }


def canonical(method: str) -> str:
    """One name for a method that tables call differently."""
    return str(facts()["aliases"].get(method, method))


def matches(entry: Entry, condition: Mapping[str, Any]) -> bool:
    """Whether an entry has, for every field named, one of the values listed."""
    for name, wanted in condition.items():
        if getattr(entry, name) not in ([wanted] if isinstance(wanted, str) else wanted):
            return False
    return True


def _printed() -> Iterator[Entry]:
    for row in _rows("acmr_tables.csv"):
        own = row["table"] == "3" or row["method"] == "ACMR"
        yield _entry(
            row,
            table=f"acmr-{row['table']}",
            kind=_KINDS["no" if own else "quoted"],
            source=TABLES[f"acmr-{row['table']}"],
            secondary=not own,
        )
    for row in _rows("gbu_tables.csv"):
        yield _entry(row, table="gbu")
    rules = {
        canonical(name): _RULES[release.selection]
        for release in releases()
        for name in release.names
    }
    for table, rows in papers().items():
        for printed in rows:
            rule = rules.get(canonical(printed.method)) if printed.secondary != "rerun" else None
            yield _of_a_paper(table, printed, rule)


def _of_a_paper(table: str, row: PrintedRow, selection: str | None) -> Entry:
    return Entry(
        table=table,
        method=row.method,
        dataset=row.dataset,
        printed={name: value for name in _COLUMNS if (value := getattr(row, name))},
        setting="gzsl" if row.U or row.S or row.H else "zsl",
        kind=_KINDS[row.secondary],
        source=row.source,
        note=row.note,
        features=row.features or None,
        embedding=row.embedding or None,
        selection=_RULES[row.selection] if row.selection else selection,
        backbone=row.backbone or None,
        fine_tuned={"yes": True, "no": False}.get(row.fine_tuned),
        image_size=int(row.image_size) if row.image_size else None,
        secondary=row.secondary != "no",
        checked=row.checked == "yes",
    )


def _entry(row: Mapping[str, str], **more: Any) -> Entry:
    known: dict[str, Any] = {
        name: row[name] for name in ("kind", "source", "note", "embedding") if row.get(name)
    }
    return Entry(
        method=row["method"],
        dataset=row["dataset"],
        printed={name: row[name] for name in _COLUMNS if row.get(name)},
        setting=row.get("setting") or "gzsl",
        **{**known, **more},
    )


def _with_conditions(entry: Entry) -> Entry:
    values: dict[str, Any] = {}
    for condition in facts()["about"]:
        if matches(entry, condition["match"]):
            values |= condition["set"]
    return replace(entry, **values)


def _rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(_text(name).splitlines()))


def _text(name: str) -> str:
    folder = resources.files("gzsl_bench.published")
    return (folder / "data" / name).read_text(encoding="utf-8")
