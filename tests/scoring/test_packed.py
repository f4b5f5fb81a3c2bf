"""How predictions are packed, and that rounding scores loses no decision."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
import torch

from gzsl_bench.builtin.metrics import gzsl_bench_metrics
from gzsl_bench.engine.sink import CellSink
from gzsl_bench.errors import RecordError
from gzsl_bench.scoring.calibration import best_gamma, calibrate
from gzsl_bench.scoring.evaluate import evaluate
from gzsl_bench.scoring.kept import kept_predictions
from gzsl_bench.scoring.packed import difference, packed, read, short, unpacked, write
from gzsl_bench.scoring.predict import TestSet

METRICS = {spec.name: spec for spec in gzsl_bench_metrics()}
RNG = np.random.default_rng(5)


def test_a_rounded_difference_lies_where_the_full_one_does():
    scale = 2.0 ** RNG.integers(-40, 40, 20000)
    full = (RNG.normal(size=20000) * scale).astype(np.float32).astype(np.float64)
    some = np.array([0, -0.0, 1, 1 + 2**-7, 1 + 2**-8, 127, 128.5, 129, 1e-300, -3, 1e300])
    full = np.concatenate([full, some, -some, RNG.integers(-600, 600, 500)])
    found = difference(full, np.zeros_like(full))
    kept = full == [short(value) for value in full]
    assert np.array_equal(found[kept], full[kept])
    assert np.array_equal(found, difference(found, np.zeros_like(found)))
    tiny = np.array([5e-324, -1e-320])
    assert np.array_equal(np.sign(difference(tiny, 0 * tiny)), np.sign(tiny))
    # Gammas near each value, and as they come, are all numbers of seven bits.
    near = np.array([short(value * (1 + step)) for value in full for step in (-0.008, 0, 0.008)])
    rows = np.repeat(np.arange(full.size), 3)
    assert np.array_equal(np.sign(full[rows] - near), np.sign(found[rows] - near))
    gammas = np.array([short(gamma) for gamma in RNG.choice(full, 300)])
    for wanted in (np.greater, np.equal):
        assert np.array_equal(wanted(full, gammas[:, None]), wanted(found, gammas[:, None]))


@pytest.fixture
def sink(monkeypatch):
    """Gives a sink with six checkpoints, which rounds from so many rows times checkpoints on."""

    def make(most, dtype=torch.float32, classes=9):
        monkeypatch.setattr(CellSink, "most_exact", most)
        generator = torch.Generator().manual_seed(3)
        labels = np.arange(90) % classes
        seen, unseen = np.arange(6), np.arange(6, classes)
        rows = torch.randn(90, 4, generator=generator, dtype=dtype)
        tests = TestSet(rows, labels, seen, unseen, torch.randperm(90, generator=generator))
        found = CellSink(tests, METRICS, lambda done, total: None, lambda: None)
        for number in range(1, 7):
            weights = torch.randn(4, classes, generator=generator, dtype=dtype)
            found.checkpoint(
                number, lambda x, w=weights, n=number: (x @ w).round(decimals=n % 2 * 5)
            )
        return found

    return make


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("most", [10**9, 300])
def test_packing_loses_nothing(sink, most, dtype):
    arrays = sink(most, dtype).arrays()
    files = [io.BytesIO(), io.BytesIO()]
    for file in files:
        write(file, arrays)
    assert files[0].getvalue() == files[1].getvalue()
    with np.load(io.BytesIO(files[0].getvalue())) as stored:
        assert "predicted" not in stored
        found = unpacked(stored)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].tobytes() == np.asarray(array).tobytes()
    # What an earlier version wrote was not packed.
    assert all(np.array_equal(unpacked(arrays)[name], arrays[name]) for name in arrays)


def test_many_classes_and_what_does_not_follow_from_scores(sink):
    arrays = sink(10**9).arrays()
    arrays["predicted_seen"] = arrays["predicted_seen"].astype(np.int64) + 70000
    arrays["predicted"] = np.zeros_like(arrays["predicted"])
    found = unpacked(packed(arrays))
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
    none = {name: arrays[name][:0] for name in ("scored", "best_seen", "best_unseen")}
    found = unpacked(packed(arrays | none))
    assert all(np.array_equal(found[name], (arrays | none)[name]) for name in arrays)


def test_metrics_of_rounded_scores_come_out_again_and_calibration_is_exact(sink):
    full, many = sink(10**9), sink(300)  # from the fourth checkpoint on
    exact, arrays = full.arrays(), unpacked(packed(many.arrays()))
    assert arrays["rounded"]
    assert not exact["rounded"]
    assert arrays["best_unseen"].max() == 0
    assert [row.number for row in many.rows] == list(range(1, 7))
    for row, other in zip(many.rows, full.rows, strict=True):
        found, before = (kept_predictions(a, row.number) for a in (arrays, exact))
        assert evaluate(found, METRICS) == row.metrics  # bit for bit
        for name, value in other.metrics.items():
            assert row.metrics[name] == (pytest.approx(value, abs=1) if name == "ausuc" else value)
        for gamma in (0.0, short(best_gamma([before]).gamma), short(best_gamma([found]).gamma)):
            mine, theirs = (calibrate(p, gamma).predicted for p in (found, before))
            assert np.array_equal(mine, theirs)


def test_what_was_not_packed_here_is_refused(sink):
    stored = packed(sink(10**9).arrays())
    for name, planes in {
        "best_seen": stored["best_seen"][:3],
        "predicted_seen": stored["predicted_seen"].astype(np.int16),
        "predicted_unseen": stored["predicted_unseen"][:, :5],
    }.items():
        with pytest.raises(RecordError, match=r"its (\w+ is|arrays are)"):
            unpacked(stored | {name: planes})
    with pytest.raises(RecordError, match="rounded is int64"):
        kept_predictions(sink(10**9).arrays() | {"rounded": np.array(1)}, 1)


def test_a_damaged_file_is_refused_wherever_it_is_damaged():
    file = io.BytesIO()
    write(file, {"labels": np.arange(300), "seen": np.arange(200)})
    raw = file.getvalue()
    found = read(raw, 10**6)
    assert found["labels"].tolist() == [*range(300)]
    assert found["seen"].tolist() == [*range(200)]
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        first = archive.infolist()[0]
    middle, index = first.header_offset + 60 + first.compress_size // 2, raw.index(b"PK\x01\x02")
    # The mark of its beginning, its content, the sum that its index has of it.
    for place in (0, middle, index + 16):
        changed = bytearray(raw)
        changed[place] ^= 1
        with pytest.raises((zipfile.BadZipFile, zlib.error, ValueError, EOFError)):
            read(bytes(changed), 10**6)


@pytest.mark.parametrize("how", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_nothing_is_unpacked_beyond_the_size_that_the_index_says(how):
    file, size = io.BytesIO(), 50_000_000
    with zipfile.ZipFile(file, "w", how) as archive:
        archive.writestr("labels.npy", bytes(size))
    raw = bytearray(file.getvalue())
    index = raw.rindex(b"PK\x01\x02")
    raw[index + 24 : index + 28] = (1000).to_bytes(4, "little")
    tracemalloc.start()
    with pytest.raises(zipfile.BadZipFile, match="not what its index says"):
        read(bytes(raw), 10**6)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < size / 2
