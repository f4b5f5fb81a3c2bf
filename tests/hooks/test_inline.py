"""Plugins from a file, and plugins written for another version of the hooks."""

from __future__ import annotations

import sys
import textwrap
from importlib import metadata
from pathlib import Path

import pytest

from gzsl_bench.cli.main import run
from gzsl_bench.errors import PluginError
from gzsl_bench.hooks.compatible import obstacle, unmet_requirement
from gzsl_bench.hooks.inline import find_inline, load_inline
from gzsl_bench.hooks.manager import load_plugins
from gzsl_bench.hooks.specs import HOOKS_VERSION

RIDGE = textwrap.dedent("""
    import torch
    from gzsl_bench import Method, MethodSpec, MetricSpec, hookimpl

    class Ridge(Method):
        def fit(self, task, run):
            x, t = task.features, task.attributes[task.labels]
            w = torch.linalg.solve(x.T @ x + torch.eye(x.shape[1]), x.T @ t)
            return lambda f: -torch.cdist(f @ w, task.attributes)

    @hookimpl
    def gzsl_bench_methods():
        yield MethodSpec("inline_ridge", Ridge, "nobody", "paper", "minmax", deterministic=True)

    @hookimpl
    def gzsl_bench_metrics():
        yield MetricSpec("always_half", lambda predictions: 0.5)
""")
SUITE = "name: mine\ndatasets: [digits]\nmethods: [inline_ridge]\n"


@pytest.fixture(autouse=True)
def forget_modules():
    """Before as well: another test of this process may have had a plugin of the same name."""

    def forget():
        for name in [n for n in sys.modules if n.startswith("gzsl_bench_inline_")]:
            del sys.modules[name]

    forget()
    yield
    forget()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ridge.py").write_text(RIDGE)
    (tmp_path / "mine.yaml").write_text(SUITE)
    return tmp_path


def loaded(path: Path):
    registry = load_plugins(files=[path])
    assert not [b for b in registry.broken if b.distribution.startswith("file")]
    return registry


def digest(path: Path):
    found = loaded(path).source_of("inline_ridge").digest
    assert found is not None
    return found


def test_a_file_is_a_plugin_pinned_by_its_content(folder):
    path = folder / "ridge.py"
    owner = loaded(path).owner("methods", "inline_ridge")
    assert (owner.name, owner.distribution) == ("ridge", "file ridge.py")
    assert owner.provides == {"methods": ["inline_ridge"], "metrics": ["always_half"]}
    first = digest(path)
    assert digest(path) == first
    (folder / "elsewhere").mkdir()
    moved = folder / "elsewhere" / "other.py"
    path.rename(moved)
    assert digest(moved) != first  # a file's name is part of its digest
    moved.write_text(RIDGE + "# changed\n")
    assert len({first, digest(moved)}) == 2


def test_a_package_folder_is_a_plugin_with_the_files_that_its_method_imports(folder):
    package = folder / "pkg"
    package.mkdir()
    (package / "__init__.py").write_text("from .inner import *\nfrom .inner import Ridge\n")
    (package / "inner.py").write_text(RIDGE)
    first = digest(package)
    (package / "inner.py").write_text(RIDGE + "x = 1\n")
    assert digest(package) != first
    assert sys.modules["gzsl_bench_inline_pkg.inner"].x == 1


def test_neighbours_of_a_file_cannot_be_imported(folder):
    (folder / "helper_beside.py").write_text("y = 1\n")
    (folder / "ridge.py").write_text("import helper_beside\n" + RIDGE)
    (problem,) = [b for b in load_plugins(files=[folder / "ridge.py"]).broken if b.name == "ridge"]
    assert "No module named 'helper_beside'" in problem.cause


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("absent.py", "there is no file"), ("notes.txt", "a .py file"), ("sub", "no __init__.py")],
)
def test_what_is_no_plugin_file(folder, name, sentence):
    (folder / "notes.txt").write_text("")
    (folder / "sub").mkdir()
    with pytest.raises(PluginError, match=sentence):
        find_inline(Path(name))


def test_two_files_of_one_name_are_refused(folder):
    (folder / "b").mkdir()
    (folder / "b" / "ridge.py").write_text(RIDGE)
    load_inline(folder / "ridge.py")
    with pytest.raises(PluginError, match="another plugin file is called ridge"):
        load_inline(folder / "b" / "ridge.py")


def test_a_suite_runs_with_a_plugin_file(folder, capsys):
    """Through worker processes, which load the file for themselves; its metric is recorded."""
    arguments = ["run", "mine.yaml", "--plugin", "ridge.py", "--tracking-uri", "none"]
    assert run(arguments) == 0
    capsys.readouterr()
    assert run(["table", "mine"]) == 0
    printed = capsys.readouterr()
    assert "inline_ridge: version 0, source" in printed.out
    assert "always_half" in printed.out
    assert run(arguments) == 0
    assert "1 of 1 cell is finished already" in capsys.readouterr().err
    (folder / "ridge.py").write_text(RIDGE.replace("torch.eye", "2 * torch.eye"))
    assert run([*arguments, "--dry-run"]) == 0
    assert "0 finished" in capsys.readouterr().err


def test_a_suite_names_its_plugin_files_from_where_it_lies(folder, capsys, monkeypatch):
    (folder / "mine.yaml").write_text("plugins: [ridge.py]\n" + SUITE)
    (folder / "far").mkdir()
    monkeypatch.chdir(folder / "far")
    assert run(["validate", "../mine.yaml"]) == 0
    (folder / "ridge.py").unlink()
    capsys.readouterr()
    assert run(["validate", "../mine.yaml"]) == 2
    assert "mine.yaml:1: plugin ridge.py: there is no file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("def (", "SyntaxError"),
        ("import no_such_module_anywhere", "no_such_module_anywhere"),
        (RIDGE.replace("inline_ridge", "eszsl"), "already taken by"),
        ("x = 1", "implements no hook"),
    ],
)
def test_a_plugin_file_that_cannot_be_used_stops_the_command(folder, capsys, source, sentence):
    (folder / "ridge.py").write_text(source)
    assert run(["run", "mine.yaml", "--plugin", "ridge.py"]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert "plugin 'ridge' (file ridge.py)" in error
    assert "Traceback" not in error


def test_a_plugin_that_changes_while_the_suite_runs_fails_its_cells(
    make_registry, resolve_text, run_inline
):
    from gzsl_bench import Method, MethodSpec

    class Still(Method):
        def fit(self, task, run):
            return lambda x: x @ x.new_ones(5, 7)

    spec = MethodSpec("still", Still, "", "paper")
    suite = resolve_text(
        "name: s\ndatasets: [tiny]\nmethods: [still]\n", make_registry(spec, source="aaaa")
    )
    outcome, store, _ = run_inline(suite.cells, make_registry(spec, source="bbbb"))
    assert outcome.exit_code == 1
    cause = store.read(suite.cells[0].key).cause
    assert "is not the one of the cell's key" in cause
    assert "1.0, source bbbb instead of 1.0, source aaaa" in cause


# Versions ----------------------------------------------------------------------------------------


class Declares:
    def __init__(self, value):
        self.gzsl_bench_hooks = value


def test_the_version_of_the_hooks():
    assert obstacle(object()) is None
    assert obstacle(Declares(HOOKS_VERSION)) is None
    assert "upgrade gzsl-bench" in obstacle(Declares(HOOKS_VERSION + 1))
    assert "upgrade the plugin" in obstacle(Declares(0))
    assert "number of a hook version" in obstacle(Declares("2"))


class Dist(metadata.Distribution):
    def __init__(self, *requires):
        self._requires = requires

    def read_text(self, filename):
        lines = "".join(f"Requires-Dist: {text}\n" for text in self._requires)
        return f"Metadata-Version: 2.1\nName: x\nVersion: 1\n{lines}"

    def locate_file(self, path):
        raise NotImplementedError


def test_a_distribution_that_needs_another_gzsl_bench():
    assert unmet_requirement(None) is None
    assert unmet_requirement(Dist("torch>=99")) is None
    assert unmet_requirement(Dist("gzsl-bench", "gzsl_bench>=0.1")) is None
    assert "needs gzsl-bench >=7" in unmet_requirement(Dist("gzsl_bench>=7"))


def test_a_file_for_other_hooks_says_so(folder):
    path = folder / "ridge.py"
    path.write_text("gzsl_bench_hooks = 99\n" + RIDGE)
    (problem,) = [b for b in load_plugins(files=[path]).broken if b.name == "ridge"]
    assert "written for version 99 of the hooks" in problem.cause
    path.write_text("from gzsl_bench import NotInventedYet\n")
    (problem,) = [b for b in load_plugins(files=[path]).broken if b.name == "ridge"]
    assert "written for another gzsl-bench" in problem.cause


def test_methods_that_failed_are_not_named_as_what_to_compare(folder, capfd):
    broken = RIDGE.replace("inline_ridge", "broken").replace("x, t =", "x, t = no_such_name,")
    (folder / "broken.py").write_text(broken.replace("always_half", "also_half"))
    methods = "[broken, inline_ridge, {use: inline_ridge, label: again, preprocessing: l2}]"
    (folder / "mine.yaml").write_text(SUITE.replace("[inline_ridge]", methods))
    options = ["--plugin", "ridge.py", "--plugin", "broken.py", "--inline"]
    assert run(["run", "mine.yaml", *options, "--tracking-uri", "none"]) == 1
    said = capfd.readouterr().err
    assert "gzsl-bench compare mine --out gzsl-results inline_ridge again" in " ".join(said.split())
