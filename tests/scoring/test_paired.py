"""Paired tests against hand counts, scipy, and the behaviour a null hypothesis demands."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gzsl_bench.scoring.paired import (
    PERMUTATIONS,
    cohens_dz,
    fragile_classes,
    holm,
    paired,
    sign_flip,
)
from gzsl_bench.scoring.sample import Sample


def sample(unseen, seen, zsl=None) -> Sample:
    unseen, seen = np.atleast_2d(unseen).astype(float), np.atleast_2d(seen).astype(float)
    zsl = unseen if zsl is None else np.atleast_2d(zsl).astype(float)
    ids = np.arange(unseen.shape[1] + seen.shape[1])
    return Sample(unseen, seen, zsl, ids[: unseen.shape[1]], ids[unseen.shape[1] :])


def by_name(a, b):
    return {result.metric: result for result in paired(a, b)}


def test_sign_flip_by_hand():
    # 1, 2, 3: of eight sign patterns only +++ and --- reach a mean of 2.
    assert sign_flip(np.array([1.0, 2.0, 3.0])).p == 2 / 8
    # 1, -2, 3: sums of |...| at least 2: +-+ = 2, +++ = 6, -++ = 4, ++- = 0 and their mirrors.
    assert sign_flip(np.array([1.0, -2.0, 3.0])).p == 6 / 8
    assert sign_flip(np.zeros(4)).p == 1.0
    found = sign_flip(np.ones(5))
    assert (found.p, found.smallest, found.units, found.exact) == (2 / 32, 2 / 32, 5, True)


@given(st.lists(st.integers(-20, 20), min_size=2, max_size=9))
@settings(max_examples=40)
def test_sign_flip_agrees_with_scipy(values):
    reference = stats.permutation_test(
        (np.array(values, float), np.zeros(len(values))),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    assert sign_flip(np.array(values, float)).p == pytest.approx(reference.pvalue)


def test_many_units_are_drawn_and_p_is_never_0():
    found = sign_flip(np.ones(40))
    assert (found.exact, found.units) == (False, 40)
    assert found.p == found.smallest == 1 / (PERMUTATIONS + 1)
    close = np.random.default_rng(0).normal(0.15, 1, 60)
    t_test = stats.ttest_1samp(close, 0).pvalue
    assert sign_flip(close).p == pytest.approx(t_test, abs=0.02)


def test_dz_by_hand():
    # Mean 2, sample deviation 1.
    assert cohens_dz(np.array([1.0, 2.0, 3.0])) == pytest.approx(2.0)
    assert cohens_dz(np.array([2.0, 2.0])) is None
    assert cohens_dz(np.array([2.0])) is None


def test_holm_by_hand():
    # Sorted 0.01, 0.03, 0.04: times 3, 2, 1, and never falling.
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_everything_by_hand():
    a = sample([[60, 40], [70, 30]], [[80, 60, 70], [60, 60, 60]])
    b = sample([[50, 40], [50, 50]], [[70, 70, 70], [70, 60, 80]])
    found = by_name(a, b)
    unseen = found["acc_unseen"]
    # A: 50 and 50; B: 45 and 50.
    assert (unseen.a, unseen.b, unseen.difference) == (50.0, 47.5, 2.5)
    # Classes: (60 + 70) / 2 - 50 = 15 and 35 - 45 = -10.
    assert (unseen.won, unseen.lost, unseen.tied) == (1, 1, 0)
    assert unseen.dz == pytest.approx(2.5 / np.std([15, -10], ddof=1))
    assert unseen.dz_units == "classes"
    # Sums of +-15 +-10 reach |5| always.
    assert unseen.p_classes.p == 1.0
    # Seeds: +5 and 0: four patterns, all of mean |2.5|.
    assert (unseen.p_seeds.p, unseen.p_seeds.smallest) == (1.0, 0.5)
    seen = found["acc_seen"]
    # Classes: 70 - 70, 60 - 65, 65 - 75.
    assert (seen.won, seen.lost, seen.tied) == (0, 2, 1)
    assert seen.difference == pytest.approx(-5)
    # Patterns with |+-0 +-5 +-10| >= 15: signs of the last two equal: 4 of 8.
    assert seen.p_classes.p == pytest.approx(4 / 8)
    h = found["harmonic_mean"]
    by_seed = [2 * 50 * 70 / 120 - 2 * 45 * 70 / 115, 2 * 50 * 60 / 110 - 2 * 50 * 70 / 120]
    assert h.difference == pytest.approx(np.mean(by_seed))
    assert h.dz is None  # of two seeds
    assert (h.won, h.dz_units) == (None, "seeds")


def test_the_class_test_of_h_is_a_permutation_of_whole_classes():
    rng = np.random.default_rng(3)
    a = sample(100 * rng.random((2, 3)), 100 * rng.random((2, 4)))
    b = sample(100 * rng.random((2, 3)), 100 * rng.random((2, 4)))

    def h(u, s):
        return np.mean([2 * x * y / (x + y) for x, y in zip(u.mean(1), s.mean(1), strict=True)])

    observed = abs(h(a.unseen, a.seen) - h(b.unseen, b.seen))
    extreme = 0
    for marks in itertools.product([False, True], repeat=7):
        mu, ms = np.array(marks[:3]), np.array(marks[3:])
        first = h(np.where(mu, b.unseen, a.unseen), np.where(ms, b.seen, a.seen))
        second = h(np.where(mu, a.unseen, b.unseen), np.where(ms, a.seen, b.seen))
        extreme += abs(first - second) >= observed - 1e-9
    found = by_name(a, b)["harmonic_mean"].p_classes
    assert (found.p, found.units, found.exact) == (extreme / 128, 7, True)


def test_a_method_against_itself():
    rng = np.random.default_rng(1)
    a = sample(100 * rng.random((3, 5)), 100 * rng.random((3, 6)))
    for result in paired(a, a):
        assert (result.difference, result.low, result.high) == (0, 0, 0)
        assert result.p_classes.p == 1.0
        assert result.dz is None


def test_the_interval_is_paired():
    """Classes differ wildly, the difference is 2 everywhere: the interval has no width."""
    rng = np.random.default_rng(1)
    base = 10 + 80 * rng.random((4, 12))
    a, b = sample(base + 2, base + 2), sample(base, base)
    found = by_name(a, b)
    for name in ("acc_unseen", "acc_seen"):
        assert (found[name].low, found[name].high) == pytest.approx((2, 2))
    assert found["acc_unseen"].p_classes.p == pytest.approx(2 / 2**12)


def test_under_the_null_small_p_values_are_rare():
    rng = np.random.default_rng(11)
    values = []
    for _ in range(300):
        a, b = (
            sample(50 + 10 * rng.normal(size=(2, 8)), 50 + 10 * rng.normal(size=(2, 5)))
            for _ in range(2)
        )
        values.append(by_name(a, b)["harmonic_mean"].p_classes.p)
    # Binomial(300, 0.1): mean 30, sd 5.2.
    assert 12 <= sum(v <= 0.1 for v in values) <= 50


def test_deterministic_methods_have_no_seeds_to_test():
    found = by_name(sample([50, 60], [70, 80]), sample([40, 60], [70, 90]))
    assert all(result.p_seeds is None for result in found.values())
    assert found["harmonic_mean"].dz is None
    assert found["acc_unseen"].dz is not None


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="same seeds and classes"):
        paired(sample([1, 2], [3]), sample([1, 2, 3], [3]))


def test_fragile_classes_by_hand():
    # U: A 40, B 35; A leads by class 0 alone (without it 20 against 30).  S is level.
    a, b = sample([60, 20], [50, 50]), sample([40, 30], [50, 50])
    # Twice class 1: A 33.3, B 33.3, a tie turns nothing.
    assert fragile_classes(a, b) == [(0, "unseen", "without")]
    assert fragile_classes(b, a) == [(0, "unseen", "without")]
    assert fragile_classes(a, a) == []
    # One class alone cannot be left out; nothing flips where all classes agree.
    assert fragile_classes(sample([60], [50, 60]), sample([40], [40, 50])) == []
    # A class counted twice: A leads 50 to 49, one more like class 1 (0 against 40) turns it.
    turned = fragile_classes(sample([100, 0], [50]), sample([58, 40], [50]))
    assert (1, "unseen", "twice") in turned


def test_fragile_classes_take_other_numbers_of_seeds():
    a = sample([[60, 20], [60, 20]], [[50, 50], [50, 50]])
    assert fragile_classes(a, sample([40, 30], [50, 50])) == [(0, "unseen", "without")]
