"""Search spaces in suites: what they may say, and complaints with a line."""

from __future__ import annotations

import math

import pytest
from pydantic import Field, model_validator

from gzsl_bench import Config, Method, MethodSpec
from gzsl_bench.errors import SuiteError
from gzsl_bench.suite.load import check_names, load_suite
from gzsl_bench.suite.schema import json_schema
from gzsl_bench.suite.space import MOST_TRIALS, Interval, dimensions, size


class Knobs(Config):
    batch: int = Field(8, ge=1)
    rate: float = Field(0.1, gt=0)
    limit: int | None = None
    kind: str = "a"
    layers: tuple[int, ...] = (4,)
    first: int = 0
    last: int = 5

    @model_validator(mode="after")
    def _in_order(self):
        if self.first > self.last:
            raise ValueError("first must not be larger than last")
        return self


class Plain(Method):
    Config = Knobs

    def fit(self, task, run):
        return None


SPEC = MethodSpec("plain", Plain, citation="", fidelity="paper")
HEAD = "name: s\ndatasets: [tiny]\nmethods:\n  - use: plain\n"


@pytest.fixture
def load(tmp_path, make_registry):
    def go(rest: str, head: str = HEAD):
        path = tmp_path / "s.yaml"
        path.write_text(head + rest, encoding="utf-8")
        loaded = load_suite(path)
        check_names(loaded, make_registry(SPEC), ())
        return loaded.suite

    return go


@pytest.fixture
def complaint(load, tmp_path):
    def go(rest: str) -> str:
        with pytest.raises(SuiteError) as caught:
            load(rest)
        message = str(caught.value).removeprefix(f"{tmp_path / 's.yaml'}:")
        assert "\n" not in message
        return message

    return go


TUNE = "    tune:\n      "
RANDOM = "    search: random\n    trials: 3\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            TUNE + "rat: [1]\n",
            "6: unknown hyper-parameter 'rat'; did you mean 'rate'? available: batch,",
        ),
        (TUNE + "rate: 5\n", "6: 'rate' is 5: a list of values or a range with low and high"),
        (TUNE + "rate: []\n", "6: 'rate' is empty and needs at least one entry"),
        (TUNE + "rate:\n        - 1\n        - -1\n", "8: 'rate' cannot be -1: input should be gr"),
        (TUNE + "kind: [a, 3]\n", "6: 'kind' cannot be 3: input should be a valid string"),
        (TUNE + "rate: [1, 2, 1]\n", "6: the same value is listed twice"),
        (TUNE + "rate: {lo: 1, high: 2}\n", "6: unknown key 'lo'; did you mean 'low'?"),
        (TUNE + "rate:\n        low: 1\n", "6: the key 'high' is missing"),
        (TUNE + "rate:\n        low: a\n        high: 2\n", "7: 'low' should be a number, not 'a'"),
        (TUNE + "rate: {low: 2, high: 2}\n" + RANDOM, "6: low must be smaller than high"),
        (TUNE + "rate: {low: -1.0e308, high: 1.0e308}\n" + RANDOM, "6: -1e+308 to 1e+308 is wide"),
        (TUNE + "rate: {low: .nan, high: 2}\n" + RANDOM, "6: 'low' is nan"),
        (
            TUNE + "rate: {low: 0, high: 2, log: true}\n" + RANDOM,
            "6: a range with log: true must begin above 0",
        ),
        (TUNE + "rate: {low: 0, high: 2}\n" + RANDOM, "6: 'rate' cannot be 0.0: input should be g"),
        (
            TUNE + "batch: {low: 1.5, high: 3}\n" + RANDOM,
            "6: 'batch' takes whole numbers only, so 'low' cannot be 1.5",
        ),
        (TUNE + "batch: {low: 0, high: 3}\n" + RANDOM, "6: 'batch' cannot be 0: input should be g"),
        (TUNE + "kind: {low: 1, high: 3}\n" + RANDOM, "6: 'kind' cannot be 1.0: input should be a"),
        (TUNE + "rate: {low: 1, high: 3}\n", "6: 'rate' is a range, and a grid is made of lists"),
        (TUNE + "rate: [1, 2]\n    search: random\n", "5: a random search needs a number of `tri"),
        (
            TUNE + "rate: [1, 2]\n    trials: 2\n",
            "7: a grid tries all combinations, so `trials`",
        ),
        (TUNE + "rate: [1, 2]\ntrials: 2\n", "7: `trials` belongs to `search: random`, and no"),
        (TUNE + "rate: [1]\n    search: gird\n", "7: 'search' is 'gird', but 'grid' or 'random'"),
        (TUNE + "rate: [1]\n    search: random\n    trials: 0\n", "8: 'trials' is 0: input should"),
        ("    tune: {}\n", "5: 'tune' is empty and needs at least one entry"),
        ("    tune: [1]\n", "5: 'tune' should be a mapping, not [1]"),
        ("    trials: 3\n", "5: `search` and `trials` are of no use without a search space"),
        (
            "    config: {rate: 1}\n" + TUNE + "rate: [1, 2]\n",
            "7: 'rate' is fixed under `config` and tuned",
        ),
        (
            TUNE + "rate: [1]\n    preprocessing: minmax_refit_on_test\n",
            "4: the preprocessing 'minmax_refit_on_test' of 'plain' sees the test set",
        ),
    ],
)
def test_complaints_name_the_line(complaint, text, expected):
    assert complaint(text).startswith(expected)


def test_a_grid_too_large_to_be_meant(complaint):
    text = f"    tune:\n      rate: {list(range(1, 51))}\n      batch: {list(range(1, 51))}\n"
    found = complaint(text)
    assert found.startswith("5: this grid has 2500 combinations")
    assert str(MOST_TRIALS) in found


def test_whole_numbers_are_what_the_field_says(load):
    suite = load(
        "    tune:\n"
        "      batch: {low: 1, high: 64, log: true}\n"
        "      limit: {low: 2, high: 4}\n"
        "      rate: {low: 1, high: 64}\n"
        "      layers: [[4], [8, 8]]\n" + RANDOM
    )
    found = dimensions(suite.methods[0].tune, Knobs, {})
    assert found == {
        "batch": Interval(1, 64, True, True),
        "limit": Interval(2, 4, False, True),
        "rate": Interval(1, 64, False, False),
        "layers": [[4], [8, 8]],
    }
    assert size(found) == math.inf
    del found["rate"]
    assert size(found) == 64 * 3 * 2


def test_a_value_wrong_only_in_company_is_judged_later(load):
    # 7 alone contradicts the default of `last`; beside last 9 it is right.
    suite = load("    tune:\n      first: [0, 7]\n      last: [5, 9]\n")
    assert suite.methods[0].tune == {"first": [0, 7], "last": [5, 9]}


def test_a_method_may_search_in_its_own_way(load):
    suite = load(
        "    tune: {rate: {low: 1, high: 2}}\n    trials: 7\n    search: random\n"
        "  - {use: plain, label: other, tune: {rate: [1, 2]}}\n"
    )
    assert [suite.kind_of_search(m) for m in suite.methods] == ["random", "grid"]


HALVES = """\
name: s
datasets: [tiny, {use: tiny, label: two}]
methods:
  - {use: plain, datasets: [tiny], config: {rate: 1}}
  - {use: plain, datasets: [two], config: {rate: 2}}
"""


def test_entries_share_a_label_where_their_data_sets_differ(
    load, make_registry, resolve_text, tmp_path
):
    assert len(load("", HALVES).methods) == 2
    cells = resolve_text(HALVES, make_registry(SPEC)).cells
    rates = {c.dataset: c.identity["method"]["config"]["rate"] for c in cells}
    assert rates == {"tiny": 1.0, "two": 2.0}
    assert {c.label for c in cells} == {"plain"}
    for text in (
        HALVES.replace("[two]", "[two, tiny]"),
        HALVES.replace("datasets: [two], ", ""),
    ):
        with pytest.raises(SuiteError, match=r":5: two methods are called 'plain'; give each"):
            load("", text)


def test_run_says_that_it_does_not_search(resolve_text, make_registry):
    suite = resolve_text(HEAD + "    tune: {rate: [1, 2]}\n", make_registry(SPEC))
    assert [c.identity["method"]["config"]["rate"] for c in suite.cells] == [0.1]
    (warning,) = suite.warnings
    assert "search space of plain is left aside" in warning


def test_the_schema_describes_both_forms():
    schema = json_schema()
    space = schema["$defs"]["MethodEntry"]["properties"]["tune"]
    (mapping,) = [part for part in space["anyOf"] if part["type"] == "object"]
    forms = mapping["additionalProperties"]["oneOf"]
    assert {form.get("type", form.get("$ref")) for form in forms} == {"array", "#/$defs/Range"}
    assert set(schema["$defs"]["Range"]["properties"]) == {"low", "high", "log"}
