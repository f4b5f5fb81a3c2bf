"""What MLflow is to show of a record, as plain data: the mirror image before it is written.

Everything follows from the record and the suite alone, times included, so describing again gives
the same image and a run can be compared with what it should be.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gzsl_bench.plots.style import COLOURS
from gzsl_bench.records.audits import in_words
from gzsl_bench.records.record import Record
from gzsl_bench.results.rows import HEADINGS
from gzsl_bench.results.validation import Choice
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.rules import Unchosen
from gzsl_bench.suite.cells import Cell
from gzsl_bench.suite.resolved import ResolvedSuite
from gzsl_bench.tracking.names import (
    PARAM_LENGTH,
    flatten,
    plain_markdown,
    safe_names,
    text,
)

#: Grows when runs look different, so that a sync replaces those of an earlier version.
MIRROR_VERSION = 4

PREFIX = "gzsl_bench."
#: What ``gzsl_bench.role`` says.  Folds are no results: the page that ``ui`` opens has none.
CELL, FOLD, SUITE, TRIAL = "cell", "fold", "suite", "trial"

#: Decimals of a percentage: more would only be in the way.
_DECIMALS = 4
#: Of another rule than the one that leads.
_MAIN = ("acc_unseen", "acc_seen", "harmonic_mean")

_log = logging.getLogger("gzsl_bench.tracking")


@dataclass(frozen=True)
class Point:
    """One value of a metric."""

    name: str
    value: float
    step: int


@dataclass(frozen=True)
class DatasetInput:
    """The data set as MLflow lists it under a run's inputs."""

    name: str
    digest: str
    source: str
    profile: str


@dataclass(frozen=True)
class Image:
    """A run as it should be.

    Attributes:
        key: the cell's key.
        name: the run's name.
        status: MLflow's: ``FINISHED`` or ``FAILED``.
        started: milliseconds since 1970; ``ended`` too.
        tags: all of them, without the parent's id and the digest.
        params: hyper-parameters and what to group by.
        points: final values and curves.
        dataset: the input.
        texts: artifacts by file name.
    """

    key: str
    name: str
    status: str
    started: int
    ended: int
    tags: Mapping[str, str]
    params: Mapping[str, str]
    points: Sequence[Point]
    dataset: DatasetInput
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Hash of all of it: a run that carries it and has ended is as it should be."""
        whole = [
            MIRROR_VERSION, self.name, self.status, self.started, self.ended,
            dict(self.tags), dict(self.params), [(p.name, p.value, p.step) for p in self.points],
            vars(self.dataset), dict(self.texts),
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:16]

    def latest(self) -> dict[str, float]:
        """The value MLflow shows for each metric: that of the highest step."""
        found: dict[str, tuple[int, float]] = {}
        for point in self.points:
            found[point.name] = max(
                found.get(point.name, (point.step, point.value)), (point.step, point.value)
            )
        return {name: value for name, (_, value) in found.items()}


def describe(
    results: Results,
    cells: Sequence[Cell],
    record: Record,
) -> Image:
    """The image of a record.

    Args:
        results: of the suite, which gives the headline rule and the data sets.
        cells: those the record answers for, which all have its key.
        record: a complete or failed record.
    """
    suite = results.suite
    # As the suite at hand calls them; the record may have been made for another one.
    dataset = " / ".join(dict.fromkeys(results.data_names.of(cell) for cell in cells))
    label = " / ".join(dict.fromkeys(cell.label for cell in cells))
    cell = cells[0]
    chosen = _chosen(results, cell, record)
    started, ended = period(record)
    texts = {}
    if not record.final:
        texts = {"traceback.txt": record.traceback, "log.txt": _log_text(record)}
    return Image(
        key=record.key,
        name=f"{dataset} {label}{f' fold {cell.fold}' if cell.fold else ''} seed {cell.seed}",
        status="FINISHED" if record.final else "FAILED",
        started=started,
        ended=ended,
        tags=_tags(
            results,
            cell,
            record,
            dataset,
            label,
            _note(cell, dataset, label, record, chosen, suite.lead),
        )
        | _doubt(chosen.get(suite.lead)),
        params=params_of(
            {"dataset": dataset, "method": cell.method, "label": label, "seed": cell.seed},
            cell.identity["method"].get("config", {}),
        ),
        points=_points(cell, record, chosen, suite.lead),
        dataset=dataset_input(suite, cell, dataset),
        texts={name: content for name, content in texts.items() if content},
    )


def _chosen(results: Results, cell: Cell, record: Record) -> dict[str, Choice | str]:
    """What each rule chooses, or why it does not; nothing is chosen of a fold."""
    found: dict[str, Choice | str] = {}
    if not record.complete or cell.fold:
        return found
    for rule in results.suite.rules:
        try:
            found[rule] = results.validation.choose(rule, cell, record)
        except Unchosen as reason:
            found[rule] = str(reason)
    return found


def _tags(
    results: Results, cell: Cell, record: Record, dataset: str, label: str, note: str
) -> dict[str, str]:
    tags = tags_of(
        cell,
        record,
        note,
        key=record.key,
        suite=results.suite.name,
        dataset=dataset,
        label=label,
        seed=cell.seed,
        task=f"fold {cell.fold}" if cell.fold else cell.identity.get("task"),
        status=record.status,
        cause=None if record.complete else (record.cause or "unknown")[:500],
        audit=in_words(results.audits.read(record.key)),
        out=str(results.store.layout.out.resolve()),
        role=FOLD if cell.fold else CELL,
        rule=None if cell.fold else results.suite.lead,
    )
    # MLflow's plots know no other way to tell methods apart; those of the report have these, too.
    labels = list(dict.fromkeys(each.label for each in results.suite.cells))
    return tags | {"mlflow.runColor": COLOURS[labels.index(cell.label) % len(COLOURS)]}


def tags_of(cell: Cell, record: Record, note: str, **own: Any) -> dict[str, str]:
    """The tags of a run: what made its numbers, and what is its ``own``.

    Args:
        cell: says what was trained on what.
        record: says by which build and from where.
        note: the run's description on its page, plain text.
        own: tags by name, without the prefix.
    """
    about, identity = record.provenance, cell.identity
    values = {
        "fingerprint": identity["dataset"].get("fingerprint"),
        "features": identity["dataset"].get("features"),
        "attributes": identity["dataset"].get("attributes"),
        "preprocessing": identity.get("preprocessing"),
        "setting": identity.get("setting"),
        "method": cell.method,
        "plugin_version": identity["method"].get("version"),
        "program": str(about.program or ""),
        "started_in": about.started_in,
        "fidelity": cell.about.get("fidelity"),
        "precision": identity.get("precision"),
        "version": about.versions.get("gzsl-bench"),
        **own,
    }
    # A tag without a value would be one more line to read.
    tags = {PREFIX + name: text(value) for name, value in values.items() if value not in (None, "")}
    tags["mlflow.source.name"] = "gzsl-bench"
    tags["mlflow.source.type"] = "LOCAL"
    if about.program and about.program.commit:
        tags["mlflow.source.git.commit"] = about.program.commit
    tags["mlflow.note.content"] = text(plain_markdown(note))
    return tags


def _note(
    cell: Cell,
    dataset: str,
    label: str,
    record: Record,
    chosen: Mapping[str, Choice | str],
    lead: str,
) -> str:
    """The run's description on its page: sentences, for lists show it as it is written."""
    if record.not_applicable:
        return f"Not applicable: {record.cause}"
    if not record.complete:
        return f"Failed: {record.cause}"
    if cell.fold:
        return f"Validation fold {cell.fold}: made of training rows, no result by itself."
    data = cell.identity["dataset"]
    lines = [
        f"{label}, seed {cell.seed}, on {dataset}: features {text(data.get('features'))}, class"
        f" embedding {text(data.get('attributes'))}.",
    ]
    for rule, choice in chosen.items():
        name = f"By {rule}{', the rule of the metrics U, S and H,' if rule == lead else ''}"
        if isinstance(choice, str):
            lines.append(f"{name} no numbers: {choice}.")
            continue
        found = ", ".join(
            f"{HEADINGS[name]} {choice.metrics[name]:.1f}"
            for name in _MAIN
            if name in choice.metrics
        )
        bias = "" if choice.gamma is None else f", gamma {choice.gamma:.3g}"
        bias += f"; {choice.support.words}" if choice.support and choice.support.words else ""
        lines.append(f"{name} {found} (checkpoint {choice.words}{bias}).")
    lines.append(
        "Per-class accuracies in percent: U on unseen classes, S on seen classes, H their harmonic"
        " mean."
    )
    return "\n\n".join(lines)


def params_of(axes: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, str]:
    """Values of a configuration, and the axes of a comparison: MLflow's plots only know params."""
    flat = flatten(values)
    raw = {**axes, **{f"config.{name}" if name in axes else name: flat[name] for name in flat}}
    return {safe: text(raw[name], PARAM_LENGTH) for name, safe in safe_names(raw).items()}


def _doubt(choice: Choice | str | None) -> dict[str, str]:
    """A tag where the validation folds do not support the headline rule's choice."""
    support = choice.support if isinstance(choice, Choice) else None
    return {f"{PREFIX}choice": support.words} if support and support.words else {}


def _points(
    cell: Cell, record: Record, chosen: Mapping[str, Choice | str], lead: str
) -> list[Point]:
    raw: list[tuple[str, Any, int]] = []
    quiet = {name for name, about in record.metrics.items() if not about.get("in_table", True)}
    for rule, choice in chosen.items():
        if isinstance(choice, str):
            continue
        prefix = "" if rule == lead else f"{rule}/"
        for name, value in choice.metrics.items():
            if name in _MAIN or (rule == lead and name not in quiet):
                raw.append((prefix + HEADINGS.get(name, name), _short(value), 0))
    # A fold's numbers have names of their own: no chart or column mixes them with results.
    kind = "validation" if cell.fold else "checkpoint"
    if cell.fold or len(record.checkpoints) > 1:
        raw += [
            (f"{kind}/{HEADINGS.get(name, name)}", _short(value), checkpoint.number)
            for checkpoint in record.checkpoints
            for name, value in checkpoint.metrics.items()
            if name not in quiet
        ]
    for name, curve in record.curves.items():
        raw += [(f"train/{name}", value, step) for step, value in curve]
    raw.append(("seconds", _short(record.seconds_each), 0))
    names = safe_names(dict.fromkeys(name for name, _, _ in raw))
    points = [
        Point(names[name], float(value), int(step)) for name, value, step in raw if _finite(value)
    ]
    if len(points) < len(raw):
        refused = sorted({name for name, value, _ in raw if not _finite(value)})
        _log.warning(
            "%s: values that are not finite are not mirrored (%s)", record.key, ", ".join(refused)
        )
    return points


def _short(value: Any) -> Any:
    return round(value, _DECIMALS) if isinstance(value, float) else value


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def dataset_input(suite: ResolvedSuite, cell: Cell, label: str) -> DatasetInput:
    """The data a cell was trained on."""
    data = cell.identity["dataset"]
    known = next(_matching(suite, cell), {})
    source = json.dumps(known.get("provenance", {}), sort_keys=True, default=str)
    return DatasetInput(
        name=label[:500],
        # Our own: MLflow's automatic digest reads the first 10,000 elements only.
        digest=text(data.get("fingerprint"), 36),
        source=source if len(source) < 60_000 else "{}",
        profile=json.dumps(
            {
                **known.get("sizes", {}),
                "features": data.get("features"),
                "attributes": data.get("attributes"),
            },
            sort_keys=True,
        ),
    )


def _matching(suite: ResolvedSuite, cell: Cell) -> Iterator[Mapping[str, Any]]:
    data = cell.identity["dataset"]
    for entry in suite.datasets:
        if entry.get("fingerprint") == data.get("fingerprint"):
            yield entry


def period(record: Record) -> tuple[int, int]:
    """When a cell was begun and ended, in milliseconds since 1970."""
    started = round(record.provenance.started.timestamp() * 1000)
    return started, started + round(1000 * record.provenance.seconds)


def _log_text(record: Record) -> str:
    try:
        return (record.path / "log.txt").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
