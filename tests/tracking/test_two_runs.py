"""Two runs that share a suite and a store: one run of MLflow per record, whoever writes when."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tracking_factory import commit, grid, make_cell, make_suite
from tracking_helpers import assert_mirrors, by_key, parent

from gzsl_bench.executors.run import hold
from gzsl_bench.records.record import FAILED
from gzsl_bench.records.store import RecordStore
from gzsl_bench.records.suites import remember
from gzsl_bench.results.view import Results
from gzsl_bench.tracking import open_mirror, sync
from gzsl_bench.tracking.sync import SyncReport


def test_two_mirrors_of_one_suite(tmp_path: Path) -> None:
    """One catches up with what the other has trained and not shown yet: still one run each."""
    cells = grid()
    suite = make_suite(cells)
    with hold(tmp_path / "out") as one, hold(tmp_path / "out") as two:
        uri = one.layout.tracking_store
        first, second = open_mirror(uri, Results(suite, one)), open_mirror(uri, Results(suite, two))
        theirs = [commit(two, cell) for cell in cells[1:3]]
        mine = commit(one, cells[0])
        first.cell(mine)
        first.catch_up()  # shows the two that are not its own
        for record in theirs:
            second.cell(record)
        assert first.behind is second.behind is None
        assert_mirrors(uri, Results(suite, one))  # before anything is put right at the end
        assert len(by_key(uri, suite.name)) == 3
        first.finish("", [], "FINISHED")
        second.finish("", [], "FINISHED")
    assert_mirrors(uri, Results(suite, one))
    assert parent(uri, suite.name).info.status == "FINISHED"
    assert sync(uri, Results(suite, RecordStore(tmp_path / "out"))) == SyncReport(unchanged=3)


def test_whoever_ends_does_not_remove_what_a_run_with_more_seeds_has_shown(
    store: RecordStore,
) -> None:
    """The first run's suite knows nothing of cells that a later command added to it."""
    few, more = make_cell(seed=0), make_cell(seed=1)
    text = "name: small\ndatasets: [CUB]\nmethods: [acmr]\n"
    small = replace(make_suite([few]), text=text)
    with hold(store.layout.out) as one, hold(store.layout.out) as two:
        uri = one.layout.tracking_store
        first = open_mirror(uri, Results(remember(one.layout, small), one))
        both = remember(two.layout, replace(small, cells=(more,)))
        second = open_mirror(uri, Results(both, two))
        first.cell(commit(one, few))
        second.cell(commit(two, more))
        first.finish("", [], "FINISHED")
        assert set(by_key(uri, "small")) == {few.key, more.key}
        second.finish("", [], "FINISHED")
    assert set(by_key(uri, "small")) == {few.key, more.key}


def test_sync_tells_how_the_suite_ended_where_the_last_run_did_not_mirror(
    store: RecordStore,
) -> None:
    """Failed under one run that mirrored, completed by the next one, which did not."""
    cell = make_cell()
    suite = make_suite([cell])
    with hold(store.layout.out) as held:
        uri = held.layout.tracking_store
        mirror = open_mirror(uri, Results(suite, held))
        mirror.cell(commit(held, cell, status=FAILED))
        mirror.finish("", [], "FAILED")
        commit(held, cell)
    assert parent(uri, suite.name).info.status == "FAILED"
    assert sync(uri, Results(suite, store)).repaired == 1
    assert parent(uri, suite.name).info.status == "FINISHED"
    ended = parent(uri, suite.name).info.end_time
    assert sync(uri, Results(suite, store)) == SyncReport(unchanged=1)
    assert parent(uri, suite.name).info.end_time == ended
