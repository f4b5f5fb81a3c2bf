"""Images become features and region maps: the right numbers, whatever happens in between."""

from __future__ import annotations

import errno
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from PIL import Image

from gzsl_bench.cli.data import data_group
from gzsl_bench.cli.extract import extract_command
from gzsl_bench.data import editing
from gzsl_bench.data.described import load
from gzsl_bench.errors import DataError
from gzsl_bench.extract import files, run
from gzsl_bench.extract.backbones import Asked, Backbone, backbone
from gzsl_bench.extract.images import listing
from gzsl_bench.extract.pooling import pooled
from gzsl_bench.extract.run import Order, extract
from gzsl_bench.extract.transform import Transform
from gzsl_bench.hooks.dataset import DatasetRequest

SMALL = Transform(16, 12, "bicubic", (127 / 255,) * 3, (128 / 255,) * 3)
ORDER = Order("tiny", SMALL, regions="float16", batch=5, threads=2)


@pytest.fixture
def tiny(backbone_file: Path) -> Backbone:
    return backbone(Asked(f"{backbone_file}:tiny"))


def description(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "dataset.yaml").read_text(encoding="utf-8"))


def test_features_and_regions_are_those_of_the_recipe(
    photos: Path, tmp_path: Path, tiny: Backbone
) -> None:
    told: list[tuple[int, int]] = []
    found = extract(listing(photos), tmp_path / "ZOO", tiny, ORDER, lambda *at: told.append(at))
    assert (found.images, found.width, found.regions) == (12, 5, (9, 5))
    assert told == [(5, 12), (10, 12), (12, 12)]
    features, regions = (np.load(path) for path in found.files)
    names = (tmp_path / "ZOO" / "images.txt").read_text().splitlines()
    assert names[:2] == ["blue whale/0.png", "blue whale/1.png"]
    assert features.dtype == np.float32
    assert regions.dtype == np.float16
    for row, name in enumerate(names):
        image = Image.open(photos / name).convert("RGB")
        width, height = image.size
        short = 16 / min(width, height)
        image = image.resize(
            (round(width * short), round(height * short)), Image.Resampling.BICUBIC
        )
        left, top = (image.width - 12) // 2, (image.height - 12) // 2
        pixels = np.asarray(image.crop((left, top, left + 12, top + 12)), np.float64)
        pixels = torch.tensor((pixels - 127) / 128).permute(2, 0, 1)[None]
        layer = tiny.module.stem.double()
        wanted = torch.relu(layer(pixels)).flatten(2)[0].T.numpy()
        np.testing.assert_allclose(features[row], wanted.mean(0), rtol=1e-5)
        np.testing.assert_allclose(regions[row], wanted, rtol=1e-3, atol=1e-4)
    labels = (tmp_path / "ZOO" / "labels.txt").read_text().splitlines()
    assert labels == [name.split("/")[0] for name in names]


def test_the_description_says_what_made_them(photos: Path, tmp_path: Path, tiny: Backbone) -> None:
    extract(listing(photos), tmp_path / "ZOO", tiny, replace(ORDER, regions="int8"))
    said = description(tmp_path / "ZOO")
    assert (said["classes"], said["labels"]) == ("classes.txt", "labels.txt")
    source = said["features"]["tiny"]["source"]
    assert source["backbone"] == "tiny_backbone.py:tiny"
    assert source["layer"] == "forward_features"
    assert source["pool"] == "mean"
    assert source["transform"]["crop"] == 12
    assert len(source["weights_sha256"]) == 64
    assert {"torch", "numpy", "pillow", "tiny_backbone.py"} == set(source["libraries"])
    assert not [p for p in (tmp_path / "ZOO").iterdir() if p.name.startswith(".")]


def test_int8_regions_are_the_same_but_for_half_a_step(
    photos: Path, tmp_path: Path, tiny: Backbone
) -> None:
    plain = extract(listing(photos), tmp_path / "A", tiny, ORDER).files
    small = extract(listing(photos), tmp_path / "B", tiny, replace(ORDER, regions="int8")).files
    values, scale = np.load(small[1]), np.load(small[2])
    wanted = np.load(plain[1]).astype(np.float32)
    assert (values.dtype, scale.dtype, scale.shape) == (np.int8, np.float32, (5,))
    assert np.abs(values).max(axis=(0, 1)).tolist() == [127] * 5  # nothing clipped, nothing wasted
    assert (np.abs(values * scale - wanted) <= scale * 0.501).all()
    assert np.load(plain[0]).tobytes() == np.load(small[0]).tobytes()


def test_photographs_are_kept_as_the_network_is_shown_them(
    photos: Path, tmp_path: Path, tiny: Backbone
) -> None:
    found = extract(listing(photos), tmp_path / "ZOO", tiny, replace(ORDER, regions="pixels"))
    features, pixels = (np.load(path) for path in found.files)
    assert (pixels.dtype, pixels.shape, found.regions) == (np.uint8, (12, 12, 12, 3), (12, 12, 3))
    shown = torch.tensor((pixels.astype(np.float64) - 127) / 128).permute(0, 3, 1, 2)
    wanted = torch.relu(tiny.module.stem.double()(shown)).mean((2, 3)).numpy()
    np.testing.assert_allclose(features, wanted, rtol=1e-5)


class Killed(BaseException):
    pass


def _while_reading(patch: pytest.MonkeyPatch) -> None:
    def fail(self: Transform, path: Path) -> Any:
        if "green frog/2" in str(path):
            raise Killed
        return read(self, path)

    read = Transform.__call__
    patch.setattr(Transform, "__call__", fail)


def _in_the_middle_of_a_write(patch: pytest.MonkeyPatch) -> None:
    def fail(self: files.Draft, start: int, rows: Any) -> None:
        put(self, start, rows[: len(rows) // 2] if start == 5 else rows)
        if start == 5 and self.path.name == "regions.npy":
            raise Killed

    put = files.Draft.put
    patch.setattr(files.Draft, "put", fail)


def _before_the_description(patch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any) -> None:
        raise Killed

    patch.setattr(run.editing, "add", fail)


def _before_features_are_moved(patch: pytest.MonkeyPatch) -> None:
    def fail(draft: Path, path: Path) -> None:
        if path.parent.name == "features":
            raise Killed
        move(draft, path)

    move = run._move
    patch.setattr(run, "_move", fail)


def _before_quantising(patch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any) -> None:
        raise Killed

    patch.setattr(run, "quantised", fail)


@pytest.mark.parametrize(
    ("end", "left"),
    [
        (_while_reading, 5),
        (_in_the_middle_of_a_write, 5),
        (_before_the_description, 12),
        (_before_quantising, 12),
        (_before_features_are_moved, 12),
    ],
)
def test_a_run_that_ends_anywhere_goes_on_to_the_same_bytes(
    end: Any, left: int, photos: Path, tmp_path: Path, tiny: Backbone
) -> None:
    order = replace(ORDER, regions="int8")
    whole = extract(listing(photos), tmp_path / "WHOLE", tiny, order).files
    with pytest.MonkeyPatch.context() as patch:
        end(patch)
        with pytest.raises(Killed):
            extract(listing(photos), tmp_path / "TORN", tiny, order)
    found = extract(listing(photos), tmp_path / "TORN", tiny, order)
    assert found.reused == left
    assert [p.read_bytes() for p in found.files] == [p.read_bytes() for p in whole]
    texts = [(tmp_path / name / "dataset.yaml").read_text() for name in ("WHOLE", "TORN")]
    assert texts[0] == texts[1]
    again = extract(listing(photos), tmp_path / "TORN", tiny, order)
    assert again.reused == 12


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_is_near_and_said(
    precision: Any, photos: Path, tmp_path: Path, tiny: Backbone, backbone_file: Path
) -> None:
    whole = extract(listing(photos), tmp_path / "A", tiny, ORDER).files
    other = backbone(Asked(f"{backbone_file}:tiny"))  # the first one keeps its precision
    half = extract(listing(photos), tmp_path / "B", other, replace(ORDER, precision=precision))
    found, wanted = np.load(half.files[0]), np.load(whole[0])
    assert found.dtype == np.float32
    assert 0 < np.abs(found - wanted).max() < 0.02 * np.abs(wanted).max()
    digests = []
    for name in "AB":
        source = description(tmp_path / name)["features"]["tiny"]["source"]
        digests.append(source["weights_sha256"])
    assert source["precision"] == precision
    assert digests[0] == digests[1]  # of the weights as they were loaded


def test_what_is_left_of_a_run_may_be_damaged(photos: Path, tmp_path: Path, tiny: Backbone) -> None:
    with pytest.MonkeyPatch.context() as patch:
        _while_reading(patch)
        with pytest.raises(Killed):
            extract(listing(photos), tmp_path / "ZOO", tiny, ORDER)
    (tmp_path / "ZOO" / ".extract-tiny" / "regions.npy").unlink()
    assert extract(listing(photos), tmp_path / "ZOO", tiny, ORDER).reused == 0


def test_regions_are_read_as_a_data_set_has_them(
    photos: Path, tmp_path: Path, tiny: Backbone
) -> None:
    found = extract(listing(photos), tmp_path / "ZOO", tiny, replace(ORDER, regions="int8"))
    np.save(tmp_path / "ZOO" / "a.npy", np.eye(3))
    editing.add(tmp_path / "ZOO", {"attributes": {"a": {"file": "a.npy", "classes": "rows"}}})
    CliRunner().invoke(data_group, ["split", str(tmp_path / "ZOO")], catch_exceptions=False)
    asked = DatasetRequest("ZOO", tmp_path, "tiny", "a", regions="tiny")
    data = load(asked)
    assert data.regions is not None
    maps = np.load(found.files[1]) * np.load(found.files[2])
    rows = data.regions.values[np.array([3, 5])] * data.regions.scale
    np.testing.assert_allclose(rows, maps[[3, 5]], rtol=1e-6)
    assert [note.split(":")[0] for note in data.provenance["notes"]] == ["features tiny"]


def test_another_plan_is_refused_until_asked_for(
    photos: Path, tmp_path: Path, tiny: Backbone
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        _in_the_middle_of_a_write(patch)
        with pytest.raises(Killed):
            extract(listing(photos), tmp_path / "ZOO", tiny, ORDER)
    other = replace(ORDER, transform=replace(SMALL, crop=8))
    with pytest.raises(DataError, match=r"begun with source.transform.crop 12, where it is now 8"):
        extract(listing(photos), tmp_path / "ZOO", tiny, other)
    extract(listing(photos), tmp_path / "ZOO", tiny, replace(other, again=True))
    with pytest.raises(DataError, match="a feature set tiny that was made otherwise"):
        extract(listing(photos), tmp_path / "ZOO", tiny, ORDER)
    extract(listing(photos), tmp_path / "ZOO", tiny, replace(ORDER, name="twelve"))
    said = description(tmp_path / "ZOO")
    crops = {n: p["source"]["transform"]["crop"] for n, p in said["features"].items()}
    assert crops == {"tiny": 8, "twelve": 12}


def test_two_at_once_are_one_too_many(photos: Path, tmp_path: Path, tiny: Backbone) -> None:
    def second(done: int, total: int) -> None:
        with pytest.raises(DataError, match="another gzsl-bench extracts tiny"):
            extract(listing(photos), tmp_path / "ZOO", tiny, ORDER)

    extract(listing(photos), tmp_path / "ZOO", tiny, ORDER, second)


def test_no_more_than_two_batches_of_images_are_held(
    photos: Path, tmp_path: Path, tiny: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory does not grow with the number of images: they are read one batch ahead."""
    read = 0
    plain = Transform.__call__

    def counted(self: Transform, path: Path) -> Any:
        nonlocal read
        read += 1
        return plain(self, path)

    monkeypatch.setattr(Transform, "__call__", counted)
    ahead = []
    order = replace(ORDER, batch=2)
    extract(
        listing(photos), tmp_path / "ZOO", tiny, order, lambda done, _: ahead.append(read - done)
    )
    assert len(ahead) == 6
    assert max(ahead) <= 2


def test_a_second_feature_set_is_of_the_same_images(
    photos: Path, tmp_path: Path, tiny: Backbone
) -> None:
    extract(listing(photos), tmp_path / "ZOO", tiny, ORDER)
    (photos / "red fox" / "1.png").unlink()
    with pytest.raises(DataError, match="lists 12 images and .* has 11, and number 10 is another"):
        extract(listing(photos), tmp_path / "ZOO", tiny, replace(ORDER, name="other"))


def test_comments_above_and_other_keys_of_a_description_stay(
    photos: Path, tmp_path: Path, tiny: Backbone
) -> None:
    (tmp_path / "ZOO").mkdir()
    path = tmp_path / "ZOO" / "dataset.yaml"
    path.write_text("# mine\n\nsummary: Animals.\nfeatures:\n  old: {file: x.npy, images: rows}\n")
    extract(listing(photos), tmp_path / "ZOO", tiny, ORDER)
    assert path.read_text().startswith("# mine\n\nclasses: classes.txt\n")
    said = description(tmp_path / "ZOO")
    assert said["summary"] == "Animals."
    assert list(said["features"]) == ["old", "tiny"]


def test_a_list_names_files_and_classes(photos: Path, tmp_path: Path) -> None:
    table = photos / "rows.csv"
    table.write_text("row,file,class\n7,red fox/0.png,fox\n3,blue whale/1.png,whale\n")
    found = listing(table)
    assert found.names == ("red fox/0.png", "blue whale/1.png")
    assert found.classes == ("fox", "whale")
    (photos / "rows.txt").write_text("red fox/0.png\n")
    assert listing(photos / "rows.txt").classes is None


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "a.csv",
            "image,class\nx,y\n",
            "a.csv:1: the heading is image, class, but a column `file`",
        ),
        ("a.csv", "file,class\nred fox/0.png,\n", "a.csv:2: this line has no class"),
        ("a.csv", "file\n", "a.csv is empty"),
        ("a.txt", "red fox/0.png\nred fox/0.png\n", "lists red fox/0.png twice"),
        ("a.txt", "red fox/9.png\n", "lists red fox/9.png, which is not in"),
        ("a.json", "[]", "is neither a folder of images nor a list"),
        ("loose.png", "", "loose.png lies beside them"),
        ("red fox/a\nb.png", "", "has the image 'red fox/a.nb.png', whose name cannot"),
    ],
)
def test_lists_that_cannot_be_used(name: str, content: str, said: str, photos: Path) -> None:
    (photos / name).write_text(content)
    with pytest.raises(DataError, match=said):
        listing(photos if name.endswith(".png") else photos / name)


def test_images_that_cannot_be_read_are_named(photos: Path, tmp_path: Path, tiny: Backbone) -> None:
    bad = photos / "red fox" / "3.png"
    bad.write_bytes(bad.read_bytes()[:200])
    with pytest.raises(DataError, match=r"red fox/3.png cannot be read as an image"):
        extract(listing(photos), tmp_path / "ZOO", tiny, ORDER)


@pytest.mark.parametrize(
    ("shape", "pool", "prefix", "last", "wanted", "regions"),
    [
        ((2, 3, 2, 4), "mean", None, False, "mean", (2, 8, 3)),
        ((2, 2, 4, 3), "mean", None, True, "mean", (2, 8, 3)),
        ((2, 5, 3), "auto", None, False, "token", (2, 4, 3)),
        ((2, 4, 3), "auto", None, False, "mean", (2, 4, 3)),
        ((2, 7, 3), "mean", 1, False, "mean", (2, 6, 3)),
        ((2, 3), "auto", None, False, "own", None),
    ],
)
def test_vectors_and_regions_of_every_kind_of_layer(
    shape: tuple[int, ...], pool: str, prefix: int | None, last: bool, wanted: str, regions: Any
) -> None:
    raw = torch.randn(shape)
    vectors, maps, how = pooled(raw, None, pool, prefix, last, "a layer")
    assert (how, vectors.shape) == (wanted, (2, 3))
    assert (None if maps is None else tuple(maps.shape)) == regions
    if maps is not None:
        other = raw[:, 0] if how == "token" else maps.mean(1)
        torch.testing.assert_close(vectors, other)
    if len(shape) == 4 and not last:  # reading order
        torch.testing.assert_close(maps[:, 4 + 1], raw[:, :, 1, 1])


def test_pooling_that_does_not_fit_and_outputs_that_are_none() -> None:
    with pytest.raises(DataError, match="--pool token does not fit a layer, which gives"):
        pooled(torch.zeros(1, 3, 2, 2), None, "token", None, False, "a layer")
    with pytest.raises(DataError, match="a layer gives a dict, but"):
        pooled({}, None, "auto", None, False, "a layer")


def test_the_command_goes_from_images_to_files(
    photos: Path, tmp_path: Path, backbone_file: Path
) -> None:
    asked = [
        str(photos), "--to", str(tmp_path / "ZOO"), "--backbone", f"{backbone_file}:tiny",
        "--set", "width=3", "--layer", "stem", "--resize", "16", "--crop", "12",
        "--mean", "127/255", "--std", "0.5",
        "--trained-on", "imagenet-1k", "--batch", "4", "--device", "cpu",
    ]  # fmt: skip
    found = CliRunner().invoke(extract_command, asked, catch_exceptions=False)
    assert found.stdout == f"{tmp_path}/ZOO/features/tiny.npy\n"
    assert "4 of 12 images\n8 of 12 images" in found.stderr
    assert "tiny: 12 images, 3 features;" in found.stderr
    assert np.load(tmp_path / "ZOO/features/tiny.npy").min() < 0  # of the stem, before ReLU
    source = description(tmp_path / "ZOO")["features"]["tiny"]["source"]
    assert source["backbone"] == "tiny_backbone.py:tiny(width=3)"
    assert source["trained_on"] == "imagenet-1k"
    assert source["transform"]["mean"] == [127 / 255] * 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--mean", "1,2"], "'1,2' is not understood; give one number or three"),
        (["--set", "width"], "--set 'width' is not understood; write KEY=VALUE"),
        (["--name", "a b"], "'a b' is no name"),
        (["--device", "tpu"], "--device 'tpu' is not understood"),
    ],
)
def test_options_that_cannot_be_used(
    options: list[str], said: str, photos: Path, tmp_path: Path, backbone_file: Path
) -> None:
    asked = [str(photos), "--to", str(tmp_path / "ZOO"), "--backbone", f"{backbone_file}:tiny"]
    found = CliRunner().invoke(extract_command, [*asked, *options])
    assert found.exit_code == 2
    assert said in found.output


def _photo(path: Path, shade: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 20), (shade, 80, 10)).save(path)
    return path


def test_links_are_followed_and_what_is_no_class_is_said(tmp_path: Path) -> None:
    photos, elsewhere = tmp_path / "photos", tmp_path / "elsewhere"
    for place in ("fox/1.png", ".thumbnails/1.png", "__MACOSX/fox/1.png", "fox/.1.png"):
        _photo(photos / place)
    _photo(elsewhere / "1.png")
    (photos / "frog").symlink_to(elsewhere)
    (photos / "fox" / "round").symlink_to(photos)
    (photos / "empty").mkdir()
    (photos / "odd").mkdir()
    (photos / "odd" / "1.heic").write_bytes(b"x")
    found = listing(photos)
    assert found.names == ("fox/1.png", "frog/1.png")
    assert found.classes == ("fox", "frog")
    assert found.notes == (
        f"{photos}: 1 file is no image by the ending of the name (.heic)",
        f"{photos}: no class is made of empty, odd, without an image",
    )


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("train/fox", "val/fox"), "the class fox in train/fox and in val/fox"),
        ((" fox", "frog"), "the class ' fox', whose name begins or ends with a space"),
        (("\u00e9", "e\u0301"), "that look the same but .*'e.u0301', '.xe9'"),
    ],
)
def test_classes_that_are_one_are_refused(
    names: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    for name in names:
        _photo(tmp_path / name / "1.png")
    with pytest.raises(DataError, match=said):
        listing(tmp_path)


def test_the_same_word_in_other_folders_is_another_class(tmp_path: Path) -> None:
    for name in ("a/building/outdoor", "b/station/outdoor", "train/fox"):
        _photo(tmp_path / name / "1.png")
    assert listing(tmp_path).classes == ("a/building/outdoor", "b/station/outdoor", "train/fox")


def test_maps_kept_otherwise_are_no_finished_ones(
    photos: Path, tmp_path: Path, tiny: Backbone
) -> None:
    images, zoo = listing(photos), tmp_path / "ZOO"
    extract(images, zoo, tiny, ORDER)
    for kind in ("int8", "pixels"):
        with pytest.raises(DataError, match="set tiny with --regions float16; name this one"):
            extract(images, zoo, tiny, replace(ORDER, regions=kind))
    assert len(extract(images, zoo, tiny, replace(ORDER, regions="none")).files) == 1
    order = replace(ORDER, regions="int8")
    found = extract(images, zoo, tiny, replace(order, again=True))
    assert extract(images, zoo, tiny, order).files == found.files
    extract(images, tmp_path / "BARE", tiny, replace(ORDER, regions="none"))
    with pytest.raises(DataError, match="set tiny without region maps; name this one"):
        extract(images, tmp_path / "BARE", tiny, ORDER)


def test_maps_of_a_set_that_was_replaced_are_gone(
    photos: Path, tmp_path: Path, tiny: Backbone
) -> None:
    images, zoo = listing(photos), tmp_path / "ZOO"
    extract(images, zoo, tiny, replace(ORDER, regions="int8"))
    other = replace(ORDER, transform=replace(SMALL, crop=8), again=True)
    extract(images, zoo, tiny, replace(other, regions="none"))
    assert "regions" not in description(zoo)
    assert [*(zoo / "regions").iterdir()] == []


@pytest.mark.parametrize(
    "end", [_before_the_description, _before_quantising, _before_features_are_moved]
)
def test_a_set_is_never_described_as_the_one_it_replaces(
    end: Any, photos: Path, tmp_path: Path, tiny: Backbone
) -> None:
    images, zoo = listing(photos), tmp_path / "ZOO"
    old = replace(ORDER, regions="float16")
    extract(images, zoo, tiny, old)
    new = replace(old, transform=replace(SMALL, crop=8), regions="int8", again=True)
    with pytest.MonkeyPatch.context() as patch:
        end(patch)
        with pytest.raises(Killed):
            extract(images, zoo, tiny, new)
    assert not (zoo / "features" / "tiny.npy").exists()
    found = extract(images, zoo, tiny, new)
    whole = extract(images, tmp_path / "WHOLE", tiny, new)
    assert [p.read_bytes() for p in found.files] == [p.read_bytes() for p in whole.files]
    assert description(zoo) == description(tmp_path / "WHOLE")


def test_other_classes_of_the_same_images_are_refused(
    photos: Path, tmp_path: Path, tiny: Backbone
) -> None:
    images = listing(photos)
    extract(images, tmp_path / "ZOO", tiny, ORDER)
    assert images.classes is not None
    turned = replace(images, classes=(*images.classes[4:], *images.classes[:4]))
    said = "has blue whale/0.png in class 'blue whale', and here it is in 'green frog'"
    with pytest.raises(DataError, match=said):
        extract(turned, tmp_path / "ZOO", tiny, replace(ORDER, name="other"))


@pytest.mark.parametrize("bad", ["green frog/2.png", "red fox/3.png"])
def test_an_image_that_cannot_be_read_may_be_taken_away(
    bad: str, photos: Path, tmp_path: Path, tiny: Backbone
) -> None:
    (photos / bad).write_bytes(b"nothing")
    order = replace(ORDER, batch=2)
    with pytest.raises(DataError, match="cannot be read as an image"):
        extract(listing(photos), tmp_path / "ZOO", tiny, order)
    (photos / bad).unlink()
    found = extract(listing(photos), tmp_path / "ZOO", tiny, order)
    assert found.reused == {"green frog/2.png": 6, "red fox/3.png": 10}[bad]
    whole = extract(listing(photos), tmp_path / "WHOLE", tiny, order)
    assert [p.read_bytes() for p in found.files] == [p.read_bytes() for p in whole.files]


def test_images_that_are_done_must_stay(photos: Path, tmp_path: Path, tiny: Backbone) -> None:
    with pytest.MonkeyPatch.context() as patch:
        _while_reading(patch)
        with pytest.raises(Killed):
            extract(listing(photos), tmp_path / "ZOO", tiny, ORDER)
    (photos / "blue whale" / "1.png").unlink()
    said = "other images: number 2 was blue whale/1.png, where it is now blue whale/2.png"
    with pytest.raises(DataError, match=said):
        extract(listing(photos), tmp_path / "ZOO", tiny, ORDER)


def _rewritten(path: Path) -> None:
    time.sleep(0.02)  # times of files are those of the system's last tick
    Image.new("RGB", (20, 20), (7, 200, 90)).save(path)


def test_an_image_that_is_written_anew_meanwhile_is_read_again(
    photos: Path, tmp_path: Path, tiny: Backbone
) -> None:
    order = replace(ORDER, batch=2)
    with pytest.MonkeyPatch.context() as patch:
        _before_quantising(patch)
        with pytest.raises(Killed):
            extract(listing(photos), tmp_path / "ZOO", tiny, replace(order, regions="int8"))
    _rewritten(photos / "green frog" / "1.png")
    found = extract(listing(photos), tmp_path / "ZOO", tiny, replace(order, regions="int8"))
    assert found.reused == 4
    whole = extract(listing(photos), tmp_path / "WHOLE", tiny, replace(order, regions="int8"))
    assert [p.read_bytes() for p in found.files] == [p.read_bytes() for p in whole.files]


def test_a_feature_set_that_is_older_than_its_images_says_so(
    photos: Path, tmp_path: Path, backbone_file: Path
) -> None:
    arguments = [str(photos), "--to", str(tmp_path / "ZOO"), "--backbone", f"{backbone_file}:tiny"]
    first = CliRunner().invoke(extract_command, arguments)
    assert (first.exit_code, "older" in first.stderr) == (0, False), first.stderr
    for name in ("0.png", "2.png"):
        _rewritten(photos / "green frog" / name)
    second = CliRunner().invoke(extract_command, arguments)
    assert "is older than the image green frog/0.png and 1 more; --again" in second.stderr
    again = CliRunner().invoke(extract_command, [*arguments, "--again"])
    assert (again.exit_code, "older" in again.stderr) == (0, False), again.stderr


def test_images_that_join_after_a_last_short_batch(
    photos: Path, tmp_path: Path, tiny: Backbone
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        _before_quantising(patch)
        with pytest.raises(Killed):
            extract(listing(photos), tmp_path / "ZOO", tiny, replace(ORDER, regions="int8"))
    _photo(photos / "zebra" / "1.png")
    found = extract(listing(photos), tmp_path / "ZOO", tiny, replace(ORDER, regions="int8"))
    assert (found.images, found.reused) == (13, 10)
    whole = extract(listing(photos), tmp_path / "ALL", tiny, replace(ORDER, regions="int8"))
    assert [p.read_bytes() for p in found.files] == [p.read_bytes() for p in whole.files]


def test_pixels_of_more_than_8_bits_are_refused(tmp_path: Path) -> None:
    grey = np.arange(400, dtype=np.uint16).reshape(20, 20) * 160
    Image.fromarray(grey).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a.png has more than 8 bits a pixel \(mode I;16\)"):
        SMALL(tmp_path / "a.png")
    Image.fromarray((grey >> 8).astype(np.uint8)).save(tmp_path / "b.png")
    assert SMALL(tmp_path / "b.png").shape == (12, 12, 3)


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = files.Draft(tmp_path / "a.npy", (3, 2), "<f4")
    draft.begin()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        draft.put(0, np.zeros((1, 2), np.float32))
    assert caught.value.filename == str(draft.path)


def test_a_class_is_meant_even_if_it_stands_far_down(
    photos: Path, tmp_path: Path, tiny: Backbone
) -> None:
    extract(listing(photos), tmp_path / "ZOO", tiny, ORDER)
    names = [*(f"kind {n:02}" for n in range(30)), "red foxes", "green frog", "blue whale"]
    (tmp_path / "ZOO" / "classes.txt").write_text("\n".join(names))
    said = "unknown class 'red fox'; did you mean 'red foxes'.* kind 17 and 13 more"
    with pytest.raises(DataError, match=said):
        extract(listing(photos), tmp_path / "ZOO", tiny, replace(ORDER, name="other"))
