"""Proposed splits: sound, the same whatever the order, and read back as they were written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from gzsl_bench.cli.data import data_group
from gzsl_bench.data.described import load
from gzsl_bench.data.exposure import among_imagenet
from gzsl_bench.data.proposal import propose
from gzsl_bench.errors import DataError
from gzsl_bench.hooks.dataset import DatasetRequest

NAMES = ("okapi", "tiger", "tapir", "lynx", "sheep", "kiwi", "dodo", "numbat", "quoll", "bilby")
LABELS = np.repeat(np.arange(10), 7)
IMAGES = [f"{NAMES[label]}/{row}.png" for row, label in enumerate(LABELS)]


def test_a_split_is_sound() -> None:
    found = propose(NAMES, LABELS, IMAGES)
    assert sorted(found.seen + found.unseen) == sorted(NAMES)
    assert len(found.unseen) == 2
    tested = LABELS[found.test_seen]
    assert np.bincount(tested, minlength=10).tolist() == [int(n in found.seen) for n in NAMES]
    assert [len(val) for _, val in found.folds] == [2, 2, 2]
    hidden = [name for _, val in found.folds for name in val]
    assert len({*hidden}) == 6
    for train, val in found.folds:
        assert {*train} | {*val} == {*found.seen}
        assert not {*train} & {*val}


def test_neither_the_order_of_classes_nor_of_images_matters() -> None:
    found = propose(NAMES, LABELS, IMAGES)
    order, rows = np.random.default_rng(0).permutation(10), np.random.default_rng(1).permutation(70)
    names = tuple(NAMES[i] for i in order)
    other = propose(names, np.argsort(order)[LABELS[rows]], [IMAGES[row] for row in rows])
    assert {*other.unseen} == {*found.unseen}
    assert {IMAGES[rows[row]] for row in other.test_seen} == {IMAGES[r] for r in found.test_seen}
    assert [{*val} for _, val in other.folds] == [{*val} for _, val in found.folds]


def test_seeds_differ_and_a_split_of_today_is_that_of_tomorrow() -> None:
    splits = {propose(NAMES, LABELS, IMAGES, seed=seed).unseen for seed in range(8)}
    assert len(splits) > 4
    assert propose(NAMES, LABELS, IMAGES).unseen == ("tapir", "quoll")
    assert propose(NAMES, LABELS, IMAGES).test_seen[:3].tolist() == [4, 9, 25]


def test_classes_that_a_backbone_has_seen_are_seen_and_doubtful_ones_come_last() -> None:
    known = among_imagenet(NAMES)
    assert ([n for n, _ in known.sure], known.doubtful[0][0]) == (["tiger", "lynx"], "sheep")
    for seed in range(20):
        found = propose(NAMES, LABELS, IMAGES, 7, known, seed=seed)
        assert {"tiger", "lynx", "sheep"} == {*found.seen}
        assert found.doubtful == ()
    assert propose(NAMES, LABELS, IMAGES, 8, known).doubtful == ("sheep",)
    with pytest.raises(DataError, match="9 unseen classes cannot be drawn: there are 10 classes, "):
        propose(NAMES, LABELS, IMAGES, 9, known)


def test_too_few_images_are_named() -> None:
    with pytest.raises(DataError, match="class 'bilby' has 1 images, but an unseen class needs"):
        propose(NAMES, np.append(LABELS[LABELS != 9], 9), IMAGES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Features, labels and an embedding, but no split yet."""
    folder = tmp_path / "ZOO"
    folder.mkdir()
    (folder / "classes.txt").write_text("\n".join(NAMES))
    (folder / "labels.txt").write_text("\n".join(NAMES[label] for label in LABELS))
    rng = np.random.default_rng(0)
    np.save(folder / "x.npy", rng.normal(size=(70, 4)).astype(np.float32))
    np.save(folder / "a.npy", rng.normal(size=(10, 3)))
    source = {"backbone": "b", "weights": "w", "trained_on": "imagenet-1k"}
    said = {
        "classes": "classes.txt",
        "labels": "labels.txt",
        "features": {"x": {"file": "x.npy", "images": "rows", "source": source}},
        "attributes": {"a": {"file": "a.npy", "classes": "rows"}},
    }
    (folder / "dataset.yaml").write_text(yaml.safe_dump(said))
    return folder


def test_a_written_split_is_read_as_it_was_drawn(folder: Path) -> None:
    asked = ["split", str(folder), "--unseen", "3"]
    found = CliRunner().invoke(data_group, asked, catch_exceptions=False)
    assert found.stdout == f"{folder}/dataset.yaml\n"
    assert "7 seen and 3 unseen classes, 7 test images of seen classes, 3 folds" in found.stderr
    drawn = propose(NAMES, LABELS, [str(row) for row in range(70)], 3)
    data = load(DatasetRequest("ZOO", folder.parent, "x", "a"))
    assert [NAMES[c] for c in data.unseen] == list(drawn.unseen)
    assert data.test_seen.tolist() == drawn.test_seen.tolist()
    assert [tuple(NAMES[c] for c in fold.val) for fold in data.folds] == [
        val for _, val in drawn.folds
    ]
    with pytest.raises(DataError, match="has a split; --again replaces it"):
        CliRunner().invoke(data_group, asked, catch_exceptions=False)
    asked = ["split", "ZOO", "--data", str(folder.parent), "--again", "--avoid", "imagenet-1k"]
    assert CliRunner().invoke(data_group, asked).exit_code == 0
    data = load(DatasetRequest("ZOO", folder.parent, "x", "a"))
    assert not {"tiger", "lynx", "sheep"} & {NAMES[c] for c in data.unseen}
    assert data.provenance["exposure"].startswith("trained on imagenet-1k: no unseen class")


def test_numbered_labels_do_as_well(folder: Path) -> None:
    CliRunner().invoke(data_group, ["split", str(folder)], catch_exceptions=False)
    before = (folder / "split" / "test_seen.npy").read_bytes()
    np.save(folder / "labels.npy", LABELS + 1)
    text = (folder / "dataset.yaml").read_text()
    text = text.replace("labels: labels.txt", "labels: {file: labels.npy, count_from: 1}")
    (folder / "dataset.yaml").write_text(text)
    CliRunner().invoke(data_group, ["split", str(folder), "--again"], catch_exceptions=False)
    assert (folder / "split" / "test_seen.npy").read_bytes() == before


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("labels.txt", "okapi\nunicorn\n", r"labels.txt:2: unknown class 'unicorn'"),
        ("labels.txt", "okapi\n\n", r"labels.txt:2: no class stands here"),
        ("labels.txt", b"\xff\xfe", r"labels.txt cannot be read as UTF-8 text"),
        ("labels.txt", None, r"labels.txt does not exist, but one class name an image is needed"),
        ("classes.txt", None, "names no file of `classes` that exists"),
        ("images.txt", "a.png\n", "lists 1 images, but there are 70 labels"),
        ("dataset.yaml", None, "dataset.yaml does not exist; `gzsl-bench extract` writes one"),
    ],
)
def test_what_a_split_needs(
    folder: Path, file: str, content: str | bytes | None, said: str
) -> None:
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    for name in ("ZOO", str(folder)):
        asked = ["split", name, "--data", str(folder.parent)]
        with pytest.raises(DataError, match=said):
            CliRunner().invoke(data_group, asked, catch_exceptions=False)


def test_why_there_are_no_folds_is_said(folder: Path) -> None:
    found = CliRunner().invoke(data_group, ["split", str(folder), "--unseen", "8"])
    assert "0 folds" in found.stderr
    assert "note: a fold hides a third of the seen classes at most" in found.stderr
    found = CliRunner().invoke(data_group, ["split", str(folder), "--again"])
    assert "note" not in found.stderr


def test_copies_of_an_image_in_training_and_test_are_named(folder: Path) -> None:
    asked = ["check", str(folder)]
    CliRunner().invoke(data_group, ["split", str(folder)], catch_exceptions=False)
    assert "exactly the features" not in CliRunner().invoke(data_group, asked).stderr
    data = load(DatasetRequest("ZOO", folder.parent, "x", "a"))
    rows = np.load(folder / "x.npy")
    train, test = int(data.trainval[3]), int(data.test_unseen[1])
    rows[test] = rows[train]
    np.save(folder / "x.npy", rows)
    said = f"1 test image has exactly the features of a training image (row {test} those of row"
    assert f"{said} {train}, counted" in CliRunner().invoke(data_group, asked).stderr


def test_files_that_are_named_and_not_there_are_told(folder: Path) -> None:
    CliRunner().invoke(data_group, ["split", str(folder)], catch_exceptions=False)
    text = (folder / "dataset.yaml").read_text()
    more = "features:\n  z: {file: z.npy, images: rows}"
    (folder / "dataset.yaml").write_text(text.replace("features:", more))
    asked = ["check", "--data", str(folder.parent)]
    found = CliRunner().invoke(data_group, asked, catch_exceptions=False)
    assert "note: ZOO lacks z.npy, which its dataset.yaml names" in found.stderr
    assert "| ZOO " in found.stdout
    (folder / "a.npy").unlink()
    with pytest.raises(DataError, match=r"ZOO cannot be loaded(.|\n)*a.npy"):
        CliRunner().invoke(data_group, asked, catch_exceptions=False)
