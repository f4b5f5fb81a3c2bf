"""Preprocessing against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import gzsl_bench.data.tasks as tasks
from gzsl_bench.data.gzsl import GZSLData
from gzsl_bench.data.tasks import PREPROCESSING, prepare, prepare_rows
from gzsl_bench.errors import SuiteError


def random_data() -> GZSLData:
    rng = np.random.default_rng(3)
    features = (rng.standard_normal((60, 5)) * [1, 10, 0.1, 1, 1] + 3).astype(np.float32)
    features[:, 3] = 2.7  # a constant dimension
    order = rng.permutation(60)
    return GZSLData(
        name="random",
        features=features,
        labels=np.arange(60) % 6,
        attributes=np.eye(6),
        trainval=order[:30],
        test_seen=order[30:40],
        test_unseen=order[40:],
    )


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_CHUNK", 7 * 5 * 8)


def test_rows_come_in_order_and_are_not_changed() -> None:
    data = random_data()
    before = data.features.copy()
    for name in PREPROCESSING:
        ready = prepare(data, name)
        assert ready.train_features.dtype == ready.test_features.dtype == np.float32
        np.testing.assert_array_equal(ready.train_labels, data.labels[data.trainval])
        tests = np.concatenate([data.test_seen, data.test_unseen])
        np.testing.assert_array_equal(ready.test_labels, data.labels[tests])
        np.testing.assert_array_equal(data.features, before)
    ready = prepare(data, "none")
    np.testing.assert_array_equal(ready.train_features, data.features[data.trainval])
    np.testing.assert_array_equal(ready.test_features, data.features[tests])


def test_minmax_is_scikit_learns_on_training_rows_bit_for_bit() -> None:
    data = random_data()
    wide = data.features.astype(np.float64)
    scaler = MinMaxScaler().fit(wide[data.trainval])
    ready = prepare(data, "minmax")
    tests = np.concatenate([data.test_seen, data.test_unseen])
    for ours, rows in ((ready.train_features, data.trainval), (ready.test_features, tests)):
        np.testing.assert_array_equal(ours, scaler.transform(wide[rows]).astype(np.float32))
    assert ready.test_features.max() > 1  # test rows may leave the training range


def test_minmax_by_hand() -> None:
    features = np.array([[0, 5], [4, 5], [2, 7], [6, 5]], np.float32)
    rows = np.arange(4)
    train, test = prepare_rows(features, rows[:2], [rows[2:]], "minmax")
    assert train.tolist() == [[0, 0], [1, 0]]
    assert test.tolist() == [[0.5, 2], [1.5, 0]]


def test_the_leaking_variant_fits_each_test_part_anew() -> None:
    data = random_data()
    wide = data.features.astype(np.float64)
    ready = prepare(data, "minmax_refit_on_test")
    np.testing.assert_array_equal(ready.train_features, prepare(data, "minmax").train_features)
    parts = np.split(ready.test_features, [10])
    for ours, rows in zip(parts, (data.test_seen, data.test_unseen), strict=True):
        expected = MinMaxScaler().fit_transform(wide[rows]).astype(np.float32)
        np.testing.assert_array_equal(ours, expected)
    assert [name for name, item in PREPROCESSING.items() if item.leaks] == ["minmax_refit_on_test"]


@pytest.mark.parametrize("name", [name for name, item in PREPROCESSING.items() if not item.leaks])
def test_no_honest_preprocessing_looks_at_test_rows(name: str) -> None:
    data = random_data()
    spoiled = data.features.copy()
    spoiled[data.test_unseen] *= 100
    ours = prepare_rows(data.features, data.trainval, [data.test_seen], name)
    other = prepare_rows(spoiled, data.trainval, [data.test_seen], name)
    np.testing.assert_array_equal(ours[0], other[0])
    np.testing.assert_array_equal(ours[1], other[1])


def test_zscore_is_scikit_learns() -> None:
    data = random_data()
    wide = data.features.astype(np.float64)
    scaler = StandardScaler().fit(wide[data.trainval])
    np.testing.assert_allclose(
        prepare(data, "zscore").train_features,
        scaler.transform(wide[data.trainval]),
        atol=1e-6,
        rtol=1e-6,
    )


def test_l2_gives_unit_rows_and_leaves_zero_rows() -> None:
    features = np.array([[3, 4], [0, 0]], np.float32)
    rows = np.arange(2)
    train, test = prepare_rows(features, rows, [], "l2")
    np.testing.assert_allclose(train, [[0.6, 0.8], [0, 0]], rtol=1e-7)
    assert test.shape == (0, 2)


def test_an_unknown_name_is_refused_with_a_suggestion() -> None:
    with pytest.raises(SuiteError, match="unknown preprocessing 'minmx'; did you mean 'minmax'"):
        prepare(random_data(), "minmx")
