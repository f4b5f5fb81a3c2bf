"""``gzsl-bench published``: numbers from the literature, and what is wrong with them."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gzsl_bench import markdown
from gzsl_bench.cli import complete
from gzsl_bench.cli.group import Group
from gzsl_bench.cli.options import chosen_rule, debug_option, format_option, out_option, rule_option
from gzsl_bench.terminal.streams import put, say
from gzsl_bench.terminal.width import columns

if TYPE_CHECKING:
    from gzsl_bench.published.audit import Finding

_FORMAT = format_option("github", "json", "csv")
_DATASET = click.option("--dataset", metavar="NAME", help="Only this data set.")
_METHOD = click.option("--method", metavar="NAME", help="Only this method, as printed.")


@click.group("published", cls=Group)
def published_group() -> None:
    """Published numbers and how they were selected: list them, audit them."""


@published_group.command("list")
@_FORMAT
@_DATASET
@_METHOD
@debug_option
def list_command(fmt: str, dataset: str | None, method: str | None) -> None:
    """Print every entry with its conditions, where known, and its status."""
    from gzsl_bench.published.audit import status
    from gzsl_bench.published.entries import entries

    chosen = _chosen(entries(), dataset, method)
    lines = [
        {
            "table": entry.table,
            "method": entry.method,
            "dataset": entry.dataset,
            **{name: entry.printed.get(name, "") for name in ("U", "S", "H", "T1")},
            "split": entry.split,
            "features": entry.features,
            "embedding": entry.embedding,
            "selection": entry.selection,
            "status": status(entry),
            "kind": entry.kind,
            "secondary": entry.secondary,
            "backbone": entry.backbone,
            "fine_tuned": entry.fine_tuned,
            "image_size": entry.image_size,
            "checked": entry.checked,
            "source": entry.source,
            "note": entry.note,
        }
        for entry in chosen
    ]
    if fmt == "github":  # the rest is in the other formats
        lines = [dict(list(line.items())[:12]) for line in lines]
    _print(lines, fmt)


@published_group.command("releases")
@_FORMAT
@debug_option
def releases_command(fmt: str) -> None:
    """Print how public code chose the epoch it reports: repository, commit, file, lines."""
    from gzsl_bench.published.entries import releases

    lines = [release.model_dump() for release in releases()]
    if fmt == "github":
        shown = ("method", "year", "selection", "calibration", "read", "repository")
        lines = [{name: line[name] for name in shown} for line in lines]
    _print(lines, fmt)


@published_group.command("orders")
@click.argument("suite", required=False, shell_complete=complete.stored)
@out_option
@rule_option
@format_option("github", "json")
@debug_option
def orders_command(suite: str | None, out: Path, rule: str | None, fmt: str) -> None:
    """Hold the printed order of methods against SUITE's: rank correlation, pairs that hold.

    Without SUITE: of the only one in the results folder.  Every printed table counts that has four
    or more of the suite's methods on a data set.
    """
    from gzsl_bench.records.store import RecordStore
    from gzsl_bench.records.suites import recall
    from gzsl_bench.report.orders import as_text, orders
    from gzsl_bench.results.view import Results

    store = RecordStore(out)
    resolved = recall(store.layout, suite)
    found = orders(Results(resolved, store), chosen_rule(resolved, rule))
    if fmt == "json":
        put(json.dumps([order.to_json() for order in found], indent=1))
    elif found:
        put("\n\n".join(as_text(order, columns()) for order in found))
    else:
        say("no printed table has four or more methods of this suite on one of its data sets")


@published_group.command("page")
@debug_option
def page_command() -> None:
    """Print docs/published.md: how printed numbers were selected, and the numbers themselves."""
    from gzsl_bench.published.page import page

    put(page().rstrip("\n"))


@published_group.command("audit")
@_FORMAT
@_DATASET
@_METHOD
@debug_option
def audit_command(fmt: str, dataset: str | None, method: str | None) -> None:
    """Print everything that is wrong with published numbers, with the evidence.

    Findings marked "recomputed" follow from the printed numbers by arithmetic; the others rest on
    the source named.
    """
    from gzsl_bench.published.audit import findings

    found = _chosen(findings(), dataset, method)
    if fmt != "github":
        _print([asdict(finding) for finding in found], fmt)
    elif found:
        put(_counted(found) + "\n\n" + "\n".join(map(_block, found)))
    arithmetic = sum(finding.recomputed for finding in found)
    say(
        f"{len(found)} findings: {arithmetic} recomputed from printed numbers,"
        f" {len(found) - arithmetic} from the sources named"
    )


def _counted(found: Sequence[Finding]) -> str:
    """How many findings of each kind every printed table has; details follow."""
    counts = Counter((finding.table, finding.status.partition(":")[0]) for finding in found)
    return markdown.table(
        ["Findings in table", "Kind", "n"], [[*where, n] for where, n in sorted(counts.items())]
    )


def _block(finding: Finding) -> str:
    """A finding as an item of a list, no wider than a terminal of 80 columns."""
    where = " · ".join((finding.table, finding.method, finding.dataset))
    basis = "recomputed" if finding.recomputed else finding.source
    text = f"* {where}: {finding.status}. {finding.detail} [{basis}]"
    return textwrap.fill(text, 80, subsequent_indent="  ", break_on_hyphens=False)


def _chosen(items: Sequence[Any], dataset: str | None, method: str | None) -> list[Any]:
    """Those of one data set or method; a name that nothing has is refused."""
    from gzsl_bench.errors import GzslBenchError, unknown_name
    from gzsl_bench.published.entries import entries

    for kind, wanted in (("dataset", dataset), ("method", method)):
        names = {getattr(item, kind) for item in entries()}
        if wanted is not None and wanted not in names:
            what = "data set" if kind == "dataset" else kind
            raise GzslBenchError(unknown_name(f"published {what}", wanted, names))
    return [
        item for item in items if dataset in (None, item.dataset) and method in (None, item.method)
    ]


def _print(lines: Sequence[Mapping[str, Any]], fmt: str) -> None:
    if fmt == "json":
        put(json.dumps(list(lines), indent=1))
        return
    if fmt == "csv":
        put(markdown.csv_text(lines))
    elif lines:
        body = [["" if v is None else v for v in line.values()] for line in lines]
        put(markdown.fitted(list(lines[0]), body, columns()))
