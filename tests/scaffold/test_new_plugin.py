"""``gzsl-bench new-plugin``: what it writes installs, passes its own tests and runs unchanged."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from gzsl_bench.cli.main import run
from gzsl_bench.errors import PluginError
from gzsl_bench.scaffold.package import KINDS, write_package


def program(*arguments: str, cwd: Path, packages: Path) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=cwd,
        env={
            **os.environ,
            "PYTHONPATH": f"{packages}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        },
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ended.returncode == 0, f"{arguments}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


@pytest.mark.slow
def test_packages_install_pass_their_tests_and_run(tmp_path, monkeypatch, capsys):
    """pip installs without the network into a folder of its own, beside what is installed."""
    monkeypatch.chdir(tmp_path)
    folders = []
    for kind in KINDS:
        assert run(["new-plugin", f"tiny-{kind}", "--kind", kind]) == 0
        folders.append(capsys.readouterr().out.strip())
    assert folders == [f"gzsl-bench-tiny-{kind}" for kind in KINDS]
    packages = tmp_path / "packages"
    # One pip, one pytest, one listing for all of them: most of their time is the start.
    program(
        *("pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"),
        *("--target", str(packages), *(f"./{folder}" for folder in folders)),
        cwd=tmp_path,
        packages=packages,
    )
    said = program(
        "pytest", "-v", "-p", "no:cacheprovider", *folders, cwd=tmp_path, packages=packages
    )
    assert "failed" not in said
    for kind in KINDS:
        of_kind = rf"tests/test_tiny_{kind}\.py::(\S+) PASSED"
        passed = re.findall(of_kind, said)
        assert len(passed) >= 2, kind
        assert [name for name in passed if name.startswith("TestConformance::")], kind
    found = json.loads(program("gzsl_bench", "plugins", "--json", cwd=tmp_path, packages=packages))
    assert found["broken"] == []
    names = {p["name"]: p["distribution"] for p in found["plugins"]}
    monkeypatch.syspath_prepend(packages)
    for kind, folder in zip(KINDS, folders, strict=True):
        assert names[f"tiny_{kind}"] == folder
        monkeypatch.chdir(tmp_path / folder)
        # A process of its own finds one package as it finds another.
        inline = [] if kind == "method" else ["--inline"]
        assert run(["run", "suite.yaml", "--tracking-uri", "none", *inline]) == 0
        capsys.readouterr()
        assert run(["table", "suite.yaml"]) == 0
        assert f"tiny_{kind}" in capsys.readouterr().out


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_clean(kind, tmp_path):
    folder = write_package("ab-2", kind, tmp_path / "deep" / "er")
    texts = {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*.*")}
    assert set(texts) == {
        "README.md", "pyproject.toml", "suite.yaml", "gzsl_bench_ab_2.py", "tests/test_ab_2.py",
    }  # fmt: skip
    assert not [name for name, text in texts.items() if "{{" in text or "{%" in text]
    assert (folder / "LICENSE").is_file()
    project = tomllib.loads(texts["pyproject.toml"])["project"]
    assert project["name"] == "gzsl-bench-ab-2"
    assert project["dependencies"] == ["gzsl-bench>=0.1,<0.2"]
    assert project["entry-points"] == {"gzsl_bench": {"ab_2": "gzsl_bench_ab_2"}}
    assert [p.name for p in (tmp_path / "deep" / "er").iterdir()] == ["gzsl-bench-ab-2"]
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["check", "--select", "E,F,W,B,UP,RUF"], ["format", "--check"]):
        options = ["--isolated", "--line-length", "100", str(folder)]
        done = subprocess.run([*ruff, *command, *options], capture_output=True)
        if b"No module named ruff" in done.stderr:
            pytest.skip("ruff is not installed")
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["", "Big", "3d", "a--b", "a/b", "../up", "a b", "-x", "x-", "ä"])
def test_names_that_cannot_be_used(name, tmp_path):
    with pytest.raises(PluginError, match="cannot be used"):
        write_package(name, "method", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path):
    folder = write_package("mine", "method", tmp_path)
    (folder / "README.md").write_text("my words")
    with pytest.raises(PluginError, match="is there already"):
        write_package("mine", "metric", tmp_path)
    assert (folder / "README.md").read_text() == "my words"


def test_a_name_that_is_taken_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["new-plugin", "digits", "--kind", "dataset"]) == 2
    assert "there is a dataset 'digits' already, in gzsl-bench" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PluginError, match="cannot be written"):
        write_package("mine", "method", tmp_path / "file")
