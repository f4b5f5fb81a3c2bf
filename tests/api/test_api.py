"""The program as a library: its page and its notebook run, and frames say what they are of."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gzsl_bench
from gzsl_bench.errors import GzslBenchError, SuiteError

DOCS = Path(__file__).parents[2] / "docs"
IDENTITY = {"dataset", "features", "attributes", "fingerprint", "method", "label", "version",
            "source", "fidelity", "preprocessing", "setting", "precision"}  # fmt: skip
SUITE = {"name": "s", "datasets": ["digits"], "methods": ["eszsl"], "selection": ["val"]}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    methods = ["eszsl", {"use": "eszsl", "label": "weak", "config": {"feature_penalty": 1e-3}}]
    out = tmp_path_factory.mktemp("api")
    return gzsl_bench.run(SUITE | {"methods": methods}, out=out, executor="inline", progress=False)


def test_the_page_is_a_script_without_a_guard(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "python.md").read_text(), re.S)
    script = tmp_path / "script.py"
    script.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    # Written once: no process of a unit ran the script again.
    assert done.stdout.count("harmonic_mean_mean") == 1
    assert "p_holm" in done.stdout
    found = gzsl_bench.load("penalties", out=tmp_path / "results")
    assert set(found.cells()["status"]) == {"complete"}
    record = found.view.record(found.cells()["key"][0])
    assert record.provenance.command == "gzsl_bench.run"


def test_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = json.loads((DOCS / "python.ipynb").read_text(encoding="utf-8"))["cells"]
    names: dict[str, object] = {}
    for cell in (cell for cell in cells if cell["cell_type"] == "code"):
        assert cell["outputs"] == []
        exec("".join(cell["source"]), names)
    shown = names["results"]._repr_html_()
    assert shown.startswith("<table>")
    assert "lamps" in shown
    assert "mean ± sd over n seeds" in shown


def test_every_frame_says_what_its_numbers_are_of(results):
    table, cells = results.table(), results.cells()
    points, classes = results.checkpoints(), results.per_class()
    for frame in (table, cells, points, classes):
        assert set(frame.columns) >= IDENTITY
    assert len(table) == 2
    assert sorted(cells["fold"]) == sorted([0, 1, 2, 3] * 2)
    assert (points[points["fold"] == 0]["chosen_by"].str.len() == 1).all()
    # The table's numbers are means of those of the classes.
    for label, mine in classes.groupby("label"):
        (row,) = table[table["label"] == label].to_dict("records")
        means = mine.groupby("part")[["accuracy", "zsl_accuracy"]].mean()
        assert means.loc["unseen", "accuracy"] == pytest.approx(row["acc_unseen_mean"])
        assert means.loc["seen", "accuracy"] == pytest.approx(row["acc_seen_mean"])
        assert means.loc["unseen", "zsl_accuracy"] == pytest.approx(row["zsl_acc_mean"])
        assert row["keys"] == list(set(mine["key"]))
    assert {"harmonic_mean_low", "harmonic_mean_high"} <= set(results.table(intervals=True))


def test_a_comparison_is_that_of_the_command(results, capsys):
    from gzsl_bench.cli.main import run

    frame = gzsl_bench.compare(results, "eszsl", "weak")
    out = results.view.store.layout.out
    assert run(["compare", "s", "eszsl", "weak", "--out", str(out), "--format", "csv"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split(",") == list(frame.columns)
    assert [line.split(",")[4] for line in lines] == list(frame["metric"])
    place = head.split(",").index("p_holm")
    assert {f"{value}" for value in frame["p_holm"]} == {line.split(",")[place] for line in lines}
    # What the numbers are of is in every line, as in the table.
    table = results.table().set_index("label")
    for line in frame.to_dict("records"):
        for name in ("selection", "features", "attributes", "fingerprint"):
            assert line[name] == table.loc["eszsl", name] == table.loc["weak", name]
        for end, label in (("a", "eszsl"), ("b", "weak")):
            for name in ("method", "version", "source", "preprocessing", "setting", "precision"):
                assert line[f"{name}_of_{end}"] == table.loc[label, name]
            cells = results.cells()
            keys = cells[(cells.label == label) & (cells.fold == 0)].key
            assert line[f"keys_of_{end}"].split() == list(keys)


def test_what_is_not_comparable_is_mixed_only_when_asked(tmp_path):
    methods = [
        {"use": "eszsl", "label": "a", "preprocessing": "l2"},
        {"use": "eszsl", "label": "b", "preprocessing": "none"},
    ]
    found = gzsl_bench.run(
        SUITE | {"selection": ["last"], "methods": methods},
        out=tmp_path, executor="inline", progress=False,
    )  # fmt: skip
    for ask in (found.table, found.cells, found.checkpoints, found.per_class):
        with pytest.raises(SuiteError, match=r"eszsl on digits: rows differ in preprocessing"):
            ask()
        assert set(ask(mixed=True)["preprocessing"]) == {"l2", "none"}


def test_bad_input_is_refused_in_a_sentence(tmp_path, results, monkeypatch):
    def run(suite, **more):
        return gzsl_bench.run(suite, out=tmp_path, progress=False, **more)

    for suite, more, said in (
        ("nonesuch", {}, "unknown shipped suite 'nonesuch'"),
        (SUITE | {"methods": ["eszls"]}, {}, "unknown method 'eszls'; did you mean 'eszsl'"),
        (SUITE | {"name": "a/b"}, {}, "name"),
        (SUITE | {"seeds": object()}, {}, "no YAML file can"),
        (SUITE, {"device": "tpu"}, "--device 'tpu' is not understood"),
        (SUITE, {"seeds": -1}, "--seeds"),
        (SUITE, {"seeds": 1.5}, "--seeds '1.5' is neither"),
        (SUITE, {"jobs": 0}, "jobs: 0 is not in the range 1<=x<=256"),
        (SUITE, {"threads": 1.5}, "threads: '1.5' is not a valid integer"),
        (SUITE, {"retries": -1}, "retries: -1 is not in the range"),
        (SUITE, {"timeout": -1}, "timeout: '-1' is no duration"),
        (SUITE, {"memory_limit": "much"}, "memory_limit: 'much' is no size"),
        (SUITE, {"methods": "eszls"}, "unknown method of this suite 'eszls'"),
        (SUITE, {"datasets": "CUB"}, "unknown data set of this suite 'CUB'"),
        (SUITE, {"plugins": Path("none.py")}, "none.py"),
        (SUITE, {"executor": "inline", "timeout": 5.0}, "need worker processes"),
        (SUITE, {"executor": "nowhere"}, "unknown executor 'nowhere'"),
    ):
        with pytest.raises(GzslBenchError, match=re.escape(said)):
            run(suite, **more)
    with pytest.raises(SuiteError, match="unknown selection rule of this suite 'best_test'"):
        results.table("best_test")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(GzslBenchError, match=r"pip install 'gzsl-bench\[pandas\]'"):
        results.table()
    assert "H" in results._repr_html_()


def test_a_results_folder_that_is_gone_is_said(tmp_path):
    found = gzsl_bench.run(SUITE, out=tmp_path / "out", progress=False, executor="inline")
    assert len(found.table())
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    for ask in (found.table, found.cells, found.checkpoints, found.per_class):
        with pytest.raises(GzslBenchError, match=r"the results folder .*out is gone"):
            ask()


def test_numbers_of_numpy_and_one_text_in_place_of_a_list_are_taken(tmp_path):
    penalties = np.logspace(-1, 1, 2)
    methods = [
        {"use": "eszsl", "label": f"p{n}", "config": {"feature_penalty": penalty}}
        for n, penalty in enumerate(penalties)
    ]
    suite = SUITE | {"selection": ("last",), "methods": methods}
    found = gzsl_bench.run(
        suite, out=tmp_path, seeds=np.arange(1), methods="p1", datasets="digits", executor="inline",
        progress=False,
    )  # fmt: skip
    (cell,) = found.view.suite.cells
    assert cell.identity["method"]["config"]["feature_penalty"] == 10.0


def test_the_name_of_a_suite_is_no_results():
    with pytest.raises(TypeError, match="compare takes what run or load returned, not 'penalties'"):
        gzsl_bench.compare("penalties", "eszsl", "weak")
