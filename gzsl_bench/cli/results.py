"""``gzsl-bench results``: what a results folder holds."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gzsl_bench import markdown
from gzsl_bench.cli.options import debug_option, json_option, out_option
from gzsl_bench.terminal.streams import put, say

if TYPE_CHECKING:
    from gzsl_bench.results.view import Results


@click.command("results")
@out_option
@json_option
@debug_option
def results_command(out: Path, as_json: bool) -> None:
    """List the suites of a results folder, how many cells have ended, and who is best so far."""
    from gzsl_bench.errors import RecordError
    from gzsl_bench.records.store import RecordStore
    from gzsl_bench.records.suites import known, recall
    from gzsl_bench.report.html.age import stale
    from gzsl_bench.results.view import Results
    from gzsl_bench.terminal.width import columns

    store = RecordStore(out)
    found: list[dict[str, Any]] = []
    notes: list[list[str]] = []
    behind: list[str] = []
    for name in known(store.layout):
        try:
            suite = recall(store.layout, name)
        except RecordError as error:  # one damaged file hides no other
            say(f"warning: {error}")
            continue
        results = Results(suite, store)
        about, sentences = _told(results)
        found.append(about)
        notes.append(sentences)
        if old := stale(results, out):
            again = shlex.join(["gzsl-bench", "report", name, "--out", str(out)])
            behind.append(f"{old}; to renew it: {again}")
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
    heads = ["Suite", "Data sets", "Methods", "Cells done", "Failed"]
    width = columns()
    put(markdown.fitted(heads, lines, width))
    for sentences in filter(None, notes):
        put()
        for line in sentences:
            put("\n".join(markdown.wrapped(line, width)) if width else line)
    for line in behind:
        say(line)
    name = found[0]["suite"] if len(found) == 1 else "SUITE"
    again = shlex.join(["gzsl-bench", "table", name, "--out", str(out)])
    say(f"next: {again}; report and ui are called alike")


def _told(results: Results) -> tuple[dict[str, Any], list[str]]:
    """What is said of a suite: as plain data, and who leads it in sentences."""
    from gzsl_bench.report.answer import said
    from gzsl_bench.report.verdicts import READING, verdicts
    from gzsl_bench.results.earlier import earlier
    from gzsl_bench.results.rows import rows
    from gzsl_bench.scoring.rules import rule_of

    suite = results.suite
    waiting, failed = results.missing()
    leading = verdicts(rows(results), results, suite.lead)
    count = len({cell.key for cell in suite.cells})
    about = {
        "suite": suite.name,
        "datasets": list(dict.fromkeys(cell.dataset for cell in suite.cells)),
        "methods": list(dict.fromkeys(cell.label for cell in suite.cells)),
        "cells": count,
        "done": count - len({cell.key for cell in waiting}) - len(failed),
        "failed": len(failed),
        "rule": suite.lead,
        "best": [
            {
                "dataset": verdict.title,
                "method": verdict.name,
                "harmonic_mean": verdict.best.summary().to_json(),
                "established": verdict.clear,
                "sentence": verdict.sentence,
            }
            for verdict in leading
            if verdict.best
        ],
        "other_versions": earlier(results),
    }
    head = f"{suite.name}, best by {suite.lead} ({rule_of(suite.lead).words}); {READING}:"
    sentences = [
        *([head] if leading else []),
        *(line for verdict in leading for line in said(verdict)),
        *(f"{suite.name}: {sentence}." for sentence in earlier(results)),
    ]
    return about, list(filter(None, sentences))
