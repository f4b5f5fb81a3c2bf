"""Metrics of weighted classes and seeds by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gzsl_bench.scoring.sample import Sample, means, one_class_changed, weighted


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


@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
@settings(max_examples=30)
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
