"""Tables for terminals, papers and programs, made from rows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from gzsl_bench.data.tasks import PREPROCESSING
from gzsl_bench.engine.selection import GAMMA
from gzsl_bench.records.store import Record
from gzsl_bench.report.identity import differences
from gzsl_bench.report.rows import HEADINGS, NO_RULE, Row, extra_metrics
from gzsl_bench.suite.cells import fold_number

FORMATS = ("github", "latex", "csv", "json")
#: Signs of the terminal's table; LaTeX gets formulas.
SIGN, MINUS = "\N{GREEK SMALL LETTER GAMMA}", "\N{MINUS SIGN}"
#: The column of ``selection_gap``.
GAP = f"best_test {MINUS} val"


def render(table: Sequence[Row], fmt: str = "github", metrics: Sequence[str] | None = None) -> str:
    """A table in one of ``FORMATS``; github and latex end with the protocol of the numbers.

    Args:
        table: rows.
        fmt: json and csv hold every metric.
        metrics: the columns of github and latex; by default the usual ones and those of plugins.
    """
    names = list(metrics) if metrics else [*HEADINGS, *extra_metrics(table)]
    if fmt == "json":
        return json.dumps(list(table), indent=1)
    if fmt == "csv":
        return _csv(table)
    if fmt == "latex":
        return _latex(table, names)
    body = _tabulate(
        _headings(table, names), [_cells(row, table, names) for row in table], "github"
    )
    return "\n".join([body, "", *notes(table, names)])


def notes(table: Sequence[Row], metrics: Sequence[str] = ()) -> list[str]:
    """What must stand under a table for its numbers to mean something."""
    lines = [
        "Per-class accuracies in percent, mean ± sd over n seeds: U unseen, S seen, H their mean",
        "(harmonic), T1 unseen among unseen classes only, AUSUC area under the seen-unseen curve.",
    ]
    if any("low" in (row.get("harmonic_mean") or {}) for row in table):
        lines.append(
            "[low, high]: 95 % bootstrap interval; seeds and classes resampled, not images."
        )
    lines += _explained(table, metrics)
    rules = {row["selection"] for row in table}
    if "best_test" in rules:
        lines.append(
            "best_test chooses the checkpoint on the test set: optimistic, shown to compare."
        )
    lines += _choices(table)
    variants = dict.fromkeys(
        (r["dataset"], r["features"], r["attributes"], r["fingerprint"]) for r in table
    )
    lines += [
        f"{name}: features {features}, class embedding {attributes}, data {fingerprint[:12]}."
        for name, features, attributes, fingerprint in variants
    ]
    methods = dict.fromkeys((r["label"], _version(r), r["fidelity"]) for r in table)
    lines += [f"{label}: version {version}, {fidelity}." for label, version, fidelity in methods]
    lines += _marks(table)
    lines += _audits(table)
    lines += [f"{found}: not comparable with one another." for found in differences(table)]
    return lines


def _version(row: Row) -> str:
    """The plugin's version, and its source where that pins it: files and editable installs."""
    source = row.get("source")
    return f"{row['version']}, source {source[:8]}" if source else str(row["version"])


def _explained(table: Sequence[Row], metrics: Sequence[str]) -> list[str]:
    """Unit, direction and summary of metrics that the two lines above do not explain."""
    lines = []
    for name in metrics:
        about = next((r["extra"][name] for r in table if name in r.get("extra", {})), None)
        if about is not None:
            better = "higher" if about["higher_is_better"] else "lower"
            unit = f"{about['unit']}, " if about["unit"] else ""
            text = f" {about['summary']}" if about["summary"] else ""
            lines.append(f"{name} ({unit}{better} is better):{text}".rstrip(":"))
    return lines


def _audits(table: Sequence[Row]) -> list[str]:
    """What audits found; nothing where there was none."""
    found = dict.fromkeys((r["dataset"], r["label"], r.get("audit", "")) for r in table)
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
    rules = {row["selection"] for row in table}
    if "val" in rules:
        lines.append(
            "val chooses one checkpoint for all seeds, by the mean H over validation folds."
        )
    if _gap(table):
        lines.append(f"{GAP}: selection gap, difference in H, paired over seeds.")
    if any(rule.endswith(GAMMA) for rule in rules):
        lines.append(
            f"+{SIGN}: calibrated stacking; {SIGN}, chosen on the validation folds, is taken off"
            " seen scores."
        )
    for row in table:
        if row["selection"] == NO_RULE:
            lines.append(f"{row['label']} on {row['dataset']}: {row['unavailable'].rstrip('.')}.")
        elif row.get("unavailable"):
            lines.append(f"No numbers for {rule_name(row)}: {row['unavailable']}.")
    return list(dict.fromkeys(lines))


def _marks(table: Sequence[Row]) -> list[str]:
    """What sets some rows apart from the others; such rows carry the mark in their data set."""
    lines = []
    for name in dict.fromkeys(r["preprocessing"] for r in table):
        if name in PREPROCESSING and PREPROCESSING[name].leaks:
            lines.append(f"[{name}]: the scaler has seen the test set; not comparable.")
    if any(r["setting"] == "transductive" for r in table):
        lines.append("[transductive]: trained with unlabelled test images; not comparable.")
    return lines


def failures(records: Sequence[Record]) -> str:
    """The table of failed cells, printed last."""
    lines = [
        [
            r.content["dataset"],
            r.content["label"] + (f" (fold {fold})" if (fold := fold_number(_identity(r))) else ""),
            r.content["seed"],
            r.content["cause"][:120],
        ]
        for r in records
    ]
    return _tabulate(["Failed on", "Method", "Seed", "Cause"], lines, "github")


def _identity(record: Record) -> Mapping[str, Any]:
    found: Mapping[str, Any] = record.content.get("identity", {})
    return found


def _variant_counts(table: Sequence[Row]) -> dict[str, int]:
    """How many variants (features, embedding, content) of each data set the table mixes."""
    variants: dict[str, set[Any]] = {}
    for row in table:
        variants.setdefault(row["dataset"], set()).add(
            (row["features"], row["attributes"], row["fingerprint"])
        )
    return {name: len(found) for name, found in variants.items()}


def where(row: Row, table: Sequence[Row]) -> str:
    """The data set's name, with whatever tells this row from others of the same name."""
    text = str(row["dataset"])
    if _variant_counts(table)[row["dataset"]] > 1:
        text += f" ({row['features']}, {row['attributes']}, {row['fingerprint'][:6]})"
    if len({r["precision"] for r in table if r["dataset"] == row["dataset"]}) > 1:
        text += f" ({row['precision']})"
    if row["preprocessing"] in PREPROCESSING and PREPROCESSING[row["preprocessing"]].leaks:
        text += f" [{row['preprocessing']}]"
    if row["setting"] == "transductive":
        text += " [transductive]"
    return text


def who(row: Row, table: Sequence[Row]) -> str:
    """The method's label; where a label covers several preprocessings or versions, those too."""
    text = str(row["label"])
    same = [r for r in table if r["label"] == row["label"] and r["dataset"] == row["dataset"]]
    here = [r for r in table if r["method"] == row["method"] and r["dataset"] == row["dataset"]]
    for field, rivals in (("preprocessing", here), ("version", same)):
        if len({r[field] for r in rivals}) > 1:
            text += f" ({row[field]})"
    return text


def rule_name(row: Row) -> str:
    """``val+γ``."""
    rule = str(row["selection"])
    return rule.removesuffix(GAMMA) + f"+{SIGN}" if rule.endswith(GAMMA) else rule


def _gap(table: Sequence[Row]) -> bool:
    return any(row.get("selection_gap") for row in table)


def _biased(table: Sequence[Row]) -> bool:
    return any(row.get("gamma") for row in table)


def _headings(table: Sequence[Row], names: Sequence[str]) -> list[str]:
    return [
        *("Data set", "Method", "Selection", "n"),
        *(HEADINGS.get(name, name) for name in names),
        *([GAP] if _gap(table) else []),
        *([SIGN] if _biased(table) else []),
    ]


def _cells(
    row: Row, table: Sequence[Row], names: Sequence[str], plus_minus: str = " ± "
) -> list[Any]:
    return [
        where(row, table),
        who(row, table),
        rule_name(row),
        len(row["seeds"]),
        *(number(row.get(name), plus_minus, _digits(row, name)) for name in names),
        *([number(row.get("selection_gap"), plus_minus)] if _gap(table) else []),
        *([_bias(row)] if _biased(table) else []),
    ]


def _bias(row: Row) -> str:
    """Gamma to three digits; several where seeds differ."""
    return ", ".join(dict.fromkeys(f"{gamma:.3g}" for gamma in row.get("gamma") or ())) or "-"


def _digits(row: Row, name: str) -> str:
    """A decimal of a percentage; of anything else three digits, whatever its size."""
    return ".1f" if row.get("extra", {}).get(name, {}).get("percent", True) else ".3g"


def number(summary: Any, plus_minus: str, digits: str = ".1f") -> str:
    if summary is None:
        return "-"
    text = f"{summary['mean']:{digits}}"
    if summary["sd"] is not None:
        text += f"{plus_minus}{summary['sd']:{digits}}"
    if "low" in summary:
        text += f" [{summary['low']:{digits}}, {summary['high']:{digits}}]"
    return text


def _tabulate(headings: Sequence[str], lines: Sequence[Sequence[Any]], fmt: str) -> str:
    from tabulate import tabulate

    # A bar within a cell would begin another one.
    safe = [[str(cell).replace("|", "\\|") for cell in line] for line in lines]
    return tabulate(safe, headers=headings, tablefmt=fmt, disable_numparse=True)


def _latex(table: Sequence[Row], names: Sequence[str]) -> str:
    from tabulate import tabulate

    lines = [
        [
            escape_latex(str(cell)) if i < 3 else cell
            for i, cell in enumerate(_cells(row, table, names, "$\\pm$"))
        ]
        for row in table
    ]
    headings = [escape_latex(text) for text in _headings(table, names)]
    body = tabulate(lines, headings, tablefmt="latex_raw", disable_numparse=True)
    # Outside of comments LaTeX knows these only as formulas.
    body = body.replace(SIGN, "$\\gamma$").replace(MINUS, "$-$")
    comments = [f"% {line}" for line in notes(table, names)]
    return "\n".join([*comments, body])


def escape_latex(text: str) -> str:
    """Plain text as LaTeX prints it."""
    for plain, safe in (
        ("\\", "\\textbackslash{}"),
        ("&", "\\&"),
        ("%", "\\%"),
        ("$", "\\$"),
        ("#", "\\#"),
        ("_", "\\_"),
        ("{", "\\{"),
        ("}", "\\}"),
    ):
        if plain == "\\" or plain not in "{}":
            text = text.replace(plain, safe)
    return text


def _csv(table: Sequence[Row]) -> str:
    """Flat: every summary becomes three columns; lists are separated by blanks."""
    flat = []
    for row in table:
        line: dict[str, Any] = {}
        for name, value in row.items():
            if name == "extra":
                continue  # how to read the numbers, not numbers
            if isinstance(value, dict):
                line |= {f"{name}_{part}": value[part] for part in value}
            elif value is None and name in (*HEADINGS, "selection_gap"):
                line |= dict.fromkeys(f"{name}_{part}" for part in ("mean", "sd", "n"))
            else:
                line[name] = " ".join(map(str, value)) if isinstance(value, list) else value
        flat.append(line)
    columns = list(dict.fromkeys(name for line in flat for name in line))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue().rstrip("\n")
