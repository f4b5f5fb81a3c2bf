"""A metric plugin installed before or after a run: records, tables and MLflow have it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from gzsl_bench.cli.main import run

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


class Program:
    """``gzsl-bench`` in this process and one folder, with the plugin installed or without it."""

    def __init__(self, site: Path, monkeypatch: pytest.MonkeyPatch, capture) -> None:
        self.site, self.monkeypatch, self.capture = site, monkeypatch, capture

    def __call__(self, *arguments: str, plugin: bool = False) -> tuple[int, str, str]:
        with self.monkeypatch.context() as patch:
            if plugin:
                patch.syspath_prepend(self.site)
                patch.setenv("PYTHONPATH", str(self.site), prepend=os.pathsep)  # of its workers
            code = run(arguments)
        sys.modules.pop("worst_plugin", None)
        said = self.capture.readouterr()
        return code, said.out, said.err


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> Program:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    site = tmp_path / "site"
    info = site / "worst_plugin-2.5.dist-info"
    info.mkdir(parents=True)
    (site / "worst_plugin.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: worst-plugin\nVersion: 2.5\n")
    (info / "entry_points.txt").write_text("[gzsl_bench]\nworst = worst_plugin\n")
    (tmp_path / "mini.yaml").write_text(SUITE)
    return Program(site, monkeypatch, capsys)


@pytest.fixture
def store(tmp_path: Path, empty_mlflow: Path) -> Path:
    """An MLflow store in the folder of results, empty at first."""
    out = tmp_path / "gzsl-results"
    out.mkdir()
    return Path(shutil.copy(empty_mlflow, out / "mlflow.db"))


def mlflow_values(store: Path) -> dict[str, float]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{store}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "mini"]
    runs = client.search_runs([experiment.experiment_id])
    return max((run.data.metrics for run in runs), key=len)


def shown(program: Program):
    """The table as a program without the plugin sees it."""
    (row,) = json.loads(program("table", "mini", "--format", "json")[1])
    return row, program("table", "mini")[1]


@pytest.mark.slow
def test_a_metric_installed_before_the_run(program, store):
    code, _, err = program("run", "mini.yaml", plugin=True)
    assert code == 0, err
    row, text = shown(program)
    assert "worst_unseen" in text.splitlines()[0]
    assert "worst_unseen (%, higher is better): Accuracy of the worst unseen class." in text
    found = mlflow_values(store)
    assert found["worst_unseen"] == pytest.approx(row["worst_unseen"]["mean"])
    (record,) = (store.parent / "cells").glob("*/record.json")
    about = json.loads(record.read_text())["metrics"]["worst_unseen"]
    assert (about["distribution"], about["version"]) == ("worst-plugin", "2.5")


@pytest.mark.slow
def test_a_metric_installed_after_the_run(program, store):
    assert program("run", "mini.yaml", "--inline")[0] == 0
    out = store.parent
    before = {p: p.read_bytes() for p in (out / "cells").rglob("*") if p.is_file()}
    row, text = shown(program)
    assert "worst_unseen" not in row
    assert "worst_unseen" not in mlflow_values(store)
    code, _, err = program("rescore", "mini", plugin=True)
    assert code == 0, err
    assert "1 finished record, 1 with other metrics than before" in err
    assert "1 run updated" in err
    assert {p: p.read_bytes() for p in (out / "cells").rglob("*") if p.is_file()} == before
    after, text = shown(program)
    assert "worst_unseen" in text.splitlines()[0]
    assert after["harmonic_mean"] == row["harmonic_mean"]
    found = mlflow_values(store)
    assert found["worst_unseen"] == pytest.approx(after["worst_unseen"]["mean"])
    _, again, err = program("rescore", "mini", "--json", plugin=True)
    assert json.loads(again)["written"] == 0
    assert "0 runs updated" in err


def test_metric_plugins_of_the_suite_itself(program, tmp_path):
    listed = tmp_path / "listed.py"
    listed.write_text(PLUGIN)
    (tmp_path / "mini.yaml").write_text(SUITE + "plugins: [listed.py]\n")
    assert program("run", "mini.yaml", "--tracking-uri", "none", "--inline")[0] == 0
    listed.write_text(PLUGIN.replace("return min(", "return 1 - min("))
    code, out, err = program("rescore", "mini.yaml", "--tracking-uri", "none", "--json")
    assert code == 0, err
    assert json.loads(out)["metrics"]["worst_unseen"]["changed"] == 1
    # By its name nobody knows where its plugins lie: that is said.
    code, out, err = program("rescore", "mini", "--tracking-uri", "none", "--json")
    assert code == 0
    assert json.loads(out)["unknown"] == ["worst_unseen"]
    assert "not computed again, since no plugin here has it: worst_unseen; --plugin FILE" in err
    code, out, err = program("rescore", "mini", "--plugin", "listed.py", "--json")
    assert "not computed again" not in err
    # Of a suite's own plugin that cannot be used here the rest does not depend.
    listed.write_text("import no_such_library\n")
    code, out, err = program("rescore", "mini.yaml", "--tracking-uri", "none")
    assert code == 0
    assert "warning: plugin 'listed' (file listed.py): cannot be loaded" in err
    assert program("rescore", "mini.yaml", "--plugin", "listed.py")[0] == 2
    # A file that lists one that is gone is no less understood.
    listed.unlink()
    code, out, err = program("rescore", "mini.yaml", "--tracking-uri", "none")
    assert code == 0
    assert "no plugin here has it: worst_unseen" in err


def test_without_a_store_mlflow_is_left_alone(program, tmp_path):
    assert program("run", "mini.yaml", "--tracking-uri", "none", "--inline")[0] == 0
    code, _, err = program("rescore", "mini", plugin=True)
    assert code == 0
    assert "no MLflow store" in err
    assert not (tmp_path / "gzsl-results" / "mlflow.db").exists()
    code, _, err = program("rescore", "other")
    assert code == 2
    assert "holds nothing of the suite 'other'" in err
