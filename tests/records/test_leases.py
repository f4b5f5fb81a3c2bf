"""Leases: of several runs one gets a cell, and a dead one's cells go to exactly one other."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records_factory import made, make_cell

from gzsl_bench.records import journal, machine
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.leases import Leases, lease_files
from gzsl_bench.records.presence import BEATS, Presence, RunFile, Watch
from gzsl_bench.records.store import RecordStore
from gzsl_bench.records.tidy import collect, leftovers, sweep

KEY = make_cell().key


class Clock:
    """A clock that is told the time."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def join(out: Path, *, elsewhere: bool = False, clock=time.monotonic, seconds=60.0) -> Presence:
    """A run in the folder, without the thread that keeps it alive."""
    presence = Presence(Layout(out), seconds=seconds, clock=clock)
    if elsewhere:
        presence.me = RunFile(**{**vars(presence.me), "host": "far", "machine": "another boot"})
    presence.enter()
    return presence


def events(out: Path, *names: str) -> list[dict]:
    return [e for e in journal.read(Layout(out).journal) if e["event"] in names]


def watch_for(observer: Presence, clock: Clock, run: str, seconds: float, step: float = 1.0):
    """Look at a run once a step for some seconds of the observer's clock."""
    looks = []
    for _ in range(round(seconds / step)):
        clock.now += step
        looks.append(observer.look(run) is not None)
    return looks


# Who lives ---------------------------------------------------------------------------------------


def test_the_counter_counts_and_no_clock_is_compared(tmp_path):
    clock = Clock()
    observer = join(tmp_path, clock=clock)
    far = join(tmp_path, elsewhere=True, clock=lambda: -1e9)
    # Its file may be as old as it likes: only that it changes matters.
    for _ in range(100):
        os.utime(tmp_path / "runs" / f"{far.run}.json", (0, 0))
        far.beat()
        clock.now += 4.0
        assert observer.look(far.run) == far.me
    # Now it stands still: alive for as long as the observer has not watched for 60 of its seconds.
    observer.look(far.run)
    assert watch_for(observer, clock, far.run, 59) == [True] * 59
    assert watch_for(observer, clock, far.run, 2) == [False, False]
    (lost,) = events(tmp_path, "lost")
    assert lost["run"] == far.run
    assert lost["host"] == "far"
    assert "no sign of life for 60 s" in lost["reason"]
    assert [p.name for p in observer.lost()] == [f"{far.run}.lost"]


def test_time_that_nobody_watched_does_not_count(tmp_path):
    """Whoever slept for a day must not take its neighbours, who slept too, for dead."""
    clock = Clock()
    observer, far = join(tmp_path, clock=clock), join(tmp_path, elsewhere=True)
    observer.look(far.run)
    clock.now += 86_400
    assert observer.look(far.run) is not None
    looks = 0
    while observer.look(far.run) is not None:
        clock.now += 86_400
        looks += 1
    assert looks >= BEATS - 1


@given(
    gaps=st.lists(st.floats(0, 100), min_size=1, max_size=40),
    changes=st.sets(st.integers(0, 39)),
)
def test_still_seconds_are_at_most_those_that_passed(gaps, changes):
    clock = Clock()
    watch = Watch(clock, step=5.0)
    watch.still("x", b"0")
    content, allowed, passed = 0, 0.0, 0.0
    for index, gap in enumerate(gaps):
        clock.now += gap
        content += index in changes
        allowed = 0.0 if index in changes else allowed + min(gap, 5.0)
        passed = 0.0 if index in changes else passed + gap
        found = watch.still("x", str(content).encode())
        assert found == pytest.approx(allowed)
        assert found <= passed + 1e-6


def test_a_process_of_this_machine_that_ended_is_lost_at_once(tmp_path):
    observer = join(tmp_path)
    script = (
        "import sys; from pathlib import Path\n"
        "from gzsl_bench.records.presence import Presence\n"
        "from gzsl_bench.records.layout import Layout\n"
        "p = Presence(Layout(Path(sys.argv[1]))); p.enter(); print(p.run, flush=True)\n"
        "sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    run = child.stdout.readline().strip()
    assert observer.look(run).pid == child.pid
    child.kill()
    # A zombie until we wait for it, which is dead as well.
    deadline = time.monotonic() + 10
    while machine.process_start(child.pid) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert observer.look(run) is None
    child.communicate()
    assert events(tmp_path, "lost")[0]["reason"] == "its process has ended"


def test_an_id_that_another_process_got_does_not_keep_a_run_alive(tmp_path):
    observer, other = join(tmp_path), Presence(Layout(tmp_path))
    assert other.me.started is not None
    other.me = RunFile(**{**vars(other.me), "started": other.me.started - 1})
    other.enter()
    assert observer.look(other.run) is None
    # The same id on a machine we know nothing about says nothing.
    far = join(tmp_path, elsewhere=True)
    far.me = RunFile(**{**vars(far.me), "pid": 2**30})
    far.beat()
    assert observer.look(far.run) is not None


def test_a_run_that_was_taken_for_lost_comes_back_as_another(tmp_path):
    sleeper, observer = join(tmp_path), join(tmp_path)
    lease = Leases(sleeper).take(KEY)
    before = sleeper.run
    assert observer.give_up(before, sleeper.me, "it slept")
    assert not observer.give_up(before, sleeper.me, "it slept")
    taken = Leases(observer).take(KEY)
    assert (taken.number, taken.run) == (2, observer.run)
    sleeper.beat()
    assert sleeper.run != before
    assert observer.look(before) is None
    assert observer.look(sleeper.run) is not None
    # What it gives back late does not free what is another's by now.
    Leases(sleeper).give_back(lease)
    assert Leases(join(tmp_path)).take(KEY) is None
    assert [e["event"] for e in events(tmp_path, "lost", "taken over", "returned")] == [
        "lost",
        "taken over",
        "returned",
    ]


def test_the_pulse_keeps_a_run_alive_and_ends_with_it(tmp_path):
    clock = Clock()
    observer, far = join(tmp_path, clock=clock), join(tmp_path, elsewhere=True, seconds=0.6)
    far.start()
    seen = set()
    deadline = time.monotonic() + 20
    while len(seen) < 4 and time.monotonic() < deadline:
        seen.add(observer.look(far.run).beat)
        time.sleep(0.01)
    assert len(seen) == 4
    far.leave()
    assert observer.look(far.run) is None
    assert not events(tmp_path, "lost")


# Who holds ---------------------------------------------------------------------------------------


def test_one_holds_and_gives_back(tmp_path):
    one, two = Leases(join(tmp_path)), Leases(join(tmp_path))
    lease = one.take(KEY)
    assert lease is not None
    assert one.take(KEY) is None
    assert two.take(KEY) is None
    assert two.holder(KEY).run == lease.run
    one.give_back(lease)
    assert two.holder(KEY) is None
    again = two.take(KEY)
    assert again.number == 2
    assert one.take(KEY) is None
    assert not events(tmp_path, "taken over")


def test_a_run_that_left_without_a_word_holds_nothing(tmp_path):
    one = join(tmp_path)
    assert Leases(one).take(KEY)
    one.leave()
    assert Leases(join(tmp_path)).take(KEY).number == 2


@pytest.mark.parametrize("content", [b"", b"{", b'{"run": 3, "state": "held"}', b"\xff"])
def test_a_lease_cut_short_is_watched_until_nobody_can_be_writing_it(tmp_path, content):
    clock = Clock()
    leases = Leases(join(tmp_path, clock=clock))
    (tmp_path / "leases").mkdir()
    (tmp_path / "leases" / f"{KEY}.1").write_bytes(content)
    tries = 0
    while (lease := leases.take(KEY)) is None:
        clock.now += 1.0
        tries += 1
    assert tries == 60
    assert lease.number == 2


@settings(max_examples=15)
@given(runs=st.integers(2, 6), keys=st.integers(1, 5), dead=st.integers(0, 5))
def test_of_threads_that_race_one_gets_each_lease(tmp_path_factory, runs, keys, dead):
    """Also where the first ``dead`` keys belong to a run that has died."""
    out = tmp_path_factory.mktemp("race")
    gone = join(out)
    held = [Leases(gone).take(f"key{n}").name for n in range(min(dead, keys))]
    gone.give_up(gone.run, gone.me, "it died")
    barrier = threading.Barrier(runs)
    won: list[tuple[str, int]] = []

    def race() -> None:
        presence = join(out)
        leases = Leases(presence)
        barrier.wait()
        for n in range(keys):
            lease = leases.take(f"key{n}")
            if lease is not None:
                won.append((lease.name, lease.number))

    threads = [threading.Thread(target=race) for _ in range(runs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [(f"key{n}", 2 if f"key{n}" in held else 1) for n in range(keys)]
    assert sorted(e["key"] for e in events(out, "taken over")) == sorted(held)


def _race_for(out: str, start, found) -> None:
    leases = Leases(join(Path(out)))
    start.wait()
    for n in range(40):
        if leases.take(f"key{n}") is not None:
            found.put((n, os.getpid()))
    start.wait()  # whoever ends is dead: nobody may, before all have tried


def test_of_processes_that_race_for_a_dead_runs_leases_one_gets_each(tmp_path):
    gone = join(tmp_path, elsewhere=True)
    leases = Leases(gone)
    for n in range(40):
        leases.take(f"key{n}")
    gone.give_up(gone.run, gone.me, "it died")
    context = multiprocessing.get_context("fork")
    start, found = context.Barrier(4), context.Queue()
    racers = [
        context.Process(target=_race_for, args=(str(tmp_path), start, found)) for _ in range(4)
    ]
    for racer in racers:
        racer.start()
    got = [found.get(timeout=60) for _ in range(40)]
    for racer in racers:
        racer.join(60)
    assert [racer.exitcode for racer in racers] == [0] * 4
    assert sorted(n for n, _ in got) == list(range(40))
    assert found.empty()
    taken = events(tmp_path, "taken over")
    assert sorted(e["key"] for e in taken) == sorted(f"key{n}" for n in range(40))
    assert {e["before"] for e in taken} == {gone.run}


# What is left ------------------------------------------------------------------------------------


def test_a_run_that_is_alone_clears_what_nobody_needs(tmp_path):
    store = RecordStore(tmp_path)
    store.commit(made(make_cell()))
    gone, me = join(tmp_path), Presence(Layout(tmp_path))
    leases = Leases(gone)
    assert leases.take(KEY)
    assert leases.take("unfinished")
    assert leases.take("audit-" + KEY)
    gone.layout.draft(gone.run, KEY).mkdir(parents=True)
    names = [name for name, _ in lease_files(gone.layout)]
    sweep(me)  # the other is alive: nothing goes
    assert [name for name, _ in lease_files(gone.layout)] == names
    assert len(list(gone.layout.scratch.iterdir())) == 1
    with pytest.raises(Exception, match="a run is at work"):
        collect(me.layout)
    gone.give_up(gone.run, gone.me, "it died")
    before = (store.layout.cell(KEY) / "record.json").stat().st_mtime_ns
    sweep(me)
    # Of cells that are not finished, too: the next run finds them free.
    assert not gone.layout.leases.exists()
    assert not gone.layout.scratch.exists()
    assert not me.lost()
    assert leftovers(me.layout) == collect(me.layout) == []
    assert Leases(me).take("unfinished").number == 1
    assert (store.layout.cell(KEY) / "record.json").stat().st_mtime_ns == before


def test_the_run_file_keeps_its_length(tmp_path):
    me = Presence(Layout(tmp_path)).me
    sizes = {
        len(RunFile(**{**vars(me), "beat": beat}).to_bytes()) for beat in (0, 9, 10**6, 10**14)
    }
    assert len(sizes) == 1
    assert RunFile.parse(me.to_bytes()) == me
    assert json.loads(me.to_bytes())["beat"] == 0
