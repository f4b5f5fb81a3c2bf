"""Every metric of finished cells, computed again from the predictions their records keep."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gzsl_bench.builtin.metrics import gzsl_bench_metrics
from gzsl_bench.errors import PluginError, RecordError
from gzsl_bench.hooks.metric import MetricSpec, Predictions
from gzsl_bench.records import imported, journal
from gzsl_bench.records.record import Checkpoint, Record
from gzsl_bench.records.store import RecordStore
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.evaluate import about_metrics, evaluate, outdated
from gzsl_bench.scoring.kept import kept_predictions
from gzsl_bench.wording import counted

if TYPE_CHECKING:
    from gzsl_bench.hooks.manager import Registry


@dataclass
class MetricReport:
    """What became of one metric, counted over the checkpoints of all records.

    Attributes:
        same: the value was there and came out again.
        added: there was none.
        changed: the value that was there differs: the metric's definition changed.
        failed: why it could not be computed, once per cause.
    """

    same: int = 0
    added: int = 0
    changed: int = 0
    failed: list[str] = field(default_factory=list)


@dataclass
class RescoreReport:
    """What a rescoring did.

    Attributes:
        records: complete records looked at.
        written: of those, records whose metrics are others now.
        unreadable: why a record could not be rescored, by key.
        metrics: by name.
        unknown: metrics of the records that no plugin here has: they stay as they are.
    """

    records: int = 0
    written: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, MetricReport] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


def out_of_date(results: Results) -> Iterator[str]:
    """A sentence on every built-in metric that finished cells have by another formula than today's.

    Of other metrics nothing is known without their plugins.
    """
    specs = list(gzsl_bench_metrics())
    records = [results.record(key) for key in results.cells]
    found = Counter(
        old for record in records if record is not None for old in outdated(record.metrics, specs)
    )
    for (name, then, now), count in sorted(found.items()):
        yield (
            f"{name} of {counted(count, 'finished cell')} was computed by version"
            f" {then} of its formula, not by {now}; `gzsl-bench rescore` computes it again"
        )


def only_believed(results: Results) -> Iterator[str]:
    """A sentence on every row with numbers of another machine that nobody has computed here."""
    found: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {}
    for key, names in imported.believed(results.store.layout, results.cells).items():
        for cell in results.cells[key]:
            found.setdefault((cell.dataset, cell.label), {})[key] = names
    for (dataset, label), records in found.items():
        metrics = ", ".join(sorted({name for names in records.values() for name in names}))
        yield (
            f"{dataset}, {label}: {metrics} of {len(records)} imported records were never computed"
            " again here; `gzsl-bench rescore` does it"
        )


@dataclass
class _Draft:
    """A record's metrics as they are to be.

    Attributes:
        record: as it is read now, an earlier rescoring included.
        numbers: of its checkpoints.
        before: metrics of each checkpoint as they count now.
        after: as they will.
    """

    record: Record
    numbers: list[int]
    before: list[dict[str, float]]
    after: list[dict[str, float]]


def rescore(results: Results, registry: Registry) -> RescoreReport:
    """Recompute all metrics of a suite's complete records; no data, no training.

    Metrics that are recorded but not installed stay as they are.
    """
    report = RescoreReport(metrics={name: MetricReport() for name in registry.metrics})
    drafts = []
    for key in results.by_family():  # what is kept of folds is needed for a family's cells alone
        record = results.record(key)
        if record is None or not record.complete:
            continue
        report.records += 1
        try:
            drafts.append(_draft(record, results, registry, report))
        except RecordError as error:
            report.unreadable[key] = str(error)
    for draft in drafts:
        report.written += _write(draft, results.store, registry)
        failed = {name for name, found in report.metrics.items() if found.failed}
        computed = registry.metrics.keys() - failed
        imported.settle(results.store.layout, draft.record.key, computed)
    return report


def _draft(record: Record, results: Results, registry: Registry, report: RescoreReport) -> _Draft:
    arrays = results.arrays(record)
    numbers = [checkpoint.number for checkpoint in record.checkpoints]
    before, after = ([dict(c.metrics) for c in record.checkpoints] for _ in range(2))
    held = {name for metrics in before for name in metrics}
    report.unknown = sorted({*report.unknown, *held} - registry.metrics.keys())
    draft = _Draft(record, numbers, before, after)
    for index, number in enumerate(numbers):  # there may be a thousand: one after the other
        found = kept_predictions(arrays, number)
        for name, spec in registry.metrics.items():
            _one_metric(name, spec, found, draft, index, report.metrics[name])
    return draft


def _one_metric(
    name: str,
    spec: MetricSpec,
    found: Predictions,
    draft: _Draft,
    index: int,
    report: MetricReport,
) -> None:
    """Compute one metric at one checkpoint of a record."""
    if spec.needs_scores and found.best_seen is None:
        return
    try:
        value = evaluate(found, {name: spec})[name]
    except PluginError as error:
        if str(error) not in report.failed:
            report.failed.append(str(error))
        return
    old = draft.before[index].get(name)
    if old is not None and math.isclose(old, value, rel_tol=1e-9, abs_tol=1e-9):
        report.same += 1  # the recorded digits stay
        return
    report.added += old is None
    report.changed += old is not None
    draft.after[index][name] = value


def _write(draft: _Draft, store: RecordStore, registry: Registry) -> bool:
    """Put the metrics beside their record; returns whether anything is different now."""
    record = draft.record
    now = about_metrics(registry)
    said = record.metrics
    present = {name for metrics in draft.after for name in metrics}
    about = {**said, **{name: now[name] for name in now if name in present}}
    if draft.after == draft.before and _same_meaning(about, said):
        return False
    rows = [Checkpoint(n, m) for n, m in zip(draft.numbers, draft.after, strict=True)]
    store.rescore(record, rows, about)
    journal.append(store.layout.journal, "rescored", key=record.key)
    return True


def _same_meaning(about: Mapping[str, Any], said: Mapping[str, Any]) -> bool:
    """Whether a table shows the same, and the same version of every metric says so."""
    fields = ("percent", "higher_is_better", "unit", "summary", "in_table", "version")
    return all(
        name in said and all(entry.get(f) == said[name].get(f) for f in fields)
        for name, entry in about.items()
    )
