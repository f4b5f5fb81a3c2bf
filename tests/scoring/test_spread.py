"""The spread of means by chance, against closed forms and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gzsl_bench.scoring.spread import chance_spread, pooled_sd, spread
from gzsl_bench.scoring.summary import Summary


def groups(*counts):
    return [Summary(mean=0.0, sd=1.0, n=n) for n in counts]


def test_the_expected_range_of_two_and_of_three_normals():
    # E|X - Y| = 2 / sqrt(pi), and half as much again for three.
    assert chance_spread(groups(1, 1), 1.0) == pytest.approx(2 / math.sqrt(math.pi), abs=1e-6)
    assert chance_spread(groups(1, 1, 1), 1.0) == pytest.approx(3 / math.sqrt(math.pi), abs=1e-6)


def test_more_seeds_and_less_noise_make_it_smaller():
    assert chance_spread(groups(4, 4), 3.0) == pytest.approx(3 / math.sqrt(math.pi), abs=1e-6)
    # Different numbers of seeds: the difference of two normals has variance 1/2 + 1/8.
    wanted = math.sqrt(0.5 + 0.125) * math.sqrt(2 / math.pi)
    assert chance_spread(groups(2, 8), 1.0) == pytest.approx(wanted, abs=1e-6)
    assert chance_spread(groups(3), 1.0) == 0
    assert chance_spread(groups(3, 3), 0.0) == 0


def test_many_groups_against_a_simulation():
    counts = (1, 2, 3, 5, 5)
    drawn = np.random.default_rng(0).normal(size=(200_000, 5)) / np.sqrt(counts)
    simulated = float((drawn.max(1) - drawn.min(1)).mean())
    assert chance_spread(groups(*counts), 1.0) == pytest.approx(simulated, abs=0.005)


def test_pooling_by_hand():
    one, two = Summary(mean=1.0, sd=2.0, n=3), Summary(mean=5.0, sd=1.0, n=2)
    single = Summary(mean=9.0, sd=None, n=1)
    assert pooled_sd([one, two, single]) == pytest.approx(math.sqrt((2 * 4 + 1 * 1) / 3))
    assert pooled_sd([single]) is None
    assert spread([one, two, single]) == 8
