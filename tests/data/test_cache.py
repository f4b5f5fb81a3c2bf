"""The feature cache: immediate, shared, and never wrong whatever happens to it."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gzsl_data_factory import tiny_content, write_xlsa17

import gzsl_bench.data.cache as store
import gzsl_bench.data.features as features
from gzsl_bench.data.features import load_features
from gzsl_bench.data.xlsa17 import load
from gzsl_bench.errors import DataError
from gzsl_bench.hooks.dataset import DatasetRequest


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def path(root: Path) -> Path:
    return root / "TINY" / "res101.mat"


def the_entry(cache: Path) -> Path:
    (entry,) = (cache / "content").iterdir()
    return entry


def never(*args: Any, **kwargs: Any) -> Any:
    raise AssertionError("the file was read again")


def test_the_second_load_reads_and_hashes_nothing(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = DatasetRequest("TINY", root, "res101", "att")
    plain = load(request)
    cached = DatasetRequest("TINY", root, "res101", "att", cache)
    first = load(cached)
    monkeypatch.setattr(features, "_convert", never)
    monkeypatch.setattr("gzsl_bench.data.identity.array_digest", lambda a, t: "x" * 64)
    second = load(cached)
    assert isinstance(second.features, np.memmap)
    assert not second.features.flags.writeable
    np.testing.assert_array_equal(second.features, plain.features)
    assert second.warnings == ()
    monkeypatch.undo()
    assert plain.fingerprint == first.fingerprint == load(cached).fingerprint


def test_a_copy_elsewhere_uses_the_same_entry(path: Path, cache: Path) -> None:
    load_features(path, cache)
    copy = path.with_name("copy.mat")
    copy.write_bytes(path.read_bytes())
    load_features(copy, cache)
    the_entry(cache)


def test_a_changed_file_is_noticed_even_with_its_old_size_and_time(path: Path, cache: Path) -> None:
    before = load_features(path, cache)
    stat = path.stat()
    content = tiny_content()
    content["res101"]["features"] = content["res101"]["features"][:, ::-1].copy()
    write_xlsa17(path.parent, {"res101": content["res101"]}, {})
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    after = load_features(path, cache)
    assert after.digest != before.digest
    np.testing.assert_array_equal(after.features, before.features[::-1])


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5])


def zero(file: Path) -> None:
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[:128] + bytes(size - 128))


def garbage(file: Path) -> None:
    file.write_bytes(b"{" + os.urandom(20))


DAMAGE = {
    "features cut": ("features.npy", truncate),
    "features zeroed": ("features.npy", zero),
    "features gone": ("features.npy", Path.unlink),
    "labels cut": ("labels.npy", truncate),
    "labels zeroed": ("labels.npy", zero),
    "meta garbage": ("meta.json", garbage),
    "meta gone": ("meta.json", Path.unlink),
    "meta empty": ("meta.json", lambda file: file.write_text("{}")),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_entry_is_recognised_and_rebuilt(case: str, path: Path, cache: Path) -> None:
    name, damage = DAMAGE[case]
    sound = load_features(path, None)
    load_features(path, cache)
    damage(the_entry(cache) / name)
    again = load_features(path, cache)
    np.testing.assert_array_equal(again.features, sound.features)
    np.testing.assert_array_equal(again.labels, sound.labels)
    assert isinstance(again.features, np.memmap)
    assert store.open_entry(cache, the_entry(cache).name) is not None


def test_a_damaged_index_only_costs_a_hash(path: Path, cache: Path) -> None:
    load_features(path, cache)
    for note in (cache / "index").iterdir():
        garbage(note)
    assert isinstance(load_features(path, cache).features, np.memmap)
    (note,) = (cache / "index").glob("*.json")
    assert json.loads(note.read_text())["path"] == str(path)


@pytest.mark.parametrize("fails_at", ["features.npy", "labels.npy"])
def test_a_full_disk_leaves_nothing_and_data_in_memory(
    fails_at: str, path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = store._write_npy

    def full(target: Path, array: Any) -> None:
        if target.name == fails_at:
            target.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        write(target, array)

    monkeypatch.setattr(store, "_write_npy", full)
    loaded = load_features(path, cache)
    assert "No space left on device" in loaded.warnings[0]
    assert not isinstance(loaded.features, np.memmap)
    assert list((cache / "content").iterdir()) == []


def test_a_cache_that_cannot_be_a_folder_is_a_warning(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    data = load(DatasetRequest("TINY", root, "res101", "att", tmp_path / "file" / "cache"))
    assert "cannot be used" in data.warnings[0]
    assert data.fingerprint == load(DatasetRequest("TINY", root, "res101", "att")).fingerprint


def test_a_kill_half_way_is_swept_up_after_a_day(path: Path, cache: Path) -> None:
    for name, age in ((".building-old", 2 * 24 * 3600), (".building-new", 60)):
        leftover = cache / "content" / name
        leftover.mkdir(parents=True)
        (leftover / "features.npy").write_bytes(b"half")
        then = leftover.stat().st_mtime - age
        os.utime(leftover, (then, then))
    load_features(path, cache)
    left = {entry.name for entry in (cache / "content").glob(".*")}
    assert left == {".building-new"}


def _race(path: Path, cache: Path, start: Any, results: Any) -> None:
    start.wait()
    loaded = load_features(path, cache)
    results.put((loaded.digest, bool(loaded.warnings), float(loaded.features.sum())))


def test_processes_that_build_the_same_entry_agree(path: Path, cache: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, results = context.Event(), context.Queue()
    racers = [context.Process(target=_race, args=(path, cache, start, results)) for _ in range(4)]
    for racer in racers:
        racer.start()
    start.set()
    answers = {results.get(timeout=20) for _ in racers}
    for racer in racers:
        racer.join()
    assert len(answers) == 1
    assert not answers.pop()[1]
    the_entry(cache)


def test_the_default_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GZSL_BENCH_CACHE", str(tmp_path))
    assert store.default_cache() == tmp_path
    monkeypatch.delenv("GZSL_BENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert store.default_cache() == tmp_path / "x" / "gzsl-bench"


def test_a_byte_between_the_sampled_rows(path: Path, cache: Path) -> None:
    """Half of the rows are in the sample; the times of a file tell about the others."""
    sound = load_features(path, cache)
    entry = the_entry(cache) / "features.npy"
    content = bytearray(entry.read_bytes())
    width = 4 * sound.features.shape[1]
    sampled = set(np.linspace(0, len(sound.features) - 1, 16).astype(int).tolist())
    row = next(row for row in range(len(sound.features)) if row not in sampled)
    content[len(content) - width * (len(sound.features) - row)] ^= 1
    entry.write_bytes(bytes(content))
    assert store.open_entry(cache, the_entry(cache).name) is None
    again = load_features(path, cache)
    np.testing.assert_array_equal(again.features, load_features(path, None).features)
    assert again.digest == sound.digest


def test_a_copied_cache_is_read_once(
    path: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_features(path, cache)
    shutil.copytree(cache, tmp_path / "copy")
    assert isinstance(load_features(path, tmp_path / "copy").features, np.memmap)
    monkeypatch.setattr(store, "array_digest", never)
    monkeypatch.setattr(features, "_convert", never)
    assert isinstance(load_features(path, tmp_path / "copy").features, np.memmap)
    assert isinstance(load_features(path, cache).features, np.memmap)


def test_a_disk_that_is_full_at_some_byte(path: Path, small_disk: Callable[[int], Path]) -> None:
    """For every size of the disk: an entry or none, and the data either way."""
    sound = load_features(path, None)
    for kilobytes in (4, 8, 12, 16, 20, 24):
        disk = small_disk(kilobytes)
        loaded = load_features(path, disk / "cache")
        np.testing.assert_array_equal(loaded.features, sound.features)
        if loaded.warnings:
            assert "No space left on device" in loaded.warnings[0]
            assert not list(disk.glob("cache/content/*"))
    assert not loaded.warnings


_READ_ONLY = """
import sys
from pathlib import Path
from gzsl_bench.data.xlsa17 import load
from gzsl_bench.hooks.dataset import DatasetRequest
root = Path(sys.argv[1])
data = load(DatasetRequest("TINY", root, "res101", "att", root / "cache"))
print(data.fingerprint, *data.warnings, sep="\\n")
"""


def test_a_folder_that_may_only_be_read(root: Path) -> None:
    """Data are never written to, and a cache that cannot be is a warning."""
    expected = load(DatasetRequest("TINY", root, "res101", "att")).fingerprint
    humble = ["setpriv", "--bounding-set", "-dac_override"] if os.geteuid() == 0 else []
    if humble and not shutil.which("setpriv"):
        pytest.skip("root, and no setpriv to be less")
    places = [root, root / "TINY", *(root / "TINY").iterdir()]
    before = {p: (p.stat().st_mtime_ns, p.is_file() and p.read_bytes()) for p in places}
    for place in places:
        place.chmod(0o555 if place.is_dir() else 0o444)
    try:
        done = subprocess.run(
            [*humble, sys.executable, "-c", _READ_ONLY, str(root)],
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
    finally:
        root.chmod(0o755)
        (root / "TINY").chmod(0o755)
    assert done.returncode == 0, done.stderr
    fingerprint, warning = done.stdout.splitlines()
    assert fingerprint == expected
    assert "cannot be used (Permission denied)" in warning
    assert {p: (p.stat().st_mtime_ns, p.is_file() and p.read_bytes()) for p in places} == before


def test_a_file_that_vanishes_while_it_is_read(
    path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert = features._convert

    def remove(place: Path) -> Any:
        found = convert(place)
        place.unlink()
        return found

    monkeypatch.setattr(features, "_convert", remove)
    with pytest.raises(DataError, match=r"res101\.mat cannot be read"):
        load_features(path, cache)
