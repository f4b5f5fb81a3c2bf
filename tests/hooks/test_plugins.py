"""Plugins that are broken in every way we could think of, each beside one that works."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from importlib import metadata
from pathlib import Path

import pytest

from gzsl_bench.errors import PluginError
from gzsl_bench.hooks.manager import load_plugins

GOOD = """
    from gzsl_bench import Method, MethodSpec, hookimpl

    class Good(Method):
        def fit(self, task, run):
            return None

    @hookimpl
    def gzsl_bench_methods():
        return [MethodSpec("good", Good, citation="none", fidelity="paper")]
"""


class Installer:
    """Writes modules with a dist-info folder beside them, as pip would."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.names: list[str] = []
        folder.mkdir()
        monkeypatch.syspath_prepend(str(folder))

    def add(self, name: str, source: str | None, *, editable: bool = False, version="1.2") -> None:
        self.names.append(name)
        if source is not None:
            (self.folder / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        info = self.folder / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[gzsl_bench]\n{name} = {name}\n")
        if editable:
            (info / "direct_url.json").write_text('{"url": "x", "dir_info": {"editable": true}}')


@pytest.fixture
def install(tmp_path, monkeypatch):
    monkeypatch.delenv("GZSL_BENCH_STRICT_PLUGINS", raising=False)
    installer = Installer(tmp_path / "site", monkeypatch)
    real = metadata.entry_points

    def ours(**query):
        # Only the built-in plugins and those of the test: what else is installed plays no part.
        return [
            e
            for e in real(**query)
            if e.value.startswith("gzsl_bench.") or e.name in installer.names
        ]

    monkeypatch.setattr(metadata, "entry_points", ours)
    yield installer
    for name in installer.names:
        sys.modules.pop(name, None)


def test_built_in_plugins_load(install):
    registry = load_plugins(strict=True)
    assert {"digits", "synthetic"} <= set(registry.datasets)
    assert set(registry.metrics) >= {"acc_unseen", "acc_seen", "harmonic_mean", "zsl_acc", "ausuc"}
    assert registry.broken == []


def test_a_plugin_is_described(install):
    install.add("nice", GOOD, version="3.4")
    registry = load_plugins(strict=True)
    info = registry.owner("methods", "good")
    assert (info.name, info.distribution, info.version) == ("nice", "nice", "3.4")
    assert info.hooks == ["gzsl_bench_methods"]
    assert info.provides == {"methods": ["good"]}
    assert registry.version_of("good") == "3.4"


HEAD = "from gzsl_bench import *\nfrom gzsl_bench import Config\n"
BROKEN = {
    "import error": ("import no_such_module_anywhere", "ModuleNotFoundError.*no_such_module"),
    "absent": (None, "ModuleNotFoundError"),
    "syntax": ("def f(:", "SyntaxError"),
    "exit": ("import sys\nsys.exit(3)", "SystemExit: 3"),
    "misspelt": (
        HEAD + "@hookimpl\ndef gzsl_bench_method():\n    return []",
        "'gzsl_bench_method', which is no hook .*did you mean 'gzsl_bench_methods'",
    ),
    "unmarked": (
        HEAD + "def gzsl_bench_methods():\n    return []",
        "'gzsl_bench_methods' is not marked with @hookimpl",
    ),
    "no hook": ("x = 1", "implements no hook"),
    "hook raises": (
        HEAD + "@hookimpl\ndef gzsl_bench_methods():\n    raise KeyError('far away')",
        "hook gzsl_bench_methods fails: KeyError: 'far away'",
    ),
    "generator raises": (
        HEAD + "@hookimpl\ndef gzsl_bench_methods():\n    yield 1/0",
        "hook gzsl_bench_methods fails: ZeroDivisionError",
    ),
    "hook exits": (
        HEAD + "@hookimpl\ndef gzsl_bench_methods():\n    raise SystemExit('bye')",
        "SystemExit: bye",
    ),
    "hook takes an argument": (
        HEAD + "@hookimpl\ndef gzsl_bench_methods(config):\n    return []",
        "cannot be loaded: PluginValidationError",
    ),
    "wrong type": (
        HEAD + "@hookimpl\ndef gzsl_bench_methods():\n    return [DatasetSpec('x', print)]",
        "gave DatasetSpec where MethodSpec is expected",
    ),
    "a text": (
        HEAD + "@hookimpl\ndef gzsl_bench_methods():\n    return 'acmr'",
        "gave str where MethodSpec is expected",
    ),
    "name with blanks": (
        HEAD
        + "class M(Method):\n    def fit(self, task, run): ...\n"
        + "@hookimpl\ndef gzsl_bench_methods():\n"
        + "    return [MethodSpec('my method', M, citation='', fidelity='paper')]",
        "gave the name 'my method'",
    ),
    "no fit": (
        HEAD
        + "class M(Method): ...\n"
        + "@hookimpl\ndef gzsl_bench_methods():\n"
        + "    return [MethodSpec('m', M, citation='', fidelity='paper')]",
        "method 'm' does not implement fit",
    ),
    "no fit_batch": (
        HEAD
        + "class M(BatchedMethod): ...\n"
        + "@hookimpl\ndef gzsl_bench_methods():\n"
        + "    return [MethodSpec('m', M, citation='', fidelity='paper')]",
        "method 'm' does not implement fit_batch",
    ),
    "a function for a class": (
        HEAD
        + "@hookimpl\ndef gzsl_bench_methods():\n"
        + "    return [MethodSpec('m', print, citation='', fidelity='paper')]",
        "no subclass of gzsl_bench.Method",
    ),
    "fidelity": (
        HEAD
        + "class M(Method):\n    def fit(self, task, run): ...\n"
        + "@hookimpl\ndef gzsl_bench_methods():\n"
        + "    return [MethodSpec('m', M, citation='', fidelity='perfect')]",
        "fidelity 'perfect'; one of official-code, paper, approximation",
    ),
    "config": (
        HEAD
        + "class M(Method):\n    Config = dict\n    def fit(self, task, run): ...\n"
        + "@hookimpl\ndef gzsl_bench_methods():\n"
        + "    return [MethodSpec('m', M, citation='', fidelity='paper')]",
        "Config that is no subclass",
    ),
    "metric": (
        HEAD + "@hookimpl\ndef gzsl_bench_metrics():\n    yield MetricSpec('m', 3)",
        "metric 'm' has a compute that cannot be called",
    ),
    "metric's name": (
        HEAD + "@hookimpl\ndef gzsl_bench_metrics():\n    yield MetricSpec('precision', len)",
        "metric 'precision' has the name of something that stands beside metrics",
    ),
    "data set": (
        HEAD + "@hookimpl\ndef gzsl_bench_datasets():\n    yield DatasetSpec('d', None)",
        "data set 'd' has a load or missing that cannot be called",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_named_and_the_rest_works(install, case):
    source, cause = BROKEN[case]
    install.add("awful", source)
    install.add("zz_nice", GOOD)
    registry = load_plugins()
    assert "good" in registry.methods
    assert "digits" in registry.datasets
    assert {b.name for b in registry.broken} == {"awful"}
    text = " / ".join(map(str, registry.broken))
    assert "plugin 'awful' (awful): " in text
    assert "\n" not in text
    import re

    assert re.search(cause, text), text
    with pytest.raises(PluginError, match="awful"):
        load_plugins(strict=True)


def test_the_environment_makes_broken_plugins_fatal(install, monkeypatch):
    install.add("awful", "import no_such_module_anywhere")
    monkeypatch.setenv("GZSL_BENCH_STRICT_PLUGINS", "1")
    with pytest.raises(PluginError, match=r"'awful'.*no_such_module_anywhere"):
        load_plugins()
    monkeypatch.setenv("GZSL_BENCH_STRICT_PLUGINS", "0")
    assert load_plugins().broken


def test_one_bad_spec_leaves_the_good_ones_of_the_same_plugin(install):
    install.add("mixed", GOOD.replace("return [", "return [3, "))
    registry = load_plugins()
    assert "good" in registry.methods
    assert "gave int" in str(registry.broken[0])


def test_a_built_in_name_cannot_be_taken(install):
    # Its name sorts before everything else.
    install.add(
        "aaa",
        HEAD + "@hookimpl\ndef gzsl_bench_datasets():\n    yield DatasetSpec('digits', print)\n",
    )
    registry = load_plugins()
    assert registry.owner("datasets", "digits").distribution == "gzsl-bench"
    assert registry.datasets["digits"].load is not print
    (broken,) = registry.broken
    assert (broken.name, broken.distribution) == ("aaa", "aaa")
    assert "'digits' is ignored" in broken.cause
    assert "(gzsl-bench)" in broken.cause


def test_two_plugins_with_one_name_keep_the_first(install):
    install.add("one", GOOD)
    install.add("two", GOOD)
    registry = load_plugins()
    assert registry.owner("methods", "good").name == "one"
    assert [b.name for b in registry.broken] == ["two"]
    assert "plugin 'one'" in registry.broken[0].cause


def test_a_hook_may_be_a_generator_or_give_a_single_spec(install):
    install.add("gen", GOOD.replace("return [MethodSpec", "yield from [MethodSpec"))
    install.add("single", GOOD.replace('return [MethodSpec("good"', 'return (MethodSpec("lone"')
                .replace('"paper")]', '"paper"))'))  # fmt: skip
    assert {"good", "lone"} <= set(load_plugins(strict=True).methods)


def test_loading_plugins_imports_nothing_that_takes_seconds():
    """Every command and every process of a run does it."""
    code = (
        "import sys; from gzsl_bench.hooks.manager import load_plugins; load_plugins();"
        " print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    loaded = set(done.stdout.split())
    assert "gzsl_bench_acmr" in loaded
    assert not loaded & {"sklearn", "pandas", "scipy", "matplotlib", "mlflow", "optuna", "ray"}
