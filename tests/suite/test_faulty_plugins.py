"""Plugins that fail where a suite is read: one sentence that names them, never a silent end."""

from __future__ import annotations

import sys

import pytest

from gzsl_bench import DataError, DatasetSpec, Method, MethodSpec
from gzsl_bench.cli.main import run
from gzsl_bench.errors import PluginError
from gzsl_bench.hooks.dataset import DatasetRequest, MissingFile
from gzsl_bench.hooks.metric import MetricSpec
from gzsl_bench.scoring.evaluate import evaluate
from gzsl_bench.suite.datasets import load_data, missing_files

ASKED = DatasetRequest("bad", None, "raw", "made")


def spec(load, **more):
    return DatasetSpec("bad", load, features="raw", attributes="made", **more)


def leaves(*_):
    sys.exit(0)


def lacks(*_):
    raise KeyError("q")


def is_interrupted(*_):
    raise KeyboardInterrupt


def is_absent(*_):
    raise FileNotFoundError(2, "No such file", "/data/x.npy")


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (leaves, r"data set 'bad': its load failed: SystemExit: 0"),
        (lacks, r"data set 'bad': its load failed: KeyError: 'q'"),
        (is_absent, r"data set 'bad': its load failed: FileNotFoundError: .*/data/x\.npy"),
        (lambda: None, r"data set 'bad': its load failed: TypeError: .*positional argument"),
        (lambda request: None, r"data set 'bad': its load gives a NoneType; gzsl_bench\.GZSLData"),
        (lambda request: {}, r"data set 'bad': its load gives a dict; gzsl_bench\.GZSLData"),
    ],
)
def test_data_that_cannot_be_loaded(load, said):
    with pytest.raises(PluginError, match=said):
        load_data(spec(load), ASKED)


def test_what_is_no_fault_of_the_plugin_passes(make_data):
    def refuses(request):
        raise DataError("in its own words")

    with pytest.raises(DataError, match="^in its own words$"):
        load_data(spec(refuses), ASKED)
    with pytest.raises(KeyboardInterrupt):
        load_data(spec(is_interrupted), ASKED)
    assert load_data(spec(lambda request: make_data()), ASKED).fingerprint


def test_content_that_cannot_be_looked_at(make_data):
    from dataclasses import replace

    with pytest.raises(PluginError, match=r"'bad': the check of what it loads failed: \w+Error"):
        load_data(spec(lambda request: replace(make_data(), folds=(1, 2))), ASKED)


def test_what_is_missing_cannot_be_told(make_data):
    with pytest.raises(PluginError, match=r"data set 'bad': its missing failed: KeyError: 'q'"):
        missing_files(spec(make_data, missing=lacks), ASKED)
    with pytest.raises(PluginError, match=r"its missing gives a str; gzsl_bench\.MissingFile"):
        missing_files(spec(make_data, missing=lambda request: ["x.mat"]), ASKED)
    (file,) = missing_files(spec(make_data, missing=lambda r: [MissingFile("x", "y")]), ASKED)
    assert file.path == "x"


@pytest.mark.parametrize("name", ["axes", "differs", "defaults"])
@pytest.mark.parametrize("fault", [leaves, lacks])
def test_a_method_that_cannot_say_what_it_is(name, fault, make_registry, resolve_text):
    factory = type("Odd", (Method,), {name: classmethod(fault), "fit": lambda *_: None})
    registry = make_registry(MethodSpec("odd", factory, citation="tests", fidelity="paper"))
    text = "name: s\ndatasets: [tiny]\nmethods: [odd]\n"
    kind = {leaves: "SystemExit: 0", lacks: "KeyError: 'q'"}[fault]
    with pytest.raises(PluginError, match=rf"method 'odd': its {name}.* fail(ed)?: {kind}"):
        resolve_text(text, registry)


def test_a_metric_that_leaves():
    metrics = {"odd": MetricSpec("odd", leaves, summary="odd")}
    with pytest.raises(PluginError, match="metric 'odd' fails: SystemExit: 0"):
        evaluate(type("Predictions", (), {"best_seen": None})(), metrics)


def test_a_suite_does_not_end_without_a_word(tmp_path, capsys):
    (tmp_path / "leaving_data.py").write_text(
        "import sys\n"
        "from gzsl_bench import DatasetSpec, hookimpl\n"
        "@hookimpl\n"
        "def gzsl_bench_datasets():\n"
        "    yield DatasetSpec('leaving', lambda request: sys.exit(0),\n"
        "                      features='raw', attributes='made')\n"
    )
    suite = tmp_path / "s.yaml"
    suite.write_text(
        "name: s\nplugins: [leaving_data.py]\ndatasets: [leaving, digits]\nmethods: [eszsl]\n"
    )
    out = tmp_path / "out"
    assert run(["run", str(suite), "--out", str(out), "--tracking-uri", "none"]) == 2
    said = capsys.readouterr()
    assert said.err == "gzsl-bench: data set 'leaving': its load failed: SystemExit: 0\n"
    assert said.out == ""
    plugin = str(tmp_path / "leaving_data.py")
    assert run(["check-plugin", "leaving", "--plugin", plugin]) == 1
    assert "SystemExit: 0" in capsys.readouterr().out
