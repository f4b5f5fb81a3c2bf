"""The fingerprint: what changes it and what must not."""

from __future__ import annotations

import dataclasses
import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gzsl_bench.data.checks import check_data
from gzsl_bench.data.gzsl import ClassFold, GZSLData
from gzsl_bench.data.identity import (
    array_digest,
    compute_fingerprint,
    digests,
    identify,
    index_set_digest,
    order_digest,
    split_hash,
)
from gzsl_bench.errors import DataError


def small() -> GZSLData:
    """Eight rows of four classes, the last of them unseen."""
    return GZSLData(
        name="small",
        features=np.arange(24, dtype=np.float32).reshape(8, 3),
        labels=np.array([0, 0, 1, 1, 2, 2, 3, 3]),
        attributes=np.eye(4, 2),
        trainval=np.array([0, 2, 4]),
        test_seen=np.array([1, 3, 5]),
        test_unseen=np.array([6, 7]),
    )


def test_an_index_set_is_hashed_as_sorted_one_based_uint32() -> None:
    expected = hashlib.sha256(struct.pack("<3I", 1, 3, 70000)).hexdigest()
    assert index_set_digest(np.array([69999, 0, 2])) == expected
    assert split_hash(np.array([69999, 0, 2])) == expected[:16]


def test_an_array_is_hashed_with_type_shape_and_little_endian_bytes() -> None:
    array = np.array([[1.5, -2.0]], dtype=np.float32)
    expected = hashlib.sha256(b"float32 1x2\n" + struct.pack("<2f", 1.5, -2.0)).hexdigest()
    assert array_digest(array, "float32") == expected
    assert array_digest(array.astype(">f4"), "float32") == expected
    assert array_digest(np.asfortranarray(array), "float32") == expected
    assert array_digest(array.T, "float32") != expected


@given(st.permutations(range(3)), st.permutations(range(3)), st.permutations(range(2)))
def test_the_order_of_rows_in_a_list_is_no_identity(
    a: list[int], b: list[int], c: list[int]
) -> None:
    data = small()
    shuffled = dataclasses.replace(
        data,
        trainval=data.trainval[a],
        test_seen=data.test_seen[b],
        test_unseen=data.test_unseen[c],
        name="other",
        class_names=("a", "b", "c", "d"),
        provenance={"lists": "v1"},
    )
    assert compute_fingerprint(shuffled) == compute_fingerprint(data)
    same = a == [0, 1, 2]
    assert (order_digest(shuffled.trainval) == order_digest(data.trainval)) is same


@given(st.integers(0, 7), st.integers(0, 2), st.floats(-1e6, 1e6, width=32))
def test_any_changed_feature_changes_the_fingerprint(row: int, column: int, value: float) -> None:
    data = small()
    features = data.features.copy()
    features[row, column] = value
    changed = dataclasses.replace(data, features=features)
    equal = features.tobytes() == data.features.tobytes()
    assert (compute_fingerprint(changed) == compute_fingerprint(data)) is equal


@pytest.mark.parametrize("part", ["labels", "attributes", "trainval", "test_seen", "test_unseen"])
def test_each_part_counts_and_is_named(part: str) -> None:
    data = small()
    array = getattr(data, part).copy()
    array.flat[-1] = 0 if array.flat[-1] else 1
    changed = dataclasses.replace(data, **{part: array})
    assert compute_fingerprint(changed) != compute_fingerprint(data)
    before, after = digests(data), digests(changed)
    assert [name for name in before if before[name] != after[name]] == [part]


def test_identify_fills_an_empty_fingerprint_and_keeps_another() -> None:
    data = identify(small())
    assert data.fingerprint == compute_fingerprint(small())
    assert data.provenance["trainval_order"] == order_digest(data.trainval)
    assert data.provenance["split_hashes"]["test_seen"] == split_hash(data.test_seen)
    assert identify(dataclasses.replace(small(), fingerprint="mine")).fingerprint == "mine"


def test_the_digest_does_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    import gzsl_bench.data.identity as identity

    array = np.random.default_rng(0).random((50, 4)).astype(np.float32)
    whole = array_digest(array, "float32")
    monkeypatch.setattr(identity.row_chunks, "__defaults__", (40,))
    assert array_digest(array, "float32") == whole


BREACHES = {
    "float64 features": ({"features": np.zeros((8, 3))}, "but a 2-d float32 array is needed"),
    "no array": ({"labels": [0] * 8}, "has type list"),
    "short labels": ({"labels": np.zeros(7, np.int64)}, "8 rows of features but 7 labels"),
    "label too high": ({"labels": np.full(8, 4)}, "hold 4, but there are 4 classes"),
    "NaN": ({"features": np.full((8, 3), np.nan, np.float32)}, "NaN or Inf"),
    "NaN attributes": ({"attributes": np.full((4, 2), np.nan)}, "NaN or Inf"),
    "names": ({"class_names": ("a",)}, "has 1 class names for 4 classes"),
    "negative row": ({"trainval": np.array([0, -1])}, "lists row -1, .* rows run from 0 to 7"),
    "fold": (
        {"folds": (ClassFold(np.array([0]), np.array([3])),)},
        "validation fold 1 .* disjoint, non-empty sets of seen classes",
    ),
}


@pytest.mark.parametrize("case", BREACHES)
def test_data_of_a_plugin_that_breaks_the_contract_is_refused(case: str) -> None:
    change, sentence = BREACHES[case]
    with pytest.raises(DataError, match=sentence):
        check_data(dataclasses.replace(small(), **change))
    assert check_data(small()).name == "small"


def test_odd_embeddings_of_a_plugin_are_warned_of_once() -> None:
    odd = np.array([[0.5, 1.0], [0.0, -1.0], [2.0, 2.0], [0.5, 1.0]])
    data = dataclasses.replace(small(), attributes=odd, class_names=tuple("abcd"))
    checked = check_data(data)
    assert [text.split("its plugin ")[1].split(",")[0] for text in checked.warnings] == [
        "gives a and d the same vector",
        "has nothing but 2 for c: is the vector missing?",
        "has -1 for b and no other negative value: does it stand for an unknown one? Methods take"
        " it for a number",
    ]
    read = identify(data)
    assert check_data(read) is read
