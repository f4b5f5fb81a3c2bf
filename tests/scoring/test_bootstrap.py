"""Bootstrap intervals against enumeration, scipy and properties."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gzsl_bench.scoring.bootstrap import (
    CLASS_METRICS,
    Sample,
    draw_weights,
    intervals,
    means,
    one_class_changed,
    weighted,
)


def sample(unseen, seen, zsl=None) -> Sample:
    unseen, seen = np.atleast_2d(unseen).astype(float), np.atleast_2d(seen).astype(float)
    zsl = unseen if zsl is None else np.atleast_2d(zsl).astype(float)
    ids = np.arange(unseen.shape[1] + seen.shape[1])
    return Sample(unseen, seen, zsl, ids[: unseen.shape[1]], ids[unseen.shape[1] :])


def random_sample(seeds=4, unseen=6, seen=9, seed=0) -> Sample:
    rng = np.random.default_rng(seed)
    return sample(*(100 * rng.random((seeds, k)) for k in (unseen, seen)))


def test_means_are_those_of_the_table():
    found = means(sample([[10, 30], [40, 20]], [[50, 70], [90, 30]]))
    # Seed 0: U 20, S 60, H 30; seed 1: U 30, S 60, H 40.
    assert found["acc_unseen"] == pytest.approx(25)
    assert found["acc_seen"] == pytest.approx(60)
    assert found["harmonic_mean"] == pytest.approx(35)


def test_replicates_have_the_law_of_an_enumeration():
    """Two seeds, two unseen classes, two seen ones: 4 x 4 x 4 equally likely replicates."""
    given_ = sample([[10, 30], [40, 20]], [[50, 70], [90, 30]])
    values = []
    pairs = list(itertools.product(range(2), repeat=2))
    for seeds, us, ss in itertools.product(pairs, pairs, pairs):
        u = given_.unseen[:, us].mean(1)
        s = given_.seen[:, ss].mean(1)
        values.append((2 * u * s / (u + s))[list(seeds)].mean())
    drawn = weighted(given_, draw_weights(given_, 40_000))["harmonic_mean"]
    exact, times = np.unique(np.round(values, 8), return_counts=True)
    assert set(np.round(drawn, 8)) == set(exact)
    for value, count in zip(exact, times, strict=True):
        share = np.isclose(drawn, value, atol=1e-7).mean()
        # 40000 draws: five standard deviations of a share are at most 0.0125.
        assert share == pytest.approx(count / 64, abs=0.0125)


@pytest.mark.parametrize("axis", ["classes", "seeds"])
def test_one_level_agrees_with_scipy(axis):
    from scipy.stats import bootstrap

    values = 100 * np.random.default_rng(5).random(12)
    given_ = (
        sample(values, np.full(3, 50.0))
        if axis == "classes"
        else sample(values[:, None], np.full((12, 3), 50.0))
    )
    low, high = intervals(given_, draws=20_000)["acc_unseen"]
    reference = bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert low == pytest.approx(reference.low, abs=0.8)
    assert high == pytest.approx(reference.high, abs=0.8)
    assert high - low > 20


def test_nothing_to_resample_has_no_width():
    found = intervals(sample([[42.0]], [[58.0]]))
    assert found["acc_unseen"] == (42.0, 42.0)
    assert found["harmonic_mean"] == pytest.approx((2 * 42 * 58 / 100,) * 2)


def test_classes_are_shared_by_the_seeds():
    """Seeds that agree on every class: resampling them adds nothing to resampling classes."""
    row = 100 * np.random.default_rng(2).random(8)
    many = sample(np.tile(row, (5, 1)), np.full((5, 3), 50.0))
    weights = draw_weights(many)
    drawn = weighted(many, weights)["acc_unseen"]
    np.testing.assert_allclose(drawn, weights.unseen @ row)


def test_intervals_come_out_again_and_follow_the_seed():
    given_ = random_sample()
    assert intervals(given_) == intervals(given_)
    assert intervals(given_, seed=1) != intervals(given_)
    assert set(intervals(given_)) == set(CLASS_METRICS)


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 7), st.integers(1, 7))
@settings(max_examples=40, deadline=None)
def test_intervals_lie_within_the_values(seed, seeds, unseen, seen):
    given_ = random_sample(seeds, unseen, seen, seed)
    found = intervals(given_, draws=200)
    for name, values in (("acc_unseen", given_.unseen), ("acc_seen", given_.seen)):
        low, high = found[name]
        assert values.min() - 1e-9 <= low <= high <= values.max() + 1e-9


@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_leaving_out_and_doubling_equal_doing_it_by_hand(seed, random):
    given_ = random_sample(3, 4, 5, seed)
    index = random.randrange(4)
    for amount, columns in (
        (-1.0, [i for i in range(4) if i != index]),
        (1.0, [*range(4), index]),
    ):
        by_hand = means(sample(given_.unseen[:, columns], given_.seen))
        turned = weighted(given_, one_class_changed(given_, amount)[0])
        assert turned["harmonic_mean"][index] == pytest.approx(by_hand["harmonic_mean"])
        assert len(turned["harmonic_mean"]) == 4
    assert len(one_class_changed(given_, 1.0)[1].seen) == 5
