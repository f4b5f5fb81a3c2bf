"""The xlsa17 reader: what a sound folder becomes, and one sentence for each unsound one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gzsl_data_factory import CLASS_FILES, NAMES, tiny_content, write_xlsa17
from scipy.io import savemat
from scipy.sparse import csc_matrix

from gzsl_bench.data.places import embeddings, feature_sets, missing, present, resolve_root
from gzsl_bench.data.xlsa17 import load
from gzsl_bench.errors import DataError
from gzsl_bench.hooks.dataset import DatasetRequest


def ask(root: Path | None, name: str = "TINY", **more: Any) -> DatasetRequest:
    return DatasetRequest(name, root, **{"features": "res101", "attributes": "att", **more})


def test_rows_are_images_and_everything_counts_from_zero(root: Path) -> None:
    data = load(ask(root))
    content = tiny_content()
    np.testing.assert_array_equal(data.features, content["res101"]["features"].T.astype(np.float32))
    assert data.features.dtype == np.float32
    assert data.features.flags.c_contiguous
    np.testing.assert_array_equal(data.attributes, content["att_splits"]["att"].T)
    assert data.labels.tolist() == np.repeat(np.arange(6), 5).tolist()
    order = content["att_splits"]["trainval_loc"].ravel().astype(int) - 1
    assert data.trainval.tolist() == order.tolist()
    assert data.test_seen.tolist() == [0, 5, 10, 15]
    assert data.test_unseen.tolist() == list(range(20, 30))
    assert data.class_names == NAMES
    assert data.seen.tolist() == [0, 1, 2, 3]
    assert data.unseen.tolist() == [4, 5]
    assert [(f.train.tolist(), f.val.tolist()) for f in data.folds] == [
        ([0, 1, 3], [2]),
        ([1, 2, 3], [0]),
    ]
    assert data.warnings == ()
    assert len(data.fingerprint) == 16
    assert set(data.provenance["files"]) == {"res101.mat", "att_splits.mat"}


def test_a_folder_without_names_and_class_files_is_enough(tmp_path: Path) -> None:
    content = tiny_content()
    del content["att_splits"]["allclasses_names"]
    write_xlsa17(tmp_path / "FLOWERS", content, {})
    data = load(ask(tmp_path, "FLOWERS"))
    assert data.class_names is None
    assert data.folds == ()
    assert data.num_classes == 6


def test_integer_features_become_float32(tmp_path: Path) -> None:
    content = tiny_content()
    content["res101"]["features"] = np.arange(7 * 30, dtype=np.uint8).reshape(7, 30)
    write_xlsa17(tmp_path / "TINY", content)
    data = load(ask(tmp_path))
    assert data.features.dtype == np.float32
    assert data.features[1, 6] == 6 * 30 + 1


def test_the_feature_file_is_an_axis(root: Path) -> None:
    content = tiny_content()
    content["res101"]["features"] = content["res101"]["features"][:3]
    write_xlsa17(root / "TINY", {"res101": content["res101"]}, {}, features="small")
    assert load(ask(root, features="small")).features.shape == (30, 3)
    assert load(ask(root, features="small")).fingerprint != load(ask(root)).fingerprint
    assert feature_sets(root / "TINY") == ("res101", "small")
    assert present(root) == ("TINY",)


@pytest.mark.parametrize("transposed", [False, True])
def test_the_class_embedding_is_an_axis(root: Path, transposed: bool) -> None:
    sentences = np.random.default_rng(1).random((6, 9))
    stored = sentences.T if transposed else sentences
    np.save(root / "TINY" / "sent.npy", stored)
    write_xlsa17(root / "TINY", {"sent_splits": {"att": stored}}, {})
    for name in ("sent.npy", "sent_splits.mat:att"):
        np.testing.assert_array_equal(load(ask(root, attributes=name)).attributes, sentences)
    assert embeddings(root / "TINY") == ("att", "sent_splits.mat:att", "sent.npy")


Change = Callable[[dict[str, dict[str, Any]]], None]


def put(file: str, key: str, change: Callable[[Any], Any]) -> Change:
    def apply(content: dict[str, dict[str, Any]]) -> None:
        content[file][key] = change(content[file][key])

    return apply


def drop(file: str, key: str) -> Change:
    def apply(content: dict[str, dict[str, Any]]) -> None:
        del content[file][key]

    return apply


def set_at(where: Any, value: float) -> Callable[[Any], Any]:
    def change(array: Any) -> Any:
        array = array.copy()
        array[where] = value
        return array

    return change


def move(source: str, target: str, row: int) -> Change:
    def apply(content: dict[str, dict[str, Any]]) -> None:
        lists = content["att_splits"]
        lists[source] = lists[source][lists[source] != row][:, None]
        lists[target] = np.append(lists[target], row)[:, None]

    return apply


def both(*changes: Change) -> Change:
    def apply(content: dict[str, dict[str, Any]]) -> None:
        for change in changes:
            change(content)

    return apply


def keep_rows(key: str, *rows: int) -> Change:
    return put("att_splits", key, lambda a: np.array([r for r in a.ravel() if r not in rows]))


S = "att_splits"
UNSOUND = {
    "no features": (drop("res101", "features"), "has no key 'features'; it has: labels"),
    "no labels": (drop("res101", "labels"), "has no key 'labels'; it has: features"),
    "no list": (drop(S, "test_seen_loc"), "has no key 'test_seen_loc'"),
    "no embedding": (drop(S, "att"), "has no key 'att'"),
    "features transposed": (put("res101", "features", np.transpose), "one image a row"),
    "features of other images": (
        put("res101", "features", lambda a: a[:, :-1]),
        "have 29 columns but labels have 30 entries",
    ),
    "features 3-d": (
        put("res101", "features", lambda a: a.reshape(7, 5, 6)),
        r"have shape \(7, 5, 6\)",
    ),
    "features empty": (put("res101", "features", lambda a: a[:0]), "have shape"),
    "features complex": (put("res101", "features", lambda a: a * 1j), "holds no real numbers"),
    "NaN": (put("res101", "features", set_at((2, 4), np.nan)), r"NaN or Inf \(first in image 5 of"),
    "Inf": (put("res101", "features", set_at((0, 0), -np.inf)), r"NaN or Inf \(first in image 1 "),
    "beyond float32": (
        put("res101", "features", set_at((0, 29), 1e39)),
        r"first in image 30 of 30",
    ),
    "labels from 0": (
        put("res101", "labels", lambda a: a - 1),
        r"run from 0 to 5, but the file format counts classes from 1; a 0-based file must",
    ),
    "labels too high": (
        put("res101", "labels", set_at((3, 0), 7)),
        "run from 1 to 7, but there are 6 classes, so labels run from 1 to 6",
    ),
    "labels negative": (put("res101", "labels", set_at((3, 0), -2)), "run from -2 to 6"),
    "labels fractional": (
        put("res101", "labels", set_at((3, 0), 1.5)),
        "labels in .* holds 1.5, but whole numbers are needed",
    ),
    "labels NaN": (put("res101", "labels", set_at((3, 0), np.nan)), "labels in .* holds NaN"),
    "labels one-hot": (
        put("res101", "labels", lambda a: np.eye(30)),
        r"labels in .* has shape \(30, 30\), but one column is needed",
    ),
    "att transposed": (put(S, "att", np.transpose), "one class a row"),
    "att of other classes": (
        put(S, "att", lambda a: a[:, :5]),
        "has 5 columns but there are 6 classes",
    ),
    "att NaN": (put(S, "att", set_at((0, 2), np.nan)), r"NaN or Inf \(first for class 3 \(cat\)\)"),
    "overlap": (
        put(S, "test_seen_loc", lambda a: np.append(a, 2)),
        r"trainval_loc and test_seen_loc .* overlap in 1 row \(row 2, for one\)",
    ),
    "twice": (
        put(S, "test_seen_loc", lambda a: np.append(a, 1)),
        "test_seen_loc .* lists row 1 2 times",
    ),
    "indices from 0": (
        both(
            *(put(S, k, lambda a: a - 1) for k in ("trainval_loc", "test_seen_loc")),
            put(S, "test_unseen_loc", lambda a: a - 1),
        ),
        "test_seen_loc .* counts rows from 0, but the file format counts them from 1",
    ),
    "index too high": (
        put(S, "test_unseen_loc", set_at((9, 0), 31)),
        "test_unseen_loc .* lists row 31, but there are 30 images, so rows run from 1 to 30",
    ),
    "index negative": (
        put(S, "trainval_loc", lambda a: np.append(a.astype(int), -5)),
        "trainval_loc .* lists row -5",
    ),
    "index fractional": (
        put(S, "trainval_loc", lambda a: np.append(a, 2.5)),
        "trainval_loc .* holds 2.5, but whole numbers",
    ),
    "empty part": (
        put(S, "test_seen_loc", lambda a: a[:0]),
        "test_seen_loc .* is empty, but every part needs",
    ),
    "seen class never trained": (
        keep_rows("trainval_loc", 17, 18, 19, 20),
        r"class 4 \(dog\) has rows in test_seen_loc but none in trainval_loc",
    ),
    "unseen class trained": (
        move("test_unseen_loc", "trainval_loc", 26),
        r"class 6 \(fox\) has rows in test_unseen_loc and in trainval_loc",
    ),
    "class never tested": (
        keep_rows("test_seen_loc", 6),
        r"class 2 \(bee\) has no test image",
    ),
    "class without images": (
        keep_rows("test_unseen_loc", *range(26, 31)),
        r"class 6 \(fox\) has no test image",
    ),
    "name twice": (
        put(S, "allclasses_names", set_at((5, 0), "ant")),  # type: ignore[arg-type]
        "lists the class 'ant' twice",
    ),
    "names are numbers": (
        put(S, "allclasses_names", lambda a: np.arange(6)),
        "must be a cell array of names",
    ),
}


@pytest.mark.parametrize("case", UNSOUND)
def test_unsound_variables_are_refused_in_one_sentence(case: str, tmp_path: Path) -> None:
    change, sentence = UNSOUND[case]
    content = tiny_content()
    change(content)
    write_xlsa17(tmp_path / "TINY", content, {})
    with pytest.raises(DataError, match=sentence) as caught:
        load(ask(tmp_path))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


CONTRADICTIONS = {
    "names differ": ({"allclasses": ("ant", "bee", "cat", "dog", "fox", "elk")}, "calls class 5"),
    "names lack one": ({"allclasses": NAMES[:5]}, "has 5 classes but allclasses_names has 6"),
    "seen class missing": ({"trainvalclasses": NAMES[:3]}, "it lacks 'dog', which has training"),
    "unseen as seen": ({"trainvalclasses": NAMES[:5]}, "it lists 'elk', of which it is not true"),
    "unseen class missing": ({"testclasses": ("elk",)}, "it lacks 'fox'"),
    "unknown class": ({"testclasses": ("elk", "gnu")}, "lists 'gnu', which is none of the 6"),
    "fold overlaps": ({"valclasses1": ("ant",)}, "both list 'ant', but must be disjoint"),
    "fold of unseen": ({"valclasses1": ("fox",)}, "list 'fox', which has no training rows"),
    "half a fold": ({"trainclasses3": ("ant",)}, "but no valclasses3.txt"),
    "listed twice": ({"testclasses": ("elk", "fox", "elk")}, "lists the class 'elk' twice"),
    "empty": ({"testclasses": ()}, "is empty, but one class name a line"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_class_files_that_contradict_are_refused(case: str, tmp_path: Path) -> None:
    changed, sentence = CONTRADICTIONS[case]
    write_xlsa17(tmp_path / "TINY", None, {**CLASS_FILES, **changed})
    with pytest.raises(DataError, match=sentence):
        load(ask(tmp_path))


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((6, 6)), "rows and columns cannot be told apart"),
        (np.zeros((5, 4)), "one side must be the 6 classes"),
        (np.zeros(6), "a matrix with one vector a class is needed"),
        (np.full((6, 4), np.inf), "NaN or Inf"),
        (np.array([{"a": 1}], dtype=object), "holds Python objects"),
        (np.array([["a"]]), "holds no real numbers but str"),
    ],
)
def test_unsound_embedding_files_are_refused(root: Path, array: Any, sentence: str) -> None:
    np.save(root / "TINY" / "e.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=sentence):
        load(ask(root, attributes="e.npy"))


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"attributes": "sent.mat"}, "lacks a key; write sent.mat:KEY"),
        ({"attributes": "../x.npy"}, "must be a plain name without folders"),
        ({"attributes": "a:b:c"}, "is not understood"),
        (
            {"attributes": "nothing"},
            "has no key 'nothing'; the class embeddings there are att: write `attributes: att`",
        ),
        ({"attributes": "sent.npz"}, "is a .npz file, which a dataset.yaml in the folder can name"),
        ({"features": "clip.npy"}, "is a .npy file, which a dataset.yaml in the folder can name"),
        ({"features": "res101.mat"}, "named without .mat: 'res101'"),
        ({"features": "../TINY/res101"}, "must be a plain name"),
        ({"name": ".."}, "must be a plain name"),
    ],
)
def test_names_that_lead_nowhere_are_refused(root: Path, more: Any, sentence: str) -> None:
    with pytest.raises(DataError, match=re.escape(sentence)):
        load(ask(root, **more))


def test_warnings_for_what_is_odd_but_usable(tmp_path: Path) -> None:
    content = tiny_content()
    content[S]["att"][:, 1] = content[S]["att"][:, 0]
    content[S]["trainval_loc"] = content[S]["trainval_loc"][:-1]
    del content[S]["allclasses_names"]
    write_xlsa17(tmp_path / "TINY", content, {"testclasses": ("elk", "fox")})
    twins, files, unused = load(ask(tmp_path)).warnings
    assert "gives class 1 and class 2 the same vector" in twins
    assert "neither allclasses_names nor allclasses.txt" in files
    assert "1 of 30 images are in no list" in unused


def test_an_embedding_under_another_key_is_named(tmp_path: Path) -> None:
    content = tiny_content()
    content[S]["sent"] = content[S].pop("att")
    write_xlsa17(tmp_path / "TINY", content)
    with pytest.raises(DataError, match="has no key 'att'.* write `attributes: sent`"):
        load(ask(tmp_path))
    assert load(ask(tmp_path, attributes="sent")).attributes.shape == (6, 4)


def test_sparse_matrices_and_other_formats_come_with_a_remedy(tmp_path: Path) -> None:
    content = tiny_content()
    folder = write_xlsa17(tmp_path / "TINY", content)
    for stem, key in (("att_splits", "att"), ("res101", "features")):
        sparse = {**content[stem], key: csc_matrix(content[stem][key])}
        savemat(folder / f"{stem}.mat", sparse)
        with pytest.raises(DataError, match=rf"{key} in .* is a sparse matrix; save it dense"):
            load(ask(tmp_path))
        savemat(folder / f"{stem}.mat", content[stem])
    np.save(folder / "clip.npy", np.eye(3))
    with pytest.raises(DataError, match=r"clip\.npy is there, which a dataset\.yaml"):
        load(ask(tmp_path, features="clip"))


PLACEHOLDERS: dict[str, tuple[Any, str | None]] = {
    "-1": ((1, 2, -1.0), "has -1 for class 3 (cat) and no other negative value"),
    "zero": ((slice(None), 4, 0.0), "has nothing but 0 for class 5 (elk): is the vector missing?"),
    "constant": ((slice(None), slice(3, 5), 7.0), "7 for class 4 (dog) and 1 other: is the vector"),
    "negative too": ((slice(0, 2), 2, [-1.0, -0.5]), None),
    "signs": ((slice(None), slice(None), np.tile([[1, -1], [-1, 1], [1, 1], [-1, 1]], 3)), None),
}


@pytest.mark.parametrize("case", PLACEHOLDERS)
def test_placeholders_in_embeddings_are_warned_of(tmp_path: Path, case: str) -> None:
    (rows, classes, values), sentence = PLACEHOLDERS[case]
    content = tiny_content()
    content[S]["att"][rows, classes] = values
    write_xlsa17(tmp_path / "TINY", content)
    found = load(ask(tmp_path)).warnings
    if sentence is None:
        assert not [text for text in found if "has -1" in text or "nothing but" in text]
    else:
        assert [text for text in found if sentence in text]


def lists(content: dict[str, dict[str, Any]]) -> tuple[Any, Any]:
    return content[S]["trainval_loc"].ravel(), content[S]["test_seen_loc"].ravel()


VERSIONS: dict[str, Callable[[Any, Any], dict[str, Any]]] = {
    "none": lambda trainval, test: {},
    "v1": lambda trainval, test: {
        "train_loc": np.concatenate([trainval[:9], test[:2]]),
        "val_loc": np.concatenate([trainval[9:], test[2:]]),
    },
    "v2": lambda trainval, test: {"train_loc": trainval[:9], "val_loc": trainval[9:]},
    "leaky": lambda trainval, test: {"train_loc": trainval[:9], "val_loc": test[:1]},
    "unreadable": lambda trainval, test: {"train_loc": np.array(["x"], dtype=object)},
    "clean": lambda trainval, test: {"train_loc": trainval[:9], "val_loc": trainval[9:12]},
}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_version_of_the_lists_is_told_by_content_and_is_no_identity(
    version: str, tmp_path: Path
) -> None:
    write_xlsa17(tmp_path / "PLAIN")
    content = tiny_content()
    content[S].update(VERSIONS[version](*lists(content)))
    write_xlsa17(tmp_path / "TINY", content)
    data = load(ask(tmp_path))
    assert data.provenance["lists"] == version
    assert data.fingerprint == load(ask(tmp_path, "PLAIN")).fingerprint


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        ("v1", "are the first version's (v1): they hold 4 of the 4 test images of seen classes;"),
        ("leaky", "are a leaky version's: they hold 1 of the 4 test images of seen classes;"),
        ("v2", None),
        ("none", None),
        ("clean", None),
    ],
)
def test_a_leak_is_named(version: str, sentence: str | None, tmp_path: Path) -> None:
    content = tiny_content()
    content[S].update(VERSIONS[version](*lists(content)))
    write_xlsa17(tmp_path / "TINY", content)
    warnings = load(ask(tmp_path)).warnings
    assert len(warnings) == (sentence is not None)
    assert all(str(sentence) in text for text in warnings)


def test_a_known_name_must_have_the_published_counts(tmp_path: Path) -> None:
    write_xlsa17(tmp_path / "CUB")
    with pytest.raises(DataError, match="has 30 images, but 11788 are published for CUB; these"):
        load(ask(tmp_path, "CUB"))


def test_another_feature_set_of_a_known_name_is_only_warned_about(tmp_path: Path) -> None:
    write_xlsa17(tmp_path / "CUB", features="mine")
    warnings = load(ask(tmp_path, "CUB", features="mine")).warnings
    assert any("has 6 classes, but 200 are published for CUB" in text for text in warnings)
    assert any("has 4 attributes, but 312 are published" in text for text in warnings)
    assert not any("dimensions" in text for text in warnings)


def test_every_missing_file_is_listed_with_its_source(tmp_path: Path) -> None:
    (tmp_path / "CUB").mkdir()
    found = missing(ask(tmp_path, "CUB", attributes="sent.mat:att"))
    names = [Path(file.path).name for file in found]
    assert names == ["res101.mat", "att_splits.mat", "sent.mat"]
    assert "xlsa17.zip" in found[0].hint
    assert "gzsl-bench data get CUB" in found[1].hint
    assert "not part of the public archive" in found[2].hint
    assert "cvpr18xian.zip" in missing(ask(tmp_path, "FLO"))[0].hint
    assert "no public archive" in missing(ask(tmp_path, "MINE"))[0].hint


def test_a_missing_feature_set_names_those_that_are_there(root: Path) -> None:
    (only,) = missing(ask(root, features="vit"))
    assert only.hint.endswith("feature sets found there: res101")
    with pytest.raises(DataError, match="feature sets found there: res101"):
        load(ask(root, features="vit"))


def test_without_a_data_folder_the_options_are_named() -> None:
    for file in missing(ask(None, "CUB")):
        assert "--data DIR or GZSL_BENCH_DATA" in file.hint


def test_the_data_folder_is_resolved_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    monkeypatch.setenv("GZSL_BENCH_DATA", str(second))
    assert resolve_root(first) == first
    assert resolve_root(None) == second
    monkeypatch.setenv("GZSL_BENCH_DATA", str(tmp_path / "gone"))
    with pytest.raises(DataError, match=r"GZSL_BENCH_DATA names .*gone, which does not exist"):
        resolve_root(None)
    monkeypatch.delenv("GZSL_BENCH_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    assert resolve_root(None) is None
