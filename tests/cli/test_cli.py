"""The command line: exit codes, what goes to which stream, and the contract of the JSON table."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

import gzsl_bench
from gzsl_bench.cli.main import cli, run

ROOT = Path(__file__).parents[2]
SUITE = """\
name: mini
datasets: [digits]
methods:
  - {use: eszsl, label: ESZSL}
  - {use: eszsl, label: strong, config: {targets: pm1}}
selection: [last, best_test]
"""
METRICS = ("acc_unseen", "acc_seen", "harmonic_mean", "zsl_acc", "ausuc")


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    for name in ("GZSL_BENCH_DATA", "GZSL_BENCH_STRICT_PLUGINS", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def call(capsys):
    """Runs the command in this process: (exit code, stdout, stderr)."""

    def go(*arguments: object) -> tuple[int, str, str]:
        code = run([str(a) for a in arguments])
        found = capsys.readouterr()
        return code, found.out, found.err

    return go


@pytest.fixture
def suite(tmp_path) -> Path:
    path = tmp_path / "mini.yaml"
    path.write_text(SUITE)
    return path


def program(*arguments: object, cwd: Path, before: str = "", **environment: str):
    code = f"{before}\nfrom gzsl_bench.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The mini suite, run once through the real command with worker processes."""
    folder = tmp_path_factory.mktemp("ran")
    (folder / "mini.yaml").write_text(SUITE)
    done = program("run", "mini.yaml", "--tracking-uri", "none", cwd=folder)
    return folder, done


def snapshot(folder: Path):
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()}


# run ---------------------------------------------------------------------------------------------


def test_a_suite_runs_and_prints_its_answer_alone_on_stdout(ran):
    folder, done = ran
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [cell.strip() for cell in lines[0].split("|")[1:3]] == ["H by last", "digits"]
    assert all(line[0] == "|" for line in lines[:4])
    assert lines[4] == ""
    assert lines[5].startswith("best on digits: strong, H ")
    assert "cells" not in done.stdout
    assert "next, every rule and metric; --format latex for papers: gzsl-bench table mini" in (
        done.stderr
    )
    assert "(2 of 2 cells)" in done.stderr
    out = folder / "gzsl-results"
    assert len(list((out / "cells").glob("*/record.json"))) == 2
    assert not (out / "mlflow.db").exists()
    assert not (folder / "mlruns").exists()
    record = json.loads(next((out / "cells").glob("*/record.json")).read_text())
    assert record["provenance"]["command"].startswith("gzsl-bench ")
    assert record["provenance"]["program"]["version"] == gzsl_bench.__version__


def test_a_second_run_trains_nothing_and_touches_no_record(ran, call, monkeypatch):
    folder, done = ran
    before = snapshot(folder / "gzsl-results" / "cells")
    monkeypatch.chdir(folder)

    def refuse(*args, **kwargs):
        raise AssertionError("nothing is left to train")

    monkeypatch.setattr("gzsl_bench.executors.dispatcher.Executor.run", refuse)
    code, out, err = call("run", "mini.yaml", "--tracking-uri", "none")
    assert code == 0
    assert out == done.stdout
    assert "finished already" in err
    assert snapshot(folder / "gzsl-results" / "cells") == before


def test_inline_gives_the_same_numbers(ran, call, suite, tmp_path):
    _folder, done = ran
    code, out, _ = call("run", suite, "--out", tmp_path / "o", "--tracking-uri", "none", "--inline")
    assert code == 0
    assert out == done.stdout


DRY = ["Data set", "Method", "Seeds", "Folds", "To train", "Done"]


def test_dry_run(call, suite, tmp_path, ran):
    code, out, err = call("run", suite, "--out", tmp_path / "o", "--dry-run")
    assert code == 0
    # A line for each method and data set: how much there is to do.
    assert [cell.strip() for cell in out.splitlines()[0].split("|")[1:-1]] == DRY
    lines = [line.replace(" ", "").strip("|").split("|") for line in out.splitlines()[2:]]
    assert [line[2:] for line in lines] == [["1", "0", "1", "0"]] * 2
    assert "2 cells in 2 units, 0 finished" in err
    assert not (tmp_path / "o").exists()
    code, out, err = call("run", suite, "--out", ran[0] / "gzsl-results", "--dry-run")
    assert code == 0
    assert [line.split("|")[-3:-1] for line in out.splitlines()[2:]] == [
        [" 0        ", " 1    "]
    ] * 2


def test_a_part_of_a_suite(call, suite, tmp_path):
    out = tmp_path / "o"
    options = ("--out", out, "--tracking-uri", "none", "--inline")
    code, shown, _ = call("run", suite, *options, "--only", "method=strong")
    assert code == 0
    assert "strong" in shown
    assert "ESZSL" not in shown
    code, _, _err = call("table", suite, "--out", out, "--format", "json")
    assert code == 0
    code, shown, _ = call("run", suite, *options, "--only", "method=ESZSL")
    assert code == 0
    assert "strong" not in shown
    _, shown, _ = call("table", suite, "--out", out, "--format", "json")
    assert [r["label"] for r in json.loads(shown)] == ["ESZSL", "ESZSL", "strong", "strong"]


def test_folds_choose_and_calibrate(call, suite, tmp_path, empty_mlflow):
    """ESZSL on the digits prefers seen classes; a bias chosen on folds puts that right."""
    shutil.copy(empty_mlflow, tmp_path / "m.db")
    only = ("--only", "method=ESZSL")
    options = ("--out", tmp_path / "o", "--tracking-uri", f"sqlite:///{tmp_path}/m.db", "--inline")
    assert call("run", suite, *options, *only)[0] == 0
    text = SUITE.replace("last, best_test", "last, val, best_test") + "calibration: true\n"
    suite.write_text(text)
    code, out, err = call("run", suite, *options, *only, "--dry-run")
    (line,) = out.splitlines()[2:]
    assert line.replace(" ", "") == "|digits|ESZSL|1|3|3|1|"
    assert code == 0
    code, out, err = call("run", suite, *options, *only)
    assert (code, err.count("ESZSL · fold"), "(4 of 4 cells)" in err) == (0, 3, True)
    code, out, _ = call("table", suite, "--out", tmp_path / "o", "--format", "json")
    table = {row["selection"]: row for row in json.loads(out)}
    assert list(table) == ["last", "last+gamma", "val", "val+gamma", "best_test"]
    assert table["val"]["harmonic_mean"] == table["last"]["harmonic_mean"]
    assert table["val+gamma"]["harmonic_mean"]["mean"] > 60 > table["val"]["harmonic_mean"]["mean"]
    assert table["best_test"]["selection_gap"] == {"mean": 0.0, "sd": None, "n": 1}
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/m.db")
    number = client.get_experiment_by_name("mini").experiment_id
    (run,) = client.search_runs([number], "tags.`gzsl_bench.role` = 'cell'")
    seen = table["val+gamma"]["acc_seen"]["mean"]
    assert run.data.metrics["val_gamma/S"] == pytest.approx(seen, abs=1e-4)
    gamma = table["val+gamma"]["gamma"][0]
    assert f"gamma {gamma:.3g}" in run.data.tags["mlflow.note.content"]


BAD = {
    "leak": (["run", "{leak}"], ":4: the preprocessing 'minmax_refit_on_test' of 'eszsl' sees"),
    "no file": (["run", "no.yaml"], "there is no suite file no.yaml"),
    "typo": (["run", "{typo}"], ":3: unknown key 'metods'; did you mean 'methods'?"),
    "only": (["run", "{suite}", "--only", "method=ESZLS"], "did you mean 'ESZSL'?"),
    "only key": (["run", "{suite}", "--only", "methd=ESZSL"], "dataset=NAME or method=LABEL"),
    "seeds": (["run", "{suite}", "--seeds", "x"], "neither a number nor a list"),
    "seeds twice": (["run", "{suite}", "--seeds", "1,1"], "--seeds '1,1' lists a seed twice"),
    "seeds with marks": (["run", "{suite}", "--seeds", "1_0"], "neither a number nor a list"),
    "only nothing": (["run", "{suite}", "--only", ","], "--only ',' names nothing; write dataset="),
    "absurd seeds": (["run", "{suite}", "--seeds", str(10**18)], "--seeds"),
    "device": (["run", "{suite}", "--device", "tpu9"], "use auto, cpu, cuda or cuda:N"),
    "data": (["run", "{suite}", "--data", "/no/such"], "--data names /no/such, which does not"),
    "command": (["rnu", "{suite}"], "unknown command 'rnu'; did you mean 'run'?"),
    "part": (["records", "verfy"], "unknown command of `records` 'verfy'; did you mean 'verify'?"),
    "compare": (["compare", "{suite}", "ESZSL"], "is a suite: name two methods after it, or none"),
    "option": (["run", "{suite}", "--sedes", "3"], "--seeds"),
    "validate": (["validate", "{typo}"], "unknown key 'metods'"),
    "table": (["table", "{suite}", "--out", "nowhere"], "holds nothing of the suite 'mini'"),
    "format": (["table", "{suite}", "--format", "xml"], "'xml' is not one of"),
    "tracking": (["run", "{suite}", "--tracking-uri", "gopher://x"], "gopher"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_exit_code_2(call, suite, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    typo = tmp_path / "typo.yaml"
    typo.write_text("name: a\ndatasets: [digits]\nmetods: [eszsl]\n")
    leak = tmp_path / "leak.yaml"
    leak.write_text(
        "name: a\ndatasets: [digits]\nmethods:\n"
        "  - {use: eszsl, preprocessing: minmax_refit_on_test}\nselection: [val]\n"
    )
    arguments, sentence = BAD[case]
    code, out, err = call(*(a.format(suite=suite, typo=typo, leak=leak) for a in arguments))
    assert (code, out) == (2, "")
    assert sentence in err
    assert "Traceback" not in err
    complaint = [line for line in err.splitlines() if line.startswith(("gzsl-bench:", "Error:"))]
    assert len(complaint) == 1
    assert sentence in complaint[0]
    assert not (tmp_path / "gzsl-results").exists()


def test_tf32_without_a_gpu_is_refused(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "fast.yaml"
    path.write_text("name: a\ndatasets: [digits]\nmethods: [acmr]\nprecision: tf32\n")
    code, out, err = call("run", path, "--device", "cpu")
    assert (code, out) == (2, "")
    assert "tf32, which needs a CUDA device" in err
    assert not (tmp_path / "gzsl-results").exists()


def test_missing_data_of_all_data_sets_are_listed(call, tmp_path):
    (tmp_path / "data").mkdir()
    path = tmp_path / "s.yaml"
    path.write_text("name: s\ndatasets: [CUB, SUN, digits]\nmethods: [eszsl]\n")
    code, out, err = call("run", path, "--data", tmp_path / "data", "--out", tmp_path / "o")
    assert (code, out) == (2, "")
    for file in ("CUB/res101.mat", "CUB/att_splits.mat", "SUN/res101.mat", "SUN/att_splits.mat"):
        assert str(tmp_path / "data" / file) in err
    assert "digits" not in err
    assert not (tmp_path / "o").exists()


def test_debug_shows_where(call, suite):
    from gzsl_bench.errors import SuiteError

    with pytest.raises(SuiteError):
        run(["run", str(suite), "--only", "method=x", "--debug"])


def test_internal_errors_are_named_and_give_70(call, suite, monkeypatch):
    monkeypatch.setattr("gzsl_bench.cli.validate.open_suite", lambda *a, **k: 1 / 0)
    code, _, err = call("validate", suite)
    assert code == 70
    assert err.startswith("gzsl-bench: internal error: ZeroDivisionError")
    assert "Traceback" not in err


def test_unknown_methods_name_broken_plugins_too(call, tmp_path, suite, monkeypatch):
    site = tmp_path / "site"
    (site / "gz_broken-1.0.dist-info").mkdir(parents=True)
    info = site / "gz_broken-1.0.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gz-broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gzsl_bench]\ngz_broken = gz_no_module\n")
    suite.write_text(SUITE.replace("use: eszsl, label: strong", "use: gz, label: strong"))
    monkeypatch.syspath_prepend(site)
    code, _, err = call("validate", suite)
    assert code == 2
    assert "warning: plugin 'gz_broken' (gz-broken): cannot be loaded" in err
    assert "unknown method 'gz'" in err.splitlines()[-1]
    monkeypatch.setenv("GZSL_BENCH_STRICT_PLUGINS", "1")
    code, _, err = call("validate", suite)
    assert code == 2
    assert len(err.splitlines()) == 1


# validate, plugins, schema -----------------------------------------------------------------------


def test_shipped_suites_are_right(call):
    suites = sorted((ROOT / "suites").glob("*.yaml"))
    names = {spec["name"] for spec in json.loads(call("plugins", "--json")[1])["methods"]}
    used = [
        s for s in suites
        if {m if isinstance(m, str) else m["use"] for m in yaml.safe_load(s.read_text())["methods"]}
        <= names
    ]  # fmt: skip
    if not used:
        pytest.skip("the plugins of the shipped suites are not installed")
    known = {"digits", "CUB", "SUN", "AWA1", "AWA2", "APY", "FLO", "synthetic"}
    for path in used:
        content = yaml.safe_load(path.read_text())
        assert {d if isinstance(d, str) else d["use"] for d in content["datasets"]} <= known
    code, out, err = call("validate", *used)
    assert (code, out) == (0, "")
    assert err.count(": right") == len(used) >= 4


def matches(schema: dict, value: object, root: dict) -> bool:
    """The part of JSON Schema that our schema uses."""
    if "$ref" in schema:
        return matches(root["$defs"][schema["$ref"].rsplit("/", 1)[1]], value, root)
    if "anyOf" in schema:
        return any(matches(part, value, root) for part in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    if "const" in schema:
        return value == schema["const"]
    if "pattern" in schema and not (isinstance(value, str) and re.search(schema["pattern"], value)):
        return False
    kind = schema.get("type")
    if kind == "object":
        if not isinstance(value, dict) or not set(schema.get("required", ())) <= set(value):
            return False
        known = schema.get("properties", {})
        if schema.get("additionalProperties") is False and not set(value) <= set(known):
            return False
        return all(matches(known[k], v, root) for k, v in value.items() if k in known)
    if kind == "array":
        return isinstance(value, list) and all(matches(schema["items"], v, root) for v in value)
    if kind == "boolean":
        return isinstance(value, bool)
    types = {"string": str, "integer": int, "number": (int, float), "null": type(None)}
    return kind is None or (isinstance(value, types[kind]) and not isinstance(value, bool))


def test_the_schema_accepts_shipped_suites_and_refuses_typos(call):
    code, out, _ = call("schema")
    assert code == 0
    schema = json.loads(out)
    for path in sorted((ROOT / "suites").glob("*.yaml")):
        content = yaml.safe_load(path.read_text())
        assert matches(schema, content, schema), path
        assert not matches(schema, content | {"metods": []}, schema)
        assert not matches(schema, {k: v for k, v in content.items() if k != "name"}, schema)
        assert not matches(schema, content | {"methods": [{"use": "x", "lable": "y"}]}, schema)
        assert not matches(schema, content | {"selection": ["best"]}, schema)
        assert matches(schema, content | {"seeds": 5}, schema)
        assert matches(schema, content | {"seeds": [1, 2]}, schema)
        assert not matches(schema, content | {"seeds": "five"}, schema)


def test_plugins(call):
    code, out, _err = call("plugins", "--json")
    assert code == 0
    found = json.loads(out)
    assert {"plugins", "methods", "broken"} <= set(found)
    eszsl = next(m for m in found["methods"] if m["name"] == "eszsl")
    assert (eszsl["distribution"], eszsl["fidelity"]) == ("gzsl-bench-eszsl", "paper")
    assert "Romera-Paredes" in eszsl["citation"]
    builtin = next(p for p in found["plugins"] if p["name"] == "builtin_datasets")
    assert "digits" in builtin["provides"]["datasets"]
    assert builtin["hooks"] == ["gzsl_bench_datasets"]
    code, out, _ = call("plugins")
    assert code == 0
    for word in ("eszsl", "digits", "ausuc", "gzsl-bench-eszsl"):
        assert word in out


# table -------------------------------------------------------------------------------------------


def test_the_json_rows_of_the_issue(ran, call):
    folder, _ = ran
    code, out, err = call(
        "table", folder / "mini.yaml", "--out", folder / "gzsl-results", "--format", "json"
    )
    assert (code, err) == (0, "")
    table = json.loads(out)
    assert [(r["dataset"], r["label"], r["selection"]) for r in table] == [
        ("digits", label, rule) for label in ("ESZSL", "strong") for rule in ("last", "best_test")
    ]
    for row in table:
        assert row["method"] == "eszsl"
        assert (row["features"], row["attributes"]) == ("pixels", "strokes")
        assert len(row["fingerprint"]) >= 12
        assert row["seeds"] == [0]
        (key,) = row["keys"]
        path = folder / "gzsl-results" / "cells" / key / "record.json"
        recorded = json.loads(path.read_text())["checkpoints"][-1]["metrics"]
        for name in METRICS:
            assert row[name] == {"mean": recorded[name], "sd": None, "n": 1}
            assert 0 < row[name]["mean"] < 100
    first = [*list(table[0])[:9], *METRICS, "keys"]
    assert first == [
        "dataset", "features", "attributes", "fingerprint", "images", "method", "label",
        "selection", "seeds", *METRICS, "keys",
    ]  # fmt: skip


def test_other_formats(ran, call):
    folder, _ = ran
    options = ("mini", "--out", folder / "gzsl-results", "--format")
    rows = json.loads(call("table", *options, "json")[1])
    github = call("table", *options, "github", "--layout", "long")[1]
    latex = call("table", *options, "latex", "--layout", "long")[1]
    flat = list(csv.DictReader(io.StringIO(call("table", *options, "csv")[1])))
    assert len(flat) == len(rows) == 4
    for line, row in zip(flat, rows, strict=True):
        assert float(line["harmonic_mean_mean"]) == row["harmonic_mean"]["mean"]
        assert (line["harmonic_mean_sd"], line["harmonic_mean_n"]) == ("", "1")
        assert (line["label"], line["seeds"], line["keys"]) == (row["label"], "0", row["keys"][0])
        shown = f"{row['harmonic_mean']['mean']:.1f}"
        assert shown in github
        assert shown in latex
    assert r"best\_test" in latex
    assert r"\begin{tabular}" in latex
    assert "optimistic" in github


def test_a_table_needs_neither_data_nor_plugins_nor_torch(ran, call):
    folder, _ = ran
    block = (
        "import sys, importlib.metadata as m\n"
        "for name in ('torch', 'sklearn', 'mlflow', 'gzsl_bench_eszsl'):\n"
        "    sys.modules[name] = None\n"
        "m.entry_points = lambda **k: []\n"
    )
    found = program("table", "mini", cwd=folder, before=block, GZSL_BENCH_DATA="/no/such")
    assert found.returncode == 0, found.stderr
    assert found.stdout == call("table", "mini", "--out", folder / "gzsl-results")[1]
    assert found.stdout.startswith("| By last ")


def test_a_table_of_an_edited_suite_says_so(ran, call, tmp_path):
    folder, _ = ran
    edited = tmp_path / "mini.yaml"
    edited.write_text(SUITE + "# edited\n")
    code, _out, err = call("table", edited, "--out", folder / "gzsl-results")
    assert code == 0
    assert "was edited since it ran" in err


def test_a_table_with_holes_says_so(call, suite, tmp_path):
    out = tmp_path / "o"
    call("run", suite, "--out", out, "--tracking-uri", "none", "--inline")
    shutil.rmtree(next((out / "cells").iterdir()))
    code, shown, err = call("table", suite, "--out", out, "--format", "json")
    assert code == 0
    assert [row["unavailable"] for row in json.loads(shown)].count("not run yet") == 1
    assert "2 cells: 1 not run, 0 failed" in err
    shutil.rmtree(next((out / "cells").iterdir()))
    for fmt in ("github", "latex"):
        code, shown, err = call("table", suite, "--out", out, "--format", fmt)
        assert (code, shown, "none of its 2 cells was run to its end" in err) == (0, "", True)


# help --------------------------------------------------------------------------------------------

HEAVY = ("torch", "mlflow", "scipy", "sklearn", "matplotlib", "pandas", "ray")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["table", "-h"],
        ["--version"],
        ["compare", "-h"],
        ["rescore", "-h"],
        ["published", "list", "--format", "csv"],
    ],
)
def test_help_loads_nothing_heavy(tmp_path, arguments):
    code = (
        "import sys\nfrom gzsl_bench.cli.main import run\n"
        f"code = run({arguments!r})\n"
        f"print([n for n in {HEAVY!r} if n in sys.modules], file=sys.stderr)\nsys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0
    assert done.stdout
    assert done.stderr.strip() == "[]"


def test_every_command_that_may_fail_shows_tracebacks_when_asked():
    def commands(group, path=()):
        for name in group.list_commands(None):
            command = group.get_command(None, name)
            if isinstance(command, click.Group):
                yield from commands(command, (*path, name))
            else:
                yield (*path, name), {each for p in command.params for each in p.opts}

    without = [path for path, options in commands(cli) if "--debug" not in options]
    assert without == [("schema",)]


def test_help_lists_every_command(call):
    code, out, _ = call("--help")
    assert code == 0
    for command in (
        "run",
        "validate",
        "table",
        "plugins",
        "data",
        "sync",
        "ui",
        "schema",
        "published",
        "compare",
        "rescore",
    ):
        assert f"  {command} " in out


@pytest.mark.parametrize("group", ["data", "leaderboard", "published", "records", "suites"])
def test_help_of_a_group_says_whole_what_its_commands_do(group, capsys):
    assert run([group, "--help"]) == 0
    commands = capsys.readouterr().out.partition("Commands:")[2]
    assert commands.strip()
    assert "..." not in commands


def test_a_device_that_is_not_there_comes_with_a_remedy(capsys):
    assert run(["run", "quickstart", "--device", "cuda:99"]) == 2
    said = capsys.readouterr().err
    assert "--device cuda:99 is not there: torch sees" in said
    assert "docs/gpu.md" in said


def test_failures_on_data_sets_of_one_label_are_told_apart(call, tmp_path):
    plugin = tmp_path / "apart_plugin.py"
    plugin.write_text(
        "from gzsl_bench import Method, MethodSpec, hookimpl\n"
        "class Fails(Method):\n"
        "    def fit(self, task, run):\n"
        "        raise ValueError('planted')\n"
        "@hookimpl\n"
        "def gzsl_bench_methods():\n"
        "    yield MethodSpec('apart_fails', Fails, 'none', 'paper')\n"
    )
    path = tmp_path / "apart.yaml"
    path.write_text(
        "name: apart\nplugins: [apart_plugin.py]\n"
        "datasets: [{use: digits, attributes: strokes}, {use: digits, attributes: lamps}]\n"
        "methods: [{use: apart_fails, label: Fails}]\n"
    )
    out = tmp_path / "out"
    code, _, said = call("run", path, "--out", out, "--inline", "--tracking-uri", "none")
    assert code == 1
    lines = said[said.index("Failed on") :].splitlines()
    assert [line.split("|")[1].strip() for line in lines if "planted" in line] == [
        "digits (strokes)", "digits (lamps)"
    ]  # fmt: skip
    assert call("report", "apart", "--out", out)[0] == 0
    page = (out / "report.html").read_text()
    for section in ("provenance", "failures"):
        shown = page.split(f'<section id="{section}">')[1].split("</section>")[0]
        assert shown.count("digits (strokes)") == shown.count("digits (lamps)") == 1
