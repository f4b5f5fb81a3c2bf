"""Mixing of modalities and nearest class means, by hand and by their properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gzsl_bench.scoring import latents
from gzsl_bench.scoring.latents import modality_mixing, nearest_class_accuracy


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)[:, None]


def test_mixing_by_hand():
    # Two pairs far apart: a point's nearest is of its own modality.
    assert modality_mixing(column(0, 1), column(10, 11), 1) == 0
    # 0: 1 (other).  2: 1 (other).  1: 0 (other).  3.5: 2 (other).
    assert modality_mixing(column(0, 2.1), column(1, 3.5), 1) == 1
    # v 0 and 1, s 3 and 3.5.  k = 2: 0 -> {1, 3}: 1/2; 1 -> {0, 3}: 1/2; 3 -> {3.5, 1}: 1/2;
    # 3.5 -> {3, 1}: 1/2.
    assert modality_mixing(column(0, 1), column(3, 3.5), 2) == 0.5
    # More neighbours than there are: all three others, of which two are of the other modality.
    assert modality_mixing(column(0, 1), column(3, 3.5), 10) == pytest.approx(2 / 3)


def test_ties_share_the_places_that_are_left():
    # v 0, v -1, s 1.  k = 1: 0 has one of each at distance 1 (1/2), -1 has 0 (0), 1 has 0 (1).
    assert modality_mixing(column(0, -1), column(1), 1) == pytest.approx((0.5 + 0 + 1) / 3)
    # Every point on one spot: of n - 1 = 5 others 3 are of the other modality, for either k.
    spot = np.ones((3, 2))
    for k in (1, 4, 10):
        assert modality_mixing(spot, spot, k) == pytest.approx(3 / 5)
    # A strictly nearer neighbour takes its place first.  v 0, s 0.5, and at distance 1 v -1 and
    # v 1; k = 2: 0 -> s, and half of two own: 1/2.
    found = [
        (1 + 0) / 2,  # 0: s at 0.5, then one of two own
        (0 + 1) / 2,  # -1: v 0 at 1, then s at 1.5
        (1 + 0) / 2,  # 1: s at 0.5, then v 0
        2 / 2,  # s: v 0 and v 1, both at 0.5
    ]
    assert modality_mixing(column(0, -1, 1), column(0.5), 2) == pytest.approx(np.mean(found))


def test_mixed_points_come_near_a_half():
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(2, 600, 3))
    # 600 of the 1199 others are of the other modality; 12,000 neighbours are looked at.
    assert modality_mixing(*cloud) == pytest.approx(600 / 1199, abs=0.02)


points = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=12).map(
    lambda rows: np.array(rows, dtype=np.float64)
)


@settings(max_examples=60)
@given(points, points, st.integers(1, 12), st.randoms(use_true_random=False))
def test_mixing_depends_on_no_order_and_treats_both_alike(visual, semantic, k, random):
    found = modality_mixing(visual, semantic, k)
    assert -1e-12 <= found <= 1 + 1e-12
    shuffled = [x[random.sample(range(len(x)), len(x))] for x in (visual, semantic)]
    assert modality_mixing(*shuffled, k) == pytest.approx(found)
    assert modality_mixing(semantic, visual, k) == pytest.approx(found)
    assert modality_mixing(visual * 2 + 7, semantic * 2 + 7, k) == pytest.approx(found)


def test_nearest_class_mean_by_hand():
    # Class 5: mean of (0, 0) and (2, 0) is (1, 0).  Class 7: (10, 0).
    semantic, classes = np.array([[0.0, 0], [10, 0], [2, 0]]), np.array([5, 7, 5])
    # Class 5: (4, 0) is nearer to (1, 0), (6, 0) to (10, 0).  Class 7: (9, 3) is right.
    visual, labels = np.array([[4.0, 0], [6, 0], [9, 3]]), np.array([5, 5, 7])
    assert nearest_class_accuracy(visual, labels, semantic, classes) == (1 / 2 + 1) / 2
    # Equally far from both means: the lowest id.
    middle = np.array([[5.5, 1]])
    assert nearest_class_accuracy(middle, np.array([5]), semantic, classes) == 1
    assert nearest_class_accuracy(middle, np.array([7]), semantic, classes) == 0


def test_chunks_change_nothing(monkeypatch):
    rng = np.random.default_rng(1)
    visual, semantic = rng.normal(size=(2, 40, 3))
    labels = np.arange(40) % 4
    whole = (
        modality_mixing(visual, semantic),
        nearest_class_accuracy(visual, labels, semantic, labels),
    )
    monkeypatch.setattr(latents, "_CHUNK", 200)
    assert whole == pytest.approx(
        (
            modality_mixing(visual, semantic),
            nearest_class_accuracy(visual, labels, semantic, labels),
        )
    )
