"""A metric plugin installed before or after a run: records, tables and MLflow have it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = "name: mini\ndatasets: [digits]\nmethods: [eszsl]\nselection: [last]\n"
PLUGIN = '''\
from gzsl_bench import MetricSpec, hookimpl


def worst(predictions):
    """Accuracy of the unseen class that fares worst."""
    rows = [predictions.labels == c for c in predictions.unseen]
    return min((predictions.predicted[r] == predictions.labels[r]).mean() for r in rows)


@hookimpl
def gzsl_bench_metrics():
    return [MetricSpec("worst_unseen", worst, summary="Accuracy of the worst unseen class.")]
'''


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    site = tmp_path / "site"
    info = site / "worst_plugin-2.5.dist-info"
    info.mkdir(parents=True)
    (site / "worst_plugin.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: worst-plugin\nVersion: 2.5\n")
    (info / "entry_points.txt").write_text("[gzsl_bench]\nworst = worst_plugin\n")
    (tmp_path / "mini.yaml").write_text(SUITE)
    return site


def program(folder: Path, *arguments: str, site: Path | None = None):
    environment = dict(os.environ)
    environment.pop("MLFLOW_TRACKING_URI", None)
    if site is not None:
        environment["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(site), environment.get("PYTHONPATH")])
        )
    done = subprocess.run(
        [sys.executable, "-m", "gzsl_bench", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done


def mlflow_values(folder: Path) -> dict[str, float]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{(folder / 'gzsl-results' / 'mlflow.db').resolve()}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "mini"]
    runs = client.search_runs([experiment.experiment_id])
    return max((run.data.metrics for run in runs), key=len)


def shown(folder: Path):
    """The table as a program without the plugin sees it."""
    (row,) = json.loads(program(folder, "table", "mini", "--format", "json").stdout)
    return row, program(folder, "table", "mini").stdout


@pytest.mark.slow
def test_a_metric_installed_before_the_run(plugin, tmp_path):
    done = program(tmp_path, "run", "mini.yaml", site=plugin)
    assert done.returncode == 0, done.stderr
    row, text = shown(tmp_path)
    assert "worst_unseen" in text.splitlines()[0]
    assert "worst_unseen (%, higher is better): Accuracy of the worst unseen class." in text
    found = mlflow_values(tmp_path)
    assert found["last/worst_unseen"] == pytest.approx(row["worst_unseen"]["mean"])
    (record,) = (tmp_path / "gzsl-results" / "cells").glob("*/record.json")
    about = json.loads(record.read_text())["metrics"]["worst_unseen"]
    assert (about["distribution"], about["version"]) == ("worst-plugin", "2.5")


@pytest.mark.slow
def test_a_metric_installed_after_the_run(plugin, tmp_path):
    assert program(tmp_path, "run", "mini.yaml").returncode == 0
    out = tmp_path / "gzsl-results"
    before = {p: p.read_bytes() for p in (out / "cells").rglob("*") if p.is_file()}
    row, text = shown(tmp_path)
    assert "worst_unseen" not in row
    assert "worst_unseen" not in mlflow_values(tmp_path)
    done = program(tmp_path, "rescore", "mini", site=plugin)
    assert done.returncode == 0, done.stderr
    assert "1 finished records, 1 with other metrics than before" in done.stderr
    assert "1 runs updated" in done.stderr
    assert {p: p.read_bytes() for p in (out / "cells").rglob("*") if p.is_file()} == before
    after, text = shown(tmp_path)
    assert "worst_unseen" in text.splitlines()[0]
    assert after["harmonic_mean"] == row["harmonic_mean"]
    found = mlflow_values(tmp_path)
    assert found["last/worst_unseen"] == pytest.approx(after["worst_unseen"]["mean"])
    again = program(tmp_path, "rescore", "mini", "--json", site=plugin)
    assert json.loads(again.stdout)["written"] == 0
    assert "0 runs updated" in again.stderr


def test_without_a_store_mlflow_is_left_alone(plugin, tmp_path):
    assert program(tmp_path, "run", "mini.yaml", "--tracking-uri", "none").returncode == 0
    done = program(tmp_path, "rescore", "mini", site=plugin)
    assert done.returncode == 0
    assert "no MLflow store" in done.stderr
    assert not (tmp_path / "gzsl-results" / "mlflow.db").exists()
    nothing = program(tmp_path, "rescore", "other")
    assert nothing.returncode == 2
    assert "holds nothing of the suite 'other'" in nothing.stderr
