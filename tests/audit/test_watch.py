"""Which files are noticed when opened, and which state is noticed when left behind."""

from __future__ import annotations

import functools
import importlib
import os
import random
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from gzsl_bench.engine.audit.leftovers import (
    GlobalRandomStates,
    changed,
    fingerprint,
    module_variables,
)
from gzsl_bench.engine.audit.watch import Guard, data_files, data_folders, opened_files


@pytest.fixture
def array(tmp_path) -> Path:
    path = tmp_path / "data" / "rows.npy"
    path.parent.mkdir()
    np.save(path, np.arange(6.0))
    return path


WAYS = {
    "open": lambda p: open(p, "rb").close(),  # noqa: PTH123
    "pathlib": lambda p: p.read_bytes(),
    "os.open": lambda p: os.close(os.open(p, os.O_RDONLY)),
    "relative": lambda p: open(os.path.relpath(p), "rb").close(),  # noqa: PTH123
    "bytes": lambda p: open(os.fsencode(p), "rb").close(),  # noqa: PTH123
    "numpy": lambda p: np.load(p),
    "mapped": lambda p: np.load(p, mmap_mode="r"),
    "fromfile": lambda p: np.fromfile(p),
}


@pytest.mark.parametrize("way", WAYS)
def test_opened_files_are_noticed(array, way):
    with opened_files() as opened:
        WAYS[way](array)
    assert str(array.resolve()) in opened
    assert Guard.of([array.parent]).hits(opened) == [str(array.resolve())]


def test_other_threads_are_noticed_and_others_times_are_not(array):
    array.read_bytes()
    with opened_files() as opened:
        thread = threading.Thread(target=array.read_bytes)
        thread.start()
        thread.join()
    with opened_files() as later:
        pass
    array.read_bytes()
    assert (len(opened), later) == (1, set())


def test_what_is_mapped_already_raises_no_alarm(array):
    rows = np.load(array, mmap_mode="r")
    with opened_files() as opened:
        assert rows.sum() == 15
        assert torch.from_numpy(np.array(rows)).sum() == 15
    assert opened == set()


def test_the_guard_follows_links_and_spares_code(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    guard = Guard.of([tmp_path / "link"], [str(tmp_path / "one.csv")])
    opened = {
        str(folder.resolve() / name) for name in ("a.mat", "sub/b.npy", "plugin.py", "plugin.pyc")
    } | {str(tmp_path.resolve() / name) for name in ("one.csv", "two.csv", "database/x.mat")}
    assert [Path(path).name for path in guard.hits(opened)] == ["a.mat", "b.npy", "one.csv"]
    assert Guard().hits(opened) == []


def test_folders_of_data_sets_are_guarded_and_no_others(tmp_path):
    for name in ("CUB", "notes"):
        (tmp_path / name).mkdir()
    (tmp_path / "CUB" / "att_splits.mat").write_bytes(b"")
    assert data_folders(tmp_path) == [tmp_path / "CUB"]
    assert data_folders(None) == data_folders(tmp_path / "nowhere") == []


def test_what_a_loader_opens_are_data_and_code(tmp_path):
    kept = tmp_path / "digits.csv.gz"
    opened = {str(kept), str(tmp_path), "/proc/cpuinfo", "/x/module.pyc", "/x/a.dist-info/METADATA"}
    opened |= {"/x/checkout/a.egg-info/entry_points.txt"}
    assert data_files(opened) == {str(kept)}


def test_files_of_the_embedded_digits_are_known_once_loaded():
    from gzsl_bench.builtin.digits import load
    from gzsl_bench.hooks.dataset import DatasetRequest

    with opened_files() as opened:
        load(DatasetRequest("digits", None, "pixels", "strokes", None))
    assert "digits.csv.gz" in {Path(path).name for path in data_files(opened)}


# Leftovers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "draw"),
    [
        ("random", random.random),
        ("numpy.random", np.random.rand),
        ("torch", lambda: torch.rand(1)),
    ],
)
def test_global_random_states_are_told_apart_and_put_back(name, draw):
    before = GlobalRandomStates.now()
    assert before.moved(GlobalRandomStates.now()) == []
    first = draw()
    assert before.moved(GlobalRandomStates.now()) == [name]
    before.restore()
    assert before.moved(GlobalRandomStates.now()) == []
    assert draw() == first


MODULE = """
import functools, torch
class Method:
    seen = 0
NUMBERS = [1, {"a": (2, 3)}]
ROWS = torch.zeros(3)
class Box: pass
BOX = Box()
@functools.lru_cache
def cached(x): return x
def plain(): return 1
"""

CHANGES = {
    "NUMBERS": lambda m: m.NUMBERS[1].update(a=(2, 4)),
    "ROWS": lambda m: m.ROWS.add_(1e-30),
    "BOX": lambda m: setattr(m.BOX, "x", 1),
    "cached": lambda m: m.cached(4),
    "Method.seen": lambda m: setattr(m.Method, "seen", 1),
    "NEW": lambda m: setattr(m, "NEW", 1),
}


@pytest.mark.parametrize("variable", CHANGES)
def test_changed_module_variables_are_named(tmp_path, monkeypatch, variable):
    (tmp_path / "gz_leftover.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("gz_leftover")
    try:
        before = module_variables(module.Method)
        module.plain()
        assert changed(before, module_variables(module.Method)) == []
        CHANGES[variable](module)
        names = changed(before, module_variables(module.Method))
        assert names == [f"gz_leftover.{variable}"]
    finally:
        del sys.modules["gz_leftover"]


def test_fingerprints_bear_everything():
    loop: list[object] = []
    loop.append(loop)
    values = [loop, functools.partial(print), object(), {1: {2: {3: loop}}}, torch.tensor(1.0),
              torch.zeros(0), torch.eye(2).to_sparse(), np.array([None]),
              {3, 1}, frozenset("ab"), torch.Generator(), float("nan")]  # fmt: skip
    for value in values:
        assert fingerprint(value) == fingerprint(value)
    assert fingerprint(torch.tensor(1.0)) != fingerprint(torch.tensor(2.0))
    assert fingerprint({3, 1}) == fingerprint({1, 3}) != fingerprint({1, 2})
