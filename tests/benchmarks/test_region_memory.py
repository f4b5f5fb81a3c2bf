"""The data of the memory benchmark are what it says: described, sound, and holes on disk."""

from __future__ import annotations

from benchmarks import region_memory
from gzsl_bench.data.checks import check_data
from gzsl_bench.data.described import load
from gzsl_bench.hooks.dataset import DatasetRequest


def test_the_map_file_is_sparse_and_the_data_set_can_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(region_memory, "TRAINED", 60)
    size = region_memory.write(tmp_path / "LARGE", 200)
    maps = tmp_path / "LARGE" / "maps.npy"
    assert maps.stat().st_size == size > 200 * 49 * 2048 * 2
    assert 512 * maps.stat().st_blocks < size / 100
    data = check_data(load(DatasetRequest("LARGE", tmp_path, "small", "made", regions="grid")))
    assert data.regions is not None
    assert data.regions.values.shape == (200, 49, 2048)
    assert data.words is not None
    assert data.words.shape == (85, 300)
    assert (len(data.seen), len(data.unseen)) == (40, 10)
    assert (data.trainval.size, data.test_seen.size + data.test_unseen.size) == (60, 100)
