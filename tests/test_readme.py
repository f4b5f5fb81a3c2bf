"""The README's promises: its commands, its method, its suites."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest

from gzsl_bench.cli.main import run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs the command in this process and one folder; it succeeds, and what it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def go(*arguments: object) -> str:
        code = run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        assert code == 0, said.out + said.err
        return said.out

    return go


def test_the_commands_are_one_line_each_and_name_what_is_there() -> None:
    first, second, third = blocks("sh")[:3]
    assert first.count("\n") == second.count("\n") == third.count("\n") == 1
    for part in re.findall(r"\./(\S+)", first):
        assert (ROOT / part / "pyproject.toml").is_file()
    assert (ROOT / first.split("gzsl-bench run ")[1].strip()).is_file()
    assert second == "gzsl-bench report quickstart\n"
    # In CI packages of the system come between the two.
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    install, then = third.strip().split(" && ")
    assert lines.index(install) < lines.index(then)


def test_the_method_of_the_readme_runs(
    call: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = blocks("python")
    (tmp_path / "readme_plugin.py").write_text(code, encoding="utf-8")
    info = tmp_path / "readme_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: readme-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gzsl_bench]\nmine = readme_plugin\n")
    suite = tmp_path / "mine.yaml"
    suite.write_text("name: mine\ndatasets: [digits]\nmethods: [prototypes]\nseeds: 2\n")
    with monkeypatch.context() as installed:
        installed.syspath_prepend(tmp_path)
        installed.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)  # of its workers
        call("run", suite, "--tracking-uri", "none")
        call("check-plugin", "prototypes")
    (row,) = json.loads(call("table", "mine", "--format", "json"))
    assert row["method"] == "prototypes"
    assert row["seeds"] == [0]  # it says that it is deterministic
    assert row["zsl_acc"]["mean"] > 100 / 3  # better than chance among three unseen classes


@pytest.mark.real_data
@pytest.mark.slow
def test_real_smoke_suite(call: Callable[..., str], tmp_path: Path, empty_mlflow: Path) -> None:
    """ESZSL on three real benchmarks and a short CADA-VAE run on one of them."""
    if not (Path(os.environ.get("GZSL_BENCH_DATA", "")) / "FLO" / "mobilenetv2.mat").is_file():
        pytest.skip("GZSL_BENCH_DATA holds no FLO/mobilenetv2.mat")
    suite = ROOT / "suites" / "real_smoke.yaml"
    (tmp_path / "gzsl-results").mkdir()
    shutil.copy(empty_mlflow, tmp_path / "gzsl-results" / "mlflow.db")
    call("run", suite)
    rows = json.loads(call("table", suite, "--format", "json"))
    found = {(r["dataset"], r["label"]): r for r in rows if r["selection"] == "last"}
    assert len(found) == 4
    # Measured once by an independent float64 solve; AWA1's histograms are weak on purpose.
    assert found["CUB", "ESZSL"]["harmonic_mean"]["mean"] == pytest.approx(23.5, abs=0.1)
    assert found["CUB", "ESZSL"]["zsl_acc"]["mean"] == pytest.approx(55.8, abs=0.1)
    assert found["FLO", "CADA-VAE (2 epochs)"]["seeds"] == [0]


def test_an_sdist_is_the_whole_checkout() -> None:
    """Its own tests read documentation, suites and plugins: whatever lies here belongs into it."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("no checkout")
    command = ["git", "ls-files"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    words = [line.split() for line in (ROOT / "MANIFEST.in").read_text("utf-8").splitlines()]
    grafted = {word for first, *rest in words if first == "graft" for word in rest}
    included = {word for first, *rest in words if first == "include" for word in rest}
    # setuptools itself takes these.
    included |= {"LICENSE", "MANIFEST.in", "pyproject.toml"}
    for top in {Path(name).parts[0] for name in done.stdout.splitlines()} - {"gzsl_bench"}:
        assert top in grafted or any(fnmatch(top, pattern) for pattern in included), top
