"""Validation folds: made of training rows alone, and of nothing but their content."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gzsl_data_factory import CLASS_FILES, tiny_content, write_xlsa17
from hypothesis import given, settings
from hypothesis import strategies as st

from gzsl_bench.builtin.datasets import gzsl_bench_datasets
from gzsl_bench.data.folds import DERIVED, SHIPPED, Fold, validation_folds
from gzsl_bench.data.gzsl import ClassFold, GZSLData
from gzsl_bench.data.xlsa17 import load
from gzsl_bench.errors import DataError
from gzsl_bench.hooks.dataset import DatasetRequest

SPECS = {spec.name: spec for spec in gzsl_bench_datasets()}


def made(seen: int = 9, unseen: int = 4, rows: int = 10, seed: int = 0, **more: Any) -> GZSLData:
    """``rows`` training rows and two test rows of every seen class, three rows of each unseen."""
    rng = np.random.default_rng(seed)
    classes = seen + unseen
    hidden = np.sort(rng.permutation(classes)[:unseen])
    labels, part = [], []
    for c in range(classes):
        if c in hidden:
            labels += [c] * 3
            part += [2] * 3
        else:
            labels += [c] * (rows + 2)
            part += [0] * rows + [1] * 2
    order = rng.permutation(len(labels))
    label, which = np.array(labels)[order], np.array(part)[order]
    return GZSLData(
        name="made",
        features=rng.normal(size=(len(labels), 3)).astype(np.float32),
        labels=label,
        attributes=rng.normal(size=(classes, 5)),
        trainval=rng.permutation(np.flatnonzero(which == 0)),
        test_seen=np.flatnonzero(which == 1),
        test_unseen=np.flatnonzero(which == 2),
        **more,
    )


def rows_of(data: GZSLData, rows: Any) -> set[bytes]:
    return {data.features[row].tobytes() for row in rows}


def vectors(data: GZSLData, classes: Any) -> set[bytes]:
    return {data.attributes[c].tobytes() for c in classes}


def assert_sound(data: GZSLData, fold: Fold) -> None:
    """What must hold of every fold, said in sets of rows and classes."""
    parts = [set(p.tolist()) for p in (fold.train, fold.test_seen, fold.test_unseen)]
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert set.union(*parts) <= set(data.trainval.tolist())
    assert not set.union(*parts) & {*data.test_seen.tolist(), *data.test_unseen.tolist()}
    seen, unseen = set(fold.seen.tolist()), set(fold.unseen.tolist())
    assert seen | unseen <= set(data.seen.tolist())
    assert not seen & unseen
    assert set(data.labels[fold.train].tolist()) == seen
    assert set(data.labels[fold.test_seen].tolist()) <= seen
    assert set(data.labels[fold.test_unseen].tolist()) == unseen
    # All rows of a hidden class are scored, none of them trains.
    hidden = np.isin(data.labels[data.trainval], fold.unseen).sum()
    assert len(fold.test_unseen) == hidden
    place = {row: i for i, row in enumerate(data.trainval.tolist())}
    assert (np.diff([place[row] for row in fold.train.tolist()]) > 0).all()


@given(
    st.integers(3, 12), st.integers(1, 6), st.integers(2, 12), st.integers(0, 5), st.integers(1, 7)
)
@settings(max_examples=60)
def test_every_fold_is_made_of_training_rows(seen, unseen, rows, seed, number):
    data = made(seen, unseen, rows, seed)
    (fold,) = validation_folds(data, [number])
    assert_sound(data, fold)
    assert fold.source == DERIVED
    assert fold.unseen.size == min(unseen, seen // 3)
    counts = np.bincount(data.labels[fold.test_seen], minlength=data.num_classes)[fold.seen]
    # One in five, rounded, at least one: 2..7 rows give 1, 8..12 rows give 2.
    assert set(counts.tolist()) == {1 if rows < 8 else 2}


@given(st.randoms(use_true_random=False), st.integers(0, 4))
@settings(max_examples=40)
def test_only_content_counts(random, seed):
    """Rows, classes and index lists in another order: the same images on the same side."""
    data = made(7, 3, 6, seed)
    rows = np.array(random.sample(range(len(data.labels)), len(data.labels)))
    classes = np.array(random.sample(range(data.num_classes), data.num_classes))
    where, number = np.argsort(rows), np.argsort(classes)

    def shuffled(index: Any) -> Any:
        return where[np.array(random.sample(index.tolist(), len(index)))]

    other = dataclasses.replace(
        data,
        features=data.features[rows],
        labels=number[data.labels[rows]],
        attributes=data.attributes[classes],
        trainval=shuffled(data.trainval),
        test_seen=shuffled(data.test_seen),
        test_unseen=shuffled(data.test_unseen),
    )
    for one, two in zip(
        validation_folds(data, range(1, 5)), validation_folds(other, range(1, 5)), strict=True
    ):
        assert vectors(data, one.unseen) == vectors(other, two.unseen)
        for part in ("train", "test_seen", "test_unseen"):
            mine, theirs = getattr(one, part), getattr(two, part)
            assert rows_of(data, mine) == rows_of(other, theirs)


def test_folds_hide_different_classes_until_all_had_their_turn():
    data = made(seen=9, unseen=3)
    folds = validation_folds(data, range(1, 7))
    first, second = folds[:3], folds[3:]
    for three in (first, second):
        assert sorted(np.concatenate([f.unseen for f in three]).tolist()) == data.seen.tolist()
    # The next turn is another ranking, not the same three folds again.
    assert {tuple(f.unseen) for f in first} != {tuple(f.unseen) for f in second}
    assert len({f.content for f in folds}) == 6


def test_a_fold_does_not_depend_on_how_many_are_asked_for():
    data = made()
    assert validation_folds(data, [2])[0].content == validation_folds(data, range(1, 6))[1].content


def test_other_folds_hold_out_other_rows():
    data = made(seen=4, unseen=1, rows=20)
    one, two = validation_folds(data, [1, 2])
    both = np.intersect1d(one.seen, two.seen)
    held = [set(f.test_seen[np.isin(data.labels[f.test_seen], both)].tolist()) for f in (one, two)]
    assert len(held[0]) == len(held[1]) == 4 * both.size
    assert held[0] != held[1]


def test_content_names_every_change():
    data = made()
    (fold,) = validation_folds(data, [1])
    found = {fold.content}
    for part in ("seen", "unseen", "train", "test_seen", "test_unseen"):
        changed = dataclasses.replace(fold, **{part: getattr(fold, part)[1:]})
        found.add(changed.content)
    found.add(dataclasses.replace(fold, train=fold.train[::-1]).content)
    assert len(found) == 7
    described = fold.describe()
    assert described == {
        "fold": 1, "seen_classes": 6, "unseen_classes": 3, "content": fold.content, "code": 1,
    }  # fmt: skip


def test_classes_with_one_embedding_are_told_apart_by_their_rows():
    data = made(seen=6, unseen=2)
    attributes = np.ones_like(data.attributes)
    data = dataclasses.replace(data, attributes=attributes)
    classes = np.arange(data.num_classes)[::-1]
    other = dataclasses.replace(data, labels=classes[data.labels])
    one, two = validation_folds(data, [1])[0], validation_folds(other, [1])[0]
    assert rows_of(data, one.test_unseen) == rows_of(other, two.test_unseen)


def test_negative_zero_is_zero():
    data = made()
    attributes = data.attributes.copy()
    attributes[:, 0] = 0.0
    plus = dataclasses.replace(data, attributes=attributes)
    minus = dataclasses.replace(data, attributes=np.where(attributes == 0, -0.0, attributes))
    assert [f.content for f in validation_folds(plus, [1, 2])] == [
        f.content for f in validation_folds(minus, [1, 2])
    ]


def test_test_rows_are_not_read():
    data = made()
    expected = [f.content for f in validation_folds(data, range(1, 4))]
    poisoned = data.features.copy()
    poisoned[np.concatenate([data.test_seen, data.test_unseen])] = np.nan
    found = validation_folds(dataclasses.replace(data, features=poisoned), range(1, 4))
    assert [f.content for f in found] == expected


def test_class_numbers_of_a_fold_have_no_gaps():
    data = made()
    for fold in validation_folds(data, range(1, 4)):
        split = fold.split(data)
        classes = np.union1d(fold.seen, fold.unseen)
        np.testing.assert_array_equal(np.union1d(split.seen, split.unseen), np.arange(9))
        np.testing.assert_array_equal(split.attributes, data.attributes[classes])
        for rows, part in (
            (split.trainval, split.seen),
            (split.test_seen, split.seen),
            (split.test_unseen, split.unseen),
        ):
            np.testing.assert_array_equal(classes[split.labels[rows]], data.labels[rows])
            assert set(split.labels[rows].tolist()) <= set(part.tolist())
        # No embedding of a class that is unseen for real.
        assert not vectors(data, data.unseen) & {row.tobytes() for row in split.attributes}
        assert (split.labels[data.test_unseen] == -1).all()


def test_shipped_folds_come_first():
    data = made(seen=9, unseen=3)
    seen = data.seen
    shipped = ClassFold(train=seen[2:8], val=seen[:2])
    data = dataclasses.replace(data, folds=(shipped,))
    one, two = validation_folds(data, [1, 2])
    assert (one.source, two.source) == (SHIPPED, DERIVED)
    assert one.unseen.tolist() == seen[:2].tolist()
    assert one.seen.tolist() == seen[2:8].tolist()
    assert_sound(data, one)
    # The class that the lists leave out has no part in it.
    assert seen[8] not in data.labels[np.concatenate([one.train, one.test_seen])]
    assert_sound(data, two)


def test_class_lists_of_a_folder_are_followed(root: Path):
    data = load(DatasetRequest("TINY", root, "res101", "att"))
    one, two, three = validation_folds(data, range(1, 4))
    assert (one.unseen.tolist(), two.unseen.tolist()) == ([2], [0])
    assert (one.seen.tolist(), two.seen.tolist()) == ([0, 1, 3], [1, 2, 3])
    assert three.source == DERIVED
    for fold in (one, two, three):
        assert_sound(data, fold)
        # Four training rows of each class: one is held out.
        assert len(fold.test_seen) == 3
        assert len(fold.train) == 9


@pytest.mark.parametrize("lists", ["v1", "v2", "none"])
def test_train_loc_and_val_loc_change_no_fold(tmp_path: Path, lists: str):
    content = tiny_content()
    splits = content["att_splits"]
    trainval, seen = splits["trainval_loc"], splits["test_seen_loc"]
    if lists == "v1":  # with the seen test images
        splits["train_loc"], splits["val_loc"] = np.sort(trainval[:6], 0), trainval[6:]
        splits["val_loc"] = np.concatenate([splits["val_loc"], seen])
    elif lists == "v2":
        splits["train_loc"], splits["val_loc"] = trainval[:6], trainval[6:]
    write_xlsa17(tmp_path / "TINY", content, CLASS_FILES)
    data = load(DatasetRequest("TINY", tmp_path, "res101", "att"))
    assert data.provenance["lists"] == lists
    write_xlsa17(tmp_path / "OTHER", tiny_content(), CLASS_FILES)
    other = load(DatasetRequest("OTHER", tmp_path, "res101", "att"))
    assert data.fingerprint == other.fingerprint
    assert [f.content for f in validation_folds(data, range(1, 4))] == [
        f.content for f in validation_folds(other, range(1, 4))
    ]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (made(seen=2), "has 2 seen and 4 unseen classes, but a validation fold needs at least 3"),
        (made(rows=1), "has one training row a class"),
    ],
)
def test_data_too_small_for_a_fold(data: GZSLData, sentence: str):
    with pytest.raises(DataError, match=sentence):
        validation_folds(data, [1])


def test_a_class_with_one_row_still_trains():
    data = made(seen=6, unseen=2, rows=6)
    first = data.labels[data.trainval[0]]
    mine = data.trainval[data.labels[data.trainval] == first]
    data = dataclasses.replace(data, trainval=np.setdiff1d(data.trainval, mine[1:]))
    folds = validation_folds(data, range(1, 4))
    for fold in folds:
        assert_sound(data, fold)
        assert first not in data.labels[fold.test_seen]
    assert any(first in fold.seen for fold in folds)


@pytest.mark.parametrize(("name", "shipped", "derived"), [("digits", 2, 2), ("synthetic", 5, 6)])
def test_embedded_data_sets(name: str, shipped: int, derived: int):
    spec = SPECS[name]
    features = "APY" if name == "synthetic" else spec.features
    data = spec.load(DatasetRequest(name, None, features, spec.attributes))
    for number, fold in enumerate(validation_folds(data, range(1, 5)), start=1):
        assert_sound(data, fold)
        assert fold.source == (SHIPPED if number < 4 else DERIVED)
        assert fold.unseen.size == (shipped if number < 4 else derived)


REAL = {"CUB": ("resnet_fc1000", 50), "AWA1": ("phog", 13), "FLO": ("mobilenetv2", 20)}


@pytest.mark.real_data
@pytest.mark.parametrize("name", REAL)
def test_the_real_data_sets(name: str, tmp_path: Path):
    features, hidden = REAL[name]
    root = Path(os.environ.get("GZSL_BENCH_DATA", "/nowhere"))
    if not (root / name / f"{features}.mat").is_file():
        pytest.skip("GZSL_BENCH_DATA does not hold it")
    data = load(DatasetRequest(name, root, features, "att", tmp_path / "cache"))
    for fold in validation_folds(data, range(1, 4)):
        assert_sound(data, fold)
        assert fold.unseen.size == hidden
        share = len(fold.test_seen) / (len(fold.test_seen) + len(fold.train))
        assert share == pytest.approx(0.2, abs=0.005)
        if name != "FLO":
            listed = (root / name / f"valclasses{fold.number}.txt").read_text().split()
            assert data.class_names is not None
            assert {data.class_names[c] for c in fold.unseen} == set(listed)
