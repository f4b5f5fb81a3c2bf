"""Several runs in one results folder: each cell is trained once, whatever the units are."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records_factory import commit, make_cell

from gzsl_bench import Method, MethodSpec
from gzsl_bench.engine import work as work_module
from gzsl_bench.engine.audit.unit import AuditUnit
from gzsl_bench.engine.events import CellElsewhere, CellEnded, Waiting, WorkerSettings
from gzsl_bench.engine.units import Unit, plan
from gzsl_bench.engine.work import Sharing, Work, sharing
from gzsl_bench.executors.inline import inline_executor
from gzsl_bench.executors.run import hold, run_units
from gzsl_bench.records import journal
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.leases import AUDIT, Lease, Leases
from gzsl_bench.records.presence import Presence
from gzsl_bench.records.record import COMPLETE, FAILED
from gzsl_bench.records.store import RecordStore
from gzsl_bench.records.tidy import leftovers
from gzsl_bench.suite.cells import Cell

DONE = {"status": COMPLETE}


def cell(number: int) -> Cell:
    return make_cell(number)


def unit(*numbers: int) -> Unit:
    return Unit("-".join(map(str, numbers)), tuple(map(cell, numbers)))


class Party:
    """A run of its own in the folder: its store, its work, what it was told."""

    def __init__(self, out: Path, *units: Unit) -> None:
        self.presence = Presence(Layout(out))
        self.presence.enter()
        self.store = RecordStore(out, self.presence.run, self.presence)
        self.told: list[object] = []
        self.share = sharing(
            self.store,
            units,
            lambda key: self.store.layout.cell(key) / "record.json",
            self.told.append,
        )
        assert isinstance(self.share, Sharing)
        self.work = Work(units, self.share)

    def take(self) -> Unit | None:
        self.work._look_again = 0.0  # tests have no time
        return self.work.take()

    def commit(self, taken: Unit, status: str = COMPLETE) -> None:
        for one in taken.cells:
            commit(self.store, one, DONE if status == COMPLETE else {"status": status})
        self.work.done(taken)


def numbers(taken: Unit | None) -> list[int] | None:
    return None if taken is None else [c.seed for c in taken.cells]


def test_what_one_has_the_other_passes_over_and_waits_for(tmp_path, monkeypatch):
    monkeypatch.setattr(work_module, "LOOK", 0.0)
    one, two = (Party(tmp_path, unit(1), unit(2), unit(3)) for _ in range(2))
    first = one.take()
    assert numbers(first) == [1]
    assert numbers(two.take()) == [2]
    third = two.take()
    assert numbers(third) == [3]
    assert two.take() is None
    assert two.work.left
    two.work.wait(0.0)
    two.work.wait(0.0)
    assert two.told == [Waiting({one.presence.me.who: (cell(1).key,)})]  # said once
    two.commit(third)
    one.commit(first)
    # One ends its cell while two holds the second: what is finished is told, and not done again.
    assert two.take() is None
    assert not two.work.left
    assert two.told[1:] == [CellElsewhere(cell(1).key)]
    assert one.take() is None
    assert one.work.left
    two.work.close()  # interrupted: the second cell is free again
    assert numbers(one.take()) == [2]
    assert one.told[0] == CellElsewhere(cell(3).key)
    assert not [e for e in journal.read(one.store.layout.journal) if e["event"] == "taken over"]


def test_a_run_that_dies_leaves_its_cells_to_the_others(tmp_path):
    one, two = (Party(tmp_path, unit(1), unit(2)) for _ in range(2))
    assert numbers(one.take()) == [1]
    assert numbers(two.take()) == [2]
    assert two.take() is None
    two.presence.give_up(one.presence.run, one.presence.me, "it died")
    assert numbers(two.take()) == [1]
    (taken,) = (e for e in journal.read(one.store.layout.journal) if e["event"] == "taken over")
    assert (taken["key"], taken["before"]) == (cell(1).key, one.presence.run)


def test_units_that_overlap_are_given_in_part(tmp_path):
    one, two = Party(tmp_path, unit(1, 2)), Party(tmp_path, unit(3, 2, 4), unit(2, 5))
    whole = one.take()
    assert numbers(whole) == [1, 2]
    part = two.take()
    assert numbers(part) == [3, 4]
    # The first of the next is held elsewhere; the rest is had where there is nothing better to do.
    assert numbers(two.take()) == [5]
    assert two.take() is None
    two.commit(part)
    one.commit(whole)
    assert two.take() is None
    assert not two.work.left
    assert two.told == [CellElsewhere(cell(2).key), CellElsewhere(cell(2).key)]


def test_runs_of_one_suite_do_not_tear_its_units_apart(tmp_path):
    units = [unit(1, 2, 3), unit(4, 5, 6)]
    one, two = Party(tmp_path, *units), Party(tmp_path, *units)
    assert numbers(one.take()) == [1, 2, 3]
    assert numbers(two.take()) == [4, 5, 6]


def test_a_cell_that_fails_elsewhere_is_not_tried_again_but_an_earlier_failure_is(tmp_path):
    commit(RecordStore(tmp_path), cell(1), {"status": FAILED})
    one, two = (Party(tmp_path, unit(1), unit(2)) for _ in range(2))
    first = one.take()
    assert numbers(first) == [1]
    one.commit(first, FAILED)
    assert numbers(two.take()) == [2]
    assert two.told == [CellElsewhere(cell(1).key)]


def test_what_is_put_back_stays_ours_and_comes_first(tmp_path):
    one, two = (Party(tmp_path, unit(1, 2), unit(3)) for _ in range(2))
    whole = one.take()
    one.work.put_back([whole.part([cell(1).key]), whole.part([cell(2).key])])
    one.work.done(whole)
    assert numbers(two.take()) == [3]
    assert two.take() is None
    first = one.take()
    assert numbers(first) == [1]
    one.commit(first, FAILED)
    # Tried once more, though there is a record by now, for it is our own.
    one.work.put_back([first])
    assert numbers(one.take()) == [1]
    assert numbers(one.take()) == [2]


def test_clear_frees_what_waits_and_keeps_what_is_trained(tmp_path):
    one, two = (Party(tmp_path, unit(1), unit(2, 3)) for _ in range(2))
    first, whole = one.take(), one.take()
    one.work.put_back([whole])
    one.work.clear()
    assert not one.work.left
    assert numbers(two.take()) == [2, 3]
    assert two.take() is None
    one.work.done(first)
    assert numbers(two.take()) == [1]


def test_without_a_run_there_is_nothing_to_share():
    store = RecordStore(Path("nowhere"))
    assert sharing(store, [], lambda key: Path(key), print) is None
    work = Work([unit(1), unit(2)])
    taken = work.take()
    assert numbers(taken) == [1]
    work.put_back([taken])
    assert [numbers(work.take()) for _ in range(3)] == [[1], [2], None]
    assert not work.left


def test_audits_are_leased_by_their_targets():
    audit = AuditUnit("x", tuple(map(cell, (1, 2, 3))), (cell(1).key, cell(3).key))
    assert audit.claims == (AUDIT + cell(1).key, AUDIT + cell(3).key)
    part = audit.part({AUDIT + cell(3).key})
    assert part.targets == (cell(3).key,)
    assert len(part.cells) == 3


@settings(max_examples=20)
@given(data=st.data())
def test_any_suites_that_overlap_train_every_cell_once(tmp_path_factory, data):
    """Threads with units of their own over the same cells, until all cells have records."""
    out = tmp_path_factory.mktemp("any")
    parties = []
    for _ in range(data.draw(st.integers(2, 4))):
        mine = data.draw(st.lists(st.integers(0, 11), min_size=1, max_size=12, unique=True))
        size = data.draw(st.integers(1, 4))
        parties.append([unit(*mine[i : i + size]) for i in range(0, len(mine), size)])
    runs = [Party(out, *units) for units in parties]
    trained: list[int] = []

    def go(run: Party) -> None:
        while run.work.left:
            taken = run.take()
            if taken is None:
                time.sleep(0.001)
                continue
            trained.extend(c.seed for c in taken.cells)
            run.commit(taken)

    threads = [threading.Thread(target=go, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    wanted = {c.seed for units in parties for u in units for c in u.cells}
    assert Counter(trained) == Counter(wanted)


# Whole runs --------------------------------------------------------------------------------------


class Plain(Method):
    trained: list[int] = []  # noqa: RUF012
    pause = 0.0

    def fit(self, task, run):
        time.sleep(self.pause)
        Plain.trained.append(run.seed)
        run.checkpoint(1, lambda v: v.new_zeros(len(v), len(task.attributes)))


@pytest.mark.parametrize("pause", [0.0, 0.02])
def test_two_runs_share_a_suite(tmp_path, make_registry, resolve_text, monkeypatch, pause):
    monkeypatch.setattr(work_module, "LOOK", 0.01)
    monkeypatch.setattr(Plain, "pause", pause)
    monkeypatch.setattr(Plain, "trained", [])
    registry = make_registry(MethodSpec("plain", Plain, citation="", fidelity="paper"))
    cells = resolve_text(
        "name: s\ndatasets: [tiny]\nmethods: [plain]\nseeds: 12\nselection: [last]\n", registry
    ).cells
    outcomes, heard = {}, {0: [], 1: []}
    start = threading.Barrier(2)

    def go(who: int) -> None:
        with hold(tmp_path / "out") as store:
            start.wait()
            outcomes[who] = run_units(
                store,
                cells[:8] if who else cells[4:],
                plan(cells[:8] if who else cells[4:], registry, 1),
                inline_executor(registry),
                WorkerSettings(store.layout.out, None, None, "cpu", 1),
                heard[who].append,
            )

    threads = [threading.Thread(target=go, args=(who,)) for who in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(Plain.trained) == list(range(12))
    assert [(o.total, o.done, o.exit_code) for o in outcomes.values()] == [(8, 8, 0)] * 2
    for events in heard.values():
        told = [e.key for e in events if isinstance(e, (CellEnded, CellElsewhere))]
        assert len(told) == len(set(told))
    events = journal.read(tmp_path / "out" / "journal.jsonl")
    assert Counter(e["event"] for e in events)["committed"] == 12
    assert not {"superseded", "taken over", "lost"} & {e["event"] for e in events}
    # Both have left, and everything is finished: nothing is left of the sharing.
    assert not (tmp_path / "out" / "leases").exists()
    assert not list((tmp_path / "out" / "runs").iterdir())


def test_an_interrupted_run_frees_its_cells(tmp_path, make_registry, resolve_text):
    class Stops(Method):
        def fit(self, task, run):
            signal.raise_signal(signal.SIGINT)  # asks to stop at the next report
            signal.raise_signal(signal.SIGINT)  # stops at once

    registry = make_registry(MethodSpec("stops", Stops, citation="", fidelity="paper"))
    cells = resolve_text(
        "name: s\ndatasets: [tiny]\nmethods: [stops]\nseeds: 2\nselection: [last]\n", registry
    ).cells
    with hold(tmp_path / "out") as store, hold(tmp_path / "out") as other:
        settings = WorkerSettings(store.layout.out, None, None, "cpu", 1)
        outcome = run_units(
            store, cells, plan(cells, registry, 1), inline_executor(registry), settings, print
        )
        assert outcome.exit_code == 130
        leases = Leases(other.presence)
        assert leases.take(cells[0].key) is not None
        assert leases.take(cells[1].key) is not None
        for cell in cells:
            leases.give_back(Lease(cell.key, 2, other.run))
    assert leftovers(Layout(tmp_path / "out")) == []  # whoever leaves last leaves nothing
