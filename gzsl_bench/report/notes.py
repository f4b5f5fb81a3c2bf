"""What must stand under a table for its numbers to mean something, as sentences made from rows."""

from __future__ import annotations

from collections.abc import Sequence

from gzsl_bench.data.tasks import PREPROCESSING
from gzsl_bench.report.cells import GAP, SIGN, UNTOLD
from gzsl_bench.results.identity import differences
from gzsl_bench.results.rows import HEADINGS, NO_RULE, Row
from gzsl_bench.scoring.rules import GAMMA, UNSUPPORTED, rule_of
from gzsl_bench.suite.cells import EXTERNAL

#: What the usual metrics are.
_WORDS = {
    "acc_unseen": "U unseen",
    "acc_seen": "S seen",
    "harmonic_mean": "H their mean (harmonic)",
    "zsl_acc": "T1 unseen among unseen classes only",
    "ausuc": "AUSUC area under the seen-unseen curve",
}
#: Why a row has no numbers, by the word that stands in their place.
_FATES = {
    "failed": "failed: no seed has numbers.",
    "n/a": "n/a: the method does not apply to the data set.",
    "not run": "not run: no seed has been trained yet.",
}
#: Begins a note on a row without numbers; in a paper its dashes are enough.
_NO_NUMBERS = "No numbers for"
#: A share of one side's test images that is remarkable, in percent, by the recorded metric.
_ONE_SIDED = 95
_SIDES = {"unseen_as_seen": ("unseen", "seen"), "seen_as_unseen": ("seen", "unseen")}


def short_protocol(table: Sequence[Row], metrics: Sequence[str]) -> list[str]:
    """What a paper's caption must say: the numbers, seeds, rules, features and embeddings."""
    counts: dict[int, dict[str, None]] = {}
    for row in (r for r in table if r.seeds and r.sweep is None and not r.unavailable):
        counts.setdefault(len(row.seeds), {})[row.label] = None
    # A deviation is over several seeds, however many methods are deterministic.
    order = sorted(counts, key=lambda n: (n == 1, -len(counts[n])))
    others = "; ".join(f"{'one run' if n == 1 else n} of {', '.join(counts[n])}" for n in order[1:])
    seeds = "of one run"
    if order and max(order) > 1:
        seeds = f"mean and, as a subscript, sd over n = {order[0]} seeds"
    lines = [_numbers(metrics, seeds + (f" ({others})" if others else ""))]
    if any(h and h.low is not None for row in table if (h := row.metrics.get("harmonic_mean"))):
        lines.append(
            "[low, high] in place of sd: 95 % interval over seeds and classes; images held fixed."
        )
    lines += _explained(table, metrics)
    rules = dict.fromkeys(r.selection for r in table if r.selection != NO_RULE)
    for rule in rules:
        how = f", calibrated with {SIGN} from the same folds" if rule.endswith(GAMMA) else ""
        lines.append(f"{rule}: {rule_of(rule).words}{how}.")
    data: dict[tuple[str, str], dict[str, None]] = {}
    for row in table:
        data.setdefault((row.features, row.attributes), {})[row.dataset] = None
    for (features, attributes), names in data.items():
        lines.append(f"{', '.join(names)}: features {features}, class embedding {attributes}.")
    lines += [*_exposures(table), *_differing(table)]
    lines += [line for line in _supports(table) if UNTOLD in line]
    lines += [*_one_sided(table), *_not_finite(table), *_marks(table)]
    lines += [line for line in _audits(table) if "FAILED" in line]
    lines += [f"{found}: not comparable with one another." for found in differences(table)]
    fates = {row.fate for row in table}
    lines += [line for fate, line in _FATES.items() if fate in fates]
    return lines


def _numbers(metrics: Sequence[str], how: str) -> str:
    """What the usual ones of the metrics are; of others their plugins speak."""
    words = dict(_WORDS)
    if not {"acc_unseen", "acc_seen"} <= {*metrics}:
        words["harmonic_mean"] = "H harmonic mean of those on unseen and on seen classes"
    shown = ", ".join(words[name] for name in metrics if name in words)
    return f"Per-class accuracies in percent{', ' + how if how else ''}: {shown}." if shown else ""


def notes(table: Sequence[Row], metrics: Sequence[str] = ()) -> list[str]:
    """What must stand under a table for its numbers to mean something."""
    lines = [_numbers(metrics or [*HEADINGS], "mean ± sd over n seeds")]
    if any(h and h.low is not None for row in table if (h := row.metrics.get("harmonic_mean"))):
        lines.append("[low, high]: 95 % interval over seeds and classes; images are held fixed.")
    lines += _explained(table, metrics)
    names = dict.fromkeys(row.selection for row in table if row.selection != NO_RULE)
    shown = [rule_of(name) for name in names if not name.endswith(GAMMA) and rule_of(name).note]
    lines += [rule.note for rule in sorted(shown, key=lambda rule: not rule.reads_test)]
    lines += _choices(table)
    lines += _supports(table)
    lines += [*_one_sided(table), *_not_finite(table)]
    lines += dict.fromkeys(_whence(row) for row in table)
    lines += [*_sources(table), *_exposures(table), *_differing(table)]
    lines += dict.fromkeys(_whose(row) for row in table)
    lines += _marks(table)
    lines += _audits(table)
    lines += [f"{found}: not comparable with one another." for found in differences(table)]
    return lines


def protocol(table: Sequence[Row], metrics: Sequence[str] = ()) -> list[str]:
    """The notes that belong into a paper's caption: all but fingerprints and versions."""
    own = dict.fromkeys(
        f"{r.dataset}: features {r.features}, class embedding {r.attributes}." for r in table
    )
    aside = {_whose(row) for row in table} | {_whence(row) for row in table} | {*_sources(table)}
    said = [line for line in notes(table, metrics) if line not in aside]
    return [*(line for line in said if not line.startswith(_NO_NUMBERS)), *own]


def identities(table: Sequence[Row]) -> list[str]:
    """What was measured: data sets with features and content, methods with version and source."""
    return list(dict.fromkeys([*map(_whence, table), *_sources(table), *map(_whose, table)]))


def remarks(table: Sequence[Row]) -> list[str]:
    """Of the notes those that say what is wrong, missing or audited."""
    lacking = (row for row in table if row.unavailable or row.lost)
    lines = [*_choices(list(lacking)), *_supports(table), *_one_sided(table)]
    lines += [*_not_finite(table), *_marks(table)]
    lines += [*_exposures(table), *_audits(table)]
    return [*lines, *(f"{found}: not comparable with one another." for found in differences(table))]


def _whence(row: Row) -> str:
    return (
        f"{row.dataset}: features {row.features}, class embedding {row.attributes},"
        f" data {row.fingerprint[:12]}."
    )


def _sources(table: Sequence[Row]) -> list[str]:
    """What made features and embeddings."""
    return list(dict.fromkeys(f"{row.dataset}: {note}" for row in table for note in row.notes))


def _exposures(table: Sequence[Row]) -> list[str]:
    """Data sets with unseen classes that the backbone of their features may have seen."""
    return list(dict.fromkeys(f"{r.dataset}: {r.exposure}" for r in table if r.exposure))


def _differing(table: Sequence[Row]) -> list[str]:
    """Methods that leave out something of their publications, by what that is."""
    found: dict[str, dict[str, None]] = {}
    for row in (row for row in table if row.differs):
        found.setdefault(row.differs, {})[row.sweep.of if row.sweep else row.label] = None
    return [f"Not as published: {', '.join(names)}: {what}." for what, names in found.items()]


def _whose(row: Row) -> str:
    label = row.sweep.of if row.sweep else row.label
    return f"{label}: version {_version(row)}, {row.fidelity}."


def _version(row: Row) -> str:
    """The method's version and source; of a plugin in an archive the latter is unknown."""
    return f"{row.version}, source {row.source[:8]}" if row.source else row.version


def _explained(table: Sequence[Row], metrics: Sequence[str]) -> list[str]:
    """Unit, direction and summary of metrics that the two lines above do not explain."""
    lines = []
    for name in metrics:
        about = next((row.about[name] for row in table if name in row.about), None)
        if about is not None:
            better = "higher" if about.higher_is_better else "lower"
            unit = f"{about.unit}, " if about.unit else ""
            text = f" {about.summary}" if about.summary else ""
            lines.append(f"{name} ({unit}{better} is better):{text}".rstrip(":"))
    return lines


def _audits(table: Sequence[Row]) -> list[str]:
    """What audits found; nothing where there was none."""
    found = dict.fromkeys((r.dataset, r.label, r.audit) for r in table)
    passed = [f"{label} on {name}" for name, label, outcome in found if outcome == "ok"]
    lines = [f"audited, all equal to their blind twins: {', '.join(passed)}."] if passed else []
    lines += [
        f"{label} on {name} FAILED the audit: {outcome.removeprefix('FAILED: ')}."
        for name, label, outcome in found
        if outcome.startswith("FAILED")
    ]
    return lines


def _choices(table: Sequence[Row]) -> list[str]:
    """What validation folds were used for, and where they give no number."""
    lines = []
    rules = {row.selection for row in table}
    if any(row.selection_gap for row in table):
        lines.append(f"{GAP}: selection gap, difference in H, paired over seeds.")
    if any(rule.endswith(GAMMA) for rule in rules):
        lines.append(
            f"{GAMMA}: calibrated stacking; {SIGN}, chosen on the validation folds, is taken off"
            " seen scores."
        )
    fates: dict[tuple[str, str], dict[str, None]] = {}
    causes: dict[str, dict[str, None]] = {}
    for row in table:
        if row.selection == NO_RULE:
            fates.setdefault((row.label, row.unavailable.rstrip(".")), {})[row.dataset] = None
        elif row.unavailable:
            causes.setdefault(row.unavailable.rstrip("."), {})[row.selection] = None
    alike: dict[tuple[str, str], list[str]] = {}
    for (label, why), names in fates.items():
        alike.setdefault((", ".join(names), why), []).append(label)
    lines += [f"{', '.join(who)} on {where}: {why}." for (where, why), who in alike.items()]
    for row in table:
        if row.lost:
            total = len(row.seeds) + len(row.lost)
            why = "; ".join(cause.rstrip(".") for cause in row.lost)
            lines.append(f"{row.label} on {row.dataset}, {len(row.lost)} of {total} seeds: {why}.")
    lines += [f"{_NO_NUMBERS} {', '.join(names)}: {why}." for why, names in causes.items()]
    return list(dict.fromkeys(lines))


def _supports(table: Sequence[Row]) -> list[str]:
    """Choices that the validation folds do not support, and how many hang on a single fold."""
    lines = []
    for rule in dict.fromkeys(row.selection for row in table):
        mine = [(row, s) for row in table if row.selection == rule and (s := row.support)]
        level = [
            f"{r.label} on {r.dataset} ({s.tied} of {s.candidates})" for r, s in mine if s.words
        ]
        if level:
            lines.append(
                f"{rule} {UNTOLD}: {UNSUPPORTED}, so the last of the best counts:"
                f" {', '.join(level)}."
            )
        hang = [f"{r.label} on {r.dataset} {s.turned} of {s.folds}" for r, s in mine if s.turned]
        if hang:
            lines.append(
                f"With one fold missing {rule} would have chosen another"
                f" checkpoint: {', '.join(hang)} folds."
            )
    return lines


def _one_sided(table: Sequence[Row]) -> list[str]:
    """Rows whose method calls nearly all images of one side by names of the other."""
    lines = []
    for name, (images, classes) in _SIDES.items():
        found: dict[str, list[str]] = {}
        for row in table:
            summary = row.metrics.get(name)
            if summary is not None and summary.mean >= _ONE_SIDED:
                who = f"{row.label} on {row.dataset} ({summary.mean:.1f} %)"
                found.setdefault(who, []).append(row.selection)
        if found:
            rows = ", ".join(f"{who} by {', '.join(rules)}" for who, rules in found.items())
            lines.append(
                f"{_ONE_SIDED} % or more of the test images of {images} classes are called"
                f" {classes} classes: {rows}."
            )
    return lines


def _not_finite(table: Sequence[Row]) -> list[str]:
    """Rows whose training went astray by what the method logged, though its scores are numbers."""
    found = {(r.label, r.dataset): r.not_finite for r in table if r.not_finite}
    rows = ", ".join(f"{label} on {name}: {what}" for (label, name), what in found.items())
    return [f"Logged values that end as NaN or infinite: {rows}."] if rows else []


def _marks(table: Sequence[Row]) -> list[str]:
    """What sets some rows apart from the others; such rows carry the mark in their data set."""
    lines = []
    for name in dict.fromkeys(r.preprocessing for r in table):
        if name in PREPROCESSING and PREPROCESSING[name].leaks:
            lines.append(f"[{name}]: the scaler has seen the test set; not comparable.")
    if any(r.setting == "transductive" for r in table):
        lines.append("[transductive]: trained with unlabelled test images; not comparable.")
    if elsewhere := dict.fromkeys(r.label for r in table if r.fidelity == EXTERNAL):
        names = ", ".join(elsewhere)
        lines.append(f"[{EXTERNAL}]: trained elsewhere, selection not audited: {names}.")
    swept = dict.fromkeys((r.sweep.of, r.sweep.field) for r in table if r.sweep)
    lines += [f"{label} {name}=...: a sweep; shown, not ranked." for label, name in swept]
    return lines
