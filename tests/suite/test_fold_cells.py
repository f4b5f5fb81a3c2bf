"""Cells of validation folds: keys of their own, and none of the real task's changes."""

from __future__ import annotations

import json

import pytest

from gzsl_bench import Config, Method, MethodSpec
from gzsl_bench.data.folds import validation_folds
from gzsl_bench.errors import DataError
from gzsl_bench.records.suites import parsed
from gzsl_bench.suite.cells import Cell, digest, identity
from gzsl_bench.suite.datasets import Filter
from gzsl_bench.suite.merge import merge
from gzsl_bench.suite.resolved import ResolvedSuite
from gzsl_bench.suite.schema import json_schema


class Plain(Method):
    Config = Config

    def fit(self, task, run):
        return None


PLAIN = MethodSpec("plain", Plain, citation="", fidelity="paper", preprocessing="minmax")
FIXED = MethodSpec("fixed", Plain, citation="", fidelity="paper", deterministic=True)
TEXT = "name: one\ndatasets: [tiny]\nmethods: [plain, fixed]\nseeds: 2\nselection: [last]\n"
VAL = TEXT.replace("[last]", "[last, val, best_test]")


@pytest.fixture
def registry(make_registry):
    return make_registry(PLAIN, FIXED)


def real(suite: ResolvedSuite) -> list[Cell]:
    return [cell for cell in suite.cells if not cell.fold]


def folds(suite: ResolvedSuite, method: str) -> list[tuple[int, int]]:
    return [(c.fold, c.seed) for c in suite.cells if c.fold and c.method == method]


def test_the_key_of_a_finished_record_is_what_it_was():
    """ESZSL on CUB.  A raised number of some code changes it on purpose; nothing else may."""
    described = identity(
        dataset={
            "attributes": "att",
            "features": "resnet_fc1000",
            "fingerprint": "2488a359a72e0dcb",
            "trainval_order": "b74412f575d61a27",
        },
        preprocessing="minmax",
        setting="inductive",
        method={
            "name": "eszsl",
            "version": "1",
            "source": "f862a5337f70618b",
            "config": {"attribute_penalty": 0.1, "feature_penalty": 1.0, "targets": "01"},
        },
        seed=0,
        precision="float32",
    )
    code = {"precision": 1, "predictions": 1, "preprocessing": 1, "streams": 1, "task": 1}
    assert set(described["code"]) == set(code)
    assert digest({**described, "code": code}) == "80854ffae7e7b367741857b7"


def test_val_adds_folds_and_changes_no_real_cell(registry, resolve_text):
    before, after = resolve_text(TEXT, registry), resolve_text(VAL, registry)
    assert not any(cell.fold for cell in before.cells)
    assert real(after) == list(before.cells)
    # One validation seed by default; a deterministic method needs no other, either.
    assert folds(after, "plain") == folds(after, "fixed") == [(1, 0), (2, 0), (3, 0)]
    assert len({cell.key for cell in after.cells}) == len(after.cells) == 3 + 6


def test_a_fold_says_what_it_is_made_of(registry, resolve_text, tiny):
    suite = resolve_text(VAL, registry)
    found = {c.fold: c.identity["task"] for c in suite.cells if c.fold}
    for fold in validation_folds(tiny, [1, 2, 3]):
        assert found[fold.number] == fold.describe()
    (entry,) = suite.datasets
    assert [f["hidden"] for f in entry["folds"]] == [
        fold.unseen.tolist() for fold in validation_folds(tiny, [1, 2, 3])
    ]
    # Apart from the task a fold is the real cell: same data, method, configuration.
    cells = [c for c in suite.cells if c.method == "plain"]
    assert len({c.family for c in cells}) == 1
    assert len({c.group for c in cells}) == 4
    assert next(c.title for c in cells if c.fold) == "tiny · plain · fold 1 · seed 0"
    assert cells[0].title == "tiny · plain · seed 0"


def test_the_number_of_folds_and_their_seeds(registry, resolve_text):
    text = VAL + "folds: 2\nval_seeds: [4, 7]\n"
    suite = resolve_text(text, registry)
    assert folds(suite, "plain") == [(1, 4), (1, 7), (2, 4), (2, 7)]
    assert folds(suite, "fixed") == [(1, 0), (2, 0)]
    # More folds leave those there were alone.
    more = resolve_text(text.replace("folds: 2", "folds: 4"), registry)
    assert {c.key for c in suite.cells} < {c.key for c in more.cells}
    # --seeds speaks of the real task.
    other = resolve_text(text, registry, seeds=[9])
    assert folds(other, "plain") == folds(suite, "plain")
    assert [c.seed for c in real(other)] == [9, 0]


def test_calibration_alone_needs_folds(registry, resolve_text):
    suite = resolve_text(TEXT + "calibration: true\n", registry)
    assert suite.calibration
    assert {c.key for c in suite.cells} == {c.key for c in resolve_text(VAL, registry).cells}
    assert not resolve_text(TEXT + "folds: 5\n", registry).calibration
    assert len(resolve_text(TEXT + "folds: 5\n", registry).cells) == 3


def test_folds_depend_on_the_data_alone(make_registry, resolve_text, make_data):
    one = resolve_text(VAL, make_registry(PLAIN, FIXED))
    data = {"tiny": make_data(1)}
    two = resolve_text(VAL, make_registry(PLAIN, FIXED, data=data))
    assert not {c.key for c in one.cells} & {c.key for c in two.cells}
    # Methods share the folds of their data set.
    plain, fixed = (
        {c.fold: c.identity["task"] for c in one.cells if c.method == name}
        for name in ("plain", "fixed")
    )
    assert plain == fixed


def test_data_without_folds_are_refused_before_anything_runs(
    make_registry, make_data, resolve_text
):
    registry = make_registry(PLAIN, FIXED, data={"tiny": make_data(classes=3)})
    assert resolve_text(TEXT, registry)
    with pytest.raises(DataError, match="has 2 seen and 1 unseen classes"):
        resolve_text(VAL, registry)


def test_partial_runs_add_up(registry, resolve_text):
    first = resolve_text(VAL, registry, only=Filter(methods=frozenset({"plain"})), seeds=[0])
    rest = resolve_text(VAL, registry, only=Filter(methods=frozenset({"fixed"})))
    whole = resolve_text(VAL, registry, seeds=[0])
    assert merge(first, rest).cells == whole.cells
    assert merge(rest, first).cells == whole.cells
    again = parsed(json.dumps(whole.to_json()).encode(), whole.name)
    assert again == whole


def test_suites_stored_by_an_earlier_version_can_be_read(registry, resolve_text):
    suite = resolve_text(TEXT, registry)
    stored = suite.to_json()
    del stored["calibration"]
    assert parsed(json.dumps(stored).encode(), suite.name) == suite


def test_editors_know_the_options():
    known = json_schema()["properties"]
    assert known["folds"]["default"] == 3
    assert (known["folds"]["minimum"], known["folds"]["maximum"]) == (1, 20)
    assert known["calibration"]["type"] == "boolean"
    assert {"integer", "array"} == {part["type"] for part in known["val_seeds"]["anyOf"]}
