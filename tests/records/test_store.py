"""Records: committed whole or not at all, and the first complete one is never replaced."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from records_factory import made, make_cell

from gzsl_bench import locks
from gzsl_bench.errors import RecordError
from gzsl_bench.records import journal, strict, suites
from gzsl_bench.records import store as store_module
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.record import FAILED, RECORD_VERSION, Checkpoint
from gzsl_bench.records.store import RecordStore

CELL = make_cell()
KEY = CELL.key
DONE = made(CELL, checkpoints=[{"number": 1, "metrics": {"harmonic_mean": 50.25}}])
BROKE = made(CELL, FAILED, cause="ValueError: no", traceback="...")
ARRAYS = {"labels": np.arange(5), "predicted": np.zeros((2, 5), np.uint8)}


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns)
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(tmp_path / "out")


def test_what_is_committed_is_what_is_read(store):
    assert store.read(KEY) is None
    assert not store.finished(KEY)
    assert store.commit(DONE, ARRAYS, "hello\n")
    record = store.read(KEY)
    assert record.key == KEY
    assert record.complete
    kept = replace(record, path=DONE.path, predictions_sha256=None)
    assert kept == DONE
    assert (record.path / "log.txt").read_text() == "hello\n"
    found = record.predictions()
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    assert [r.key for r in store] == [KEY]
    assert list(store.layout.scratch.iterdir()) == []
    assert sorted(p.name for p in record.path.iterdir()) == [
        "log.txt",
        "predictions.npz",
        "record.json",
    ]


@pytest.mark.parametrize(
    "second", [made(CELL, checkpoints=[{"number": 2, "metrics": {"harmonic_mean": 1.0}}]), BROKE]
)
def test_the_first_complete_record_wins(store, second):
    assert store.commit(DONE, ARRAYS)
    before = snapshot(store.layout.cell(KEY))
    assert not store.commit(second, None, "another\n")
    assert snapshot(store.layout.cell(KEY)) == before
    assert list(store.layout.scratch.iterdir()) == []
    assert not store.layout.failed.exists()
    events = [e["event"] for e in journal.read(store.layout.journal)]
    assert events == ["committed", "superseded"]


def test_a_success_moves_failures_aside(store):
    assert store.commit(BROKE, None, "first try\n")
    assert not store.finished(KEY)
    assert store.commit(replace(BROKE, cause="again"), None, "second try\n")
    assert store.read(KEY).cause == "again"
    assert store.commit(DONE, ARRAYS)
    assert store.finished(KEY)
    aside = [store.layout.failed / f"{KEY}-{n}" for n in (1, 2)]
    assert [(p / "log.txt").read_text() for p in aside] == ["first try\n", "second try\n"]
    assert [r.key for r in store] == [KEY]


RACER = textwrap.dedent(
    """
    import sys, time
    from dataclasses import replace
    from pathlib import Path
    import numpy as np
    from gzsl_bench.records.record import parsed
    from gzsl_bench.records.store import RecordStore
    out, key, who, start = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    store, record = RecordStore(Path(out)), parsed(sys.argv[5].encode(), key)
    record = replace(record, cause=str(who))
    while time.time() < start:
        pass
    print(int(store.commit(record, {"who": np.full(20000, who)}, str(who))))
    """
)


@pytest.mark.parametrize("failed_before", [False, True])
def test_of_racing_processes_exactly_one_wins(store, failed_before):
    import time

    if failed_before:
        store.commit(BROKE)
    start, raw = time.time() + 2.0, DONE.to_json().decode()
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(store.layout.out), KEY, str(n), str(start), raw],
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(8)
    ]
    won = [int(r.communicate(timeout=300)[0]) for r in racers]
    assert sum(won) == 1
    record = store.read(KEY)
    winner = won.index(1)
    assert record.cause == str(winner)
    # All of the winner's files, none of anybody else's.
    assert set(record.predictions()["who"].tolist()) == {winner}
    assert (record.path / "log.txt").read_text() == str(winner)
    assert list(store.layout.scratch.iterdir()) == []
    events = [e["event"] for e in journal.read(store.layout.journal)]
    assert events.count("committed") == 1 + failed_before
    assert events.count("superseded") == 7


def test_racing_threads(store):
    barrier = threading.Barrier(8)
    won = []

    def race(who):
        barrier.wait()
        for number in range(6):
            if store.commit(made(make_cell(number), cause=str(who))):
                won.append((number, who))

    threads = [threading.Thread(target=race, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(number for number, _ in won) == list(range(6))
    for number, who in won:
        assert store.read(make_cell(number).key).cause == str(who)


CORRUPT = {
    "empty": b"",
    "cut": b'{"key": "0123456789abcdef0123',
    "no mapping": b"[1, 2]",
    "another key": b'{"key": "f", "status": "complete", "record_version": 1}',
    "no text": b"\xff\xfe\x00",
    "no status": json.dumps({"key": KEY, "record_version": 1}).encode(),
    "version no number": json.dumps({"key": KEY, "record_version": "1", "status": "x"}).encode(),
}


@pytest.mark.parametrize("case", CORRUPT)
def test_a_corrupt_record_counts_as_absent_and_is_written_anew(store, case):
    store.commit(DONE, ARRAYS)
    (store.layout.cell(KEY) / "record.json").write_bytes(CORRUPT[case])
    assert store.read(KEY) is None
    assert not store.finished(KEY)
    assert list(store) == []
    assert store.commit(DONE, ARRAYS)
    assert store.finished(KEY)
    # Nothing is thrown away.
    aside = store.layout.failed / f"{KEY}-1" / "record.json"
    assert aside.read_bytes() == CORRUPT[case]


def test_a_folder_without_record_counts_as_absent(store):
    store.layout.cell(KEY).mkdir(parents=True)
    assert store.read(KEY) is None
    (store.layout.cell(KEY) / "log.txt").write_text("left over")
    assert store.commit(DONE)
    assert store.finished(KEY)


def test_a_newer_record_is_not_touched(store):
    store.commit(DONE)
    path = store.layout.cell(KEY) / "record.json"
    content = json.loads(path.read_text()) | {"record_version": RECORD_VERSION + 1}
    path.write_text(json.dumps(content))
    assert store.read(KEY) is None
    with pytest.raises(RecordError, match="newer gzsl-bench, so upgrade"):
        store.finished(KEY)
    with pytest.raises(RecordError, match="newer"):
        store.commit(DONE)
    assert json.loads(path.read_text()) == content


def full_disk(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def left_behind(store: RecordStore) -> list[str]:
    """Files and folders within scratch and cells."""
    found = []
    for folder in (store.layout.scratch, store.layout.cells):
        if folder.is_dir():
            found += [p.name for p in folder.iterdir()]
    return found


@pytest.mark.parametrize("where", ["fsync", "write_array", "mkdir", "rename"])
def test_a_full_disk_leaves_nothing_behind(store, monkeypatch, where):
    target, name = {
        "fsync": (os, "fsync"),
        "write_array": (np.lib.format, "write_array"),
        "mkdir": (Path, "mkdir"),
        "rename": (Path, "rename"),
    }[where]
    with monkeypatch.context() as patch:
        patch.setattr(target, name, full_disk)
        with pytest.raises(RecordError, match="No space left"):
            store.commit(DONE, ARRAYS)
    assert left_behind(store) == []
    assert store.read(KEY) is None
    assert store.commit(DONE, ARRAYS)


def test_a_journal_that_cannot_be_written_does_not_break_a_commit_in_place(store, monkeypatch):
    """The record is what counts: the disk may fill up between the rename and the journal."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full_disk)
        with contextlib.suppress(RecordError):
            store.commit(DONE, ARRAYS)
    assert store.finished(KEY)
    assert left_behind(store) == [KEY]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), "1", 1e300])
def test_a_value_that_no_reader_would_take_is_not_written(store, value):
    with pytest.raises(RecordError):
        store.commit(replace(DONE, checkpoints=(Checkpoint(1, {"harmonic_mean": value}),)))
    assert left_behind(store) == []


def test_pickles_are_neither_written_nor_read(store):
    store.commit(DONE, ARRAYS)
    path = store.layout.cell(KEY) / "predictions.npz"
    np.savez(path, evil=np.array([{"a": 1}], dtype=object))
    with pytest.raises(RecordError, match="are not those that were recorded"):
        store.read(KEY).predictions()
    # Even where the record says that they belong to it, as whoever forges one would.
    forged = json.loads((path.parent / "record.json").read_text())
    forged["predictions_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (path.parent / "record.json").write_text(json.dumps(forged))
    with pytest.raises(RecordError, match="OBJECT array"):
        store.read(KEY).predictions()


def test_damaged_predictions_are_an_error_in_a_sentence(store):
    store.commit(DONE, ARRAYS)
    path = store.layout.cell(KEY) / "predictions.npz"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(RecordError, match=r"predictions.npz of cell \w+ cannot be read"):
        store.read(KEY).predictions()


# The journal -------------------------------------------------------------------------------------


def test_the_journal_appends_whole_lines(tmp_path):
    path = Layout(tmp_path / "out").journal
    script = (
        "import sys; from pathlib import Path; from gzsl_bench.records import journal\n"
        "for n in range(300): journal.append(Path(sys.argv[1]), 'tick', who=int(sys.argv[2]), n=n,"
        " pad='x' * 200)"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(path), str(w)]) for w in range(4)
    ]
    assert [w.wait(60) for w in writers] == [0] * 4
    lines = path.read_text().splitlines()
    assert len(lines) == 1200
    events = [json.loads(line) for line in lines]
    for who in range(4):
        assert [e["n"] for e in events if e["who"] == who] == list(range(300))
    assert journal.read(path) == events


def test_a_line_cut_short_is_skipped_and_costs_no_other(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal.append(path, "one")
    with path.open("a") as file:
        file.write(
            '{"time": "2026-05-01T00:00',
        )
    journal.append(path, "two")
    assert [e["event"] for e in journal.read(path)] == ["one", "two"]


def test_no_journal_is_an_empty_one(tmp_path):
    assert journal.read(tmp_path / "no") == []


# Locks whose holder is frozen -------------------------------------------------------------------


@contextlib.contextmanager
def held(place: Path):
    """What a stopped process holds: the lock of another opening of the file is another's."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_a_frozen_writer_of_the_journal_is_waited_for_once(tmp_path, monkeypatch, capsys):
    strict.forget()
    monkeypatch.setattr(journal, "PATIENCE", 0.05)
    path = Layout(tmp_path / "out").journal
    waits = []
    sleep = time.sleep
    monkeypatch.setattr(locks.time, "sleep", lambda s: (waits.append(s), sleep(s)))
    with held(path):
        journal.append(path, "one")
        waited = len(waits)
        journal.append(path, "two")
    assert waited > 0
    assert len(waits) == waited
    assert [e["event"] for e in journal.read(path)] == ["one", "two"]
    assert capsys.readouterr().err.count("does nothing; it is written all the same") == 1


def test_a_journal_that_is_a_folder_is_named_once(tmp_path, capsys):
    strict.forget()
    path = tmp_path / "journal.jsonl"
    path.mkdir()
    for _ in range(2):
        journal.append(path, "one")
    assert capsys.readouterr().err == (
        f"warning: {path} cannot be written (Is a directory), so it lacks what happened; no record"
        " is concerned\n"
    )


def test_a_frozen_mover_of_failures_is_not_waited_for_for_ever(store, monkeypatch, capsys):
    strict.forget()
    monkeypatch.setattr(store_module, "PATIENCE", 0.05)
    store.commit(BROKE)
    with held(store.layout.out / ".aside.lock"):
        assert store.commit(DONE, ARRAYS)
    assert "failures are moved aside all the same" in capsys.readouterr().err
    assert store.read(KEY).complete
    assert len(list(store.layout.failed.iterdir())) == 1


def test_a_mover_that_wakes_up_does_no_harm(store):
    """It judged a failure, froze, and a complete record came in its place meanwhile."""
    store.commit(DONE, ARRAYS)
    before = snapshot(store.layout.cells)
    store._move_aside(KEY, store.layout.cell(KEY))
    assert snapshot(store.layout.cells) == before
    assert list(store.layout.failed.iterdir()) == []


def test_a_suite_is_stored_beside_a_frozen_process(tmp_path, monkeypatch, capsys):
    strict.forget()
    monkeypatch.setattr(suites, "PATIENCE", 0.05)
    layout = Layout(tmp_path / "out")
    with held(layout.out / ".suites.lock"), suites._alone(layout):
        (tmp_path / "done").touch()
    assert (tmp_path / "done").exists()
    assert ".suites.lock for 0 s and does nothing" in capsys.readouterr().err
