"""Friedman and Nemenyi against scipy, Demsar's tables and enumeration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import friedmanchisquare, rankdata

from gzsl_bench.scoring.ranks import critical_difference, friedman, ranking


@given(st.integers(0, 10_000), st.integers(3, 6), st.integers(3, 8))
@settings(max_examples=40)
def test_friedman_agrees_with_scipy_ties_included(seed, methods, datasets):
    scores = np.random.default_rng(seed).integers(0, 5, size=(datasets, methods)).astype(float)
    ranks = np.stack([rankdata(-row) for row in scores])
    if (ranks == ranks[0, 0]).all():
        assert friedman(ranks) == 0
        return
    assert friedman(ranks) == pytest.approx(friedmanchisquare(*scores.T).statistic)


@pytest.mark.parametrize(
    ("methods", "q"),
    # Demsar 2006, Table 5(a), alpha 0.05.
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (10, 3.164)],
)
def test_nemenyi_has_demsars_critical_values(methods, q):
    assert critical_difference(methods, 14) == pytest.approx(
        q * np.sqrt(methods * (methods + 1) / (6 * 14)), abs=2e-3
    )


def test_demsars_example():
    """Section 3.2.2: four classifiers, 14 data sets, average ranks 3.143, 2.000, 2.893, 1.964."""
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.01)
    average = np.array([3.143, 2.000, 2.893, 1.964])
    chi = 12 * 14 / (4 * 5) * ((average**2).sum() - 4 * 25 / 4)
    assert chi == pytest.approx(9.28, abs=0.05)  # the formula our tie-corrected one reduces to
    rng = np.random.default_rng(0)
    ranks = np.stack([rng.permutation(4) + 1.0 for _ in range(14)])
    plain = 12 * 14 / 20 * ((ranks.mean(0) ** 2).sum() - 25)
    assert friedman(ranks) == pytest.approx(plain)


def test_exact_p_by_hand():
    """Three data sets agree on the order of three methods: 6 of 216 orders do."""
    found = ranking(["a", "b", "c"], np.array([[3.0, 2, 1], [30, 20, 10], [9, 8, 7]]))
    assert found.methods == ("a", "b", "c")
    assert found.ranks == (1.0, 2.0, 3.0)
    assert found.statistic == pytest.approx(6.0)
    assert (found.p, found.exact) == (pytest.approx(6 / 216), True)
    # 2.343 * sqrt(12 / 18) = 1.913: only first and last are told apart.
    assert found.critical_difference == pytest.approx(1.913, abs=2e-3)
    assert found.groups == (("a", "b"), ("b", "c"))
    assert not found.powerless


def test_two_methods_on_three_data_sets_have_no_power():
    found = ranking(["a", "b"], np.array([[2.0, 1], [2, 1], [2, 1]]))
    assert found.powerless
    assert found.p == pytest.approx(2 / 8)  # the sign test
    assert found.groups == (("a", "b"),)


def test_drawn_p_is_close_to_the_enumerated_one(monkeypatch):
    scores = np.random.default_rng(4).normal(size=(4, 3)) + np.array([0.8, 0, 0])
    exact = ranking(["a", "b", "c"], scores)
    monkeypatch.setattr("gzsl_bench.scoring.ranks._ENUMERATE", 1)
    drawn = ranking(["a", "b", "c"], scores)
    assert (exact.exact, drawn.exact) == (True, False)
    assert drawn.p == pytest.approx(exact.p, abs=0.02)


@pytest.mark.parametrize(("datasets", "methods"), [(2, 3), (3, 1)])
def test_too_little_is_refused(datasets, methods):
    with pytest.raises(ValueError, match="at least"):
        ranking([str(i) for i in range(methods)], np.ones((datasets, methods)))


def test_all_level():
    found = ranking(["a", "b", "c"], np.ones((3, 3)))
    assert (found.statistic, found.p) == (0.0, 1.0)
    assert found.groups == (("a", "b", "c"),)
