"""Candidates from Optuna: complete grids; draws that repeat, differ and stay within limits."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest

from gzsl_bench.errors import GzslBenchError
from gzsl_bench.suite.space import Interval
from gzsl_bench.tuning.search import candidates

RATE = Interval(0.001, 10, log=True, whole=False)
SPACE = {
    "rate": RATE,
    "batch": Interval(1, 64, log=False, whole=True),
    "layers": [[4], [8, 8], None],
}


def test_a_grid_is_every_combination_in_the_order_of_the_lists():
    values = {"a": [3, 1, 2], "b": [[1], [2, 2], None], "c": ["x", True]}
    found = candidates({n: list(v) for n, v in values.items()}, "grid", None)
    expected = [dict(zip(values, row, strict=True)) for row in itertools.product(*values.values())]
    assert found == expected


def test_draws_are_the_same_every_time_and_more_trials_add_some():
    few, many = candidates(SPACE, "random", 5), candidates(SPACE, "random", 40)
    assert many[:5] == few
    assert candidates(SPACE, "random", 40) == many
    assert len({str(c) for c in many}) == 40


def test_draws_stay_within_the_limits_and_spread_as_asked():
    found = candidates(SPACE, "random", 400)
    rates = np.array([c["rate"] for c in found])
    assert rates.min() >= 0.001
    assert rates.max() <= 10
    # Evenly spread logarithms: a quarter in each of the four decades, sd 8.7 of 400.
    for low in (0.001, 0.01, 0.1, 1):
        assert 65 < np.sum((rates >= low) & (rates < 10 * low)) < 135
    assert all(float(f"{rate:.4g}") == rate for rate in rates)
    batches = [c["batch"] for c in found]
    assert all(type(b) is int for b in batches)
    assert (min(batches), max(batches)) == (1, 64)
    assert {str(c["layers"]) for c in found} == {"[4]", "[8, 8]", "None"}


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    ("low", "high"), [(0.99991, 0.99993), (1e-5, 2e-5), (0.123456, 0.123457), (1000, 1001)]
)
def test_a_narrow_range_is_drawn_from_between_its_ends(low, high, log):
    found = candidates({"x": Interval(low, high, log, whole=False)}, "random", 100)
    values = np.array(sorted(c["x"] for c in found))
    assert len(values) == 100
    assert values.min() >= low
    assert values.max() <= high
    # As many in each quarter as chance gives 100 draws, sd 4.3.
    assert all(10 < n < 40 for n in np.histogram(values, bins=4, range=(low, high))[0])


def test_a_small_space_is_used_up():
    space = {"n": Interval(1, 3, log=False, whole=True), "c": ["a", "b"]}
    found = candidates(space, "random", 50)
    assert {(c["n"], c["c"]) for c in found} == set(itertools.product((1, 2, 3), "ab"))
    assert len(found) == 6


def test_without_optuna_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(GzslBenchError) as caught:
        candidates(SPACE, "random", 5)
    expected = "tune needs Optuna, which is not installed: pip install 'gzsl-bench[tune]'"
    assert str(caught.value) == expected
