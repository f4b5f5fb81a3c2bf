"""How many workers and threads: the choice by hand and by its properties, the machine's memory."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gzsl_bench.engine import environment
from gzsl_bench.engine.placement import (
    Placement,
    candidates,
    choose,
    most_workers,
    reason,
    usual,
)

GIB = 1 << 30
TWO = {(1, 2): 19.3e-3, (2, 1): 29.0e-3}


def pairs(units, cores, most=1000):
    return [(c.workers, c.threads) for c in candidates(units, cores, most)]


def test_candidates_by_hand():
    assert pairs(100, 2) == [(1, 2), (2, 1)]
    assert pairs(100, 12) == [(1, 12), (2, 6), (4, 3), (8, 1), (12, 1)]
    assert pairs(3, 12) == [(1, 12), (2, 6), (3, 4), (4, 3), (8, 1), (12, 1)]  # 3: its units
    assert pairs(1, 2) == [(1, 2), (2, 1)]
    assert pairs(100, 1) == [(1, 1)]
    assert pairs(100, 64, most=7) == [(1, 64), (2, 32), (4, 16), (7, 9)]  # as the memory holds
    assert pairs(100, 64, most=0) == [(1, 64)]


def test_the_choice_by_hand():
    # Two units: 19.3 + 19.3 = 38.6 ms in turn, 29 ms side by side.
    assert choose(2, 2, 8, TWO) == Placement(2, 1)
    # Three: 57.9 ms in turn; side by side two rounds, 58 ms: as fast, so more workers.
    assert choose(3, 2, 8, TWO) == Placement(2, 1)
    # One unit has both cores to itself, as it has where the memory holds one worker.
    assert choose(1, 2, 8, TWO) == Placement(1, 2)
    assert choose(9, 2, 1, {}) == Placement(1, 2)
    # Side by side they stand in one another's way: 2 x 10 = 20 ms against 25.
    assert choose(2, 2, 8, {(1, 2): 10e-3, (2, 1): 25e-3}) == Placement(1, 2)
    # 64 cores, 64 units: 8 x 8 takes 8 rounds of 4 ms, 64 x 1 one of 20 ms.
    many = {(1, 64): 3e-3, (2, 32): 3e-3, (4, 16): 3e-3, (8, 8): 4e-3, (16, 4): 9e-3}
    many |= {(32, 2): 12e-3, (64, 1): 20e-3}
    assert choose(64, 64, 64, many) == Placement(64, 1)
    assert choose(64, 64, 8, many) == Placement(8, 8)
    # 65 units: 2 x 20 = 40 ms; 32 x 2: 3 x 12 = 36 ms, and 40 > 1.1 x 36.
    assert choose(65, 64, 64, many) == Placement(32, 2)


def test_one_unit_takes_no_more_threads_than_help():
    # Threads that wait for one another: with one it takes 0.28 s at most, with two 1.3 s.
    assert choose(1, 2, 8, {(1, 2): 1.3, (2, 1): 0.28}) == Placement(1, 1)
    # 64 cores: with 16 threads 2 ms at most, with 32 and with 64 more; within a tenth the fewest.
    many = {(1, 64): 9e-3, (2, 32): 4e-3, (4, 16): 2e-3, (8, 8): 2.1e-3, (16, 4): 9e-3}
    many |= {(32, 2): 12e-3, (64, 1): 20e-3}
    assert choose(1, 64, 64, many) == Placement(1, 8)
    assert choose(1, 64, 64, many | {(8, 8): 2.3e-3}) == Placement(1, 16)
    # Three units: 3 x 21 was measured with four workers of 16 threads and by itself.
    assert choose(3, 64, 64, many | {(3, 21): 1.5e-3}) == Placement(3, 21)
    assert choose(3, 64, 64, many | {(3, 21): 9e-3, (8, 8): 9e-3}) == Placement(3, 16)


def test_the_shorter_of_two_times_of_one_placement_counts():
    """Three units on 8 cores: 3 x 2 is measured with three and with four workers."""
    times = {(1, 8): 3e-3, (2, 4): 3.5e-3, (8, 1): 90e-3}
    assert choose(3, 8, 8, times | {(3, 2): 20e-3, (4, 2): 5e-3}) == Placement(3, 2)
    assert choose(3, 8, 8, times | {(3, 2): 5e-3, (4, 2): 20e-3}) == Placement(3, 2)
    # 2 rounds of 3.5 = 7 ms beat 20.
    assert choose(3, 8, 8, times | {(3, 2): 20e-3, (4, 2): 20e-3}) == Placement(2, 4)


@pytest.mark.parametrize(("second", "workers"), [(21.9e-3, 2), (22.1e-3, 1)])
def test_noise_does_not_flip_the_choice(second, workers):
    """Within a tenth of 2 x 10 ms = 20 ms more workers win."""
    assert choose(2, 2, 8, {(1, 2): 10e-3, (2, 1): second}).workers == workers


@given(
    st.integers(1, 500), st.integers(1, 128), st.integers(1, 128), st.data(), st.integers(-20, 20)
)
def test_the_choice_fits_is_nearly_best_and_knows_no_unit_of_time(units, cores, most, data, power):
    found = candidates(units, cores, most)
    times = data.draw(
        st.lists(st.floats(1e-4, 10), min_size=len(found), max_size=len(found)), label="seconds"
    )
    seconds = {(c.workers, c.threads): t for c, t in zip(found, times, strict=True)}
    chosen = choose(units, cores, most, seconds)
    assert 1 <= chosen.workers <= min(units, most)
    assert chosen.threads >= 1
    assert chosen.workers * chosen.threads <= cores
    # In so many rounds all units have had their step.
    spans = [(math.ceil(units / min(p, units)) * s, min(p, units), t)
             for (p, t), s in seconds.items()]  # fmt: skip
    near = [(p, -t) for span, p, t in spans if span <= 1.1 * min(spans)[0]]
    assert (chosen.workers, -chosen.threads) == max(near)
    # A power of two, so that no product is rounded.
    scaled = {key: t * 2.0**power for key, t in seconds.items()}
    assert choose(units, cores, most, scaled) == chosen


def test_the_usual_placement():
    assert [usual(n) for n in (1, 2, 8, 64)] == [
        Placement(1, 1), Placement(2, 1), Placement(8, 1), Placement(8, 8)
    ]  # fmt: skip


def test_the_reason():
    def told(units, cores, most, seconds):
        return f"{choose(units, cores, most, seconds)} ({reason(units, cores, most, seconds)})"

    assert told(9, 2, 8, TWO) == (
        "2 workers of 1 thread each (side by side 29 ms a step, one worker of 2 threads 19.3 ms)"
    )
    assert told(9, 2, 8, {(1, 2): 0.01, (2, 1): 0.03}) == (
        "1 worker of 2 threads (10 ms a step, 2 workers of 1 thread side by side 30 ms)"
    )
    assert told(1, 2, 8, TWO) == (
        "1 worker of 2 threads (19.3 ms a step, one worker of 1 thread 29 ms)"
    )
    assert told(9, 2, 8, {(1, 2): 1.868, (2, 1): 0.9994}) == (
        "2 workers of 1 thread each (side by side 999 ms a step, one worker of 2 threads 1.87 s)"
    )
    assert told(9, 2, 1, {}) == "1 worker of 2 threads (the memory holds no more)"


# memory -------------------------------------------------------------------------------------------


def test_workers_that_the_memory_holds(monkeypatch):
    sizes = {64 * GIB: 32, 15 * GIB: 7, GIB: 1, 1000 * GIB: 64}
    for size, workers in sizes.items():
        monkeypatch.setattr(environment, "total_memory", lambda size=size: size)
        assert most_workers(64) == workers
    monkeypatch.setattr(environment, "total_memory", lambda: None)
    assert most_workers(64) == usual(64).workers


def test_this_machine_has_memory():
    total = environment.total_memory()
    assert total is not None
    assert 64 << 20 < total < 1 << 50


def written(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


VERSION_2 = {
    "a/b/memory.max": "max\n",
    "a/memory.max": "2147483648\n",
    "memory.max": "8589934592\n",
    "a/c/memory.max": "17\n",
}
VERSION_1 = {
    "memory/a/memory.limit_in_bytes": "9223372036854771712\n",
    "memory/memory.limit_in_bytes": "4294967296\n",
    "cpu/a/memory.limit_in_bytes": "17\n",
}


@pytest.mark.parametrize(
    ("membership", "files", "limits"),
    [
        ("0::/a/b\n", VERSION_2, [2 * GIB, 8 * GIB]),
        ("0::/\n", VERSION_2, [8 * GIB]),
        ("0::/not/shown/here\n", VERSION_2, [8 * GIB]),  # a container
        ("3:cpu,cpuacct:/a\n2:memory:/a\n", VERSION_1, [9223372036854771712, 4 * GIB]),
        ("nonsense\n", VERSION_1, []),
        ("", VERSION_2, []),
    ],
)
def test_limits_of_control_groups(tmp_path, membership, files, limits):
    (tmp_path / "cgroup").write_text(membership)
    mount = written(tmp_path / "mount", files)
    assert list(environment._group_limits(tmp_path / "cgroup", mount)) == limits


def test_without_control_groups(tmp_path):
    assert list(environment._group_limits(tmp_path / "cgroup", tmp_path)) == []
