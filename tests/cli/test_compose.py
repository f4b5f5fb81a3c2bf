"""Suites made of options: what they stand for, what is refused."""

from __future__ import annotations

from contextlib import ExitStack

import click
import pytest
import yaml

from gzsl_bench.cli.compose import Composed
from gzsl_bench.cli.main import run
from gzsl_bench.records.layout import Layout
from gzsl_bench.suite.load import load_suite


@pytest.fixture
def compose(tmp_path):
    def go(suite=None, **asked):
        path = Composed(**asked).file(suite, Layout(tmp_path / "out"), (), ExitStack())
        return yaml.safe_load(path.read_text()), path

    return go


def test_names_become_entries(compose, capsys):
    content, path = compose(
        datasets=("CUB", "FLO:efficientnet_lite2", "FLO:mobilenetv2:sent"),
        methods=("acmr", "eszsl[feature_penalty=10,targets=pm1]", "m[sizes=[1,2],rate=1.0e-3]"),
        select=("val", "best_test"),
    )
    name = content.pop("name")
    assert content == {
        "datasets": [
            {"use": "CUB"},
            {"use": "FLO", "features": "efficientnet_lite2", "label": "FLO-efficientnet_lite2"},
            {"use": "FLO", "features": "mobilenetv2", "attributes": "sent",
             "label": "FLO-mobilenetv2-sent"},
        ],
        "methods": [
            {"use": "acmr"},
            {"use": "eszsl", "label": "eszsl feature_penalty=10,targets=pm1",
             "config": {"feature_penalty": 10, "targets": "pm1"}},
            {"use": "m", "label": "m sizes=[1,2],rate=1.0e-3",
             "config": {"sizes": [1, 2], "rate": 0.001}},
        ],
        "selection": ["val", "best_test"],
    }  # fmt: skip
    assert name.startswith("CUB-FLO-acmr-eszsl-m-")
    assert path.name == f"{name}.yaml"
    assert path.read_text() in capsys.readouterr().err
    other, _ = compose(datasets=("CUB",), methods=("acmr",))
    again, _ = compose(datasets=("CUB",), methods=("acmr",))
    assert other["name"] == again["name"] != name


def test_changes_of_a_suite(compose, tmp_path):
    suite = tmp_path / "s.yaml"
    suite.write_text("name: s\ndatasets: [digits]\nmethods: [{use: acmr, label: A}, eszsl]\n")
    assert Composed().file(suite, Layout(tmp_path), (), ExitStack()) == suite
    content, _ = compose(
        suite=suite,
        changes=("seeds=3", "methods.A.config.epochs=10", "methods.eszsl.label=ESZSL"),
    )
    assert content["seeds"] == 3
    assert content["methods"] == [
        {"use": "acmr", "label": "A", "config": {"epochs": 10}},
        {"use": "eszsl", "label": "ESZSL"},
    ]
    short, _ = compose(suite=suite, smoke=True)
    assert short["seeds"] == 1
    assert short["methods"][0]["config"] == {"epochs": 2, "classifier_epochs": 2}
    assert short["methods"][1]["config"] == {}
    assert len({short["name"], content["name"], "s"}) == 3


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({}, "give SUITE, or a data set with -d and a method with -m"),
        ({"datasets": ("CUB",)}, "a method with -m"),
        ({"datasets": ("a:b:c:d",), "methods": ("m",)}, "write NAME, NAME:FEATURES or"),
        ({"datasets": ("a:",), "methods": ("m",)}, "write NAME, NAME:FEATURES or"),
        ({"datasets": ("a,b",), "methods": ("m",)}, "-d 'a,b' is several names; repeat -d"),
        ({"datasets": ("a",), "methods": ("m,n",)}, "-m 'm,n' is several names; repeat -m"),
        ({"datasets": ("a",), "methods": ("m[",)}, r"write NAME or NAME\[KEY=VALUE"),
        ({"datasets": ("a",), "methods": ("m[x]",)}, "write KEY=VALUE"),
        ({"datasets": ("a",), "methods": ("m[x=1,x=2]",)}, r"-m 'm\[x=1,x=2\]' gives x twice"),
        ({"datasets": ("a",), "methods": ("m",), "changes": ("methods.n.x=1",)}, "unknown entry"),
        ({"datasets": ("a",), "methods": ("m",), "changes": ("seeds",)}, "write KEY=VALUE"),
        (
            {"datasets": ("a",), "methods": ("m",), "changes": ("methods.0=1",)},
            "leads to no mapping",
        ),
        (
            {"datasets": ("a",), "methods": ("m",), "changes": ("name.x.y=1",)},
            "leads to no mapping",
        ),
    ],
)
def test_what_is_not_understood(compose, asked, sentence):
    with pytest.raises(click.UsageError, match=sentence):
        compose(**asked)


def test_a_dry_run_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["run", "-d", "digits", "-m", "eszsl", "--dry-run", "--tracking-uri", "none"]) == 0
    assert "| digits   | eszsl  |" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["-m", "nope"], "unknown method 'nope'"),
        (["-m", "eszsl[feature_penalty=abc]"], "should be a number"),
        (["-m", "eszsl", "-d", "nope"], "unknown data set 'nope'"),
        (["-m", "eszsl", "-d", "digits:nope"], "unknown feature set"),
        (["-m", "eszsl", "--set", "seeds=-3"], "between 1 and"),
        (["-m", "eszsl", "--only", "method=zzz"], "unknown method of this suite"),
        (["-m", "eszsl", "-d", "CUB"], "data files are missing"),
    ],
)
def test_what_is_refused_leaves_nothing(tmp_path, monkeypatch, capsys, asked, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "used").mkdir()
    given = ["run", "-d", "digits", *asked, "--data", "used", "--out", "used/new/out"]
    assert run([*given, "--tracking-uri", "none"]) == 2
    assert said in capsys.readouterr().err
    assert [each.name for each in tmp_path.rglob("*")] == ["used"]


def test_a_results_folder_that_cannot_be_is_said_in_a_sentence(tmp_path, capsys):
    (tmp_path / "out").symlink_to(tmp_path / "nothing" / "there")
    given = ["run", "-d", "digits", "-m", "eszsl", "--out", str(tmp_path / "out")]
    assert run([*given, "--tracking-uri", "none"]) == 2
    assert "put it right and start again" in capsys.readouterr().err


def test_a_smoke_test_leaves_wrong_values_to_the_check(compose, tmp_path):
    suite = tmp_path / "s.yaml"
    suite.write_text(
        "name: s\ndatasets: [digits]\nmethods: [{use: acmr, config: {epochs: many}}]\n"
    )
    content, _ = compose(suite=suite, smoke=True)
    assert content["methods"][0]["config"] == {"epochs": "many", "classifier_epochs": 2}


def test_a_suite_and_names_exclude_one_another(compose, tmp_path):
    with pytest.raises(click.UsageError, match="either"):
        compose(suite=tmp_path / "s.yaml", datasets=("CUB",))


def test_from_the_command_line_to_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    asked = [
        "run",
        "-d",
        "digits",
        "-m",
        "eszsl[targets=pm1]",
        "--inline",
        "--tracking-uri",
        "none",
    ]
    assert run(asked) == 0
    said = capsys.readouterr()
    assert "| eszsl targets=pm1 | " in said.out
    assert "best on digits: eszsl targets=pm1, H " in said.out
    (made,) = (tmp_path / "gzsl-results" / "suites").glob("digits-eszsl-*.yaml")
    assert run(["table", made.stem, "--format", "csv"]) == 0
    assert "eszsl targets=pm1" in capsys.readouterr().out
    assert run(["tune"]) == 2
    assert "give SUITE" in capsys.readouterr().err


@pytest.mark.parametrize(("value", "said"), [
    ("seeds=010", r"--set: 010 would be read as 8, for in YAML a leading zero"),
    ("methods.eszsl.config.targets=[01]", "--set: 01 would be read as 1"),
    ("methods.eszsl.config={feature_penalty: 1_0}", "--set: 1_0 would be read as 10"),
    ("seeds=&a [*a, 1:30]", "--set: 1:30 would be read as 90"),
])  # fmt: skip
def test_numbers_are_read_as_in_a_file(compose, tmp_path, value, said):
    suite = tmp_path / "s.yaml"
    suite.write_text("name: s\ndatasets: [digits]\nmethods: [eszsl]\n")
    with pytest.raises(click.UsageError, match=said):
        compose(suite=suite, changes=(value,))
    content, path = compose(
        suite=suite, changes=("methods.eszsl.label=no", "description=2026-01-31")
    )
    assert content["methods"] == [{"use": "eszsl", "label": "no"}]
    assert load_suite(path).suite.description == "2026-01-31"
