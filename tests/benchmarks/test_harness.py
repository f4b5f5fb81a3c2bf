"""``suites/ps_synthetic.yaml`` is what it says, and the command that times it adds up."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import harness
from benchmarks.plugin_runs import METHODS
from gzsl_bench import DatasetInfo, DatasetSpec
from gzsl_bench.hooks.manager import load_plugins
from gzsl_bench.suite.datasets import Place
from gzsl_bench.suite.load import check_names, load_suite
from gzsl_bench.suite.resolve import resolve

SUITE = Path(__file__).parents[2] / "suites" / "ps_synthetic.yaml"
SHAPES = ("CUB", "SUN", "AWA1", "AWA2")


def cells_of(path, make_data):
    """The cells of a suite, small data in place of the generated ones."""
    registry = load_plugins()
    data = make_data()
    registry.datasets["synthetic"] = DatasetSpec(
        "synthetic",
        lambda request: replace(
            data, name=request.name, feature_set=request.features,
            attribute_set=request.attributes,
        ),
        features="CUB",
        attributes="attributes",
    )  # fmt: skip
    loaded = load_suite(path)
    check_names(loaded, registry, ())
    return resolve(loaded, registry, Place(None, None)).cells


def released(method, shape):
    factory = METHODS[method]
    config = factory.Config(**factory.defaults(DatasetInfo(shape, "res101", "att")))
    return config.model_dump(mode="json")


def test_every_shape_has_the_released_configuration_of_its_data_set(make_data):
    cells = cells_of(SUITE, make_data)
    found = {}
    for cell in cells:
        assert cell.dataset == f"synthetic-{cell.request['features']}"
        place = cell.method, cell.request["features"]
        found.setdefault(place, []).append((cell.seed, cell.identity["method"]["config"]))
    assert found == {
        (method, shape): [(seed, released(method, shape)) for seed in range(10)]
        for method in METHODS
        for shape in SHAPES
    }


def test_its_big_brother_has_the_rows_of_ps_all():
    known = load_suite(SUITE.with_name("ps_all.yaml")).suite
    every = load_suite(SUITE.with_name("ps_synthetic_all.yaml")).suite
    assert every.methods == known.methods
    assert [d.recipe for d in every.datasets] == [d.use for d in known.datasets] == list(SHAPES)
    assert every.datasets == load_suite(SUITE).suite.datasets
    assert (every.seeds, every.selection) == (known.seeds, known.selection)


def test_a_suite_is_timed_as_a_user_runs_it(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    suite = tmp_path / "small.yaml"
    suite.write_text("name: small\ndatasets: [digits]\nmethods: [eszsl, sae]\n", encoding="utf-8")
    found = harness.whole(tmp_path, suite, ("--inline", "--tracking-uri", "none"))
    assert found["cells"] == 2
    assert found["wall"] > 0
    assert found["an hour"] == pytest.approx(2 * 3600 / found["wall"])
    with pytest.raises(subprocess.CalledProcessError):
        harness.whole(tmp_path, tmp_path / "none.yaml", ())


def test_the_documentation_names_suite_and_command():
    root = Path(__file__).parents[2]
    for page in ("docs/suites.md", "benchmarks/README.md"):
        assert "ps_synthetic.yaml`" in (root / page).read_text(encoding="utf-8")
