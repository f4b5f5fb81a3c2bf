"""``gzsl-bench tune`` as a user calls it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import yaml

from gzsl_bench.cli.main import run
from gzsl_bench.errors import WorkerError
from gzsl_bench.suite.load import load_suite

SUITE = """\
name: mine
datasets: [digits]
methods:
  - use: eszsl
    label: ESZSL
    tune:
      feature_penalty: [1, 100]
      targets: ["01", pm1]
folds: 2
"""


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    for name in ("GZSL_BENCH_DATA", "GZSL_BENCH_STRICT_PLUGINS", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def call(capsys, tmp_path, monkeypatch):
    """Runs the command in this process: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(SUITE)

    def go(*arguments: object) -> tuple[int, str, str]:
        code = run([*map(str, arguments), "--out", "o"])
        found = capsys.readouterr()
        return code, found.out, found.err

    return go


TUNE = ("tune", "mine.yaml", "--inline", "--tracking-uri", "none")


def test_from_a_search_space_to_a_table(call, monkeypatch):
    code, out, err = call(*TUNE)
    assert code == 0, err
    lines = [line for line in out.splitlines() if line.startswith("| digits")]
    assert len(lines) == 4
    h = [float(line.split("|")[6].split("±")[0]) for line in lines]
    assert h == sorted(h, reverse=True)
    assert "No test row was used" in out
    assert "fold" not in out.replace("over folds", "")
    assert "[8/8] digits · ESZSL trial 4 · fold 2 · seed 0: U " in err
    assert "; about " in err
    written = Path("o/suites/mine-tuned.yaml")
    assert f"next: gzsl-bench run {written} --out o" in err

    # JSON: all trials, the best first; and nothing is trained a second time.
    def refuse(*args, **kwargs):
        raise AssertionError("nothing is left to train")

    text = written.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("gzsl_bench.executors.dispatcher.Executor.run", refuse)
        code, out, err = call(*TUNE, "--format", "json")
    assert code == 0, err
    assert written.read_bytes() == text
    table = json.loads(out)
    assert len(table) == 4
    best = table[0]
    content = yaml.safe_load(text)
    (entry,) = content["methods"]
    assert entry["config"] == best["values"]
    assert entry["datasets"] == ["digits"]
    assert not {"tune", "search", "trials"} & {*entry, *content}

    # The written suite trains the real task, and no fold.
    code, out, err = call("run", written, "--inline", "--tracking-uri", "none")
    assert code == 0, err
    assert "2 of 3 cells are finished already" in err
    assert re.search(r"\| H by val \| digits +\|\n.*\n\| ESZSL +\| \d", out)
    code, out, err = call("table", "mine-tuned", "--format", "json")
    (row,) = [r for r in json.loads(out) if r["selection"] == "val"]
    assert row["checkpoints"] == [best["checkpoint"]]


def test_the_suite_goes_where_it_is_told_and_replaces_nothing_of_yours(call):
    Path("sub").mkdir()
    code, _, err = call(*TUNE, "--write", "sub/tuned.yaml")
    assert code == 0, err
    assert Path("sub/tuned.yaml").is_file()
    assert not Path("o/suites").exists()
    assert call(*TUNE, "--write", "sub/tuned.yaml")[0] == 0  # one of ours
    Path("own.yaml").write_text("name: own\n")
    for path, complaint in (
        ("own.yaml", "is there and was not written by tune"),
        ("mine.yaml", "is the suite that is tuned"),
        ("sub", "is a folder"),
    ):
        code, out, err = call(*TUNE, "--write", path)
        assert (code, out) == (2, "")
        assert complaint in err
        assert err.count("\n") == 1
    assert Path("own.yaml").read_text() == "name: own\n"
    assert Path("mine.yaml").read_text() == SUITE


def test_dry_run(call):
    code, out, err = call("tune", "mine.yaml", "--dry-run")
    assert code == 0
    assert "| 1     | feature_penalty=" in out
    assert len(out.splitlines()) == 2 + 4
    assert "4 trials: 8 fold cells in 4 units, 0 finished" in err
    assert not Path("o").exists()


def test_bad_input_is_one_line(call, monkeypatch):
    Path("bad.yaml").write_text(SUITE.replace("feature_penalty", "feature_penlty"))
    code, out, err = call("tune", "bad.yaml")
    assert (code, out) == (2, "")
    assert err.startswith("gzsl-bench: bad.yaml:7: unknown hyper-parameter 'feature_penlty'; did")
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, out, err = call("tune", "mine.yaml")
    assert (code, out) == (2, "")
    assert err == (
        "gzsl-bench: tune needs Optuna, which is not installed: pip install 'gzsl-bench[tune]'\n"
    )
    # No other command asks for it.
    assert call("run", "mine.yaml", "--dry-run")[0] == 0
    assert not Path("o").exists()


def test_run_leaves_the_search_space_aside(call):
    code, out, err = call("run", "mine.yaml", "--dry-run")
    assert code == 0
    assert "1 cell in 1 unit" in err
    assert "warning: the search space of ESZSL is left aside" in err


def test_help_names_what_it_needs(call):
    code, out, _ = call("tune", "--help")
    assert code == 0
    for word in ("SUITE", "--write", "--format", "--dry-run", "--tracking-uri", "Optuna"):
        assert word in out


def test_the_suite_in_the_documentation_is_right(call):
    page = (Path(__file__).parents[2] / "docs" / "tuning.md").read_text(encoding="utf-8")
    text = re.findall(r"```yaml\n(.*?)```", page, re.S)[0]
    Path("page.yaml").write_text(text, encoding="utf-8")
    assert run(["validate", "page.yaml"]) == 0
    suite = load_suite(Path("page.yaml")).suite
    assert [suite.kind_of_search(method) for method in suite.methods] == ["grid", "random"]


@pytest.mark.parametrize("command", ["run", "tune"])
def test_workers_that_cannot_start_end_the_run_in_mlflow_too(command, call, monkeypatch):
    ends = []

    class Shown:
        behind = None

        def finish(self, table, rows, status):
            ends.append(status)

    def die(*given):
        raise WorkerError("three workers died before they began")

    monkeypatch.setattr("gzsl_bench.executors.run.run_units", die)
    monkeypatch.setattr("gzsl_bench.tracking.open_mirror", lambda *given, **how: Shown())
    monkeypatch.setattr("gzsl_bench.tracking.trials.open_trial_mirror", lambda *given: Shown())
    code, out, err = call(command, "mine.yaml", "--inline")
    assert (code, out) == (WorkerError.exit_code, "")
    assert "three workers died" in err
    assert ends == ["FAILED"]
