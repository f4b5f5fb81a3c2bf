"""Region maps and what else data may bring: read, checked, gathered, in nobody's fingerprint."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from gzsl_data_factory import write_described

from gzsl_bench.builtin.datasets import folder_spec
from gzsl_bench.data import regions as reader
from gzsl_bench.data.checks import check_data
from gzsl_bench.data.described import load
from gzsl_bench.data.folds import validation_folds
from gzsl_bench.data.gzsl import GZSLData, RegionMaps
from gzsl_bench.data.identity import extras
from gzsl_bench.data.tasks import prepare
from gzsl_bench.data.xlsa17 import load as load_xlsa17
from gzsl_bench.errors import DataError
from gzsl_bench.hooks.dataset import DatasetRequest
from gzsl_bench.hooks.images import Images, Regions

#: Of the factory's tiny data set: 30 images; here with 4 regions of 3 channels.
SHAPE = (30, 4, 3)


def whole_numbers(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-127, 128, SHAPE).astype(np.int8)


def describe(folder: Path, maps: np.ndarray, scale: np.ndarray | None) -> None:
    """A described folder with region maps, word vectors and groups."""
    write_described(folder)
    np.save(folder / "maps.npy", maps)
    if scale is not None:
        np.save(folder / "scale.npy", scale)
    np.save(folder / "vectors.npy", np.arange(8.0).reshape(4, 2))
    np.save(folder / "groups.npy", np.array([0, 0, 1, 1]))
    text = (folder / "dataset.yaml").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("  words: {"))
    more = line.replace("}", ", words: {file: vectors.npy}, groups: {file: groups.npy}}")
    entry = "{file: maps.npy, scale: scale.npy}" if scale is not None else "{file: maps.npy}"
    text = text.replace(line, more) + f"regions:\n  grid: {entry}\n"
    (folder / "dataset.yaml").write_text(text, encoding="utf-8")


def read(root: Path, regions: str | None = "grid", cache: Path | None = None) -> GZSLData:
    return load(DatasetRequest("MINE", root, "backbone", "words", cache, regions=regions))


def test_a_described_folder_brings_maps_words_and_groups(root: Path, tmp_path: Path) -> None:
    maps, scale = whole_numbers(), np.array([0.5, 1.0, 0.25], np.float32)
    describe(root / "MINE", maps, scale)
    data = read(root, cache=tmp_path / "cache")
    assert data.regions is not None
    assert isinstance(data.regions.values, np.memmap)
    np.testing.assert_array_equal(data.regions.values, maps)
    np.testing.assert_array_equal(data.regions.scale, scale)
    np.testing.assert_array_equal(data.words, np.arange(8.0).reshape(4, 2))
    assert data.groups is not None
    assert data.groups.tolist() == [0, 0, 1, 1]
    check_data(data)
    assert folder_spec("MINE", root).regions == ("grid",)
    # They are in no fingerprint: a method that is not handed them trains on the same data.
    plain = read(root, regions=None)
    assert plain.fingerprint == data.fingerprint
    assert plain.regions is None
    assert set(extras(data)) == {"regions", "words", "groups", "class_names"}
    assert extras(data) == extras(read(root))  # with the cache and without


def test_the_layout_of_xlsa17_has_a_folder_of_maps(root: Path, tmp_path: Path) -> None:
    folder = root / "TINY" / "regions"
    folder.mkdir()
    np.save(folder / "grid.npy", whole_numbers())
    np.save(folder / "scale.npy", np.ones(3, np.float32))
    np.save(folder / "half.npy", whole_numbers().astype(np.float16))
    pixels = np.zeros((len(whole_numbers()), 5, 4, 3), np.uint8)
    np.save(folder / "photos.npy", pixels)
    assert folder_spec("TINY", root).regions == ("grid", "half", "photos")
    asked = DatasetRequest("TINY", root, "res101", "att")
    whole = load_xlsa17(replace(asked, regions="grid", second="res101"))
    half = load_xlsa17(replace(asked, regions="half"))
    photos = load_xlsa17(replace(asked, regions="photos"))
    assert photos.regions is not None
    assert photos.regions.values.shape == pixels.shape
    pixels[0, 0, 0, 0] = 1
    np.save(folder / "photos.npy", pixels)
    assert extras(load_xlsa17(replace(asked, regions="photos"))) != extras(photos)
    assert whole.regions is not None
    assert half.regions is not None
    assert whole.regions.scale is not None
    assert half.regions.scale is None  # the common scale is for int8 alone
    assert whole.second is not None
    np.testing.assert_array_equal(whole.second, whole.features)
    assert whole.fingerprint == half.fingerprint == load_xlsa17(asked).fingerprint
    with pytest.raises(DataError, match=r"other\.npy is missing"):
        load_xlsa17(replace(asked, regions="other"))


def test_the_digest_follows_the_content_and_reads_a_file_once(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe(root / "MINE", whole_numbers(), np.ones(3, np.float32))
    reads = []
    through = reader._read_through
    monkeypatch.setattr(reader, "_read_through", lambda *a: reads.append(1) or through(*a))
    digests = [extras(read(root, cache=tmp_path / "cache"))["regions"] for _ in range(3)]
    assert len(reads) == 1
    np.save(root / "MINE" / "scale.npy", np.full(3, 2.0, np.float32))
    digests.append(extras(read(root, cache=tmp_path / "cache"))["regions"])
    np.save(root / "MINE" / "maps.npy", whole_numbers(1))
    digests.append(extras(read(root, cache=tmp_path / "cache"))["regions"])
    assert len(reads) == 2
    assert len(set(digests)) == 3


WRONG = {
    "flat": (whole_numbers().reshape(30, 12), r"shape \(30, 12\), but \[images, regions"),
    "doubles": (whole_numbers().astype(np.float64), "hold float64 values; int8, float16, float32"),
    "columns first": (np.asfortranarray(whole_numbers()), "in Fortran order"),
    "too few": (whole_numbers()[:29], "are of 29 images, but there are 30"),
    "no number": (
        np.where(np.arange(3) == 1, np.nan, whole_numbers()).astype(np.float16),
        "hold NaN or Inf among images 1 to 30",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_maps_that_cannot_be_right_are_refused(root: Path, case: str) -> None:
    maps, reason = WRONG[case]
    describe(root / "MINE", maps, np.ones(3, np.float32))
    with pytest.raises(DataError, match=reason):
        read(root)


def test_a_scale_must_fit(root: Path) -> None:
    describe(root / "MINE", whole_numbers(), None)
    with pytest.raises(DataError, match=r"int8 values, so a scale of 3 numbers is due"):
        read(root)
    describe(root / "MINE", whole_numbers(), np.ones(4, np.float32))
    with pytest.raises(DataError, match="each of the 3 channels is due"):
        read(root)
    with pytest.raises(DataError, match=r"unknown region maps of .*dataset\.yaml 'gird'"):
        read(root, "gird")


def test_word_vectors_must_fit(root: Path) -> None:
    describe(root / "MINE", whole_numbers(), np.ones(3, np.float32))
    np.save(root / "MINE" / "vectors.npy", np.zeros((5, 2)))
    with pytest.raises(DataError, match=r"the words .* shape \(5, 2\).*\(4\) is needed"):
        read(root)


def test_a_fold_keeps_names_and_rows_of_its_classes(root: Path) -> None:
    describe(root / "MINE", whole_numbers(), np.ones(3, np.float32))
    data = read(root)
    (fold,) = validation_folds(data, [1])
    part = prepare(fold.split(data), "none")
    assert part.class_names is not None
    assert part.class_names.tolist() == ["ant", "bee", "cat", "dog"]
    assert part.train_rows is not None
    np.testing.assert_array_equal(part.train_rows, fold.train)
    assert part.test_rows is not None
    assert not set(part.test_rows.tolist()) & {*data.test_seen.tolist(), *data.test_unseen.tolist()}


@pytest.mark.parametrize("kind", ["file", "memory"])
@pytest.mark.parametrize("dtype", ["int8", "float16", "float32"])
def test_rows_are_gathered_as_they_are_asked_for(tmp_path: Path, kind: str, dtype: str) -> None:
    values = whole_numbers().astype(dtype)
    scale = np.array([0.5, 2.0, 0.1], np.float32) if dtype == "int8" else None
    wanted = values.astype(np.float32) * (1 if scale is None else scale)
    if kind == "file":
        np.save(tmp_path / "maps.npy", values)
        values = np.load(tmp_path / "maps.npy", mmap_mode="r")
    rows = np.array([7, 3, 3, 20])
    maps = Regions(values, scale, rows, torch.device("cpu"))
    assert (len(maps), maps.shape) == (4, (4, 4, 3))
    index = torch.tensor([[3, 0, 1], [2, 2, 0]])
    found = maps[index]
    assert (found.dtype, found.shape) == (torch.float32, (2, 3, 4, 3))
    np.testing.assert_array_equal(found.numpy(), wanted[rows[index.numpy()]])
    found.zero_()  # a copy
    np.testing.assert_array_equal(maps[:].numpy(), wanted[rows])
    part = maps.of(torch.tensor([3, 1]))
    np.testing.assert_array_equal(part[:].numpy(), wanted[[20, 3]])
    with pytest.raises(IndexError):
        part[torch.tensor([2])]  # other rows of the file are out of reach


def test_a_large_batch_leaves_no_pages_of_the_file_behind(tmp_path: Path) -> None:
    """Pages that are mapped count as a process's own memory: 64 MB are read, little stays."""
    maps = np.lib.format.open_memmap(tmp_path / "maps.npy", "w+", np.float16, (256, 49, 2560))
    maps[:] = 1
    maps.flush()
    del maps
    values = np.load(tmp_path / "maps.npy", mmap_mode="r")
    regions = Regions(values, None, np.arange(256), torch.device("cpu"))

    def of_files() -> int:
        """Bytes of files that this process has mapped and touched."""
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[2])
        return pages * os.sysconf("SC_PAGE_SIZE")

    before = of_files()
    for start in range(0, 256, 16):
        assert float(regions[slice(start, start + 16)].sum()) == 16 * 49 * 2560
    assert of_files() - before < 4 << 20


def test_images_are_rows_like_any_other() -> None:
    features, second = torch.arange(8.0).reshape(4, 2), torch.arange(4.0)[:, None]
    values = whole_numbers().astype(np.float32)
    maps = Regions(values, None, np.arange(4), torch.device("cpu"))
    images = Images(features, maps, second)
    mixed = images[torch.tensor([2, 0, 3])]
    assert mixed.regions is not None
    assert mixed.second is not None
    assert (len(mixed), mixed.shape) == (3, (3, 2))
    assert mixed.second[:, 0].tolist() == [2, 0, 3]
    np.testing.assert_array_equal(mixed.regions[:].numpy(), values[[2, 0, 3]])
    assert [len(part) for part in mixed.blocks(2)] == [2, 1]
    copy, version = mixed.clone(), mixed._version
    assert mixed.equal(copy)
    copy.second[0] = 9
    assert not mixed.equal(copy)
    mixed.second.mul_(2)
    assert mixed._version > version


def test_data_of_a_plugin_are_checked_and_hashed(tiny: GZSLData) -> None:
    maps = RegionMaps("grid", np.zeros((len(tiny.labels), 2, 3), np.float16))
    data = replace(tiny, fingerprint="", regions=maps)
    found = check_data(data).regions
    assert found is not None
    assert len(found.digest) == 64
    with pytest.raises(DataError, match="are of 1 images"):
        check_data(replace(data, regions=replace(maps, values=maps.values[:1])))
    with pytest.raises(DataError, match="the second features .* have type float64"):
        check_data(replace(data, second=np.zeros((len(tiny.labels), 2))))
