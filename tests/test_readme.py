"""The README's promises: its commands, its method, its suites."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gzsl_bench", *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_the_two_commands_are_one_line_each_and_name_what_is_there() -> None:
    first, second = blocks("sh")[:2]
    assert first.count("\n") == second.count("\n") == 1
    for part in re.findall(r"\./(\S+)", first):
        assert (ROOT / part / "pyproject.toml").is_file()
    assert (ROOT / first.split("gzsl-bench run ")[1].strip()).is_file()
    assert f"\n{second}" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_method_of_the_readme_runs(tmp_path: Path) -> None:
    (code,) = blocks("python")
    (tmp_path / "readme_plugin.py").write_text(code, encoding="utf-8")
    info = tmp_path / "readme_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: readme-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gzsl_bench]\nmine = readme_plugin\n")
    suite = tmp_path / "mine.yaml"
    suite.write_text("name: mine\ndatasets: [digits]\nmethods: [prototypes]\nseeds: 2\n")
    ended = run("run", str(suite), "--tracking-uri", "none", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    shown = run("table", "mine", "--format", "json", cwd=tmp_path)
    (row,) = json.loads(shown.stdout)
    assert row["method"] == "prototypes"
    assert row["seeds"] == [0]  # it says that it is deterministic
    assert row["zsl_acc"]["mean"] > 100 / 3  # better than chance among three unseen classes
    checked = run("check-plugin", "prototypes", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert checked.returncode == 0, checked.stdout


def test_shipped_suites_are_right(tmp_path: Path) -> None:
    paths = sorted(str(path) for path in (ROOT / "suites").glob("*.yaml"))
    ended = run("validate", *paths, cwd=tmp_path, GZSL_BENCH_DATA="")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count(": right") == len(paths) >= 4


@pytest.mark.real_data
@pytest.mark.slow
def test_real_smoke_suite(tmp_path: Path) -> None:
    """ESZSL on three real benchmarks and a short CADA-VAE run on one of them."""
    if not (Path(os.environ.get("GZSL_BENCH_DATA", "")) / "FLO" / "mobilenetv2.mat").is_file():
        pytest.skip("GZSL_BENCH_DATA holds no FLO/mobilenetv2.mat")
    suite = str(ROOT / "suites" / "real_smoke.yaml")
    ended = run("run", suite, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    rows = json.loads(run("table", suite, "--format", "json", cwd=tmp_path).stdout)
    found = {(r["dataset"], r["label"]): r for r in rows if r["selection"] == "last"}
    assert len(found) == 4
    # Measured once by an independent float64 solve; AWA1's histograms are weak on purpose.
    assert found["CUB", "ESZSL"]["harmonic_mean"]["mean"] == pytest.approx(23.5, abs=0.1)
    assert found["CUB", "ESZSL"]["zsl_acc"]["mean"] == pytest.approx(55.8, abs=0.1)
    assert found["FLO", "CADA-VAE (2 epochs)"]["seeds"] == [0]
