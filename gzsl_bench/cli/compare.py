"""``gzsl-bench compare``: two methods of a suite tested against one another, all of them ranked."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click

from gzsl_bench.cli import complete
from gzsl_bench.cli.options import chosen_rule, debug_option, format_option, out_option, rule_option
from gzsl_bench.terminal.streams import put, say


@click.command("compare")
@click.argument("names", nargs=-1, metavar="[SUITE] [A B]", shell_complete=complete.stored)
@out_option
@click.option("--dataset", "datasets", multiple=True, metavar="NAME", help="Only this data set.")
@rule_option
@format_option("github", "json", "csv")
@debug_option
def compare_command(
    names: tuple[str, ...],
    out: Path,
    datasets: tuple[str, ...],
    rule: str | None,
    fmt: str,
) -> None:
    """Compare methods A and B (labels) of SUITE on the seeds and classes they share.

    Without SUITE: of the only one in the results folder.  Without A and B: the best method of every
    data set against all others, and the ranking of all over data sets.  Needs neither the data nor
    the plugins that made the records.
    """
    from gzsl_bench.records.store import RecordStore
    from gzsl_bench.records.suites import known, recall
    from gzsl_bench.report.compare import against_best, compare, table_of
    from gzsl_bench.report.ranking import rank
    from gzsl_bench.report.versus import as_csv, as_text, plain
    from gzsl_bench.results.comparable import taint
    from gzsl_bench.results.rescore import out_of_date
    from gzsl_bench.results.view import Results
    from gzsl_bench.terminal.width import columns

    if len(names) > 3:
        raise click.UsageError(f"name two methods to compare, not {len(names) - 1}")
    # Two names are methods: of one method there is nothing to compare.
    suite, methods = (None, names) if len(names) in (0, 2) else (names[0], names[1:])
    store = RecordStore(out)
    if len(names) == 2 and (names[0].endswith(".yaml") or names[0] in known(store.layout)):
        raise click.UsageError(f"{names[0]} is a suite: name two methods after it, or none")
    resolved = recall(store.layout, suite)
    results = Results(resolved, store)
    chosen = chosen_rule(resolved, rule)
    found, reasons = (
        compare(results, methods[0], methods[1], chosen, datasets)
        if methods
        else against_best(results, chosen, datasets)
    )
    table = [row for row in table_of(results, chosen) if not datasets or row.dataset in datasets]
    ranks, why = rank(table)
    if fmt == "json":
        put(json.dumps(plain(found, ranks, why, chosen), indent=1))
    elif fmt == "csv":
        put(as_csv(found))
    else:
        put(as_text(found, ranks, why, chosen, columns()))
        if found and not methods:
            pair = ["compare", resolved.name, found[0].a, found[0].b, "--out", str(out)]
            say(f"next, two of them metric by metric: {shlex.join(['gzsl-bench', *pair])}")
    for sentence in out_of_date(results):
        say(f"warning: {sentence}")
    for reason in reasons:
        say(f"left out: {reason}")
    absent: dict[tuple[str, str], list[str]] = {}
    for row in table:
        if cause := row.unavailable or taint(row):
            absent.setdefault((row.label, cause), []).append(row.dataset)
    for (label, cause), places in absent.items():
        say(f"left out of the ranking: {label} on {', '.join(places)}: {cause}")
