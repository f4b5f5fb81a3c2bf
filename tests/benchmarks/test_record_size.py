"""The benchmark of the size of records runs, and its rounded scores take less room."""

from __future__ import annotations

from benchmarks import record_size


def test_sizes_of_a_short_training(monkeypatch):
    monkeypatch.setattr(record_size, "ROWS", (60, 100))
    monkeypatch.setattr(record_size, "SAMPLES", 500)
    monkeypatch.setattr(record_size, "STEPS", 1)
    found = record_size.sizes(record_size.trained(2, 10))
    assert (found["checkpoints"], found["rows"]) == (20, 160)
    assert found["rounded"] < found["packed"] < found["as it was"]
