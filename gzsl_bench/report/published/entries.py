"""The registry: every printed row as data, with its conditions where a source tells them.

Values stay as they were printed (their decimals say how far they were rounded).  Conditions that
apply to many rows stand once in ``facts.json``, each with its basis; later ones override earlier.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

#: The tables, by short name: what to call them, and where their rows come from.
TABLES: Mapping[str, str] = {
    "acmr-2": "Fang et al. (ACMR), AAAI 2022, Table 2",
    "acmr-3": "Fang et al. (ACMR), AAAI 2022, Table 3",
    "gbu": "GBU and other tables copied by public repositories",
    "elsewhere": "rows quoted by third parties",
}
COUNTS_SOURCE = "Fang et al. (ACMR), AAAI 2022, Table 1"

_COLUMNS = ("U", "S", "H", "T1")


@dataclass(frozen=True)
class Entry:
    """One printed row.

    Attributes:
        table: a key of :data:`TABLES`.
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
            kind="published (own)" if own else "published (quoted)",
            source=TABLES[f"acmr-{row['table']}"],
        )
    for row in _rows("gbu_tables.csv"):
        yield _entry(row, table="gbu")
    for row in _rows("elsewhere.csv"):
        yield _entry(row, table="elsewhere")


def _entry(row: Mapping[str, str], **more: str) -> Entry:
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
    folder = resources.files("gzsl_bench.report.published")
    return (folder / "data" / name).read_text(encoding="utf-8")
