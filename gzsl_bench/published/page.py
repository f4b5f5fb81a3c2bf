"""The page of published numbers: how many were selected on what, then every release and table."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

from gzsl_bench import markdown
from gzsl_bench.published.audit import findings, numbers, status
from gzsl_bench.published.entries import TABLES, Entry, entries, papers, releases
from gzsl_bench.published.schema import Release

_DATASETS = ("CUB", "SUN", "AWA1", "AWA2", "APY", "FLO")
_MEANING = {
    "test": "the epoch with the best result on test data",
    "val": "an epoch chosen on validation data",
    "last": "the last epoch, or a number of them fixed before",
    "unknown": "the code does not say",
}


def page() -> str:
    """The whole page as Markdown."""
    return "\n".join([*_head(), *_selection(), *_contradictory(), *_tables()]).rstrip() + "\n"


def _grid(headings: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    """A table without the blanks that line it up: a site does not need them."""
    return re.sub("-{4,}", "---", re.sub(" {2,}", " ", markdown.table(headings, lines)))


def _head() -> list[str]:
    return [
        "# Published numbers",
        "",
        "<!-- Made by `gzsl-bench published page`; change the CSV files, not this page. -->",
        "",
        "Accuracies that papers and repositories print, and what their code says of how the printed"
        " epoch was chosen. `gzsl-bench published list`, `releases` and `audit` print the same as"
        " JSON or CSV with every condition, and what is wrong with it. Facts only; nothing on this"
        " page is a result of this project. A row or a correction is a line in a CSV file of"
        " `gzsl_bench/published/data`, whose columns `schema.py` next to it describes.",
        "",
    ]


def _selection() -> Iterator[str]:
    every = releases()
    rows = []
    for rule, meaning in _MEANING.items():
        own = [release for release in every if release.selection == rule]
        rows.append([f"`{rule}`", meaning, len(own), _in_context(own)])
    rows.append(["", "**all**", len(every), _in_context(every)])
    on_test = [release for release in every if release.calibration == "test"]
    yield "## How the reported epoch was chosen"
    yield ""
    yield _grid(["Rule", "What is reported", "Releases", "Read in context"], rows)
    yield ""
    yield (
        f"{len(on_test)} of them also choose a bias or gate between seen and unseen classes on test"
        f" data: {', '.join(release.method for release in on_test)}. Where a classifier is trained"
        " within an outer loop, a choice on test data in either counts as `test`. *Read in"
        " context*: somebody read the cited lines with what is around them, at the commit named;"
        " other versions of a repository may differ."
    )
    yield ""
    yield _grid(
        ["Method", "Year", "Epoch", "Bias", "Backbone", "Fine-tuned", "Image", "Code"],
        [
            [
                release.method,
                release.year,
                release.selection,
                release.calibration,
                release.backbone,
                release.fine_tuned,
                release.image_size,
                _link(release),
            ]
            for release in every
        ],
    )
    yield ""
    yield "### What was read"
    yield ""
    yield from map(_note, every)
    yield ""


def _in_context(chosen: Sequence[Release]) -> int:
    return sum(release.read == "context" for release in chosen)


def _link(release: Release) -> str:
    commit = release.read_commit or release.commit
    return (
        f"[{release.repository}](https://github.com/{release.repository}/tree/{commit})"
        f" `{commit[:7]}`"
    )


def _note(release: Release) -> str:
    paper = " ".join(filter(None, (release.venue, release.year)))
    kind = "" if release.setting == "inductive" else f", {release.setting}"
    where = f"; in {release.where}" if release.where else ""
    moved = release.read == "context" and release.commit != release.read_commit
    numbered = f" (lines of `{release.commit[:7]}`)" if moved else ""
    read = "" if release.read == "context" else "; not read in context"
    vectors = f"; class embedding: {release.embedding}" if release.embedding else ""
    return (
        f"* **{release.method}** ({paper or 'venue not known'}{kind}): {release.note}"
        f"{where}{numbered}{read}{vectors}."
    )


def _contradictory() -> Iterator[str]:
    checkable = [entry for entry in entries() if {"U", "S", "H"} <= entry.printed.keys()]
    wrong = [finding for finding in findings() if finding.status == "inconsistent"]
    yield "## Rows that contradict their own U and S"
    yield ""
    yield (
        f"{len(entries())} rows of {len({e.method for e in entries()})} methods, by the names they"
        f" are printed under; {sum(e.secondary for e in entries())} stand in another paper's table."
        f" {len(checkable)} print U, S and H. In {len(wrong)} of these H is not what U and S allow,"
        " whatever was rounded:"
    )
    yield ""
    yield _grid(
        ["Table", "Method", "Data set", "U/S/H", "What was found"],
        [[f.table, f.method, f.dataset, f.printed, f.detail] for f in wrong],
    )
    yield ""


def _tables() -> Iterator[str]:
    yield "## Tables"
    yield ""
    yield (
        "U/S/H in percent as printed, and T1. *Quoted*: in somebody else's table; *re-run*:"
        " trained by others than the authors. *Epoch*: the rule above, where the release is known."
        " ✗: contradicts its own U and S; !: another finding of `gzsl-bench published audit`."
        " Rows with ✓ were held against their source a second time."
    )
    yield ""
    for table, rows in itertools.groupby(entries(), lambda entry: entry.table):
        yield from _table(table, list(rows))


def _table(name: str, rows: Sequence[Entry]) -> Iterator[str]:
    datasets = [dataset for dataset in _DATASETS if any(e.dataset == dataset for e in rows)]
    lines: dict[tuple[str, ...], dict[str, list[Entry]]] = {}
    for entry in rows:
        lines.setdefault(_conditions(entry), {}).setdefault(entry.dataset, []).append(entry)
    sources = dict.fromkeys(entry.source for entry in rows) if name in papers() else {}
    yield f"### {TABLES.get(name, name)}"
    yield ""
    if sources:
        yield f"Source: {'; '.join(sources)}."
        yield ""
    yield _grid(
        ["Method", "By", "Features", "Embedding", "Epoch", *datasets],
        [
            [*conditions[:5], *("; ".join(map(_cell, cells.get(d, ()))) for d in datasets)]
            for conditions, cells in lines.items()
        ],
    )
    notes = dict.fromkeys((e.method, e.dataset, e.note) for e in rows if e.note)
    if notes and name in papers():
        yield ""
        yield from (f"* {method}, {dataset}: {note}." for method, dataset, note in notes)
    yield ""


def _conditions(entry: Entry) -> tuple[str, ...]:
    by = {"published (own)": "authors", "published (quoted)": "quoted", "reproduction": "re-run"}
    who = by.get(entry.kind, entry.kind)
    split = "" if entry.split == "PS" else f", {entry.split}"
    rule = {"best_test": "test"}.get(entry.selection or "", entry.selection or "")
    return entry.method, who + split, entry.features or "", entry.embedding or "", rule


def _cell(entry: Entry) -> str:
    shown = numbers(entry)
    parts = [] if shown == "-/-/-" else [shown]
    if "T1" in entry.printed:
        parts.append(f"T1 {entry.printed['T1']}")
    found = status(entry)
    mark = " ✗" if "inconsistent" in found else " !" if found != "ok" else ""
    return " ".join(parts) + mark + (" ✓" if entry.checked else "")
