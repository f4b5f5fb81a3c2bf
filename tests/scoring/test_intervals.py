"""Intervals over seeds and classes: textbook cases, the analysis of variance, coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmarks.coverage import POPULATIONS, coverage
from gzsl_bench.scoring.intervals import difference_intervals, intervals
from gzsl_bench.scoring.sample import CLASS_METRICS, Sample, means


def sample(unseen, seen, zsl=None) -> Sample:
    unseen, seen = np.atleast_2d(unseen).astype(float), np.atleast_2d(seen).astype(float)
    zsl = unseen if zsl is None else np.atleast_2d(zsl).astype(float)
    ids = np.arange(unseen.shape[1] + seen.shape[1])
    return Sample(unseen, seen, zsl, ids[: unseen.shape[1]], ids[unseen.shape[1] :])


def random_sample(seeds=4, unseen=6, seen=9, seed=0) -> Sample:
    rng = np.random.default_rng(seed)
    return sample(*(100 * rng.random((seeds, k)) for k in (unseen, seen)))


def logit(percent: float) -> float:
    return math.log(percent / (100 - percent))


def test_one_seed_is_the_t_interval_over_classes_on_the_logit():
    classes = np.array([20.0, 35.0, 50.0, 45.0, 60.0])
    low, high = intervals(sample(classes, [50, 60, 70]))["acc_unseen"]
    half = stats.t.ppf(0.975, 4) * classes.std(ddof=1) / math.sqrt(5)
    share = classes.mean() / 100
    slope = 100 * share * (1 - share)
    assert logit(low) == pytest.approx(logit(classes.mean()) - half / slope)
    assert logit(high) == pytest.approx(logit(classes.mean()) + half / slope)


def test_a_difference_on_one_seed_is_the_paired_t_interval_over_classes():
    a, b = np.array([20.0, 35.0, 50.0, 45.0]), np.array([10.0, 30.0, 52.0, 33.0])
    low, high = difference_intervals(sample(a, [50, 60]), sample(b, [50, 60]))["acc_unseen"]
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high))


def test_seeds_and_classes_add_up_as_in_the_analysis_of_variance():
    """Mean squares and Satterthwaite's degrees of freedom by the textbook's sums."""
    values = np.array([[10.0, 40, 55, 62], [14, 47, 50, 70], [22, 43, 66, 71]])
    n, c = values.shape
    grand = values.mean()
    ms_seeds = c * ((values.mean(1) - grand) ** 2).sum() / (n - 1)
    ms_classes = n * ((values.mean(0) - grand) ** 2).sum() / (c - 1)
    rest = values - values.mean(1)[:, None] - values.mean(0)[None] + grand
    ms_rest = (rest**2).sum() / ((n - 1) * (c - 1))
    variance = (ms_seeds + ms_classes - ms_rest) / (n * c)
    freedom = (ms_seeds + ms_classes - ms_rest) ** 2 / (
        ms_seeds**2 / (n - 1) + ms_classes**2 / (c - 1) + ms_rest**2 / ((n - 1) * (c - 1))
    )
    half = stats.t.ppf(0.975, freedom) * math.sqrt(variance)
    low, high = difference_intervals(sample(values, values), sample(0 * values, 0 * values))[
        "acc_unseen"
    ]
    assert (low, high) == pytest.approx((grand - half, grand + half))


def test_two_seeds_add_two_t_variables():
    """Against drawn sums of them."""
    values = np.array([[30.0, 40, 55, 62, 48], [44, 47, 70, 75, 60]])
    alone = values.mean(1).var(ddof=1) / 2
    rest = values - values.mean(1)[:, None] - values.mean(0)[None] + values.mean()
    alone -= (rest**2).sum() / 4 / 10
    over_classes = values.mean(0).var(ddof=1) / 5
    rng = np.random.default_rng(0)
    drawn = math.sqrt(over_classes) * rng.standard_t(4, 400_000) + math.sqrt(
        alone
    ) * rng.standard_t(1, 400_000)
    zero = sample(0 * values, 0 * values)
    low, high = difference_intervals(sample(values, values), zero)["acc_unseen"]
    assert (high - low) / 2 == pytest.approx(np.quantile(np.abs(drawn), 0.95), rel=0.02)


def test_the_harmonic_mean_follows_its_slopes():
    """Small effects of U alone: dH/dU = 2 * 60^2 / 100^2 at U 40, S 60."""
    unseen = 40 + 0.01 * np.random.default_rng(3).normal(size=(3, 8))
    seen = np.full((3, 8), 60.0)
    found = difference_intervals(sample(unseen, seen), sample(np.full((3, 8), 40.0), seen))
    assert found["harmonic_mean"] == pytest.approx(
        [0.72 * end for end in found["acc_unseen"]], rel=1e-3
    )


def test_nothing_to_estimate_from_has_no_width():
    found = intervals(sample([[42.0]], [[58.0]]))
    assert found["acc_unseen"] == (42.0, 42.0)
    assert found["harmonic_mean"] == pytest.approx((2 * 42 * 58 / 100,) * 2)
    assert intervals(sample(np.zeros((3, 4)), np.zeros((3, 4))))["harmonic_mean"] == (0, 0)
    same = random_sample()
    assert set(difference_intervals(same, same).values()) == {(0, 0)}


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 7), st.integers(1, 7))
@settings(max_examples=60)
def test_intervals_hold_their_mean_and_stay_within_0_and_100(seed, seeds, unseen, seen):
    given_ = random_sample(seeds, unseen, seen, seed)
    found, level = intervals(given_), means(given_)
    assert set(found) == set(CLASS_METRICS)
    for name, (low, high) in found.items():
        assert 0 <= low <= level[name] + 1e-9
        assert level[name] - 1e-9 <= high <= 100


@pytest.mark.parametrize("population", POPULATIONS[:4], ids=lambda p: p.name)
def test_the_level_is_kept(population):
    """400 repetitions: three standard deviations of a share are 3.3 points."""
    found = coverage(population, 400)
    assert all(91 <= found[name] <= 99 for name in "USH"), found
