"""Making MLflow equal to the records, whatever state it was left in."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gzsl_bench.errors import GzslBenchError, TrackingError
from gzsl_bench.masking import masked
from gzsl_bench.records.folderlock import in_use
from gzsl_bench.report.table import render
from gzsl_bench.report.verdicts import READING, Verdict, verdicts
from gzsl_bench.results.rows import rows as table_rows
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.rules import rule_of
from gzsl_bench.tracking.address import checked
from gzsl_bench.tracking.client import connect, explain, require, writing
from gzsl_bench.tracking.describe import (
    MIRROR_VERSION,
    PREFIX,
    Image,
    describe,
    period,
)
from gzsl_bench.tracking.experiment import Experiment, matches, open_experiment
from gzsl_bench.tracking.names import TAG_LENGTH, plain_markdown, safe_names

#: Says where to look on.
_WHERE = (
    "The tab Artifacts has the whole report with plots (report.html, made by gzsl-bench sync and"
    " ui, and by runs of a minute or more), the table (table.md, table.json) and the suite file."
)

#: Seconds ``sync`` waits for a run that is mirroring into the same file.
_PATIENCE = 60.0


@dataclass(frozen=True)
class SyncReport:
    """What a sync did to the runs of cells.

    Attributes:
        created: records that had no run.
        repaired: runs that were half-written, out of date or of an earlier failure: written anew.
        removed: duplicates, and runs whose record is no part of the suite any more.
        unchanged: runs that were as they should be.
        restored: the experiment had been deleted in MLflow, and is back.
    """

    created: int = 0
    repaired: int = 0
    removed: int = 0
    unchanged: int = 0
    restored: bool = False

    @property
    def mirrored(self) -> int:
        """How many records MLflow shows now."""
        return self.created + self.repaired + self.unchanged


def sync(uri: str, results: Results) -> SyncReport:
    """Make the suite's experiment mirror the suite's records exactly; any number of times.

    Args:
        uri: the MLflow store.
        results: of the suite with all cells that may have records (what
            ``records.suites.recall`` gives).

    Raises:
        TrackingError: the store cannot be used.
    """
    uri = checked(uri)
    require()
    suite, layout = results.suite, results.store.layout
    try:
        with writing(uri, layout, _PATIENCE):
            experiment = open_experiment(connect(uri, layout), suite, layout)
            parents, children = experiment.runs()
            parent = experiment.parent(parents, lambda: span(results)[0])
            images = cell_images(results)
            report, _ = reconcile(experiment, parent.info.run_id, children, images)
            table = table_rows(results)
            plain = [row.to_json() for row in table]
            publish(experiment, parent, results, render(table, "github"), plain)
            experiment.offer_views()
            # A run at work says itself how it goes; of all others the records tell.
            if not in_use(layout.lock):
                experiment.status(parent, outcome(results), span(results)[1])
            return replace(report, restored=experiment.restored)
    except GzslBenchError:
        raise
    except Exception as error:
        raise TrackingError(
            f"MLflow at {masked(uri)} cannot be used: {explain(error, uri)}; the records are"
            " untouched, so try again when it can"
        ) from error


def cell_images(results: Results) -> Iterator[Image]:
    """What MLflow is to show of the records of a suite's cells."""
    for key, cells in results.cells.items():
        record = results.record(key)
        if record is not None:
            yield describe(results, cells, record)


def reconcile(
    experiment: Experiment, parent: str, children: Sequence[Any], images: Iterable[Image]
) -> tuple[SyncReport, dict[str, tuple[str, str]]]:
    """Keep what is right, replace what is not, add what is missing, remove the rest.

    Args:
        experiment: where.
        parent: id of the suite's own run.
        children: the other runs found there.
        images: what they should be.

    Returns:
        What was done; and the id and digest of every run by its key.
    """
    found: dict[str, list[Any]] = {}
    for run in children:
        found.setdefault(run.data.tags.get(f"{PREFIX}key", ""), []).append(run)
    created = repaired = removed = unchanged = 0
    index: dict[str, tuple[str, str]] = {}
    for image in images:
        key = image.key
        there = found.pop(key, [])
        right = next((run for run in there if matches(run, image, parent)), None)
        for run in there:
            if run is not right:
                experiment.remove(run)
        if right is not None:
            index[key] = (right.info.run_id, image.digest)
            unchanged += 1
            removed += len(there) - 1
        else:
            index[key] = (experiment.create(image, parent), image.digest)
            repaired += bool(there)
            created += not there
            removed += max(0, len(there) - 1)
    for stale in found.values():
        for run in stale:
            experiment.remove(run)
            removed += 1
    return SyncReport(created, repaired, removed, unchanged), index


def publish(
    experiment: Experiment,
    parent: Any,
    results: Results,
    markdown: str,
    rows: Sequence[Mapping[str, Any]],
) -> None:
    """Give the suite's own run who is best where, its tables, and the suite file and its cells."""
    suite = experiment.suite
    texts = {
        "suite.yaml": suite.text,
        "resolved.json": json.dumps(suite.to_json(), indent=1),
        "table.md": markdown,
        "table.json": json.dumps(list(rows), indent=1),
    }
    whole = json.dumps([MIRROR_VERSION, texts], sort_keys=True)
    digest = hashlib.sha256(whole.encode()).hexdigest()[:16]
    if experiment.published(parent, digest):
        return
    leading = [v for v in verdicts(table_rows(results), results, suite.lead) if v.best]
    experiment.publish(
        parent, texts, _note(suite.lead, leading, markdown), headline(leading), digest
    )


def headline(leading: Sequence[Verdict]) -> dict[str, float]:
    """Metrics of the suite's own run, by which suites are compared: ``CUB/H``, ``CUB/H_low``."""
    found: dict[str, float] = {}
    for verdict in leading:
        if verdict.best is None:
            continue
        h = verdict.best.summary()
        found[f"{verdict.title}/H"] = round(h.mean, 4)
        if h.low is not None and h.high is not None:
            found |= {
                f"{verdict.title}/H_low": round(h.low, 4),
                f"{verdict.title}/H_high": round(h.high, 4),
            }
    names = safe_names(found)
    return {names[name]: value for name, value in found.items()}


def _note(rule: str, leading: Sequence[Verdict], markdown: str) -> str:
    """A sentence for every data set; the table where nobody leads, as in a search."""
    if not leading and not markdown:
        return "No results yet."
    lines = [
        f"Best by {rule} ({rule_of(rule).words}); H in percent, {READING}:",
        *(verdict.sentence for verdict in leading),
        _WHERE,
    ]
    if not leading:
        lines = [_WHERE, markdown]
    whole = plain_markdown("\n\n".join(lines))
    if len(whole) <= TAG_LENGTH:
        return whole
    return whole[: TAG_LENGTH - 40].rsplit("\n", 1)[0] + "\n\n(more in table.md)"


def outcome(results: Results) -> str:
    """MLflow's status for what the records say: all done, some failed, or stopped on the way."""
    records = [results.record(key) for key in results.cells]
    if any(record is None for record in records):
        return "KILLED"
    return "FINISHED" if all(r is not None and r.final for r in records) else "FAILED"


def span(results: Results) -> tuple[int, int]:
    """When the suite's first record was begun and its last one ended; now, if there is none."""
    records = [results.record(key) for key in results.cells]
    times = [period(record) for record in records if record is not None]
    now = round(time.time() * 1000)
    return min((t[0] for t in times), default=now), max((t[1] for t in times), default=now)
