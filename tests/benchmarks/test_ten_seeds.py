"""``suites/ps_synthetic.yaml`` is what it says, and the command that times it adds up."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import ten_seeds
from benchmarks.plugin_runs import METHODS
from gzsl_bench import DatasetInfo, DatasetSpec
from gzsl_bench.hooks.manager import load_plugins
from gzsl_bench.suite.load import check_names, load_suite
from gzsl_bench.suite.resolve import Place, resolve

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
    cells = cells_of(ten_seeds.SUITE, make_data)
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


@pytest.mark.parametrize(
    ("wall", "said"),
    [(300.0, "bar 480 s: met, 62 %; aim 360 s: met, 83 %"),
     (400.0, "bar 480 s: met, 83 %; aim 360 s: missed, 111 %"),
     (480.0, "bar 480 s: missed, 100 %; aim 360 s: missed, 133 %")],
)  # fmt: skip
def test_the_verdict(wall, said):
    assert ten_seeds.verdict(wall, {"accelerator": "NVIDIA H200"}) == (
        f"{said} (the bar is one H200's)"
    )
    other = ten_seeds.verdict(wall, {"accelerator": "NVIDIA H100 80GB HBM3"})
    assert other == f"{said} (the bar is one H200's; this is NVIDIA H100 80GB HBM3)"


def test_a_stack_takes_as_long_as_its_last_record(run_stacked):
    records, begun, ended = run_stacked
    found = ten_seeds.read(records, begun, ended)
    (training,) = found["trainings"]
    assert (training["runs"], training["stacks"]) == (3, 1)
    every = [
        json.loads(p.read_text())["provenance"]["seconds"]
        for p in records.glob("cells/*/record.json")
    ]
    assert training["seconds"] == found["seconds_of_trainings"] == max(every)
    assert training["seconds_per_run"] == max(every) / 3
    assert found["runs_per_hour"] == pytest.approx(3 * 3600 / (ended - begun))


@pytest.fixture
def run_stacked(make_registry, resolve_text, run_inline, tmp_path):
    """Three runs trained as one, and when."""
    registry = make_registry(load_plugins().methods["cada_vae"])
    config = "{epochs: 1, classifier_epochs: 1, latent: 2, batch: 5}"
    text = f"name: s\ndatasets: [tiny]\nseeds: 3\nmethods: [{{use: cada_vae, config: {config}}}]\n"
    begun = time.time()
    outcome, store, _ = run_inline(resolve_text(text, registry).cells, registry, stack=3)
    assert outcome.exit_code == 0
    return store.layout.out, begun, time.time()


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    suite = tmp_path / "small.yaml"
    suite.write_text("name: small\ndatasets: [digits]\nmethods: [eszsl, sae]\n", encoding="utf-8")
    words = ["--suite", str(suite), "--out", str(tmp_path), "--", "--device", "cpu"]
    words += ["--tracking-uri", "none", "--jobs", "1", "--inline"]
    done = CliRunner().invoke(ten_seeds.main, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "bar 480" not in done.output
    found = json.loads((tmp_path / "ten_seeds.json").read_text(encoding="utf-8"))
    assert (found["suite"], found["options"]) == ("small", words[5:])
    assert [(each["method"], each["runs"]) for each in found["trainings"]] == [
        ("eszsl", 1), ("sae", 1)
    ]  # fmt: skip
    assert found["before"] + found["training"] + found["after"] == pytest.approx(found["wall"])
    assert min(found["before"], found["training"], found["after"]) > 0
    total = sum(each["seconds"] for each in found["trainings"])
    assert found["seconds_of_trainings"] == pytest.approx(total)
    assert 0 < total < found["training"]
    assert found["runs"] == 2
    assert found["runs_per_hour"] == pytest.approx(2 * 3600 / found["wall"])
    assert found["hardware"]["device"] == "cpu"
    assert {"torch", "numpy", "gzsl-bench"} <= found["versions"].keys()


def test_the_documentation_names_suite_and_command():
    root = Path(__file__).parents[2]
    assert "`ps_synthetic.yaml`" in (root / "docs" / "suites.md").read_text(encoding="utf-8")
    assert "benchmarks.ten_seeds" in (root / "benchmarks" / "README.md").read_text(encoding="utf-8")
