from __future__ import annotations

import json
from urllib.parse import parse_qs

import pytest
from tracking_factory import grid, make_cell, make_suite

from gzsl_bench.tracking import views

PREFIX = "mlflow.sharedViewState."


def states() -> dict[str, dict]:
    """The views as MLflow 3.15 and later reads them: an envelope with the state as text."""
    found = {}
    for name, value in views.tags(make_suite(grid())).items():
        envelope = json.loads(value)
        assert isinstance(envelope["createdAt"], int)
        found[envelope["name"]] = json.loads(envelope["state"]) | {"id": name.removeprefix(PREFIX)}
    return found


def test_the_first_columns_are_axes_and_numbers() -> None:
    state = states()["Every seed, best H first"]
    wanted = [*(f"params.`{n}`" for n in ("dataset", "label", "seed"))]
    wanted += [f"metrics.`{n}`" for n in ("H", "U", "S")]
    assert state["selectedColumns"] == wanted
    assert [c for c in state["columnOrder"] if c in wanted] == wanted
    assert state["orderByKey"] == "metrics.`H`"
    assert state["orderByAsc"] is False
    assert "gzsl_bench.role" in state["searchFilter"]


def test_plots_have_no_axis_that_all_runs_share() -> None:
    for cells, several in ((grid(), True), (grid()[:4], False)):
        for name, value in views.tags(make_suite(cells)).items():
            axes = ["dataset", "label"] if several and views.ONE not in name else ["label"]
            charts = json.loads(json.loads(value)["state"])["compareRunCharts"]
            (lines,) = [chart for chart in charts if chart["type"] == "PARALLEL"]
            assert lines["selectedParams"] == axes
            (points,) = [chart for chart in charts if chart["type"] == "SCATTER"]
            assert [points["xaxis"]["key"], points["yaxis"]["key"]] == ["U", "S"]


def test_means_begin_closed() -> None:
    state = states()["Means over seeds"]
    assert [key["groupByData"] for key in state["groupBy"]["groupByKeys"]] == ["dataset", "label"]
    assert state["groupsExpanded"] == {
        f"param.dataset.{data},param.label.{label}": False
        for data in ("CUB", "FLO")
        for label in ("ACMR", "ESZSL")
    }


def test_every_data_set_has_a_view_of_its_own() -> None:
    found = states()
    assert list(found)[2:] == ["CUB: methods, best H first", "FLO: methods, best H first"]
    state = found["FLO: methods, best H first"]
    assert 'params.dataset = "FLO"' in state["searchFilter"]
    assert state["groupsExpanded"] == {"param.label.ACMR": False, "param.label.ESZSL": False}
    # Of one data set there is nothing to choose from.
    assert len(views.tags(make_suite(grid()[:4]))) == 2


def test_no_mean_goes_over_two_data_sets_of_one_label() -> None:
    cells = [make_cell("CUB", "ACMR", attributes=a) for a in ("att", "sentences")]
    closed = [
        "param.dataset.CUB (att),param.label.ACMR",
        "param.dataset.CUB (sentences),param.label.ACMR",
    ]
    found = views.tags(make_suite(cells)).values()
    whole = [json.loads(json.loads(value)["state"]).get("groupsExpanded") for value in found]
    assert dict.fromkeys(closed, False) in whole


def test_a_large_suite_still_fits_a_tag() -> None:
    cells = [make_cell(f"data set {i}", f"method {j}") for i in range(12) for j in range(30)]
    for value in views.tags(make_suite(cells)).values():
        assert len(value) <= 5000
        json.loads(json.loads(value)["state"])


def test_the_same_suite_gives_the_same_tags() -> None:
    suite = make_suite(grid())
    found = views.tags(suite)
    assert found == views.tags(make_suite(grid()))
    assert views.missing(suite, found) == {}
    (name, value), *_ = found.items()
    assert views.missing(suite, found | {name: "changed"}) == {name: value}


@pytest.mark.parametrize(
    ("version", "opened"),
    [("3.14.9", False), ("3.15.0", True), ("3.17.2", True), ("4.0.0", False), ("", False)],
)
def test_only_where_mlflow_has_views(version: str, opened: bool) -> None:
    found = views.tags(make_suite(grid()))
    query = parse_qs(views.query(found, version))
    assert ("viewStateShareKey" in query) is opened
    assert ("searchFilter" in query) is not opened
    assert "viewStateShareKey" not in parse_qs(views.query({}, version))
    if opened:
        assert PREFIX + query["viewStateShareKey"][0] in found
