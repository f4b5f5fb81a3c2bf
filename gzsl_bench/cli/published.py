"""``gzsl-bench published``: numbers from the literature, and what is wrong with them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click

from gzsl_bench import markdown
from gzsl_bench.cli.options import debug_option, format_option
from gzsl_bench.cli.streams import put, say

_FORMAT = format_option("github", "json", "csv")
_DATASET = click.option("--dataset", metavar="NAME", help="Only this data set.")
_METHOD = click.option("--method", metavar="NAME", help="Only this method, as printed.")


@click.group("published")
def published_group() -> None:
    """Published numbers: list them, audit them."""


@published_group.command("list")
@_FORMAT
@_DATASET
@_METHOD
@debug_option
def list_command(fmt: str, dataset: str | None, method: str | None) -> None:
    """Print every entry with its conditions, where known, and its status."""
    from gzsl_bench.report.published.audit import status
    from gzsl_bench.report.published.entries import entries

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
            "source": entry.source,
            "note": entry.note,
        }
        for entry in chosen
    ]
    hidden = ("source", "note", "kind") if fmt == "github" else ()
    _print([{k: v for k, v in line.items() if k not in hidden} for line in lines], fmt)


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
    from gzsl_bench.report.published.audit import findings

    lines = [asdict(finding) for finding in _chosen(findings(), dataset, method)]
    if fmt == "github":
        for line in lines:
            line["recomputed"] = "yes" if line["recomputed"] else "no"
        if lines:
            put(_counted(lines) + "\n")
    _print(lines, fmt)
    arithmetic = sum(line["recomputed"] in (True, "yes") for line in lines)
    say(
        f"{len(lines)} findings: {arithmetic} recomputed from printed numbers,"
        f" {len(lines) - arithmetic} from the sources named"
    )


def _counted(lines: Sequence[Mapping[str, Any]]) -> str:
    """How many findings of each kind every printed table has; details follow."""
    kinds = [str(line["status"]).partition(":")[0] for line in lines]
    counts = Counter(zip((line["table"] for line in lines), kinds, strict=True))
    names = list(dict.fromkeys(kinds))
    body = [
        [table, *(counts[table, name] or "-" for name in names)]
        for table in dict.fromkeys(line["table"] for line in lines)
    ]
    return markdown.table(["Findings in table", *names], body)


def _chosen(items: Sequence[Any], dataset: str | None, method: str | None) -> list[Any]:
    """Those of one data set or method; a name that nothing has is refused."""
    from gzsl_bench.errors import GzslBenchError, unknown_name
    from gzsl_bench.report.published.entries import entries

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
        put(markdown.table(list(lines[0]), body))
