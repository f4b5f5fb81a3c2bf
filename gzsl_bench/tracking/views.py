"""Saved views of the runs page: the columns, order and plots a reader of results wants first.

MLflow 3.15 and later keep named views as tags of the experiment and open one by its id in the
address.  Nothing documents their form, so it is written for those versions alone; others never look
at the tags, and get what their address can say.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

from packaging.version import InvalidVersion, Version

from gzsl_bench.results.names import DataNames
from gzsl_bench.suite.resolved import ResolvedSuite
from gzsl_bench.tracking.describe import CELL, PREFIX
from gzsl_bench.tracking.names import TAG_LENGTH

#: The versions of MLflow whose named views have the form written here.
_SINCE, _BEFORE = Version("3.15"), Version("4")

_TAG = "mlflow.sharedViewState."
#: The views by their ids; those of single data sets are counted.
RUNS, MEANS, ONE = "gzsl-bench-runs", "gzsl-bench-means", "gzsl-bench-data-"
#: Views of single data sets: a longer menu is no help.
_MOST = 20

_AXES = ("dataset", "label", "seed")
_PARTS = ("U", "S")
_H = "H"
_WIDTHS = {"dataset": 100, "label": 140, "seed": 70, "U": 105, "S": 105, _H: 105}
_SECTION = "gzsl-bench-comparison"
_CELLS = f"tags.`{PREFIX}role` = '{CELL}'"

#: What all views show: the cells alone, the best H first.
_FACETS: Mapping[str, Any] = {
    "searchFilter": _CELLS,
    "orderByKey": f"metrics.`{_H}`",
    "orderByAsc": False,
}


def supported(version: str) -> bool:
    """Whether this version of MLflow has named views of the form written here."""
    try:
        return _SINCE <= Version(version) < _BEFORE
    except InvalidVersion:
        return False


def tags(suite: ResolvedSuite) -> dict[str, str]:
    """The experiment's tags that hold the views: the same suite gives the same tags.

    All show the same plots where a reader switches from the table to them; those of a view of one
    data set show its runs alone.
    """
    data_names = DataNames(suite.cells)
    rows = dict.fromkeys((data_names.of(cell), cell.label) for cell in suite.cells)
    closed = {f"param.dataset.{name},param.label.{label}": False for name, label in rows}
    names = list(dict.fromkeys(name for name, _ in rows))
    # A card has little room for axes: one that all runs share says nothing.
    plots = {"compareRunCharts": _charts(_AXES[:2] if len(names) > 1 else _AXES[1:2])}
    both = ("dataset", "label")
    found = {
        RUNS: ("Every seed, best H first", [_runs() | plots]),
        MEANS: ("Means over seeds", [_means(both, closed) | plots, _means(both, {}) | plots]),
    }
    if len(names) > 1:
        for number, name in enumerate(names[:_MOST], start=1):
            if '"' in name:  # MLflow's filter knows no way to write it
                continue
            closed = {f"param.label.{label}": False for data, label in rows if data == name}
            more = {
                "compareRunCharts": _charts(_AXES[1:2]),
                "searchFilter": f'{_CELLS} and params.dataset = "{name}"',
            }
            states = [_means(("label",), group) | more for group in (closed, {})]
            found[f"{ONE}{number}"] = (f"{name}: methods, best H first", states)
    # MLflow lists the newest first; no clock is involved.
    order = [key for key in found if key not in (RUNS, MEANS)]
    ages = {key: len(found) - place for place, key in enumerate([*order, MEANS, RUNS])}
    return {
        _TAG + key: _envelope(title, ages[key], *states) for key, (title, states) in found.items()
    }


def opened(found: Mapping[str, str]) -> str:
    """The view that a page begins with; empty where there is none."""
    return next((name for name in (MEANS, RUNS) if _TAG + name in found), "")


def missing(suite: ResolvedSuite, found: Mapping[str, str]) -> dict[str, str]:
    """Of :func:`tags` those that an experiment with the tags ``found`` does not have."""
    return {name: value for name, value in tags(suite).items() if found.get(name) != value}


def query(found: Mapping[str, str], version: str) -> str:
    """What the address of the runs page says after its question mark.

    Args:
        found: the experiment's tags.
        version: of the MLflow that will show it.
    """
    # Of the two sides of MLflow's page, the one that is not about language models.
    side = {"workflowType": "machine_learning"}
    if supported(version) and (first := opened(found)):
        return _encoded({"viewStateShareKey": first} | side)
    order = "true" if _FACETS["orderByAsc"] else "false"
    return _encoded({**_FACETS, "orderByAsc": order} | side)


def _encoded(parameters: Mapping[str, str]) -> str:
    return urllib.parse.urlencode(parameters, quote_via=urllib.parse.quote)


def _envelope(title: str, age: int, *states: Mapping[str, Any]) -> str:
    """The first state that a tag has room for, under a name."""
    whole = ""
    for state in states:
        whole = _compact(
            {"name": title, "createdAt": age, "updatedAt": age, "state": _compact(state)}
        )
        if len(whole) <= TAG_LENGTH:
            break
    return whole


def _runs() -> dict[str, Any]:
    """Every cell in a line of its own."""
    return _state(_AXES, {"attributes.`Run Name`": 170, "runDateAndNestInfo": 60})


def _means(axes: Sequence[str], closed: Mapping[str, bool]) -> dict[str, Any]:
    """Lines of means, which open to their seeds; ``closed`` names those that begin closed."""
    keys = [{"mode": "param", "groupByData": name} for name in axes]
    width = 190 + 120 * (len(axes) - 1)
    return _state((), {"attributes.`Run Name`": width, "runDateAndNestInfo": 60}) | {
        "groupBy": {"aggregateFunction": "average", "groupByKeys": keys},
        "groupsExpanded": closed,
    }


def _state(axes: Sequence[str], fixed: Mapping[str, int]) -> dict[str, Any]:
    """The state of the page: columns in order and with their widths; the rest is MLflow's."""
    columns = {f"params.`{name}`": _WIDTHS[name] for name in axes}
    columns |= {f"metrics.`{name}`": _WIDTHS[name] for name in (_H, *_PARTS)}
    section = {
        "uuid": _SECTION, "name": "U, S and H", "display": True, "isReordered": True,
        "deleted": False, "isGenerated": False,
    }  # fmt: skip
    return {
        **_FACETS,
        "selectedColumns": list(columns),
        "columnOrder": [*fixed, *columns],
        "columnWidths": {**fixed, **columns},
        "useGroupedValuesInCharts": True,
        "runsHiddenMode": "SHOW_ALL",
        "compareRunSections": [section],
        # MLflow adds sections for all other metrics; ours stays first.
        "isAccordionReordered": True,
    }


def _charts(axes: Sequence[str]) -> list[dict[str, Any]]:
    common = {
        "metricSectionId": _SECTION, "deleted": False, "isGenerated": False,
        "runsCountToCompare": 100,
    }  # fmt: skip
    unseen, seen = ({"key": name, "type": "METRIC"} for name in _PARTS)
    lines = {
        "selectedParams": list(axes),
        "selectedMetrics": [*_PARTS, _H],
        "showAllRuns": True,
    }
    return [
        {"type": "BAR", "uuid": "gzsl-bench-3", "metricKey": _H, **common},
        {"type": "SCATTER", "uuid": "gzsl-bench-1", "xaxis": unseen, "yaxis": seen, **common},
        {"type": "PARALLEL", "uuid": "gzsl-bench-2", **lines, **common},
    ]


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
