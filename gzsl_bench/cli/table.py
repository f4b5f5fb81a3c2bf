"""``gzsl-bench table``: the results of a suite, from its records alone."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gzsl_bench.cli import complete
from gzsl_bench.cli.options import chosen_rule, debug_option, format_option, out_option
from gzsl_bench.terminal.streams import put, say
from gzsl_bench.wording import counted

if TYPE_CHECKING:
    from gzsl_bench.report.daggers import Daggers
    from gzsl_bench.results.rows import Row
    from gzsl_bench.results.view import Results
    from gzsl_bench.suite.resolved import ResolvedSuite


#: Formats for programs: every row, no layout.
_DATA = ("csv", "json")


@dataclass(frozen=True)
class _Asked:
    """What is to be printed, however it is laid out.

    Attributes:
        table: rows.
        results: what they were made of.
        out: the results folder.
        fmt: github, latex, html, csv or json.
        names: metrics asked for.
        marks: what differs from one method, where that was asked for.
        ending: sentences below.
    """

    table: Sequence[Row]
    results: Results
    out: Path
    fmt: str
    names: Sequence[str]
    marks: Daggers | None
    ending: Sequence[str]


@click.command("table")
@click.argument("suite", required=False, shell_complete=complete.stored)
@out_option
@format_option("github", "latex", "html", "csv", "json")
@click.option(
    "--layout",
    type=click.Choice(["wide", "long"]),
    help="wide: methods down, data sets across, as papers have it; long: a row for each data set,"
    " method and rule, with more metrics [default: wide].",
)
@click.option(
    "--rule",
    "rules",
    multiple=True,
    metavar="RULE",
    help="Only by this selection rule; may be repeated [default: long: all of them; wide: val where"
    " the suite has it, else last].",
)
@click.option("--dataset", "datasets", multiple=True, metavar="NAME", help="Only this data set.")
@click.option("--method", "methods", multiple=True, metavar="NAME", help="Only this method.")
@click.option(
    "--metrics",
    metavar="NAMES",
    help="Columns, as H,U,S or harmonic_mean,unseen_as_seen, or all; by default the usual ones"
    " (wide: U, S and H), on a terminal as many of them as fit.",
)
@click.option("--intervals", is_flag=True, help="Add 95 % intervals (over seeds and classes).")
@click.option("--strict", is_flag=True, help="Refuse rows that are not comparable.")
@click.option(
    "--daggers",
    "against",
    metavar="METHOD",
    help="Mark what differs from METHOD by the honest rule, or the one of --rule (latex, html).",
)
@click.option("--published", is_flag=True, help="Set published numbers beside ours.")
@debug_option
def table_command(
    suite: str | None,
    out: Path,
    fmt: str,
    layout: str | None,
    rules: tuple[str, ...],
    datasets: tuple[str, ...],
    methods: tuple[str, ...],
    metrics: str | None,
    intervals: bool,
    strict: bool,
    against: str | None,
    published: bool,
) -> None:
    """Print the table of SUITE (a suite file, or a suite's name) on standard output.

    Without SUITE: of the only one in the results folder.

    Needs neither the data nor the plugins that made the records.
    """
    from gzsl_bench.report.wide import USUAL
    from gzsl_bench.results.rows import rows

    if against and fmt not in ("latex", "html"):
        raise click.UsageError(f"--daggers marks tables in latex and html, not {fmt}")
    if layout and fmt in _DATA:
        raise click.UsageError(f"--layout lays out github, latex and html; {fmt} has every row")
    usual = layout is None and not rules and fmt == "github"
    layout = layout or ("long" if fmt in _DATA else "wide")
    results = _open(out, suite)
    resolved = results.suite
    chosen = [chosen_rule(resolved, rule) for rule in rules]
    if layout == "wide" and not chosen:
        chosen = [resolved.lead]
    everything = rows(results)
    if not everything and fmt not in _DATA:
        count = len(resolved.cells)
        none = "its cell was not" if count == 1 else f"none of its {count} cells was"
        say(f"{resolved.name} has no numbers yet: {none} run to its end")
        return
    table = _part(everything, resolved, chosen, datasets, methods)
    if strict:
        from gzsl_bench.results.identity import refuse_differences

        refuse_differences(table)
    names = _columns(table, metrics, usual=layout == "wide" and fmt != "latex")
    fragile: list[str] = []
    if intervals:
        from gzsl_bench.report.fragile import fragile_pairs
        from gzsl_bench.report.samples import with_intervals

        table = with_intervals(table, results)
        fragile = fragile_pairs(table, results)
    marks = None
    if against:
        from gzsl_bench.report.daggers import daggers

        shown = names or (list(USUAL) if layout == "wide" else [])
        marks = daggers(table, results, against, shown, chosen[0] if chosen else None)
    # What calibrated scores would say belongs to the answer, whatever rows are shown; of some
    # methods alone nobody is the best.
    whole = _part(everything, resolved, (), datasets, ()) if not methods else []
    last = _ending(table, whole, chosen, results) if fmt == "github" else []
    this = _Asked(table, results, out, fmt, names, marks, last)
    (_put_wide if layout == "wide" else _put_long)(this, published)
    _say_more(results, fragile)
    if usual and len(resolved.rules) > 1:
        again = shlex.join(["gzsl-bench", "table", resolved.name, "--out", str(out)])
        say(f"by {resolved.lead} alone; every rule and metric: {again} --layout long")


def _open(out: Path, suite: str | None) -> Results:
    """What ran; an edited file says nothing of it."""
    from gzsl_bench.records.store import RecordStore
    from gzsl_bench.records.suites import recall
    from gzsl_bench.results.view import Results

    store = RecordStore(out)
    resolved = recall(store.layout, suite)
    if suite and Path(suite).is_file() and Path(suite).read_text(encoding="utf-8") != resolved.text:
        say(f"warning: {suite} was edited since it ran; this is the table of what ran")
    return Results(resolved, store)


def _columns(table: Sequence[Row], asked: str | None, usual: bool) -> list[str]:
    """The metrics asked for; where none was, U, S, H and those of plugins, or what the layout has.

    Args:
        table: rows.
        asked: names with commas between them.
        usual: name them here.
    """
    from gzsl_bench.report.wide import USUAL
    from gzsl_bench.results.rows import chosen_metrics, extra_metrics

    wanted = [name.strip() for name in (asked or "").split(",") if name.strip()]
    names = chosen_metrics(table, wanted)
    return [*USUAL, *extra_metrics(table)] if usual and not names else names


def _ending(
    table: Sequence[Row], whole: Sequence[Row], chosen: Sequence[str], results: Results
) -> list[str]:
    """Sentences below the rows shown: who leads, by the honest rule where it is among them."""
    from gzsl_bench.report.answer import ending

    lead = results.suite.lead
    rule = lead if lead in {row.selection for row in table} else next(iter(chosen), "")
    return ending(whole, results, rule) if whole and rule else []


def _put_wide(this: _Asked, published: bool) -> None:
    """Methods down, data sets across."""
    from gzsl_bench.published.beside import beside
    from gzsl_bench.report.table import render_wide
    from gzsl_bench.terminal.width import bold, columns

    printed = beside(this.table, this.results) if published else ()
    github = this.fmt == "github"
    put(
        render_wide(
            this.table, this.fmt, this.names, this.marks, this.results.suite.name, printed,
            columns() if github else None, this.ending, terminal=github and bold(),
        )
    )  # fmt: skip


def _put_long(this: _Asked, published: bool) -> None:
    """A row for each data set, method and rule; on a terminal the columns that fit."""
    from gzsl_bench.report.fit import USUAL as USUAL_WIDTH
    from gzsl_bench.report.table import render
    from gzsl_bench.terminal.width import bold, columns, show_table

    suite, github = this.results.suite, this.fmt == "github"
    width = columns() if github else None
    if published:
        from gzsl_bench.report.beside import render_beside

        put(render_beside(this.table, this.results, this.fmt, this.names, this.marks))
    elif width and not this.names:
        show_table(this.table, suite.name, this.out, width, this.ending, suite.lead)
    else:
        put(
            render(
                this.table, this.fmt, this.names, this.marks, width or USUAL_WIDTH, this.ending,
                suite.lead if github and bold() else "",
            )
        )  # fmt: skip


def _say_more(results: Results, fragile: Sequence[str]) -> None:
    """What the table does not say of its numbers, and what is missing in it."""
    from gzsl_bench.results.earlier import earlier
    from gzsl_bench.results.rescore import only_believed, out_of_date

    for sentence in (*fragile, *out_of_date(results), *only_believed(results)):
        say(f"warning: {sentence}")
    waiting, failed = results.missing()
    if waiting or failed:
        say(
            f"{counted(len(results.suite.cells), 'cell')}: {len(waiting)} not run,"
            f" {len(failed)} failed; the table holds the rest"
        )
    for sentence in earlier(results):
        say(sentence)


def _part(
    table: Sequence[Row],
    suite: ResolvedSuite,
    rules: Sequence[str],
    datasets: Sequence[str],
    methods: Sequence[str],
) -> list[Row]:
    """The rows asked for; methods without any numbers are by every rule.

    Raises:
        SuiteError: the suite has no such data set or method.
    """
    from gzsl_bench.results.names import chosen_datasets, method_label
    from gzsl_bench.results.rows import NO_RULE

    shown = chosen_datasets(datasets, suite)
    labels = {method_label(name, suite) for name in methods}
    return [
        row
        for row in table
        if (not rules or row.selection in (*rules, NO_RULE))
        and row.dataset in shown
        and (not methods or row.label in labels)
    ]
