"""``gzsl-bench results``: what a results folder holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from gzsl_bench import markdown
from gzsl_bench.cli.options import debug_option, json_option, out_option
from gzsl_bench.cli.streams import put, say


@click.command("results")
@out_option
@json_option
@debug_option
def results_command(out: Path, as_json: bool) -> None:
    """List the suites of a results folder: data sets, methods, and how many cells have ended."""
    from gzsl_bench.cli.terminal import columns
    from gzsl_bench.errors import RecordError
    from gzsl_bench.records.store import RecordStore
    from gzsl_bench.records.suites import known, recall
    from gzsl_bench.results.view import Results

    store = RecordStore(out)
    found: list[dict[str, Any]] = []
    for name in known(store.layout):
        try:
            suite = recall(store.layout, name)
        except RecordError as error:  # one damaged file hides no other
            say(f"warning: {error}")
            continue
        waiting, failed = Results(suite, store).missing()
        count = len({cell.key for cell in suite.cells})
        found.append(
            {
                "suite": name,
                "datasets": list(dict.fromkeys(cell.dataset for cell in suite.cells)),
                "methods": list(dict.fromkeys(cell.label for cell in suite.cells)),
                "cells": count,
                "done": count - len({cell.key for cell in waiting}) - len(failed),
                "failed": len(failed),
                "rule": suite.lead,
            }
        )
    if as_json:
        put(json.dumps(found, indent=1))
        return
    if not found:
        say(f"{out} holds no suite yet; gzsl-bench run puts one there")
        return
    lines = [
        [
            each["suite"],
            ", ".join(each["datasets"]),
            ", ".join(each["methods"]),
            f"{each['done']} of {each['cells']}",
            str(each["failed"]),
        ]
        for each in found
    ]
    heads = ["Suite", "Data sets", "Methods", "Done", "Failed"]
    put(markdown.fitted(heads, lines, columns()))
    say("next: gzsl-bench table SUITE, report SUITE, or ui SUITE")
