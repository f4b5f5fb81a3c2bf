"""``gzsl-bench table``: the results of a suite, from its records alone."""

from __future__ import annotations

from pathlib import Path

import click

from gzsl_bench.cli.options import debug_option, format_option, out_option
from gzsl_bench.cli.streams import put, say


@click.command("table")
@click.argument("suite")
@out_option
@format_option("github", "latex", "html", "csv", "json")
@click.option(
    "--metrics",
    metavar="NAMES",
    help="Columns, as harmonic_mean,unseen_as_seen, or all; by default the usual ones, on a"
    " terminal as many of them as fit.",
)
@click.option("--intervals", is_flag=True, help="Add 95 % intervals (over seeds and classes).")
@click.option("--strict", is_flag=True, help="Refuse rows that are not comparable.")
@click.option(
    "--daggers", "method", metavar="METHOD", help="Mark what differs from METHOD (latex, html)."
)
@click.option("--published", is_flag=True, help="Set published numbers beside ours.")
@debug_option
def table_command(
    suite: str,
    out: Path,
    fmt: str,
    metrics: str | None,
    intervals: bool,
    strict: bool,
    method: str | None,
    published: bool,
) -> None:
    """Print the table of SUITE (a suite file, or a suite's name) on standard output.

    Needs neither the data nor the plugins that made the records.
    """
    from gzsl_bench.cli.terminal import columns, show_table
    from gzsl_bench.records.store import RecordStore
    from gzsl_bench.records.suites import recall
    from gzsl_bench.report.table import render
    from gzsl_bench.results.rescore import only_believed, out_of_date
    from gzsl_bench.results.rows import chosen_metrics, rows
    from gzsl_bench.results.view import Results

    if method and fmt not in ("latex", "html"):
        raise click.UsageError(f"--daggers marks tables in latex and html, not {fmt}")
    store = RecordStore(out)
    resolved = recall(store.layout, suite)
    if Path(suite).is_file() and Path(suite).read_text(encoding="utf-8") != resolved.text:
        say(f"warning: {suite} was edited since it ran; this is the table of what ran")
    results = Results(resolved, store)
    table = rows(results)
    if strict:
        from gzsl_bench.results.identity import refuse_differences

        refuse_differences(table)
    wanted = [name.strip() for name in (metrics or "").split(",") if name.strip()]
    names = chosen_metrics(table, wanted)
    fragile: list[str] = []
    if intervals:
        from gzsl_bench.report.compare import fragile_pairs
        from gzsl_bench.report.samples import with_intervals

        table = with_intervals(table, results)
        fragile = fragile_pairs(table, results)
    marks = None
    if method:
        from gzsl_bench.report.daggers import daggers

        marks = daggers(table, results, method, names)
    if published:
        from gzsl_bench.report.published.show import render_beside

        put(render_beside(table, results, fmt, names, marks))
    elif fmt == "github" and not names and (width := columns()):
        show_table(table, resolved.name, out, width)
    else:
        put(render(table, fmt, names, marks))
    for sentence in (*fragile, *out_of_date(results), *only_believed(results)):
        say(f"warning: {sentence}")
    waiting, failed = results.missing()
    if waiting or failed:
        say(
            f"{len(resolved.cells)} cells: {len(waiting)} not run, {len(failed)} failed;"
            " the table holds the rest"
        )
