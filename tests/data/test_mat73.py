"""MATLAB 7.3 files in MATLAB's own layout: what they hold is what the older format holds."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from gzsl_data_factory import NAMES, tiny_content, write_xlsa17
from scipy.io import savemat

from gzsl_bench.data import mat73
from gzsl_bench.data.matfile import read_mat, texts, variables
from gzsl_bench.data.xlsa17 import load
from gzsl_bench.errors import DataError
from gzsl_bench.hooks.dataset import DatasetRequest


def write_mat73(path: Path, content: Mapping[str, Any]) -> None:
    """As MATLAB writes it: 512 bytes of its own, axes in reverse, cells by reference, UTF-16."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in content.items():
            put(file, name, values)
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 .".ljust(124))
        raw.write(b"\x00\x02IM")


def put(file: h5py.File, name: str, values: Any) -> h5py.Dataset:
    if isinstance(values, str):
        item = file.create_dataset(name, data=np.array([[ord(c)] for c in values], np.uint16))
        item.attrs["MATLAB_int_decode"] = np.int32(2)
        kind = "char"
    elif values.dtype == object:
        cells = [put(file, f"#refs#/{name}{n}", v).ref for n, v in enumerate(values.ravel("F"))]
        flat = np.empty(len(cells), dtype=h5py.ref_dtype)
        flat[:] = cells
        item = file.create_dataset(name, data=flat.reshape(values.shape[::-1]))
        kind = "cell"
    elif not values.size:
        item = file.create_dataset(name, data=np.array(values.shape, np.uint64))
        item.attrs["MATLAB_empty"] = np.uint8(1)
        kind = "double"
    else:
        item = file.create_dataset(name, data=values.T, compression="gzip")
        kind = {"float64": "double", "float32": "single", "bool": "logical"}.get(
            values.dtype.name, values.dtype.name
        )
    item.attrs["MATLAB_class"] = np.bytes_(kind)
    return item


def ask(root: Path) -> DatasetRequest:
    return DatasetRequest("TINY", root, "res101", "att", None)


def test_a_data_set_is_the_same_in_either_format(tmp_path: Path) -> None:
    content = tiny_content()
    content["att_splits"]["allclasses_names"][2, 0] = "Katze-\N{GREEK SMALL LETTER BETA}"
    for kind in ("old", "new"):
        folder = write_xlsa17(tmp_path / kind / "TINY", content, {})
    for stem, values in content.items():
        write_mat73(folder / f"{stem}.mat", values)
    old, new = (load(ask(tmp_path / kind)) for kind in ("old", "new"))
    assert new.fingerprint == old.fingerprint
    assert new.class_names == old.class_names == (*NAMES[:2], "Katze-\N{GREEK SMALL LETTER BETA}",
                                                  *NAMES[3:])  # fmt: skip
    for name in ("features", "labels", "attributes", "trainval", "test_seen", "test_unseen"):
        np.testing.assert_array_equal(getattr(new, name), getattr(old, name))


def test_every_kind_of_variable_is_as_in_the_older_format(tmp_path: Path) -> None:
    nested = np.empty((1, 2), dtype=object)
    nested[0] = ["a", "bc"]
    cells = np.empty((2, 2), dtype=object)
    cells[:] = [["one", np.eye(2)], [nested, "two words"]]
    content = {
        "wide": np.arange(6.0).reshape(2, 3), "small": np.arange(3, dtype=np.uint8)[:, None],
        "cube": np.arange(24, dtype=np.int32).reshape(2, 3, 4), "single": np.float32([[1.5]]),
        "complex": np.array([[1 + 2j, 3]]), "text": "abc", "cells": cells,
    }  # fmt: skip
    savemat(tmp_path / "old.mat", content)
    plain = {name: values for name, values in content.items() if name != "complex"}
    write_mat73(tmp_path / "new.mat", plain | {"none": np.empty((0, 3))})
    with h5py.File(tmp_path / "new.mat", "a") as file:
        pairs = np.array([[(1.0, 2.0)], [(3.0, 0.0)]], dtype=[("real", "f8"), ("imag", "f8")])
        file["complex"] = pairs
        file["structure/field"] = 1.0
        file["linked"] = h5py.ExternalLink("old.h5", "/x")
    found = {v.name: v for v in variables(tmp_path / "new.mat")}
    assert found["none"].shape == (0, 3)
    assert found["structure"].kind == "struct"
    assert "linked" not in found
    for head in variables(tmp_path / "old.mat"):
        assert found[head.name].shape == head.shape
    old, new = (read_mat(tmp_path / f"{name}.mat", list(content)) for name in ("old", "new"))

    def same(one: Any, other: Any) -> None:
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        if one.dtype == object:
            for left, right in zip(one.ravel(), other.ravel(), strict=True):
                same(left, right)
        else:
            np.testing.assert_array_equal(one, other)

    for name in content:
        same(new[name], old[name])


def test_names_in_a_cell_array(tmp_path: Path) -> None:
    names = np.empty((3, 1), dtype=object)
    names[:, 0] = ["ant", "bee ", "\N{EM DASH}"]
    write_mat73(tmp_path / "n.mat", {"names": names})
    content = read_mat(tmp_path / "n.mat", ["names"])["names"]
    assert texts(content, "names", tmp_path / "n.mat") == ("ant", "bee", "\N{EM DASH}")


def test_without_h5py_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mat73(tmp_path / "m.mat", {"x": np.eye(2)})
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(DataError, match=r"7\.3.*pip install 'gzsl-bench\[h5\]', or save it"):
        read_mat(tmp_path / "m.mat", ["x"])


def damaged(path: Path, how: str) -> None:
    with h5py.File(path, "a") as file:
        if how == "a variable is longer than its bytes allow":
            file.create_dataset("x", (10**7, 10**4), "f8", chunks=(100, 100))
        elif how == "its values lie in another file":
            file.create_dataset("x", (4,), "u1", external=[(str(path.parent / "s"), 0, 4)])
        elif how == "no references":
            file["x"] = np.eye(2)
            file["x"].attrs["MATLAB_class"] = np.bytes_("cell")
        elif how == "too deep":
            put(file, "x", np.array([["a"]], dtype=object))
            file["x"][0, 0] = file["x"].ref
        elif how == "a text holds no signs":
            file["x"] = np.eye(2)
            file["x"].attrs["MATLAB_class"] = np.bytes_("char")
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:1500])


@pytest.mark.parametrize("how", [
    "a variable is longer than its bytes allow", "its values lie in another file", "no references",
    "too deep", "a text holds no signs", "truncated",
])  # fmt: skip
def test_what_cannot_be_right_is_damaged(tmp_path: Path, how: str) -> None:
    (tmp_path / "s").write_bytes(b"1234")
    write_mat73(tmp_path / "m.mat", {"y": np.eye(30)})
    damaged(tmp_path / "m.mat", how)
    with pytest.raises(DataError, match=f"m.mat is damaged and cannot be read .*{how}"):
        read_mat(tmp_path / "m.mat", ["x"])


@pytest.mark.parametrize(("kind", "remedy"), [
    ("sparse", r"x in .*m\.mat is a sparse matrix; save it dense: full\(x\)"),
    ("struct", r"x in .*m\.mat is a struct; save its field as a variable of its own"),
    ("string", r"x in .*m\.mat is an object of MATLAB's .*cellstr\(x\)"),
])  # fmt: skip
def test_what_no_data_set_is_made_of(tmp_path: Path, kind: str, remedy: str) -> None:
    write_mat73(tmp_path / "m.mat", {"y": np.eye(2)})
    with h5py.File(tmp_path / "m.mat", "a") as file:
        if kind == "string":
            put(file, "x", np.zeros((1, 6), np.uint32)).attrs["MATLAB_class"] = np.bytes_(kind)
        else:
            file["x/data"] = np.zeros(3)
            if kind == "sparse":
                file["x"].attrs["MATLAB_sparse"] = np.uint64(3)
    with pytest.raises(DataError, match=remedy):
        read_mat(tmp_path / "m.mat", ["x"])


def test_a_file_of_another_program_needs_no_attributes(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.mat", "w") as file:
        file["x"] = np.arange(6.0).reshape(3, 2)
    assert mat73.read(tmp_path / "m.mat", {"x"})["x"].tolist() == [[0, 2, 4], [1, 3, 5]]
