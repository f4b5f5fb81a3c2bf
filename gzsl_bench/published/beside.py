"""Our rows beside the printed ones: a difference only where the two measured the same thing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gzsl_bench.data.tasks import PREPROCESSING
from gzsl_bench.published.audit import numbers, status
from gzsl_bench.published.entries import Entry, entries, facts
from gzsl_bench.results.comparable import taint
from gzsl_bench.results.rows import HEADINGS, Row
from gzsl_bench.results.view import Results
from gzsl_bench.suite.cells import Cell

_METRICS = {"U": "acc_unseen", "S": "acc_seen", "H": "harmonic_mean", "T1": "zsl_acc"}
#: Marks a difference between numbers that were selected by different rules.
_OTHERWISE = "*"


def beside(table: Sequence[Row], results: Results) -> list[dict[str, Any]]:
    """One line per row of ours and printed row of the same method on the same data set.

    Args:
        table: rows of the suite.
        results: of the suite: what stands behind a label.

    Returns:
        Plain data: ``dataset, label, selection, seeds, keys``, ``ours`` (means), ``published``
        (the method's name there), ``theirs`` (printed numbers by metric), ``their_selection``,
        ``difference`` (ours - theirs by metric, None where not comparable), ``comparable`` (empty,
        or why not), ``status`` (what the audit says) and ``source``.
    """
    lines = []
    for row in table:
        if row.sweep is not None or not row.keys:
            continue
        cell = results.cells[row.keys[0]][0]
        for name in published_names(cell):
            own = [e for e in entries() if e.method == name and e.dataset == cell.request["use"]]
            lines += [_line(row, cell, entry) for entry in own if not _quoted_again(entry, own)]
    return lines


def _quoted_again(entry: Entry, own: Sequence[Entry]) -> bool:
    """Whether others quote a row that stands before it and tells no less of its conditions."""
    return entry.secondary and any(
        numbers(other) == numbers(entry)
        and entry.features in (None, other.features)
        and entry.embedding in (None, other.embedding)
        for other in own[: own.index(entry)]
    )


def published_names(cell: Cell) -> list[str]:
    """What the literature calls a cell's method, by its name and the parts it has switched on."""
    config = cell.identity["method"]["config"]
    return [
        str(item["published"])
        for item in facts()["ours"]
        if item["method"] == cell.method
        and all(config.get(name) == value for name, value in item["config"].items())
    ]


def parts(published: str) -> set[str]:
    """Options by which our methods are what the literature calls so."""
    return {name for item in facts()["ours"] if item["published"] == published
            for name in item["config"]}  # fmt: skip


def obstacle(row: Row, cell: Cell, entry: Entry) -> str:
    """Why a difference to a printed row would mean nothing; empty where it means something."""
    for what, here, there in (
        ("features", row.features, entry.features),
        ("class embedding", row.attributes, entry.embedding),
    ):
        if there is None:
            return f"{what} of the printed number unknown"
        if here != there:
            return f"{what} {here}, theirs {there}"
    if entry.split != "PS":
        return entry.split
    if row.setting != "inductive":
        return str(row.setting)
    scaling = PREPROCESSING.get(row.preprocessing)
    if scaling is not None and scaling.leaks:
        return f"preprocessing {row.preprocessing}"
    if why := taint(row):
        return why
    other = changed(cell)
    if other:
        name, (value, released) = next(iter(other.items()))
        more = f" and {len(other) - 1} more" if len(other) > 1 else ""
        return f"configuration: {name} {value} instead of {released}{more}"
    marks = [text for text in status(entry).split("; ") if text.startswith("not comparable:")]
    return marks[0].removeprefix("not comparable: ") if marks else ""


def changed(cell: Cell) -> dict[str, tuple[Any, Any]]:
    """Configuration fields that differ from the released values: name -> (here, released)."""
    released = facts()["released"].get(cell.method, {})
    wanted: Mapping[str, Any] = released.get("all", {}) | released.get(cell.request["use"], {})
    config = cell.identity["method"]["config"]
    return {
        name: (config[name], value)
        for name, value in wanted.items()
        if name in config and config[name] != value
    }


def headings() -> list[str]:
    """Of the table that :func:`cells` fills."""
    return ["Data set", "Method", "Selection", "n", "U/S/H, T1", "Printed as", "Selection there",
            "U/S/H, T1 there", "H - theirs", "T1 - theirs", "Source", "Audit"]  # fmt: skip


def cells(lines: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Text for each line."""
    return [
        [
            line["dataset"],
            line["label"],
            line["selection"],
            str(len(line["seeds"])),
            _numbers({s: _one(line["ours"].get(m)) for s, m in _METRICS.items()}),
            line["published"],
            line["their_selection"] or "unknown",
            _numbers({s: line["printed"].get(s, "") for s in _METRICS}),
            *_differences(line),
            line["source"],
            line["status"],
        ]
        for line in lines
    ]


def notes(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """What must stand under the lines."""
    if not lines:
        return ["The registry holds no printed number for these data sets and methods."]
    found = [
        "Printed numbers as their sources have them; a difference stands only where data set,"
        " features and class embedding are the same."
    ]
    if any(line["difference"] and _otherwise(line) for line in lines):
        found.append(
            f"{_OTHERWISE} selected by another rule than ours: not a fair difference (best_test"
            " chooses on the test set)."
        )
    if any(line["status"] != "ok" for line in lines):
        found.append("gzsl-bench published audit says what is wrong with printed numbers.")
    return found


def _line(row: Row, cell: Cell, entry: Entry) -> dict[str, Any]:
    why = obstacle(row, cell, entry)
    theirs = {
        metric: entry.value(short)
        for short, metric in _METRICS.items()
        if entry.value(short) is not None
    }
    ours = {name: found.mean for name in HEADINGS if (found := row.metrics[name])}
    return {
        "dataset": row.dataset,
        "label": row.label,
        "selection": row.selection,
        "seeds": list(row.seeds),
        "keys": list(row.keys),
        "ours": ours,
        "published": entry.method,
        "printed": dict(entry.printed),
        "theirs": theirs,
        "their_selection": entry.selection,
        "difference": None
        if why
        else {
            name: round(ours[name] - value, 2)
            for name, value in theirs.items()
            if value is not None and name in ours
        },
        "comparable": f"not comparable: {why}" if why else "",
        "status": status(entry),
        "kind": entry.kind,
        "source": entry.source,
    }


def _otherwise(line: Mapping[str, Any]) -> bool:
    return bool(line["their_selection"] != line["selection"])


def _differences(line: Mapping[str, Any]) -> Iterator[str]:
    found = line["difference"]
    if found is None:
        yield from (line["comparable"], "")
        return
    mark = _OTHERWISE if _otherwise(line) else ""
    for name in ("harmonic_mean", "zsl_acc"):
        yield f"{found[name]:+.1f}{mark}" if name in found else "-"


def _one(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _numbers(shown: Mapping[str, str]) -> str:
    """``53.1/57.7/55.3, 60.2``; what is absent is a dash, what is absent altogether left out."""
    gzsl = "/".join(shown[s] or "-" for s in ("U", "S", "H"))
    parts = [gzsl] if gzsl != "-/-/-" else []
    parts += [f"T1 {shown['T1']}"] if shown["T1"] else []
    return ", ".join(parts)
