"""Suites that come with the program, and methods whose distribution is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from gzsl_bench.cli.main import run
from gzsl_bench.errors import SuiteError
from gzsl_bench.hooks.known import METHODS, distribution_of
from gzsl_bench.hooks.manager import load_plugins
from gzsl_bench.suite.load import check_names, load_suite
from gzsl_bench.suite.shipped import find_suite, shipped

ROOT = Path(__file__).parents[2]


def test_the_shipped_suites_are_those_of_the_checkout():
    folder = {file.stem: file.read_bytes() for file in (ROOT / "suites").glob("*.yaml")}
    assert {name: file.read_bytes() for name, file in shipped().items()} == folder
    for name, file in shipped().items():
        assert load_suite(file).suite.name == name


def test_a_file_comes_before_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_suite(Path("quickstart")) == shipped()["quickstart"]
    assert find_suite(Path("quickstart.yaml")) == Path("quickstart.yaml")
    Path("quickstart").write_text("name: mine")
    assert find_suite(Path("quickstart")) == Path("quickstart")
    with pytest.raises(SuiteError, match=r"no file quickstrat; .*did you mean 'quickstart'\?"):
        find_suite(Path("quickstrat"))
    # A results folder of that name (run quickstart --out quickstart) is no suite.
    Path("gbu").mkdir()
    assert find_suite(Path("gbu")) == shipped()["gbu"]
    Path("own.yaml").write_text("name: own")
    with pytest.raises(SuiteError, match=r"no file own; did you mean own\.yaml\?"):
        find_suite(Path("own"))
    with pytest.raises(SuiteError, match=r"own\.py is Python .* comes with --plugin own\.py"):
        find_suite(Path("own.py"))


def test_the_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["suites", "list"]) == 0
    assert "quickstart  " in capsys.readouterr().out
    assert run(["suites", "show", "ps_all"]) == 0
    assert capsys.readouterr().out == (ROOT / "suites" / "ps_all.yaml").read_text()
    assert run(["suites", "copy", "ps_all"]) == 0
    assert capsys.readouterr().out == "ps_all.yaml\n"
    assert run(["suites", "copy", "ps_all"]) == 2
    assert "ps_all.yaml is there already" in capsys.readouterr().err
    assert run(["suites", "copy", "ps_all", "other.yaml"]) == 0
    assert Path("other.yaml").read_text() == Path("ps_all.yaml").read_text()
    assert run(["validate", "quickstart"]) == 0
    capsys.readouterr()
    for name in ("a", "b"):
        Path(f"{name}.yaml").write_text(f"nam: {name}\n")
    assert run(["validate", "a.yaml", "quickstart", "b.yaml"]) == 2  # all are told
    said = capsys.readouterr().err
    assert "error: a.yaml:1: unknown key 'nam'" in said
    assert "quickstart: 1 data set, 3 methods" in said
    assert "error: b.yaml:1: unknown key 'nam'" in said


def test_known_distributions_have_the_methods_that_they_register():
    registry = load_plugins()
    found = {}
    for (kind, name), info in registry.owners.items():
        if kind == "methods" and info.distribution in METHODS:
            found.setdefault(info.distribution, set()).add(name)
    assert found == {name: set(methods) for name, methods in METHODS.items()}
    assert distribution_of("nobody's") is None


def test_a_method_that_is_not_installed_is_told_with_its_distribution(tmp_path, make_registry):
    file = tmp_path / "suite.yaml"
    file.write_text("name: s\ndatasets: [tiny]\nmethods: [gfzsl]\n")
    with pytest.raises(SuiteError, match=r"in the distribution gzsl-bench-classic, which is not"):
        check_names(load_suite(file), make_registry(), ())
