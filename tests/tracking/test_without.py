"""Where MLflow is not installed everything but its mirror works."""

from __future__ import annotations

import sys

from gzsl_bench.cli.main import run


def test_without_mlflow_suites_run_and_print(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    suite, out = tmp_path / "s.yaml", str(tmp_path / "out")
    suite.write_text("name: s\ndatasets: [digits]\nmethods: [eszsl]\nselection: [last]\n")
    assert run(["run", str(suite), "--out", out, "--inline"]) == 0
    said = capsys.readouterr()
    assert "| H by last |" in said.out
    assert "pip install 'gzsl-bench[mlflow]'" in said.err
    assert f"gzsl-bench sync s --out {out}" in said.err
    assert not (tmp_path / "out" / "mlflow.db").exists()
    for arguments in (["table"], ["report"], ["rescore"]):
        assert run([*arguments, "s", "--out", out]) == 0
    # Whoever asks for MLflow is told.
    for arguments in (
        [
            "run",
            str(suite),
            "--out",
            out,
            "--inline",
            "--tracking-uri",
            f"sqlite:///{tmp_path}/m.db",
        ],
        ["sync", "s", "--out", out],
        ["ui", "s", "--out", out],
    ):
        capsys.readouterr()
        assert run(arguments) == 2
        assert (
            "MLflow is not installed: pip install 'gzsl-bench[mlflow]'" in capsys.readouterr().err
        )
