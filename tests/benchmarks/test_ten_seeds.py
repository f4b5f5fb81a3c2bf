"""``suites/ps_synthetic.yaml`` is what it says, and the command that times it adds up."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from benchmarks import ten_seeds
from benchmarks.plugin_runs import METHODS
from benchmarks.roofline import Rates
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


def test_a_shrunken_suite_differs_in_what_is_shrunk_alone(make_data, tmp_path):
    suite = ten_seeds.shrunken(yaml.safe_load(ten_seeds.SUITE.read_text(encoding="utf-8")), 0.01)
    path = tmp_path / "shrunk.yaml"
    path.write_text(yaml.safe_dump(suite), encoding="utf-8")
    cells = [cell for cell in cells_of(path, make_data) if cell.seed == 0]
    assert len(cells) == 8
    for cell in cells:
        wanted = released(cell.method, cell.request["features"])
        acmr = cell.method == "acmr"
        wanted |= {
            "epochs": 1,  # 100 / 100
            "classifier_epochs": 3 if wanted["classifier_epochs"] == 300 else 2,
            "seen_samples": 2,
            # 390 to 480; those of CADA-VAE are 400 everywhere
            "unseen_samples": 5 if acmr and cell.request["features"].startswith("AWA") else 4,
            "visual_encoder_hidden": 16,  # 15.6
            "visual_decoder_hidden": 17,  # 16.6 to 16.8
            "attribute_encoder_hidden": 14,  # 14.5, to even
            "attribute_decoder_hidden": 7,  # 6.65
            **({"iem_hidden": 1} if acmr else {}),
        }
        assert cell.identity["method"]["config"] == wanted


def test_the_bound_is_arithmetic_alone_where_memory_is_free():
    # A CADA-VAE step in AWA1's shape: per weight and row of a layer two operations forward, for the
    # weight's gradient and, behind the first layer, for the input's; decoders see 100 rows.  Adam
    # takes 15 a parameter.
    first = 2048 * 1560 + 85 * 1450
    heads = 1560 * 128 + 1450 * 128
    decoders = 64 * 1660 + 1660 * 2048 + 64 * 665 + 665 * 85
    biases = 1560 + 128 + 1450 + 128 + 1660 + 2048 + 665 + 85
    step = 2 * 50 * (2 * first + 3 * heads) + 2 * 100 * 3 * decoders
    step += 15 * (first + heads + decoders + biases)
    steps = 100 * math.ceil(19832 / 50)
    trained = [{"dataset": "synthetic-AWA1", "method": "cada_vae", "runs": 10}]
    rates = Rates(1e12, math.inf)
    assert ten_seeds.bound(trained, rates) == pytest.approx(10 * steps * step / 1e12)
    assert ten_seeds.bound(2 * trained, rates) == pytest.approx(20 * steps * step / 1e12)


@pytest.mark.parametrize(
    ("wall", "met", "aim_met"), [(300.0, True, True), (400.0, True, False), (480.0, False, False)]
)
def test_the_verdict(wall, met, aim_met):
    found = ten_seeds.verdict(wall, {"accelerator": "NVIDIA H200"})
    assert (found["met"], found["aim_met"], found["its_card"]) == (met, aim_met, True)
    assert found["of_bar"] == pytest.approx(wall / 480)
    assert found["of_aim"] == pytest.approx(wall / 360)
    assert not ten_seeds.verdict(wall, {"accelerator": "NVIDIA H100 80GB HBM3"})["its_card"]


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


@pytest.mark.slow
def test_the_command_on_a_cpu(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    words = ["--device", "cpu", "--seeds", "2", "--scale", "0.01"]
    words += ["--only", "dataset=synthetic-CUB", "--tracking-uri", "none", "--out", str(tmp_path)]
    done = CliRunner().invoke(ten_seeds.main, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "shrunk: epochs, samples and hidden units times 0.01; 2 seeds instead of 10" in (
        done.output
    )
    assert "bar 480" not in done.output
    found = json.loads((tmp_path / "ten_seeds.json").read_text(encoding="utf-8"))
    assert "verdict" not in found
    assert found["part"] in done.output
    assert [(each["method"], each["runs"]) for each in found["trainings"]] == [
        ("acmr", 2), ("cada_vae", 2)
    ]  # fmt: skip
    assert found["before"] + found["training"] + found["after"] == pytest.approx(found["wall"])
    assert min(found["before"], found["training"], found["after"]) > 0
    total = sum(each["seconds"] for each in found["trainings"])
    assert found["seconds_of_trainings"] == pytest.approx(total)
    # What workers trained fits into the time they were there.
    assert 0 < total < found["jobs"] * found["training"]
    assert found["runs"] == 4
    assert found["runs_per_hour"] == pytest.approx(4 * 3600 / found["wall"])
    assert found["hardware"]["device"] == "cpu"
    assert {"torch", "numpy", "gzsl-bench"} <= found["versions"].keys()


def test_the_documentation_names_suite_and_command():
    root = Path(__file__).parents[2]
    assert "`ps_synthetic.yaml`" in (root / "docs" / "suites.md").read_text(encoding="utf-8")
    assert "benchmarks.ten_seeds" in (root / "benchmarks" / "README.md").read_text(encoding="utf-8")
