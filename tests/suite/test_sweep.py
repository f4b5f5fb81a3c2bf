"""Sweeps: one value at a time, rows of their own, keys as if the value stood under ``config``."""

from __future__ import annotations

import pytest

from gzsl_bench import BatchedMethod, Config, MethodSpec, stackable
from gzsl_bench.engine.units import plan
from gzsl_bench.errors import SuiteError
from gzsl_bench.suite.datasets import Filter
from gzsl_bench.suite.merge import merge
from gzsl_bench.suite.sweep import ABOUT, point


class Knobs(Config):
    width: int = 4
    rate: float = stackable(0.1, "learning rate", gt=0)
    weight: float = stackable(1.0, "weight of the loss", ge=0)
    gate: bool = True


class Plain(BatchedMethod):
    Config = Knobs

    @classmethod
    def defaults(cls, dataset):
        return {"rate": 0.2}

    def fit_batch(self, task, runs):
        return [None for _ in runs]


PLAIN = MethodSpec("plain", Plain, citation="", fidelity="paper")
TEXT = """\
name: s
datasets: [tiny]
methods:
  - use: plain
    label: P
    config: {weight: 3.0}
    sweep:
      rate: [0.5, 1]
      weight: [3.0, 9.0]
seeds: 2
"""


@pytest.fixture
def registry(make_registry):
    return make_registry(PLAIN)


def test_one_value_at_a_time_and_the_entry_itself_first(registry, resolve_text):
    suite = resolve_text(TEXT, registry)
    found = [
        (c.label, c.seed, c.identity["method"]["config"]["rate"],
         c.identity["method"]["config"]["weight"])
        for c in suite.cells
    ]  # fmt: skip
    assert found == [
        ("P", 0, 0.2, 3.0), ("P", 1, 0.2, 3.0),
        ("P rate=0.5", 0, 0.5, 3.0), ("P rate=0.5", 1, 0.5, 3.0),
        ("P rate=1", 0, 1.0, 3.0), ("P rate=1", 1, 1.0, 3.0),
        ("P weight=3", 0, 0.2, 3.0), ("P weight=3", 1, 0.2, 3.0),
        ("P weight=9", 0, 0.2, 9.0), ("P weight=9", 1, 0.2, 9.0),
    ]  # fmt: skip
    assert [c.about.get(ABOUT) for c in suite.cells[:3:2]] == [
        None,
        {"of": "P", "field": "rate", "value": 0.5, "description": "learning rate"},
    ]


def test_a_point_has_the_key_of_its_configuration(registry, resolve_text):
    suite = resolve_text(TEXT, registry)
    alone = resolve_text(
        "name: s\ndatasets: [tiny]\nmethods: [{use: plain, config: {weight: 3.0, rate: 0.5}}]\n",
        registry,
    )
    assert alone.cells[0].key == next(c.key for c in suite.cells if c.label == "P rate=0.5")
    # The method's own value is no other training, though it has a row of its own.
    own, same = (next(c for c in suite.cells if c.label == n) for n in ("P", "P weight=3"))
    assert own.key == same.key


def test_stackable_points_and_seeds_are_one_unit(registry, resolve_text):
    suite = resolve_text(TEXT, registry)
    units = plan(suite.cells, registry, 20)
    assert [len(unit.cells) for unit in units] == [8]  # 5 rows of 2 seeds, 2 trained once for two
    text = TEXT + "  \n"
    text = text.replace("      weight: [3.0, 9.0]", "      width: [8]")
    assert sorted(len(u.cells) for u in plan(resolve_text(text, registry).cells, registry, 20)) == [
        2,
        6,
    ]


def test_partial_runs_keep_the_order_of_the_file(registry, resolve_text):
    whole = resolve_text(TEXT, registry)
    first, second = (resolve_text(TEXT, registry, seeds=[n]) for n in (1, 0))
    assert merge(first, second).cells == whole.cells


def test_points_may_have_seeds_of_their_own(registry, resolve_text):
    text = TEXT.replace("    sweep:", "    sweep_seeds: [7]\n    sweep:")
    found = [(c.label, c.seed) for c in resolve_text(text, registry).cells]
    assert found[:4] == [("P", 0), ("P", 1), ("P rate=0.5", 7), ("P rate=1", 7)]
    assert len(found) == 6
    assert {c.seed for c in resolve_text(text, registry, seeds=[3]).cells} == {3}


def test_a_filter_names_the_entry(registry, resolve_text):
    only = Filter(methods=frozenset({"P"}))
    assert len(resolve_text(TEXT, registry, only=only).cells) == 10


WRONG = {
    "unknown": ("rate: [0.5, 1]", "rat: [1]", "8: unknown hyper-parameter 'rat'; did you mean"),
    "outside": ("[0.5, 1]", "[0.5, 0]", "8: 'rate' cannot be 0: input should be greater than 0"),
    "kind": ("[0.5, 1]", "[fast]", "8: 'rate' cannot be 'fast': input should be a valid number"),
    "range": ("[0.5, 1]", "{low: 1, high: 2}", "8: 'rate' should be a list"),
    "twice": ("[0.5, 1]", "[1, 1]", "8: the same value is listed twice"),
    "one value in two spellings": ("[0.5, 1]", "[1, 1.0]", "4: two methods are called 'P rate=1'"),
    "empty": ("[0.5, 1]", "[]", "8: 'rate' is empty"),
    "seeds of no sweep": (
        "seeds: 2",
        "  - {use: plain, label: Q, sweep_seeds: 1}\nseeds: 2",
        "10: `sweep_seeds` is of no use without `sweep`",
    ),
    "the label of a point": (
        "seeds: 2",
        "  - {use: plain, label: P rate=0.5}\nseeds: 2",
        "10: two methods are called 'P rate=0.5'",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_mistakes_get_a_sentence(registry, resolve_text, tmp_path, case):
    old, new, expected = WRONG[case]
    with pytest.raises(SuiteError) as caught:
        resolve_text(TEXT.replace(old, new), registry)
    assert str(caught.value).startswith(f"{tmp_path / 'suite.yaml'}:{expected}")


def test_an_entry_is_not_swept_and_tuned(registry, resolve_text):
    text = TEXT.replace("seeds: 2", "    tune: {gate: [true, false]}")
    with pytest.raises(SuiteError, match=":7: an entry is swept or tuned"):
        resolve_text(text, registry)


def test_names_of_points():
    assert point("A", "x", 1.0) == point("A", "x", 1) == "A x=1"
    assert point("A", "x", 305.555) == "A x=305.555"
    assert point("A", "x", True) == "A x=true"
    assert point("A", "x", "identity") == "A x=identity"
