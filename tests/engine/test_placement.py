"""How many workers and threads: the choice by hand and by its properties, the machine's memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gzsl_bench.engine import environment
from gzsl_bench.engine.placement import Placement, place

GIB = 1 << 30


@pytest.mark.parametrize(
    ("units", "cores", "gib", "placed"),
    [
        (17, 2, 16, (2, 1)),
        (1, 2, 16, (1, 2)),  # one unit has the cores to itself
        (3, 8, 64, (3, 2)),
        (100, 64, 256, (64, 1)),
        (100, 64, 15, (7, 9)),  # as the memory holds
        (100, 64, 1, (1, 64)),
        (100, 1, 16, (1, 1)),
        (0, 2, 16, (1, 2)),
    ],
)
def test_the_choice_by_hand(units, cores, gib, placed):
    assert place(units, cores, gib * GIB) == Placement(*placed)


def test_memory_that_nobody_knows_limits_nothing():
    assert place(100, 8, None) == Placement(8, 1)


def test_a_gpu_has_one_worker():
    assert place(9, 8, 64 * GIB, gpu=True) == Placement(1, 8)
    assert place(9, 8, 64 * GIB, gpu=True, jobs=2) == Placement(2, 4)


@pytest.mark.parametrize(
    ("jobs", "threads", "placed"),
    [
        (2, None, (2, 4)),
        (3, None, (3, 2)),
        (16, None, (16, 1)),
        (2, 1, (2, 1)),
        (8, 8, (8, 8)),
        (None, 1, (8, 1)),
        (None, 3, (2, 3)),
        (None, 9, (1, 9)),
    ],
)
def test_what_the_user_says_counts(jobs, threads, placed):
    assert place(9, 8, 64 * GIB, jobs=jobs, threads=threads) == Placement(*placed)


@given(st.integers(1, 500), st.integers(1, 256), st.integers(1, 512))
def test_no_core_is_promised_twice_and_none_idles_for_want_of_threads(units, cores, gib):
    found = place(units, cores, gib * GIB)
    assert found.workers <= max(1, gib // 2)
    assert found.workers <= units
    assert found.workers * found.threads <= cores < found.workers * (found.threads + 1)


# memory -------------------------------------------------------------------------------------------


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
