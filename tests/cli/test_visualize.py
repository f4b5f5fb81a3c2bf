"""``gzsl-bench visualize``: files, numbers, sentences, and a second call that trains nothing."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from gzsl_bench.cli import visualize
from gzsl_bench.cli.main import run

PLUGIN = '''\
import torch

from gzsl_bench import Config, Latents, Method, MethodSpec, NotApplicable, Scorer, hookimpl


class Drawn(Method):
    """Ridge regression to class embeddings; samples are embeddings with noise.

    Numbers are rounded so that products are exact: how a library sums is no part of the test.
    """

    class Config(Config):
        offers: bool = True
        refuses: bool = False
        fails: bool = False

    def fit(self, task, run):
        x, classes = task.features.double(), task.attributes.double()
        eye = torch.eye(x.shape[1], dtype=torch.float64)
        weights = torch.linalg.solve(x.T @ x + eye, x.T @ classes[task.labels])
        weights = (weights * 256).round() / 256
        print("trained", run.seed)
        if self.config.refuses:
            raise NotApplicable("planted")
        if self.config.fails:
            raise ZeroDivisionError("planted")

        def embed(features):
            return (features.double() * 256).round() @ weights / 256

        def semantic(ids):
            noise = torch.randn(len(ids), classes.shape[1], generator=run.generator("visualize"))
            return classes[ids] + 0.1 * noise

        offered = Latents(embed, semantic) if self.config.offers else None
        return Scorer(embed, lambda z: -(z[:, None] - classes).square().sum(2), offered)


@hookimpl
def gzsl_bench_methods():
    yield MethodSpec("drawn", Drawn, "none", "paper", preprocessing="minmax", latents=True)
    yield MethodSpec("plain", Drawn, "none", "paper", preprocessing="minmax")
'''
SUITE = """\
name: mini
datasets: [digits]
methods:
  - {use: drawn, label: Drawn}
  - {use: plain, label: Without}
seeds: 2
selection: [last]
plugins: [PLUGIN]
"""


@pytest.fixture(autouse=True)
def _clean(monkeypatch, tmp_path):
    for name in ("GZSL_BENCH_DATA", "GZSL_BENCH_STRICT_PLUGINS", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def call(capsys):
    """Runs the command in this process: (exit code, stdout, stderr)."""

    def go(*arguments: object) -> tuple[int, str, str]:
        code = run([str(a) for a in arguments])
        found = capsys.readouterr()
        return code, found.out, found.err

    return go


@pytest.fixture(scope="module")
def plugin(tmp_path_factory) -> Path:
    """One place for all tests: a process loads no two files of one name."""
    path = tmp_path_factory.mktemp("plugin") / "drawn_plugin.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture
def suite(tmp_path, plugin) -> Path:
    path = tmp_path / "mini.yaml"
    path.write_text(SUITE.replace("PLUGIN", str(plugin)))
    return path


def contents(out: Path) -> dict[str, bytes]:
    """Every file of the folder but the latents and the journal of leases."""
    names = [p for p in out.rglob("*") if p.is_file() and "latents" not in p.parts[len(out.parts)]]
    return {str(p.relative_to(out)): p.read_bytes() for p in names}


def test_from_a_suite_to_its_figures(call, suite, tmp_path):
    out, into = tmp_path / "out", tmp_path / "figures"
    assert call("run", suite, "--out", out, "--inline", "--tracking-uri", "none")[0] == 0
    before = contents(out)
    code, text, said = call(
        "visualize", suite, "--out", out, "--into", into, "--perplexity", 20, "--points", 300
    )
    assert code == 0
    assert contents(out) == before
    assert "left out: Without offers no latents" in said
    assert "digits · Drawn · seed 0, trained again: equals its record bit for bit" in said
    assert sorted(p.name for p in into.iterdir()) == [
        "latents_digits.csv", "latents_digits.pdf", "latents_digits.png"
    ]  # fmt: skip
    with (into / "latents_digits.csv").open() as file:
        points = list(csv.DictReader(file))
    # digits: of the 530 images of unseen classes each class keeps floor(300 n / 530);
    # all 251 of seen ones; as many samples.
    counts = {(p["part"], p["modality"]): 0 for p in points}
    for point in points:
        counts[point["part"], point["modality"]] += 1
    assert counts == {
        ("unseen", "visual"): 299, ("unseen", "semantic"): 299,
        ("seen", "visual"): 251, ("seen", "semantic"): 251,
    }  # fmt: skip
    lines = [line for line in text.splitlines() if line.startswith("| digits")]
    assert [line.split("|")[5].strip() for line in lines] == ["unseen", "seen"]

    # Again, with other settings: nothing is trained.
    code, text, said = call(
        "visualize", suite, "--out", out, "--into", into, "--points", 40, "--format", "json",
        "--perplexity", 20,
    )  # fmt: skip
    assert code == 0
    assert "trained 0" not in text + said
    assert "latents of an earlier call" in said
    (found,) = json.loads(text)
    assert (found["label"], found["seed"], found["checkpoint"], found["rule"]) == (
        "Drawn", 0, 1, "last"
    )  # fmt: skip
    assert found["equals_record"] is True
    assert [(p["part"], p["images"]) for p in found["parts"]] == [("unseen", 530), ("seen", 251)]
    assert [f"{p['modality_mixing']:.3f}" for p in found["parts"]] == [
        line.split("|")[8].strip() for line in lines
    ]

    # Another seed is another cell; here without ever having been run.
    code, text, said = call(
        "visualize", suite, "--out", tmp_path / "empty", "--seed", 1, "--points", 40,
        "--perplexity", 20, "--format", "json",
    )  # fmt: skip
    assert code == 0
    assert "training digits · Drawn · seed 1 again" in said
    assert "warning: digits · Drawn · seed 1, trained again: no record to compare with" in said
    assert json.loads(text[text.index("[") :])[0]["equals_record"] is None
    assert (tmp_path / "empty" / "latents_digits.png").exists()


def test_a_suite_in_the_results_folder_goes_by_name_as_in_compare(call, suite, tmp_path):
    out = tmp_path / "out"
    assert call("run", suite, "--out", out, "--inline", "--tracking-uri", "none")[0] == 0
    suite.rename(tmp_path / "moved.yaml")
    for given in (["mini"], []):
        code, text, said = call("visualize", *given, "--out", out, "--points", 40)
        assert code == 0, said
        assert "equals its record bit for bit" in said
        assert "| digits   | Drawn  | 0    | 1 (last)" in text
    code, _, said = call("visualize", "mni", "--out", out)
    assert code == 2
    assert "holds nothing of the suite 'mni'; did you mean 'mini'" in said
    code, _, said = call("visualize", "--out", tmp_path / "empty")
    assert code == 2
    assert "holds no suite yet" in said


def test_a_stored_suite_whose_plugin_lay_beside_its_file_asks_for_the_file(call, suite, tmp_path):
    (tmp_path / "there").mkdir()
    plugin, text = PLUGIN, SUITE.replace("PLUGIN", "beside.py")
    for name in ("drawn", "plain"):
        plugin = plugin.replace(f'"{name}"', f'"beside_{name}"')
        text = text.replace(f"use: {name}", f"use: beside_{name}")
    (tmp_path / "there" / "beside.py").write_text(plugin)
    (tmp_path / "there" / "mini.yaml").write_text(text)
    out = tmp_path / "out"
    ran = call("run", tmp_path / "there" / "mini.yaml", "--out", out, "--inline",
               "--tracking-uri", "none", "--only", "method=Drawn")  # fmt: skip
    assert ran[0] == 0, ran[2]
    code, _, said = call("visualize", "mini", "--out", out)
    assert code == 2
    assert said.count("\n") == 1
    assert "give the suite's file in place of its name" in said


def test_a_method_without_latents_is_refused_with_the_names_of_those_that_have_some(call, suite):
    code, text, said = call("visualize", suite, "--only", "method=Without")
    assert (code, text) == (2, "")
    (line,) = [line for line in said.splitlines() if line.startswith("gzsl-bench:")]
    assert line.startswith("gzsl-bench: Without (plain): no latents to draw; methods that offer")
    assert "drawn" in line.split("offer some: ")[1]
    assert call("visualize", suite, "--only", "method=Drawn,method=Without")[0] == 2


def test_a_method_that_only_says_so_is_found_out(call, suite, tmp_path):
    suite.write_text(
        suite.read_text().replace("label: Drawn", "label: Drawn, config: {offers: false}")
    )
    code, _, said = call("visualize", suite, "--out", tmp_path / "out")
    assert code == 2
    assert "the scorer of checkpoint 1 offers no latents, though the method's spec says so" in said
    assert not (tmp_path / "out" / "latents").exists()


def test_points_of_a_sweep_are_not_drawn(call, suite, tmp_path):
    # The point would fail: it offers nothing to draw.
    suite.write_text(
        suite.read_text().replace("label: Drawn", "label: D, sweep: {offers: [false]}")
    )
    code, text, _ = call("visualize", suite, "--out", tmp_path / "out", "--points", 40)
    assert code == 0
    lines = [line for line in text.splitlines() if line.startswith("| digits")]
    assert [line.split("|")[2].strip() for line in lines] == ["D", "D"]


def test_a_method_that_does_not_apply_is_left_out(call, suite, tmp_path):
    suite.write_text(
        suite.read_text().replace("label: Drawn", "label: Drawn, config: {refuses: true}")
    )
    code, text, said = call("visualize", suite, "--out", tmp_path / "out")
    assert code == 2
    assert "left out: digits · Drawn · seed 0: not applicable: planted" in said
    assert "gzsl-bench: there is nothing to draw" in said
    assert not list((tmp_path / "out").glob("latents*"))


def test_a_method_that_fails_stops_no_other(call, suite, tmp_path):
    failing = "  - {use: drawn, label: Failing, config: {fails: true}}\n"
    suite.write_text(suite.read_text().replace("methods:\n", f"methods:\n{failing}"))
    out = tmp_path / "out"
    code, text, said = call("visualize", suite, "--out", out, "--points", 40)
    assert code == 1
    assert "left out: digits · Failing · seed 0: the training failed: ZeroDivisionError" in said
    lines = [line for line in text.splitlines() if line.startswith("| digits")]
    assert {line.split("|")[2].strip() for line in lines} == {"Drawn"}
    assert (out / "latents_digits.png").exists()
    code, text, said = call("visualize", suite, "--out", out, "--only", "method=Failing")
    assert code == 2
    assert said.count("the training failed") == 1


def test_data_sets_of_one_label_are_all_drawn_and_told_apart(call, suite, tmp_path):
    two = "{use: digits, attributes: strokes}, {use: digits, attributes: lamps}"
    suite.write_text(suite.read_text().replace("[digits]", f"[{two}]"))
    out = tmp_path / "out"
    planned = call("run", suite, "--dry-run", "--only", "method=Drawn", "--out", out)
    seeds = [line.split("|")[1:4] for line in planned[1].splitlines() if "Drawn" in line]
    assert [[part.strip() for part in line] for line in seeds] == [
        ["digits (strokes)", "Drawn", "2"], ["digits (lamps)", "Drawn", "2"]
    ]  # fmt: skip
    code, text, said = call("visualize", suite, "--out", out, "--points", 40, "--format", "json")
    assert code == 0
    assert "training digits (lamps) · Drawn · seed 0 again" in said
    found = json.loads(text[text.index("[") :])
    assert [each["attributes"] for each in found] == ["strokes", "lamps"]
    assert found[0]["parts"] != found[1]["parts"]
    assert sorted(p.name for p in out.glob("*.png")) == [
        "latents_digits-lamps.png", "latents_digits-strokes.png"
    ]  # fmt: skip


def test_an_impossible_perplexity_is_told_before_anything_trains(call, suite, tmp_path):
    out = tmp_path / "out"
    code, text, said = call("visualize", suite, "--points", 7, "--perplexity", 30, "--out", out)
    assert code == 2
    assert "trained" not in text + said
    assert "left out: Without" in said
    assert not (out / "latents").exists()


def test_a_place_that_cannot_be_written_is_told_before_anything_trains(call, suite, tmp_path):
    code, text, said = call("visualize", suite, "--out", tmp_path / "out", "--into", suite / "x")
    assert code == 2
    assert f"--into {suite / 'x'}: {suite} is a file where a folder is expected" in said
    assert "train" not in text + said


def test_unknown_names_and_impossible_values(call, suite):
    code, _, said = call("visualize", suite, "--only", "method=Drwn")
    assert code == 2
    assert "did you mean 'Drawn'" in said
    assert call("visualize", suite, "--perplexity", 1)[0] == 2
    assert call("visualize", suite, "--points", 1)[0] == 2
    code, _, said = call("visualize", suite, "--points", 5, "--perplexity", 30)
    assert code == 2
    assert "--perplexity 30 must be below the number of points" in said


def test_file_names_are_fit_for_any_file_system_and_differ():
    taken: set[str] = set()
    names = [visualize._file_name(n, taken) for n in ("CUB", "cub", "a/b c", "..", "é")]
    assert names == ["latents_CUB", "latents_cub-2", "latents_a-b-c", "latents_data",
                     "latents_data-2"]  # fmt: skip
