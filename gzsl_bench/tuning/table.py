"""The trials of a tuning, best first: what the terminal and MLflow show of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gzsl_bench import markdown
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.summary import summarize
from gzsl_bench.tuning.trials import Score, Search, Tuning, score
from gzsl_bench.wording import counted

#: Trials of each search that the terminal's table shows.
TOP = 20
_SHOWN = {"harmonic_mean": "H", "acc_unseen": "U", "acc_seen": "S"}


def trial_rows(tuning: Tuning, results: Results) -> list[dict[str, Any]]:
    """One row per trial, by search, the best one first.

    Keys: ``dataset, label, method, search, trial, values`` (by tuned field), ``checkpoint`` (the
    best one of the folds), a summary ``{mean, sd, n}`` over folds and seeds for every metric,
    ``unavailable`` (why there is no number, else None), ``refused`` (candidates of the search that
    the configuration refused) and ``keys`` of the fold cells.
    """
    return [_row(s, found) for s in tuning.searches for found in score(s, results)]


def _row(search: Search, found: Score) -> dict[str, Any]:
    row: dict[str, Any] = {
        "dataset": search.dataset,
        "label": search.label,
        "method": search.entry.use,
        "search": search.kind,
        "trial": found.trial.number,
        "values": dict(found.trial.values),
        "checkpoint": found.checkpoint,
    }
    for name in found.mean or _SHOWN:
        values = [metrics[name] for metrics in found.folds]
        row[name] = summarize(values).to_json() if values else None
    row["unavailable"] = found.reason
    row["refused"] = search.refused
    row["keys"] = [cell.key for cell in found.trial.cells]
    return row


def render_trials(table: Sequence[Mapping[str, Any]], fmt: str = "github") -> str:
    """The rows as JSON, or as one table a search of its :data:`TOP` best trials."""
    if fmt == "json":
        return json.dumps(list(table), indent=1)
    searches: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in table:
        searches.setdefault((row["dataset"], row["label"]), []).append(row)
    parts = [_search(rows) for rows in searches.values()]
    parts.append(
        "Validation H, U and S in percent, mean ± sd over folds, at the checkpoint with the best"
        " mean H.\nThe best mean H is chosen, of exactly equal ones the first trial's. No test row"
        " was used, and none of these is a result."
    )
    return "\n\n".join(parts)


def _search(rows: Sequence[Mapping[str, Any]]) -> str:
    fields = list(rows[0]["values"])
    headings = ["Data set", "Method", "Trial", *fields, *_SHOWN.values(), "Checkpoint"]
    lines = [
        [
            row["dataset"],
            row["label"],
            row["trial"],
            *(plain(row["values"][name]) for name in fields),
            *(_number(row.get(name)) for name in _SHOWN),
            "-" if row["checkpoint"] is None else row["checkpoint"],
        ]
        for row in rows[:TOP]
    ]
    text = [markdown.table(headings, lines)]
    if len(rows) > TOP:
        text.append(f"{len(rows) - TOP} more of {len(rows)} trials: --format json.")
    lacking = [row for row in rows if row["unavailable"]]
    if lacking:
        first = " ".join(str(lacking[0]["unavailable"]).split())[:160]
        text.append(
            f"{counted(len(lacking), 'trial')} without a number; trial {lacking[0]['trial']}:"
            f" {first}"
        )
    if rows[0]["refused"]:
        refused = counted(rows[0]["refused"], "combination")
        text.append(f"{refused} that the configuration refuses.")
    return "\n".join(text)


def plain(value: Any) -> str:
    """A value as tables and comments show it: numbers as short as they are exact."""
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)


def shown(values: Mapping[str, Any]) -> str:
    """``feature_penalty 10, targets pm1``."""
    return ", ".join(f"{name} {plain(value)}" for name, value in values.items())


def _number(summary: Any) -> str:
    if summary is None:
        return "-"
    mean = f"{summary['mean']:.1f}"
    return mean if summary["sd"] is None else f"{mean} ± {summary['sd']:.1f}"
