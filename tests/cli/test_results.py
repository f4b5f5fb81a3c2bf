"""What a results folder holds, and commands that need no suite's name where it holds one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gzsl_bench import Method, MethodSpec
from gzsl_bench.cli.main import run
from gzsl_bench.records.suites import remember, told
from gzsl_bench.terminal import streams


class Constant(Method):
    def fit(self, task, run):
        import torch

        return lambda rows: torch.zeros(len(rows), len(task.attributes))


@pytest.fixture
def folder(make_registry, resolve_text, run_inline, tmp_path, monkeypatch):
    """A suite of two methods with numbers, in the results folder ``out``."""
    spec = [MethodSpec(name, Constant, "", "paper", deterministic=True) for name in ("one", "two")]
    registry = make_registry(*spec)
    suite = resolve_text("name: kept\ndatasets: [tiny]\nmethods: [one, two]\n", registry)
    _, store, _ = run_inline(suite.cells, registry)
    remember(store.layout, suite)
    monkeypatch.chdir(tmp_path)
    return store.layout, suite


def test_a_folder_says_what_it_holds(folder, capsys):
    layout, _ = folder
    assert run(["results", "--out", str(layout.out), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["suite"], found["methods"]) == ("kept", ["one", "two"])
    assert (found["cells"], found["done"], found["failed"]) == (2, 2, 0)
    assert run(["results", "--out", str(layout.out)]) == 0
    said, told = capsys.readouterr()
    assert f"next: gzsl-bench table kept --out {layout.out}; report and ui" in told
    assert "| kept  | tiny      | one, two | 2 of 2     | 0      |" in said
    # It answers what a run ends with.
    head = "kept, best by last (last checkpoint, nothing was chosen, so the test set had no say); ±"
    assert head in said
    assert "\ntiny: one, H 0.0, 95 % interval [0.0, " in said
    assert found["best"][0]["sentence"].rstrip(".") in said
    assert found["best"][0]["established"] is False
    assert found["best"][0]["harmonic_mean"]["mean"] == 0
    assert run(["results", "--out", "nowhere"]) == 0
    assert "nowhere holds no suite yet" in capsys.readouterr().err


def test_the_only_suite_needs_no_name(folder, capsys):
    layout, suite = folder
    where = ["--out", str(layout.out)]
    assert run(["table", *where, "--metrics", "H,U"]) == 0
    named = capsys.readouterr().out
    assert run(["table", "kept", *where, "--metrics", "H,U"]) == 0
    assert capsys.readouterr().out == named
    assert run(["compare", "one", "two", *where]) == 0
    assert "| tiny     | U" in capsys.readouterr().out
    # What is to be typed next stands as it is to be typed.
    assert run(["compare", *where]) == 0
    assert f"metric by metric: gzsl-bench compare kept one two --out {layout.out}\n" in (
        capsys.readouterr().err
    )
    assert run(["table", "kpt", *where]) == 2
    assert "did you mean 'kept'?" in capsys.readouterr().err
    layout.suite("more").write_bytes(layout.suite("kept").read_bytes())
    assert run(["table", *where]) == 2
    assert "holds 2 suites (kept, more); name one of them" in capsys.readouterr().err


def test_versions_of_an_edited_suite_are_named_and_an_old_report_is_known(folder, capsys):
    layout, suite = folder
    where = ["--out", str(layout.out)]
    page = '<meta name="gzsl-bench-records" content="0123456789abcdef kept">'
    (layout.out / "report.html").write_text(page)
    edited = replace(suite, text=f"{suite.text}# edited", cells=suite.cells[:1])
    remember(layout, edited)
    capsys.readouterr()
    assert run(["results", *where]) == 0
    said = capsys.readouterr()
    (beside,) = (name.stem for name in layout.suite("x").parent.glob("kept~*"))
    other = f"another version of this suite, from before its file was edited, is kept as {beside}:"
    assert other in said.out
    assert "report.html was made of other records" in said.err
    assert f"gzsl-bench report kept --out {layout.out}" in said.err
    assert run(["table", *where]) == 0
    assert other in capsys.readouterr().err


def test_a_warning_of_data_is_told_once(folder):
    layout, suite = folder
    assert told(layout, suite) == frozenset()
    remember(layout, replace(suite, warnings=("CUB: lists leak",)))
    assert told(layout, suite) == {"CUB: lists leak"}


def test_a_suite_file_that_is_not_there_is_nearly_named(tmp_path, capsys):
    (tmp_path / "paper.yaml").write_text("name: paper\n")
    assert run(["run", str(tmp_path / "papr.yaml"), "--tracking-uri", "none"]) == 2
    assert f"did you mean {tmp_path / 'paper.yaml'}?" in capsys.readouterr().err
    assert run(["run", str(tmp_path / "s.yaml"), "--tracking-uri", "none"]) == 2
    assert capsys.readouterr().err.endswith("s.yaml\n")  # the endings are alike, the names are not


def test_what_is_said_on_a_terminal_is_broken_between_words_and_commands_are_not():
    command = "gzsl-bench compare paper --out /somewhere/far/away/in/a/deep/folder a-method another"
    said = f"next, {'very ' * 20}long: {command}"
    *prose, last = streams._fitted(said, 60).split("\n")
    assert last == f"  {command}"
    assert all(len(line) <= 60 for line in prose)
    assert " ".join(prose).split() == f"next, {'very ' * 20}long:".split()
    assert streams._fitted("x" * 90, 60) == "x" * 90
