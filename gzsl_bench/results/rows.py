"""One row per data set, method and selection rule: what every table and page is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gzsl_bench.errors import SuiteError, unknown_name
from gzsl_bench.records.audits import in_words
from gzsl_bench.results.groups import Group, groups
from gzsl_bench.results.validation import Choice
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.axes import Axes, position
from gzsl_bench.scoring.rules import Support, Unchosen, rule_of
from gzsl_bench.scoring.summary import Summary, summarize
from gzsl_bench.suite.cells import digest
from gzsl_bench.suite.sweep import ABOUT as SWEEP
from gzsl_bench.wording import plural

#: The metrics every table has, in this order, and their short headings.
HEADINGS: Mapping[str, str] = {
    "acc_unseen": "U",
    "acc_seen": "S",
    "harmonic_mean": "H",
    "zsl_acc": "T1",
    "ausuc": "AUSUC",
}

_H = "harmonic_mean"
#: In place of a rule, where the method failed or does not apply and there is nothing to choose.
NO_RULE = "-"
#: How a row without any cell with numbers says why, and that in a word or two.
_FATES: Mapping[str, str] = {
    "failed": "failed",
    "not applicable": "n/a",
    "not run": "not run",
    "left out": "left out",
}
_LEFT_OUT = "left out: the suite does not run it on this data set"


@dataclass(frozen=True)
class About:
    """How to read a metric beyond the usual ones, as its records say.

    Attributes:
        percent: it is a share, shown times 100.
        higher_is_better: its direction.
        summary: what it is, in a sentence.
        in_table: it stands in every table, asked for or not.
        unit: of its values; ``%`` of shares.
    """

    percent: bool = True
    higher_is_better: bool = True
    summary: str = ""
    in_table: bool = True
    unit: str = "%"

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return dict(vars(self))


#: The usual metrics need no explanation.
_USUAL = About()


@dataclass(frozen=True)
class Point:
    """Where a row lies in a sweep.

    Attributes:
        of: the label of the swept entry.
        field: the hyper-parameter.
        value: its value here.
    """

    of: str
    field: str
    value: Any


#: What a row has of its data set, whatever the method.
_OF_DATA = (
    "dataset", "features", "attributes", "fingerprint", "images", "precision", "setting", "notes",
    "exposure",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Row:
    """One method on one data set by one selection rule.

    Attributes:
        dataset: the data set's label.
        features: the feature set.
        attributes: the class embedding.
        fingerprint: hash of the data.
        images: hash of labels and split: what data sets share that differ in features or embedding.
        method: the method's name.
        label: how the suite calls it.
        selection: the rule; :data:`NO_RULE` where there is nothing to choose.
        seeds: of the cells with numbers.
        metrics: means and spreads in percent; None where a metric was not recorded.
        keys: of the cells.
        preprocessing: what the harness does to the features.
        setting: ``inductive`` or ``transductive``.
        precision: arithmetic of training.
        fidelity: how far the method can be trusted to be what it is called.
        family: what its plugin groups it under; empty where it says nothing.
        version: of the method.
        source: digest of its source, where that can be read.
        code: numbers of the program's own code that fixed its numbers: ``stacked 1, streams 1``.
        about: how to read the metrics beyond the usual ones.
        checkpoints: numbers of the checkpoints that count, for each seed.
        axes: of these numbers, names and lengths.
        gamma: what is taken off seen scores, for each seed; None where nothing is calibrated.
        support: what the validation folds say for the checkpoint; None where they chose none.
        selection_gap: H by this rule minus H by another one, paired over seeds, for rules that have
            one to be set against (``best_test`` against ``val``).
        unavailable: why the rule gives no numbers; empty where it does.
        lost: what became of seeds that are missing because they failed, with the cause of each.
        sweep: where the row lies in a sweep; None for a method in its own right.
        audit: ``ok``, ``FAILED`` with the reason, or empty.
        notes: what made features and class embedding.
        differs: what the method leaves out of its publication; or "".
        exposure: which unseen classes their backbone had seen, as far as names tell; or "".
        not_finite: logged values that end as NaN or infinite, ``loss (seeds 0, 2)``; or "".
    """

    dataset: str
    features: str
    attributes: str
    fingerprint: str
    images: str
    method: str
    label: str
    selection: str
    seeds: tuple[int, ...]
    metrics: Mapping[str, Summary | None]
    keys: tuple[str, ...]
    preprocessing: str
    setting: str
    precision: str
    fidelity: str
    version: str
    source: str | None = None
    code: str = ""
    about: Mapping[str, About] = field(default_factory=dict)
    checkpoints: tuple[tuple[int, ...], ...] = ()
    axes: Axes = ()
    gamma: tuple[float, ...] | None = None
    support: Support | None = None
    selection_gap: Summary | None = None
    unavailable: str = ""
    lost: tuple[str, ...] = ()
    sweep: Point | None = None
    audit: str = ""
    family: str = ""
    notes: tuple[str, ...] = ()
    differs: str = ""
    exposure: str = ""
    not_finite: str = ""

    def summary(self, metric: str = _H) -> Summary:
        """A metric that is known to be there: H is, in every row with numbers."""
        found = self.metrics[metric]
        assert found is not None
        return found

    @property
    def fate(self) -> str:
        """Why no cell of a row has numbers: ``failed``, ``n/a``, ``not run`` or ``left out``."""
        if self.selection != NO_RULE:
            return ""
        return next(word for why, word in _FATES.items() if self.unavailable.startswith(why))

    def reading(self, metric: str) -> About:
        """How to read a metric."""
        return self.about.get(metric, _USUAL)

    def to_json(self) -> dict[str, Any]:
        """Plain data, one level but for summaries: what ``table --format json`` prints."""
        plain: dict[str, Any] = {
            "dataset": self.dataset,
            "features": self.features,
            "attributes": self.attributes,
            "fingerprint": self.fingerprint,
            "images": self.images,
            "method": self.method,
            "label": self.label,
            "selection": self.selection,
            "seeds": list(self.seeds),
            **{name: s.to_json() if s else None for name, s in self.metrics.items()},
            "extra": {name: about.to_json() for name, about in self.about.items()},
            "keys": list(self.keys),
            "preprocessing": self.preprocessing,
            "setting": self.setting,
            "precision": self.precision,
            "fidelity": self.fidelity,
            "version": self.version,
            "source": self.source,
            "checkpoints": [n[0] if len(n) == 1 else list(n) for n in self.checkpoints],
            "gamma": list(self.gamma) if self.gamma else None,
            "support": self.support.to_json() if self.support else None,
            "selection_gap": self.selection_gap.to_json() if self.selection_gap else None,
            "unavailable": self.unavailable or None,
            "lost": list(self.lost),
        }
        if self.sweep is not None:
            plain |= {f"sweep_{part}": value for part, value in vars(self.sweep).items()}
        if self.not_finite:
            plain["not_finite"] = self.not_finite
        if self.axes:
            plain["at"] = [position(self.axes, numbers[-1]) for numbers in self.checkpoints]
        return plain | {"audit": self.audit, "notes": list(self.notes), "exposure": self.exposure}


def rows(results: Results) -> list[Row]:
    """One row per group and selection rule, means and spreads in percent.

    A method that failed, does not apply, has not run or is left out by the suite has one on every
    data set, too, without numbers and with the reason.  Of a suite of which nothing has run there
    are no rows.
    """
    if not results.begun:
        return []
    found: list[Row] = []
    images = {str(e["fingerprint"]): images_of(e) for e in results.suite.datasets}
    about = {e["label"]: e.get("provenance", {}) for e in results.suite.datasets}
    for group in groups(results):
        audit = in_words(results.audits.verdict(cell.key for cell in group.cells))
        if group.without:
            row = _row(group, images, NO_RULE, [], group.without, audit)
            found.append(_noted(row, about.get(row.dataset, {})))
            continue
        chosen = {rule: _choose(group, rule, results) for rule in results.suite.rules}
        for rule, (choices, why) in chosen.items():
            other, _ = chosen.get(rule_of(rule).gap_to or "", ([], ""))
            row = _row(group, images, rule, choices, why, audit, _gap(choices, other))
            found.append(_noted(row, about.get(row.dataset, {})))
    return _whole(found)


def _whole(found: Sequence[Row]) -> list[Row]:
    """The rows, and one for each method on each data set that the suite leaves out."""
    methods: dict[str, Row] = {}
    for row in (row for row in found if row.sweep is None):
        methods.setdefault(row.label, row)
    whole: list[Row] = []
    for name in dict.fromkeys(row.dataset for row in found):
        here = [row for row in found if row.dataset == name]
        there = {row.label for row in here}
        whole += here
        for label, method in methods.items():
            if label not in there:
                same = {part: getattr(here[0], part) for part in _OF_DATA}
                whole.append(
                    replace(
                        method, **same, selection=NO_RULE, seeds=(), keys=(), checkpoints=(),
                        metrics=dict.fromkeys(method.metrics), gamma=None, support=None,
                        selection_gap=None, unavailable=_LEFT_OUT, lost=(), audit="", not_finite="",
                    )
                )  # fmt: skip
    return whole


def _noted(row: Row, about: Mapping[str, Any]) -> Row:
    """With what is known of where its data came from."""
    return replace(
        row, notes=tuple(about.get("notes", ())), exposure=str(about.get("exposure", ""))
    )


def images_of(about: Mapping[str, Any]) -> str:
    """Names the images of a data set variant by their labels and split, whatever their features.

    Where the variant's loader gave no digests of these it is its fingerprint.

    Args:
        about: what the suite keeps of the variant.
    """
    provenance = about.get("provenance", {})
    parts = {"labels": provenance.get("digests", {}).get("labels")}
    splits = provenance.get("split_hashes", {})
    parts |= {name: splits.get(name) for name in ("trainval", "test_seen", "test_unseen")}
    return str(about["fingerprint"]) if None in parts.values() else digest(parts)[:16]


def _choose(group: Group, rule: str, results: Results) -> tuple[list[Choice], str]:
    """A choice for every seed, or the reason why there is none."""
    pairs = zip(group.cells, group.records, strict=True)
    try:
        return [results.validation.choose(rule, cell, record) for cell, record in pairs], ""
    except Unchosen as reason:
        return [], str(reason)


def _gap(choices: Sequence[Choice], other: Sequence[Choice]) -> Summary | None:
    if not choices or not other:
        return None
    pairs = zip(choices, other, strict=True)
    return summarize([one.metrics[_H] - two.metrics[_H] for one, two in pairs])


def _row(
    group: Group,
    images: Mapping[str, str],
    rule: str,
    choices: Sequence[Choice],
    unavailable: str,
    audit: str,
    gap: Summary | None = None,
) -> Row:
    cell = group.cells[0]
    identity = cell.identity
    chosen = [choice.metrics for choice in choices]
    names = list(dict.fromkeys([*HEADINGS, *(n for metrics in chosen for n in metrics)]))
    metrics: dict[str, Summary | None] = {}
    for name in names:
        values = [found[name] for found in chosen if name in found]
        metrics[name] = summarize(values) if values and len(values) == len(chosen) else None
    gammas = tuple(choice.gamma for choice in choices if choice.gamma is not None)
    swept = cell.about.get(SWEEP)
    return Row(
        dataset=cell.dataset,
        features=identity["dataset"]["features"],
        attributes=identity["dataset"]["attributes"],
        fingerprint=identity["dataset"]["fingerprint"],
        images=images.get(identity["dataset"]["fingerprint"], identity["dataset"]["fingerprint"]),
        method=cell.method,
        label=cell.label,
        selection=rule,
        seeds=tuple(c.seed for c in group.cells if not group.without),
        metrics=metrics,
        keys=tuple(c.key for c in group.cells),
        preprocessing=identity["preprocessing"],
        setting=identity["setting"],
        precision=identity["precision"],
        fidelity=cell.about["fidelity"],
        family=cell.about.get("family", ""),
        differs=cell.about.get("differs", ""),
        version=identity["method"]["version"],
        source=identity["method"].get("source"),
        code=", ".join(f"{name} {number}" for name, number in sorted(identity["code"].items())),
        about={name: _about(group, name) for name in names if name not in HEADINGS},
        checkpoints=tuple(choice.numbers for choice in choices),
        axes=choices[0].axes if choices else (),
        gamma=gammas or None,
        support=choices[0].support if choices else None,
        selection_gap=gap,
        unavailable=unavailable,
        sweep=Point(swept["of"], swept["field"], swept["value"]) if swept else None,
        lost=group.lost,
        audit=audit,
        not_finite=_not_finite(group),
    )


def _not_finite(group: Group) -> str:
    """Which logged values ended as no numbers, with which seeds."""
    found: dict[str, list[str]] = {}
    for record in group.records:
        for name in record.not_finite:
            found.setdefault(name, []).append(str(record.seed))
    return ", ".join(
        f"{name} ({plural(len(seeds), 'seed')} {', '.join(seeds)})" for name, seeds in found.items()
    )


def _about(group: Group, name: str) -> About:
    """What the records say of a metric; early records say less."""
    said = [record.metrics.get(name, {}) for record in group.records]
    found: dict[str, Any] = {
        part: content[part]
        for content in said
        for part in ("percent", "higher_is_better", "summary", "in_table")
        if part in content
    }
    if not found.get("percent", True):
        found["unit"] = next((content["unit"] for content in said if "unit" in content), "")
    return About(**found)


def extra_metrics(table: Sequence[Row], quiet: bool = False) -> list[str]:
    """Names of metrics beyond the usual ones.

    Args:
        table: rows.
        quiet: with those that do not ask to stand in every table.
    """
    names: dict[str, None] = {}
    for row in table:
        for name, about in row.about.items():
            if row.metrics.get(name) is not None and (quiet or about.in_table):
                names[name] = None
    return list(names)


def chosen_metrics(table: Sequence[Row], wanted: Sequence[str]) -> list[str]:
    """The metrics a table is asked to show, by name or heading, checked against those it has.

    ``all`` are all of them.

    Raises:
        SuiteError: no row has a metric of this name.
    """
    known = [*HEADINGS, *extra_metrics(table, quiet=True)]
    if list(wanted) == ["all"]:
        return known
    short = {heading: name for name, heading in HEADINGS.items()}
    wanted = [name if name in known else short.get(name, name) for name in wanted]
    for name in wanted:
        if name not in known:
            raise SuiteError(unknown_name("metric", name, known))
    return list(dict.fromkeys(wanted))
