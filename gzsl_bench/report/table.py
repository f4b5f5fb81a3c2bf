"""Tables for terminals, papers and programs, made from rows."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from gzsl_bench import markdown
from gzsl_bench.report import latex, markup, wide
from gzsl_bench.report.cells import Table
from gzsl_bench.report.daggers import Daggers
from gzsl_bench.report.fit import USUAL
from gzsl_bench.report.notes import notes, protocol, short_protocol
from gzsl_bench.results.comparable import marks
from gzsl_bench.results.rows import HEADINGS, Row, extra_metrics
from gzsl_bench.scoring.rules import Support

#: Columns before the metrics: data set, method, selection, n.
_BEFORE = 4
#: Among what the best of a column is marked.
_COLUMN = "per column among comparable rows of one selection rule"
#: What terminals understand: bold and underlined.
TERMINAL = {1: "\x1b[1m{}\x1b[0m", 2: "\x1b[4m{}\x1b[0m"}
FORMATS = ("github", "latex", "html", "csv", "json")


def render(
    table: Sequence[Row],
    fmt: str = "github",
    metrics: Sequence[str] | None = None,
    daggers: Daggers | None = None,
    width: int = USUAL,
    ending: Sequence[str] = (),
    lead: str = "",
) -> str:
    """A table in one of ``FORMATS``; github, latex and html say the protocol of the numbers.

    Args:
        table: rows.
        fmt: json and csv hold every metric.
        metrics: the columns of the others; by default the usual ones and those of plugins.
        daggers: marks of latex and html for what differs from one method.
        width: columns in which the notes of github are broken between words.
        ending: sentences after the notes of github.
        lead: the rule to believe, for a terminal: it is bold there, the best of a column bold and
            the second best underlined.
    """
    names = list(metrics) if metrics else [*HEADINGS, *extra_metrics(table)]
    if fmt == "json":
        return json.dumps([row.to_json() for row in table], indent=1)
    if fmt == "csv":
        return _csv(table)
    cells, said = Table(table), notes(table, names)
    if fmt == "latex":
        return latex.table(cells, names, said, protocol(table, names), daggers)
    if fmt == "html":
        return markup.table(cells, names, said, daggers)
    lines = [cells.texts(row, names) for row in table]
    if lead:
        said += _highlight(lines, table, names, lead)
    said += ["", *ending] if ending else []
    body = markdown.table(cells.headings(names), lines)
    broken = [part for line in said for part in markdown.wrapped(line, width)]
    return "\n".join([body, "", *broken])


def _highlight(
    lines: list[list[str]], table: Sequence[Row], names: Sequence[str], lead: str
) -> list[str]:
    """Mark the lines of a terminal's table; the sentence that says how."""
    for (index, name), place in marks(table, names).items():
        column = _BEFORE + names.index(name)
        lines[index][column] = TERMINAL[place].format(lines[index][column])
    for line, row in zip(lines, table, strict=True):
        if row.selection == lead:
            line[_BEFORE - 2] = TERMINAL[1].format(line[_BEFORE - 2])
    return [f"Bold: {lead}, the rule to believe; the best {_COLUMN}; underlined: second best."]


def render_wide(
    table: Sequence[Row],
    fmt: str = "github",
    metrics: Sequence[str] = (),
    daggers: Daggers | None = None,
    name: str = "results",
    printed: Sequence[Mapping[str, Any]] = (),
    width: int | None = None,
    ending: Sequence[str] = (),
    terminal: bool = False,
) -> str:
    """Methods down, data sets across, U, S and H under each: the table of a paper.

    Args:
        table: rows; those of several rules make a block each.
        fmt: github, latex or html.
        metrics: under each data set.
        daggers: marks against one method.
        name: of the suite, for the label.
        printed: published numbers, a line for each of their sources.
        width: columns there are for github: what does not fit stands below.
        ending: sentences after the notes of github.
        terminal: it understands bold.
    """
    names = list(metrics) or list(wide.USUAL)
    laid = wide.grid(table, names, daggers, printed)
    more = [f"[{i}]: {source}." for i, source in enumerate(laid.sources, start=1)]
    if any(line["difference"] is None for line in printed) and laid.sources:
        more.append(f"{wide.OTHERWISE} measured otherwise than ours, so not comparable.")
    if len({row.sweep is None for row in table}) > 1:
        more.append("Points of sweeps stand in the long table alone.")
    best = any(
        value.mark
        for lines in laid.blocks.values()
        for line in lines
        for group in line.groups
        for value in (() if isinstance(group, str) else group)
    )
    said = [*notes(table, names), *more, *(daggers.note() if daggers else [])]
    if fmt == "latex":
        caption = [*short_protocol(table, names), *more]
        caption += [f"Best in bold, second best underlined, {_COLUMN}."] if best else []
        caption += daggers.note() if daggers else []
        label = "tab:" + (re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "results")
        return latex.wide(laid, [*notes(table, names), *more], caption, label)
    if fmt == "html":
        said += [f"Bold: best, underlined: second best, {_COLUMN}."] if best else []
        return markup.wide(laid, said)
    second = "underlined" if terminal else "slanted"
    said += [f"Bold: best, {second}: second best, {_COLUMN}."] if best else []
    said += ["", *ending] if ending else []
    if width is not None:
        said = [part for line in said for part in markdown.wrapped(line, width)]
    body = wide.as_markdown(laid, width, TERMINAL if terminal else None)
    return "\n".join([body, "", *said])


def flat(row: Row) -> dict[str, Any]:
    """A row as plain data on one level: every summary becomes columns of its own."""
    line: dict[str, Any] = {}
    for name, value in row.to_json().items():
        if name in ("extra", "notes"):
            continue  # how to read the numbers, not numbers
        if isinstance(value, dict):
            line |= {f"{name}_{part}": value[part] for part in value}
        elif value is None and name == "support":
            line |= dict.fromkeys(f"support_{field.name}" for field in fields(Support))
        elif value is None and name in (*HEADINGS, "selection_gap"):
            line |= dict.fromkeys(f"{name}_{part}" for part in ("mean", "sd", "n"))
        else:
            line[name] = value
    return line


def _csv(table: Sequence[Row]) -> str:
    """Flat; lists are separated by blanks."""
    return markdown.csv_text(
        [
            {n: " ".join(map(str, v)) if isinstance(v, list) else v for n, v in flat(row).items()}
            for row in table
        ]
    )
