"""MAT files that are none: each is told apart and refused in one sentence."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from gzsl_bench.data.matfile import read_mat, variables, vector
from gzsl_bench.errors import DataError


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "sound.mat"
    content = {"a": np.arange(600.0).reshape(20, 30), "b": np.arange(5, dtype=np.uint16)[:, None]}
    savemat(path, content, do_compression=True)
    return path


def test_variables_are_listed_and_read(sound: Path) -> None:
    assert [(v.name, v.shape) for v in variables(sound)] == [("a", (20, 30)), ("b", (5, 1))]
    assert read_mat(sound, ["b"], ["c"])["b"].ravel().tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(DataError, match="has no key 'c'; it has: a, b"):
        read_mat(sound, ["c"])


class Trap:
    def __reduce__(self) -> tuple[object, ...]:
        raise AssertionError("unpickled")


CASES = {
    "empty": (b"", "is empty"),
    "html": (b"\n<!DOCTYPE html><html>404</html>", "is an HTML page saved under the name of a MAT"),
    "zip": (b"PK\x03\x04" + b"\0" * 200, "is a zip archive, not a MAT file"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid", "is a Git LFS pointer"),
    "npy": (b"\x93NUMPY" + b"\0" * 200, "is a NumPy array"),
    "pickle": (pickle.dumps([1, 2, 3]), "is a Python pickle, which is never loaded"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + b"\0" * 200, "is damaged and cannot be read"),
    "v7.3": (b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(600), "is damaged and cannot be read"),
    "text": (b"hello world, this is no MAT file at all" * 9, "is not a MATLAB 5 file"),
    "header": (b"MATLAB 5.0 MAT-file", "is truncated: its header has 19 of 128 bytes"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_no_mat_file_is_recognised(case: str, tmp_path: Path) -> None:
    content, sentence = CASES[case]
    path = tmp_path / "res101.mat"
    path.write_bytes(content)
    with pytest.raises(DataError, match=sentence) as caught:
        read_mat(path, ["features"])
    assert str(path) in str(caught.value)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone.mat does not exist"):
        read_mat(tmp_path / "gone.mat", ["a"])
    with pytest.raises(DataError, match="is a folder"):
        read_mat(tmp_path, ["a"])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_recognised_wherever_it_is_cut(sound: Path, share: float) -> None:
    whole = sound.read_bytes()
    sound.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DataError, match="is truncated"):
        read_mat(sound, ["a"])


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_damaged_byte_never_gives_anything_but_data_or_a_sentence(
    sound: Path, position: int, change: int
) -> None:
    content = bytearray(sound.read_bytes())
    content[position % len(content)] ^= change
    path = sound.with_name("damaged.mat")
    path.write_bytes(bytes(content))
    sentence = ""
    try:
        read_mat(path, ["a"])
    except DataError as error:
        sentence = str(error)
    assert "\n" not in sentence


def test_small_unsigned_numbers_are_widened_before_arithmetic(tmp_path: Path) -> None:
    rows = vector(np.array([[1], [65535]], dtype=np.uint16), "trainval_loc", tmp_path)
    assert (rows - 1).tolist() == [0, 65534]
    assert (rows - 2).tolist() == [-1, 65533]
