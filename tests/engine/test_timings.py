"""Step times kept in files: found again, never believed blindly, never in the way."""

from __future__ import annotations

import json
import stat
import threading
import time

import pytest

from gzsl_bench.data.cache import default_cache
from gzsl_bench.engine import timings
from gzsl_bench.engine.environment import usable_cores, versions
from gzsl_bench.engine.placement import Placement
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.store import RecordStore
from gzsl_bench.records.tidy import leftovers
from gzsl_bench.records.verify import verify

MACHINE = {"processor": "Abacus", "cores": 2, "torch": "2.9", "system": "Linux x86_64"}
OTHER = MACHINE | {"cores": 4}
TWO = {(1, 2): 0.0193, (2, 1): 0.029}


def test_what_was_measured_is_found_again(tmp_path):
    path = tmp_path / "new" / "placement.json"
    assert timings.recall(path, MACHINE) == {}
    timings.remember(path, MACHINE, TWO)
    assert timings.recall(path, MACHINE) == TWO
    assert timings.recall(path, OTHER) == {}
    assert [p.name for p in path.parent.iterdir()] == ["placement.json"]


def test_a_file_keeps_what_it_has(tmp_path):
    path = tmp_path / "placement.json"
    timings.remember(path, MACHINE, TWO)
    timings.remember(path, OTHER, {(4, 1): 0.5})
    timings.remember(path, MACHINE, {(2, 1): 7.0, (3, 1): 8.0})
    assert timings.recall(path, MACHINE) == TWO | {(3, 1): 8.0}
    assert timings.recall(path, OTHER) == {(4, 1): 0.5}
    before = path.stat().st_mtime_ns, path.stat().st_ino
    timings.remember(path, MACHINE, TWO)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before  # nothing new: not touched


def entry(**changes):
    machine = {"machine": MACHINE, "seconds": {"1x2": 0.0193, "2x1": 0.029}}
    return json.dumps({"version": 1, "machines": [machine | changes]})


def test_the_format(tmp_path):
    path = tmp_path / "placement.json"
    path.write_text(entry())
    assert timings.recall(path, MACHINE) == TWO


DAMAGED = {
    "empty": "",
    "cut short": entry()[:-9],
    "no text": b"\xff\xfe\x00",
    "deep": "[" * 100_000,
    "a list": "[]",
    "a number": "17",
    "no machines": '{"version": 1}',
    "a later version": '{"version": 2, "machines": []}',
    "machine": entry(machine="mine"),
    "no times": entry(seconds=None),
    "a key": entry(seconds={"2": 0.1}),
    "no workers": entry(seconds={"0x2": 0.1}),
    "a word": entry(seconds={"2x1": "fast"}),
    "a truth": entry(seconds={"2x1": True}),
    "zero": entry(seconds={"2x1": 0}),
    "negative": entry(seconds={"2x1": -0.1}),
    "NaN": entry(seconds={"2x1": float("nan")}),
    "infinite": entry(seconds={"2x1": float("inf")}),
    "huge": entry(seconds={"2x1": 10**400}),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_empty_and_is_written_anew(tmp_path, content):
    path = tmp_path / "placement.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert timings.recall(path, MACHINE) == {}
    timings.remember(path, MACHINE, TWO)
    assert timings.recall(path, MACHINE) == TWO


def test_a_file_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "placement.json", tmp_path):  # no folder; a folder
        timings.remember(path, MACHINE, TWO)
        assert timings.recall(path, MACHINE) == {}
    assert not list(tmp_path.parent.glob(f".{tmp_path.name}.*"))
    # Root writes wherever the system lets it, so the system is asked to refuse.
    monkeypatch.setattr("pathlib.Path.write_text", _refuse)
    timings.remember(tmp_path / "placement.json", MACHINE, TWO)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def _refuse(*arguments, **options):
    raise PermissionError(13, "Read-only file system")


def test_others_of_the_group_may_read_it(tmp_path):
    """As any file of the results folder: that is shared."""
    path, plain = tmp_path / "placement.json", tmp_path / "plain"
    plain.write_text("")
    timings.remember(path, MACHINE, TWO)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


# where and whose ----------------------------------------------------------------------------------


def test_the_fingerprint_names_this_machine():
    found = timings.fingerprint()
    assert found["cores"] == usable_cores()
    assert found["torch"] == versions()["torch"]
    assert all(found.values())
    assert json.loads(json.dumps(found)) == found


def test_the_shared_file(monkeypatch, tmp_path):
    monkeypatch.setenv("GZSL_BENCH_TIMINGS", str(tmp_path / "t.json"))
    assert timings.shared_file() == tmp_path / "t.json"
    monkeypatch.delenv("GZSL_BENCH_TIMINGS")
    monkeypatch.setenv("GZSL_BENCH_CACHE", str(tmp_path))
    assert timings.shared_file() == default_cache() / "placement.json"


def test_what_is_missing():
    wanted = [Placement(1, 4), Placement(2, 2)]
    assert timings.missing(wanted, {(2, 2): 1.0, (1, 2): 1.0}) == [Placement(1, 4)]


def test_one_measures_at_a_time(monkeypatch, tmp_path):
    monkeypatch.setenv("GZSL_BENCH_TIMINGS", str(tmp_path / "new" / "t.json"))
    inside, most = [], []

    def go():
        with timings.alone():
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.05)
            inside.pop()

    threads = [threading.Thread(target=go) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == [1, 1, 1]


def test_without_a_lock_one_measures_all_the_same(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GZSL_BENCH_TIMINGS", str(tmp_path / "file" / "t.json"))
    with timings.alone():
        pass
    monkeypatch.setattr(timings, "PATIENCE", 0.01)
    monkeypatch.setenv("GZSL_BENCH_TIMINGS", str(tmp_path / "t.json"))
    with timings.alone(), timings.alone():
        pass


# the results folder -------------------------------------------------------------------------------


def test_records_are_none_the_worse_for_it(tmp_path):
    layout = Layout(tmp_path)
    timings.remember(layout.placement, MACHINE, TWO)
    found = verify(RecordStore(tmp_path))
    assert (found.problems, found.notes) == ([], [])
    assert leftovers(layout) == []
    draft = tmp_path / ".placement.json.0123456789ab.tmp"  # of a run that was killed
    draft.write_text("")
    assert [entry.path for entry in leftovers(layout)] == [draft]
