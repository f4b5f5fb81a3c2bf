"""Stored suites: kept beside the records, found by file or by name."""

from __future__ import annotations

import pytest

from gzsl_bench import Method, MethodSpec
from gzsl_bench.errors import RecordError
from gzsl_bench.records import strict
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.suites import add, current, recall, remember

TEXT = "name: kept\ndatasets: [tiny]\nmethods: [plain]\nseeds: 3\n"


class Plain(Method):
    def fit(self, task, run):
        return None


@pytest.fixture
def suite(make_registry, resolve_text):
    spec = MethodSpec("plain", Plain, citation="", fidelity="paper")
    return lambda **options: resolve_text(TEXT, make_registry(spec), **options)


def test_what_is_remembered_is_recalled(tmp_path, suite):
    layout = Layout(tmp_path / "out")
    made = suite()
    assert remember(layout, made) == made
    assert recall(layout, "kept").to_json() == made.to_json()
    assert recall(layout, str(tmp_path / "suite.yaml")).to_json() == made.to_json()
    assert [p.name for p in (layout.out / "suites").iterdir()] == ["kept.json"]


def test_partial_runs_add_up(tmp_path, suite):
    layout = Layout(tmp_path / "out")
    remember(layout, suite(seeds=[2]))
    remember(layout, suite(seeds=[0]))
    assert [c.seed for c in recall(layout, "kept").cells] == [0, 2]


@pytest.mark.parametrize("content", ["", "[]", '{"name": 3}', "{", '{"cells": 3, "name": "x"}'])
def test_a_damaged_file_is_written_anew(tmp_path, suite, content):
    layout = Layout(tmp_path / "out")
    layout.suite("kept").parent.mkdir(parents=True)
    layout.suite("kept").write_text(content)
    with pytest.raises(RecordError, match="holds nothing of the suite 'kept'"):
        recall(layout, "kept")
    made = suite()
    assert remember(layout, made) == made
    assert recall(layout, "kept").to_json() == made.to_json()


def test_unknown_suites_get_a_sentence(tmp_path, suite):
    layout = Layout(tmp_path / "out")
    with pytest.raises(RecordError, match="'x'; it holds no suite yet"):
        recall(layout, "x")
    remember(layout, suite())
    with pytest.raises(RecordError, match="'x'; it knows kept"):
        recall(layout, "x")
    with pytest.raises(RecordError, match="holds nothing"):
        recall(layout, "../suites/kept")


def test_two_suites_of_one_name_are_both_kept_and_found_by_their_files(
    tmp_path, make_registry, resolve_text, capsys
):
    """Before, the second one took the place of the first without a word."""
    registry = make_registry(MethodSpec("plain", Plain, citation="", fidelity="paper"))
    layout, texts = Layout(tmp_path / "out"), {"a": TEXT, "b": TEXT.replace("seeds: 3", "seeds: 2")}
    files = {name: tmp_path / f"{name}.yaml" for name in texts}
    for name, file in files.items():
        file.write_text(texts[name])
    made = {name: resolve_text(text, registry) for name, text in texts.items()}
    strict.forget()
    for last in ("a", "b", "a", "b"):
        assert remember(layout, made[last]) == made[last]
        assert recall(layout, "kept") == made[last]
        assert current(layout, made["a"]) == made["a"]
    for name, file in files.items():
        assert recall(layout, str(file)) == made[name]
    names = sorted(p.stem for p in layout.suite("x").parent.iterdir())
    assert [name.partition("~")[0] for name in names] == ["kept", "kept"]
    assert recall(layout, names[1]) == made["a"]
    assert f"kept is the one run last, {names[1]} the other" in capsys.readouterr().err
    # From elsewhere a third one.
    third = resolve_text(TEXT + "description: third\n", registry)
    assert not add(layout, third)
    assert recall(layout, "kept") == made["b"]
    assert recall(layout, str(tmp_path / "suite.yaml")) == third
    # One that shows all that the other showed takes its place.
    more = resolve_text(TEXT.replace("seeds: 3", "seeds: 4"), registry)
    remember(layout, more)
    assert len(list(layout.suite("x").parent.iterdir())) == 3
