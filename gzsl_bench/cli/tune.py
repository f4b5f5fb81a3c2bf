"""``gzsl-bench tune``: hyper-parameters chosen on validation folds, written as a suite to run."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gzsl_bench import markdown
from gzsl_bench.cli.launch import Launch, launch_options
from gzsl_bench.cli.options import format_option
from gzsl_bench.terminal.streams import put, say
from gzsl_bench.wording import counted

if TYPE_CHECKING:
    from gzsl_bench.results.view import Results
    from gzsl_bench.tuning.trials import Tuning


@click.command("tune")
@launch_options
@click.option(
    "--write", type=click.Path(dir_okay=True, path_type=Path), metavar="PATH",
    help="Where the tuned suite goes [default: DIR/suites/NAME-tuned.yaml].",
)  # fmt: skip
@format_option(
    "github",
    "json",
    text="How to print the trials: the 20 best of each search, or all of them as JSON.",
)
def tune_command(launch: Launch, write: Path | None, fmt: str) -> int:
    """Try what SUITE lists under `tune`, on validation folds alone, and write the best as a suite.

    Every method with a search space is tuned on each of its data sets.  No test row is used, none
    is given to a worker.  What has a complete record is left alone, so an interrupted search goes
    on where it was.  Needs Optuna: pip install 'gzsl-bench[tune]'.  Exit code: 0 all trials done,
    1 some failed, 2 bad input or missing data, 130 interrupted.
    """
    from gzsl_bench.records.layout import Layout
    from gzsl_bench.results.view import Results
    from gzsl_bench.tracking.trials import open_trial_mirror
    from gzsl_bench.tuning import search
    from gzsl_bench.tuning.table import render_trials, trial_rows
    from gzsl_bench.tuning.trials import prepare
    from gzsl_bench.tuning.tuned import check_writable

    search.require()
    loaded, registry = launch.open_suite()
    path = write or Layout(launch.out).tuned(loaded.suite.name)
    check_writable(path, launch.suite)
    tuning = prepare(loaded, registry, launch.where, launch.only)
    for warning in tuning.suite.warnings:
        say(f"warning: {warning}")
    units = launch.plan(tuning.suite.cells, registry)
    if launch.dry_run:
        trials = sum(len(found.trials) for found in tuning.searches)
        lines = [
            [found.dataset, found.label, str(trial.number), _in_words(trial.values)]
            for found in tuning.searches
            for trial in found.trials
        ]
        put(markdown.table(["Data set", "Method", "Trial", "Values"], lines))
        say(f"{counted(trials, 'trial')}: ", nl=False)
        return launch.describe(units, "fold cell", summary=False)
    with launch.training(loaded, registry, len(units)) as training:
        results = Results(tuning.suite, training.store)
        mirror = open_trial_mirror(launch.uri, tuning, results) if launch.uri else None

        def mirrored() -> tuple[str, Sequence[dict[str, Any]]]:
            table = trial_rows(tuning, results)
            return render_trials(table), table

        catch_up = "the same command brings it up to date"
        outcome = training.run(tuning.suite, units, mirror, mirrored, catch_up)
        put(render_trials(trial_rows(tuning, results), fmt))
        training.conclude(outcome, tuning.suite, interrupted=", so no suite was written")
        if not outcome.interrupted:
            _write(tuning, results, path, launch.out)
        return outcome.exit_code


def _in_words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={json.dumps(value)}" for name, value in values.items())


def _write(tuning: Tuning, results: Results, path: Path, out: Path) -> None:
    """Write the suite, if every search has come to a choice."""
    from gzsl_bench.tuning.tuned import chosen, edges, ties, tuned_suite, write_suite

    found = chosen(tuning, results)
    if found is None:
        say("no suite was written: a search has no trial that is complete")
        return
    for line in [*ties(found), *edges(found)]:
        say(f"note: {line}")
    write_suite(path, tuned_suite(tuning, found, results))
    again = shlex.join(["gzsl-bench", "run", str(path), "--out", str(out)])
    say(f"chosen values: {path}; next: {again}")
