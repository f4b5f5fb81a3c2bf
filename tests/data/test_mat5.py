"""Our reader of MATLAB 5 files agrees with SciPy's wherever that one survives."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.io import loadmat, savemat, whosmat
from scipy.sparse import csc_matrix

from gzsl_bench.data.mat5 import Damaged, heads, read

TYPES = ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "c16"]
numbers = st.sampled_from(TYPES).flatmap(
    lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=2, max_dims=3, min_side=0))
)
words = st.lists(st.text("abc é€ß", min_size=1, max_size=9), min_size=1, max_size=4)


def cells(texts: list[str]) -> Any:
    found = np.empty((len(texts), 1), dtype=object)
    found[:, 0] = texts
    return found


def same(one: Any, other: Any) -> bool:
    one, other = np.asarray(one), np.asarray(other)
    if one.dtype.kind == "O":
        pairs = zip(one.ravel(), other.ravel(), strict=True)
        return one.shape == other.shape and all(same(a, b) for a, b in pairs)
    return (
        one.shape == other.shape
        and one.dtype == other.dtype
        and one.tobytes() == other.tobytes()  # NaN equals NaN
    )


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.one_of(numbers, words.map(cells)), min_size=1, max_size=3), st.booleans())
def test_it_reads_what_scipy_reads(tmp_path: Path, values: list[Any], packed: bool) -> None:
    path = tmp_path / "x.mat"
    content = {f"v{number}": value for number, value in enumerate(values)}
    savemat(path, content, do_compression=packed)
    expected = loadmat(path)
    with path.open("rb") as file:
        assert [(h.name, h.shape, h.kind) for h in heads(file)] == whosmat(path)
        found = read(file, {*content, "absent"})
    assert found.keys() == content.keys()
    assert all(same(found[name], expected[name]) for name in content)


def test_what_nobody_can_use_is_named_and_left(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    savemat(path, {"s": {"a": 1}, "z": csc_matrix(np.eye(3)), "yes": np.array([[True]]), "t": "ab"})
    with path.open("rb") as file:
        assert {h.name: h.kind for h in heads(file)} == {
            "s": "struct", "z": "sparse", "yes": "logical", "t": "char",
        }  # fmt: skip
        found = read(file, {"s", "z", "yes", "t"})
    assert found["s"].dtype == found["z"].dtype == object
    assert found["yes"].tolist() == [[1]]
    assert found["t"].tolist() == ["ab"]


def matrix(order: str, dims: tuple[int, int], values: bytes, *, kind: int = 6, type: int = 9,
           flags_length: int = 8, name: bytes = b"x") -> bytes:  # fmt: skip
    """A matrix element by hand, after the format's description."""
    inner = struct.pack(f"{order}IIII", 6, flags_length, kind, 0)
    inner += struct.pack(f"{order}IIii", 5, 8, *dims)
    inner += struct.pack(f"{order}HH4s", *((len(name), 1)[:: -1 if order == "<" else 1]), name)
    inner += struct.pack(f"{order}II", type, len(values)) + values + bytes(-len(values) % 8)
    return struct.pack(f"{order}II", 14, len(inner)) + inner


def header(order: str) -> bytes:
    mark = b"IM" if order == "<" else b"MI"
    return b"MATLAB 5.0 by hand".ljust(124) + struct.pack(f"{order}H", 0x0100) + mark


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders(order: str, tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    values = struct.pack(f"{order}6d", *range(6))
    path.write_bytes(header(order) + matrix(order, (2, 3), values))
    with path.open("rb") as file:
        found = read(file, {"x"})["x"]
    # Columns first: element (0, 1) is the third number.
    assert found.tolist() == [[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]]
    assert found.dtype == np.float64
    assert np.array_equal(loadmat(path)["x"], found)


GOOD = struct.pack("<2d", 1, 2)
BROKEN = {
    "flags longer than all": (matrix("<", (1, 2), GOOD, flags_length=8200), "longer than what it"),
    "too few values": (matrix("<", (1, 3), GOOD), "2 values do not make"),
    "too many values": (matrix("<", (1, 1), GOOD), "2 values do not make"),
    "a negative side": (matrix("<", (-1, -2), GOOD), "dimensions"),
    "terabytes": (matrix("<", (2**31 - 1, 2**31 - 1), GOOD), "do not make an array"),
    "millions of cells": (matrix("<", (2**31 - 1, 1), GOOD, kind=1), "no room for"),
    "no class": (matrix("<", (1, 2), GOOD, kind=99), "class 99"),
    "numbers of another kind": (matrix("<", (1, 2), GOOD, type=12), "unexpected type 12"),
    "part of a number": (matrix("<", (1, 2), GOOD[:-3]), "no multiple"),
    "no name": (matrix("<", (1, 2), GOOD, name=b"\0"), "is no name"),
    "twice": (matrix("<", (1, 2), GOOD) * 2, "holds 'x' twice"),
    "no variable": (struct.pack("<II", 9, 16) + GOOD, "no variable begins at byte 128"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("case", BROKEN)
def test_what_does_not_fit_is_said(case: str, packed: bool, tmp_path: Path) -> None:
    content, sentence = BROKEN[case]
    if packed and case not in ("twice", "no variable"):
        squeezed = zlib.compress(content)
        content = struct.pack("<II", 15, len(squeezed)) + squeezed
    path = tmp_path / "x.mat"
    path.write_bytes(header("<") + content)
    with path.open("rb") as file, pytest.raises(Damaged, match=sentence):
        read(file, {"x"})


@pytest.mark.parametrize("change", ["checksum", "cut", "more", "shorter", "bomb"])
def test_a_packed_variable_ends_where_it_says(change: str, tmp_path: Path) -> None:
    content = matrix("<", (1, 2), GOOD)
    if change == "shorter":
        content = content[:-8]
    if change == "bomb":  # it says 80 bytes and unpacks to 16 MiB
        content += bytes(1 << 24)
    squeezed = zlib.compress(content)
    if change == "checksum":
        squeezed = squeezed[:-1] + bytes([squeezed[-1] ^ 1])
    if change == "cut":
        squeezed = squeezed[:-6]
    if change == "more":
        squeezed += b"more"
    path = tmp_path / "x.mat"
    path.write_bytes(header("<") + struct.pack("<II", 15, len(squeezed)) + squeezed)
    with path.open("rb") as file, pytest.raises(Damaged):
        read(file, {"x"})
