"""Folders with a dataset.yaml: every format, one fingerprint, and one sentence for mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from gzsl_data_factory import FORMATS, NAMES, tiny_content, write_array, write_described
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import gzsl_bench.data.features as feature_reader
from gzsl_bench.builtin.datasets import folder_spec
from gzsl_bench.cli.data import data_group
from gzsl_bench.data.arrays import read_array
from gzsl_bench.data.checks import check_data
from gzsl_bench.data.described import load, missing
from gzsl_bench.data.description import Source
from gzsl_bench.data.gzsl import GZSLData
from gzsl_bench.data.identity import array_digest
from gzsl_bench.data.xlsa17 import load as load_xlsa17
from gzsl_bench.errors import DataError
from gzsl_bench.hooks.dataset import DatasetRequest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GZSL_BENCH_CACHE", str(tmp_path / "cache"))


def read(root: Path, name: str = "MINE", cache: Path | None = None) -> GZSLData:
    return load(DatasetRequest(name, root, "backbone", "words", cache))


def replace_text(folder: Path, old: str, new: str) -> None:
    path = folder / "dataset.yaml"
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(("side", "base"), [("rows", 0), ("columns", 1)])
@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_is_the_same_data_set_as_the_xlsa17_folder(
    suffix: str, side: str, base: int, root: Path
) -> None:
    write_described(root / "MINE", suffix, side=side, base=base)
    data = check_data(read(root))
    original = load_xlsa17(DatasetRequest("TINY", root, "res101", "att"))
    assert data.fingerprint == original.fingerprint
    assert data.provenance["digests"] == original.provenance["digests"]
    assert data.provenance["split_hashes"] == original.provenance["split_hashes"]
    assert data.provenance["trainval_order"] == original.provenance["trainval_order"]
    np.testing.assert_array_equal(data.trainval, original.trainval)
    assert data.class_names == NAMES
    assert [fold.val.tolist() for fold in data.folds] == [[2], [0]]
    assert (data.name, data.feature_set, data.attribute_set) == ("MINE", "backbone", "words")
    assert data.warnings == ()


def test_class_lists_leave_the_order_of_training_rows_to_the_labels(root: Path) -> None:
    write_described(root / "MINE", split="classes")
    data, original = read(root), load_xlsa17(DatasetRequest("TINY", root, "res101", "att"))
    assert data.fingerprint == original.fingerprint
    # Images lie class by class and the first of each seen class is a test image.
    assert data.trainval.tolist() == [row for row in range(20) if row % 5]
    assert data.test_unseen.tolist() == list(range(20, 30))


def test_labels_may_be_names(root: Path) -> None:
    folder = write_described(root / "MINE")
    before = read(root).fingerprint
    lines = [name for name in NAMES for _ in range(5)]
    (folder / "labels.txt").write_text("\n".join(lines), encoding="utf-8")
    replace_text(folder, "{file: labels.npy, count_from: 0}", "labels.txt")
    assert read(root).fingerprint == before
    (folder / "labels.txt").write_text("\n".join([*lines[:-1], "foxx"]), encoding="utf-8")
    with pytest.raises(DataError, match=r"labels\.txt:30: unknown class 'foxx'; did you mean"):
        read(root)


def test_names_are_optional(root: Path) -> None:
    folder = write_described(root / "MINE")
    before = read(root).fingerprint
    text = (folder / "dataset.yaml").read_text(encoding="utf-8")
    text = text.replace("classes: allclasses.txt\n", "").split("folds:")[0]
    (folder / "dataset.yaml").write_text(text, encoding="utf-8")
    data = read(root)
    assert (data.fingerprint, data.class_names, data.folds) == (before, None, ())


matrices = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.floats(-1e6, 1e6, width=32),
)


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(values=matrices, suffix=st.sampled_from(FORMATS), turned=st.booleans())
def test_the_digest_of_features_knows_no_format_and_no_orientation(
    values: Any, suffix: str, turned: bool, tmp_path: Path
) -> None:
    written = values.T if turned else values
    entry = write_array(tmp_path, "m", suffix, written)
    key = entry.partition("key: ")[2] or None
    loaded = feature_reader.load_matrix(
        tmp_path / f"m{suffix}", key, "columns" if turned else "rows", None
    )
    assert loaded.digest == array_digest(values, "float32")
    np.testing.assert_array_equal(loaded.features, values)


def test_half_precision_of_any_kind_is_read_exactly(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    values = torch.tensor([[1.5, -2.25, 0.0078125], [3e38, 1e-30, -0.0]])
    save_file({"x": values.to(torch.bfloat16), "y": values.half()}, tmp_path / "f.safetensors")
    bfloat = read_array(tmp_path / "f.safetensors", "x")
    assert bfloat.tobytes() == values.to(torch.bfloat16).float().numpy().tobytes()
    half = read_array(tmp_path / "f.safetensors", "y")
    assert half.tobytes() == values.half().numpy().tobytes()


def test_the_cache_serves_described_features(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = root / "cache"
    write_described(root / "MINE", ".csv")
    plain, first = read(root), read(root, cache=cache)

    def never(*args: Any) -> Any:
        raise AssertionError("the file was read again")

    monkeypatch.setattr(feature_reader, "_to_rows", never)
    second = read(root, cache=cache)
    assert isinstance(second.features, np.memmap)
    assert plain.fingerprint == first.fingerprint == second.fingerprint
    # Another orientation of the same file is another matrix.
    replace_text(root / "MINE", "images: rows", "images: columns")
    with pytest.raises(AssertionError, match="read again"):
        read(root, cache=cache)


FEATURES = tiny_content()["res101"]["features"].T
LABELS = tiny_content()["res101"]["labels"].reshape(-1).astype(np.int64) - 1
TEST_SEEN = np.array([0, 5, 10, 15])


def changed(array: Any, at: Any, value: Any) -> Any:
    array = np.array(array)
    array[at] = value
    return array


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "features turned": (
        {"features": FEATURES.T},
        r"MINE/features\.npy have 7 rows, but there are 30 labels.*`images: columns` would fit",
    ),
    "too few images": (
        {"features": FEATURES[:-1]},
        r"MINE/features\.npy have 29 rows, but there are 30 labels.*one label$",
    ),
    "NaN": (
        {"features": changed(FEATURES, (3, 2), np.nan)},
        r"features\.npy holds NaN or Inf \(first in image 4 of 30\)",
    ),
    "beyond float32": (
        {"features": changed(FEATURES, (3, 2), 1e300)},
        r"features\.npy holds NaN or Inf \(first in image 4 of 30\)",
    ),
    "complex": ({"features": FEATURES + 1j}, r"features\.npy holds no real numbers but complex"),
    "texts": ({"features": FEATURES.astype(str)}, r"features\.npy holds no real numbers but str"),
    "a vector": ({"features": FEATURES[:, 0]}, r"has shape \(30,\).*one image a row is needed"),
    "one number": ({"features": np.float32(3)}, r"holds a single number"),
    "objects": ({"features": FEATURES.astype(object)}, r"Python objects \(a pickle\).*never"),
    "embedding turned": (
        {"att": np.zeros((4, 6))},
        r"att\.npy has 4 rows, but there are 6 classes.*`classes: columns` would fit",
    ),
    "a class too few": (
        {"att": np.zeros((5, 4))},
        r"att\.npy has 5 rows, but there are 6 classes in allclasses\.txt$",
    ),
    "embedding with Inf": (
        {"att": changed(np.eye(6), (2, 2), np.inf)},
        r"att\.npy holds NaN or Inf \(first for class 'cat'\)",
    ),
    "labels from 1": (
        {"labels": LABELS + 1},
        r"labels\.npy run from 1 to 6.*from 0 to 5; `count_from: 1` would fit",
    ),
    "labels beyond": (
        {"labels": changed(LABELS, 3, 9)},
        r"labels\.npy run from 0 to 9, but there are 6 classes.*from 0 to 5$",
    ),
    "labels with halves": (
        {"labels": changed(LABELS.astype(float), 3, 0.5)},
        r"labels in .*labels\.npy holds 0\.5, but whole numbers are needed",
    ),
    "one-hot labels": ({"labels": np.eye(6)[LABELS]}, r"has shape \(30, 6\), but one column"),
    "no labels": ({"labels": np.zeros(0, int)}, r"labels\.npy are empty"),
    "rows from 1": (
        {"test_unseen": np.arange(21, 31)},
        r"test_unseen \(test_unseen\.npy\).*rows from 21 to 30.*`count_from: 1` would fit",
    ),
    "rows beyond": (
        {"test_unseen": np.array([20, 99])},
        r"lists rows from 20 to 99, but there are 30 images, so rows.*from 0 to 29$",
    ),
    "no rows": ({"test_unseen": np.zeros(0, int)}, r"\(test_unseen\.npy\) in .* is empty"),
    "a mask": (
        {"test_seen": np.isin(np.arange(30), TEST_SEEN)},
        r"test_seen in .* holds true and false.*numpy\.flatnonzero",
    ),
    "a row twice": (
        {"test_seen": [0, 0, 5, 10, 15]},
        r"test_seen \(test_seen\.npy\) in .*dataset\.yaml lists row 0 2 times",
    ),
    "an overlap": (
        {"test_seen": [0, 1, 5, 10, 15]},
        r"trainval \(trainval\.npy\) and test_seen \(test_seen\.npy\).*overlap in 1 row \(row 1",
    ),
    "a class without tests": (
        {"test_seen": [0, 5, 10]},
        r"class 'dog' has no test image in .*dataset\.yaml",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_content_that_cannot_be_right(case: str, root: Path) -> None:
    replaced, sentence = MISTAKES[case]
    write_described(root / "MINE", **replaced)
    with pytest.raises(DataError, match=sentence) as caught:
        read(root)
    assert "\n" not in str(caught.value)


def test_without_names_an_embedding_on_its_side_is_noticed(root: Path) -> None:
    folder = write_described(root / "MINE", att=np.eye(6, 4).T + 1)
    text = (folder / "dataset.yaml").read_text(encoding="utf-8")
    text = text.replace("classes: allclasses.txt\n", "").split("folds:")[0]
    (folder / "dataset.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"0 to 5, but there are 4 classes.*`classes: columns`"):
        read(root)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (", images: rows", "", r":4: the key 'images' is missing: rows where each row"),
        (
            "labels.npy, count_from: 0",
            "labels.npy",
            r":2: the key 'count_from' is missing: number of the first class: 0 or 1",
        ),
        ("images: rows", "images: row", r":4: 'images' is 'row', but 'rows' or 'columns'"),
        ("images: rows", "image: rows", r":4: unknown key 'image'; did you mean 'images'"),
        ("\nlabels:", "\nlabls:", r":2: unknown key 'labls'; did you mean 'labels'"),
        ("features.npy", "features.pkl", r":4: the file 'features\.pkl' has no format that"),
        ("features.npy", "features.npz", r":4: the file 'features\.npz' holds several arrays, so"),
        ("att.npy", "att.npy, key: x", r":6: the file 'att\.npy' holds one array, so it takes no"),
        ("features.npy", "../features.npy", r":4: the file '\.\./features\.npy' must lie in the"),
        ("features.npy", "/tmp/f.npy", r":4: the file '/tmp/f\.npy' must lie in the data set's"),
        ("\n  trainval: {file: trainval.npy}", "", r":7: a split is given by the row numbers"),
        ("classes: allclasses.txt\n", "", r":1: labels, class lists or folds by name need"),
        ("count_from: 0\n", "count_from: 01\n", r":8: 01 would be read as 1, .* or quote it"),
        ("classes: allclasses.txt", "classes: 12", r":1: 'classes' .*; quote it if it is a name$"),
        ("count_from: 0\n", "count_from: 2\n", r":8: 'count_from' is 2, but 0 or 1 is expected"),
        ("valclasses2", "testclasses", r"list 'elk', which has no training rows"),
        ("allclasses.txt", "none.txt", r"none\.txt is missing: .*names it for classes"),
        (
            "{file: labels.npy, count_from: 0}",
            "[1]",
            r":2: 'labels' should be a mapping, not \[1\]$",
        ),
        (
            "{file: att.npy, classes: rows}",
            "att.npy",
            r"not 'att\.npy'; a file is written \{file: att\.npy\}$",
        ),
        ("split:", "split: 3\nsplat:", r":\d+: unknown key 'splat'"),
    ],
)
def test_descriptions_that_cannot_be_right(old: str, new: str, sentence: str, root: Path) -> None:
    folder = write_described(root / "MINE")
    replace_text(folder, old, new)
    with pytest.raises(DataError, match=sentence) as caught:
        read(root)
    assert "\n" not in str(caught.value)


def test_class_lists_that_cannot_be_right(root: Path) -> None:
    folder = write_described(root / "MINE", split="classes")
    seen, unseen = folder / "trainvalclasses.txt", folder / "testclasses.txt"
    for path, text, sentence in (
        (unseen, "elk", r"lack 'fox', but every class is seen or unseen"),
        (unseen, "elk\nfox\nant", r"both list 'ant', but must be disjoint"),
        (unseen, "elk\nfox\nelk", r"testclasses\.txt lists the class 'elk' twice"),
        (unseen, "elk\nfoxx", r"testclasses\.txt lists 'foxx', which is none of the 6 classes"),
        (seen, "ant\nbee\ncat", r"lack 'dog'"),
    ):
        before = path.read_text(encoding="utf-8")
        path.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=sentence):
            read(root)
        path.write_text(before, encoding="utf-8")
    write_described(folder, split="classes", test_seen=[0, 5, 10, 15, 20])
    with pytest.raises(DataError, match=r"lists row 20, which is of 'elk', but only images of"):
        read(root)


@pytest.mark.parametrize(
    ("suffix", "content", "sentence"),
    [
        (".npy", b"", r"is empty, but a \.npy file is needed"),
        (".npz", b"<!DOCTYPE html><html>", r"is an HTML page saved under the name of a \.npz file"),
        (".safetensors", b"version https://git-lfs.github.com", r"is a Git LFS pointer"),
        (".npy", b"\x80\x04\x95aaaa.", r"is a Python pickle, which is never loaded"),
        (".npy", b"\x93NUMPY\x01\x00\x02", r"is damaged or no \.npy file"),
        (".npz", b"PK\x03\x04rubbish", r"is damaged or no \.npz file"),
        (".h5", b"\x89HDF\r\n\x1a\nrubbish", r"is damaged or no \.h5 file"),
        (".safetensors", b"\xff" * 40, r"is damaged or no \.safetensors file \(its header"),
        (".safetensors", (2).to_bytes(8, "little") + b"[]", r"is damaged or no \.safetensors"),
        (".csv", b"a,b\n1,2\n", r"m\.csv:1: 'a' is no number; the file may hold numbers alone"),
        (".csv", b"1,2\n3\n", r"m\.csv:2: this line has 1 numbers, but the first has 2"),
        (".txt", b"\n\n", r"m\.txt holds no numbers"),
    ],
)
def test_files_that_are_no_arrays(
    suffix: str, content: bytes, sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / f"m{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        read_array(path, "x" if suffix in (".npz", ".h5", ".safetensors") else None)


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".mat", ".safetensors"])
def test_a_key_that_is_not_there_is_named_with_those_that_are(suffix: str, tmp_path: Path) -> None:
    write_array(tmp_path, "m", suffix, np.eye(3))
    with pytest.raises(DataError, match=r"has no key 'y'; it has: .*x"):
        read_array(tmp_path / f"m{suffix}", "y")


def test_objects_are_refused_by_every_format_that_could_hold_them(tmp_path: Path) -> None:
    class Planted:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "executed",))

    planted = np.array([Planted(), 1], dtype=object)
    np.save(tmp_path / "m.npy", planted, allow_pickle=True)
    np.savez(tmp_path / "m.npz", x=planted)
    import h5py

    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["x"] = np.array([b"abc", b"d"], dtype=object)
    for name, key in (("m.npy", None), ("m.npz", "x"), ("m.h5", "x")):
        with pytest.raises(DataError, match=r"Python objects \(a pickle\), which are never loaded"):
            read_array(tmp_path / name, key)
    assert not (tmp_path / "executed").exists()


def test_sparse_matrices_are_to_be_saved_dense(tmp_path: Path) -> None:
    import h5py
    from scipy.sparse import csr_matrix, save_npz

    save_npz(tmp_path / "m.npz", csr_matrix(np.eye(3)))
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["X/data"] = file["X/indices"] = file["X/indptr"] = np.zeros(3)
    for name, key in (("m.npz", "data"), ("m.npz", "features"), ("m.h5", "X")):
        with pytest.raises(DataError, match=r"holds a sparse matrix; save it dense: numpy\.save"):
            read_array(tmp_path / name, key)


def test_a_truncated_safetensors_file(tmp_path: Path) -> None:
    write_array(tmp_path, "m", ".safetensors", np.eye(3))
    path = tmp_path / "m.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="it is truncated"):
        read_array(path, "x")


def test_hdf5_without_h5py_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_array(tmp_path, "m", ".h5", np.eye(3))
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(DataError, match=r"h5py.*is not installed; pip install 'gzsl-bench\[h5\]'"):
        read_array(tmp_path / "m.h5", "group/x")


def test_missing_files_are_all_listed(root: Path) -> None:
    folder = write_described(root / "MINE")
    request = DatasetRequest("MINE", root, "backbone", "words")
    assert missing(request) == []
    for name in ("features.npy", "trainval.npy", "valclasses2.txt"):
        (folder / name).unlink()
    names = [Path(file.path).name for file in missing(request)]
    assert names == ["features.npy", "trainval.npy", "valclasses2.txt"]


def test_variants_that_do_not_exist(root: Path) -> None:
    write_described(root / "MINE")
    with pytest.raises(DataError, match=r"unknown feature set of .*dataset\.yaml 'backbon'"):
        load(DatasetRequest("MINE", root, "backbon", "words"))
    with pytest.raises(DataError, match=r"unknown class embedding of .* available: words"):
        load(DatasetRequest("MINE", root, "backbone", "att"))


def test_a_known_name_must_have_the_published_split(root: Path) -> None:
    write_described(root / "CUB")
    warnings = read(root, "CUB").warnings
    assert any("11788 are published for CUB" in text for text in warnings)
    replace_text(root / "CUB", "backbone:", "res101:")
    with pytest.raises(DataError, match="11788 are published for CUB"):
        load(DatasetRequest("CUB", root, "res101", "words"))


def test_the_first_variants_are_the_defaults(root: Path) -> None:
    write_described(root / "MINE")
    spec = folder_spec("MINE", root)
    assert (spec.features, spec.attributes) == ("backbone", "words")
    assert spec.load(DatasetRequest("MINE", root, "backbone", "words")).name == "MINE"


def test_list_and_check_know_described_folders(root: Path) -> None:
    folder = write_described(root / "MINE", ".safetensors")
    runner = CliRunner()
    listed = runner.invoke(data_group, ["list", "--data", str(root), "--json"])
    rows = {row["name"]: row for row in json.loads(listed.stdout)["datasets"]}
    assert rows["MINE"]["ready"]
    assert rows["MINE"]["features"] == ["backbone"]
    assert rows["MINE"]["attributes"] == ["words"]
    checked = runner.invoke(data_group, ["check", "MINE", "TINY", "--data", str(root), "--json"])
    mine, tiny = json.loads(checked.stdout)
    assert mine["fingerprint"] == tiny["fingerprint"]
    assert (mine["features"], mine["attributes"]) == ("backbone", "words")
    # A mistake in one description leaves the others listed, and check names it.
    replace_text(folder, "images: rows", "images: row")
    listed = runner.invoke(data_group, ["list", "--data", str(root), "--json"])
    rows = {row["name"]: row for row in json.loads(listed.stdout)["datasets"]}
    assert rows["TINY"]["ready"]
    assert "'images' is 'row'" in rows["MINE"]["missing"][0]["hint"]
    checked = runner.invoke(data_group, ["check", "--data", str(root)])
    assert isinstance(checked.exception, DataError)
    assert "'images' is 'row'" in str(checked.exception)


def test_a_suite_runs_on_a_described_folder(root: Path, tmp_path: Path) -> None:
    from gzsl_bench.hooks.manager import load_plugins
    from gzsl_bench.suite.datasets import Place
    from gzsl_bench.suite.load import load_suite
    from gzsl_bench.suite.resolve import resolve

    write_described(root / "MINE", ".npz")
    suite = tmp_path / "s.yaml"
    suite.write_text("name: s\ndatasets: [MINE]\nmethods: [eszsl]\n", encoding="utf-8")
    (cell,) = resolve(load_suite(suite), load_plugins(), Place(root, None)).cells
    assert cell.request == {"use": "MINE", "features": "backbone", "attributes": "words"}
    assert cell.identity["dataset"]["features"] == "backbone"


def test_an_encoder_without_a_hash_of_its_weights_shows_none() -> None:
    said = str(Source(backbone="words.py:letters", weights="its own", libraries={"numpy": "2"}))
    assert said == "words.py:letters; weights its own; float32; numpy 2"
