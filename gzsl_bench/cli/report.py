"""``gzsl-bench report``: the results of a suite as one page, from its records alone."""

from __future__ import annotations

from pathlib import Path

import click

from gzsl_bench.cli import complete
from gzsl_bench.cli.options import chosen_rule, debug_option, out_option, rule_option
from gzsl_bench.terminal.streams import put, say
from gzsl_bench.wording import counted


@click.command("report")
@click.argument("suite", required=False, shell_complete=complete.stored)
@out_option
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Where to write report.html [default: the results folder].",
)
@click.option("--plots", is_flag=True, help="Write each plot as PNG and PDF, its data as CSV.")
@click.option(
    "--figures",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write each plot as SVG there, for documents.",
)
@rule_option
@debug_option
def report_command(
    suite: str | None,
    out: Path,
    into: Path | None,
    plots: bool,
    figures: Path | None,
    rule: str | None,
) -> None:
    """Write report.html of SUITE (a suite file, or a suite's name): one self-contained page.

    Without SUITE: of the only one in the results folder.

    Needs neither the data nor the plugins that made the records, and no network to be read.
    """
    from gzsl_bench.records.store import RecordStore
    from gzsl_bench.records.suites import recall
    from gzsl_bench.report.html.page import build
    from gzsl_bench.results.view import Results

    store = RecordStore(out)
    resolved = recall(store.layout, suite)
    results = Results(resolved, store)
    made = build(results, into or out, plots, chosen_rule(resolved, rule), figures)
    put(str(made.path))
    say(f"{made.size / 1e6:.1f} MB, opens in any browser")
    if figures:
        names = ", ".join(path.name for path in made.figures)
        say(f"{counted(len(made.figures), 'plot')} as SVG in {figures}: {names}")
    if made.plots:
        folder = made.path.parent / "plots"
        say(f"{counted(len(made.plots), 'plot')} as PNG, PDF and CSV in {folder}")
