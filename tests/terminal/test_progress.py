"""What is shown while a suite runs: plain lines, the live part in terminals of many sizes."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from records_factory import commit
from rich.cells import cell_len
from rich.console import Console

from gzsl_bench.engine.events import (
    CellElsewhere,
    CellEnded,
    Progress,
    Stopping,
    UnitEnded,
    UnitStarted,
)
from gzsl_bench.engine.pace import Pace, clock
from gzsl_bench.engine.units import Unit
from gzsl_bench.records.record import COMPLETE, FAILED
from gzsl_bench.records.store import RecordStore
from gzsl_bench.suite.cells import Cell, digest, identity
from gzsl_bench.suite.resolved import ResolvedSuite
from gzsl_bench.terminal.live import LiveView, bar
from gzsl_bench.terminal.progress import View
from gzsl_bench.wording import about

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")
LONG = "A method whose label has forty characters"
SIZES = [(20, 5), (40, 10), (80, 24), (100, 24), (100, 50), (200, 12)]


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def cell(label: str, seed: int = 0, dataset: str = "CUB", fold: int = 0) -> Cell:
    described = identity(
        dataset={"fingerprint": dataset, "trainval_order": "", "features": "f", "attributes": "a"},
        preprocessing="none", setting="inductive",
        method={"name": label, "version": "1", "source": None, "config": {}},
        seed=seed, precision="float32", task={"fold": fold, "content": "x"} if fold else "real",
    )  # fmt: skip
    return Cell(digest(described), described, dataset, "m", label, seed, {"use": dataset}, {})


def unit(*cells: Cell) -> Unit:
    return Unit(digest({"cells": [c.key for c in cells]})[:12], cells)


def suite_of(cells, selection=("last",)) -> ResolvedSuite:
    return ResolvedSuite("s", "", selection, tuple(cells), (), "name: s\n")


def record(store, cell, *h, cause=None):
    content = {"status": FAILED, "cause": cause} if cause else {
        "status": COMPLETE, "seconds": 3.0,
        "checkpoints": [
            {"number": n, "metrics": {"acc_unseen": 1.0, "acc_seen": 2.0, "harmonic_mean": value}}
            for n, value in enumerate(h, start=1)
        ],
    }  # fmt: skip
    commit(store, cell, content)


@pytest.fixture
def store(tmp_path):
    return RecordStore(tmp_path / "out")


@pytest.fixture
def open_live(store):
    """Opens a live view in a terminal of this size; what it wrote is in ``console.file``."""
    views = []

    def go(cells, selection=("last",), size=(80, 24), alone=True):
        units = [unit(c) for c in cells] if alone else []
        console = Console(
            file=io.StringIO(), force_terminal=True, width=size[0], height=size[1],
            color_system=None, _environ={},
        )  # fmt: skip
        clock = Clock()
        view = LiveView(
            suite_of(cells, selection), units, store, console, Pace(clock), refresh=False
        )
        view.clock = clock
        view.open()
        views.append(view)
        return view

    yield go
    for view in views:
        view.close()


def shown(view, size=(80, 24)) -> list[str]:
    return [line.plain for line in view.frame.lines(*size)]


def train(view, store, one: Cell, *h, seconds=10.0, cause=None):
    name = unit(one).name
    view.hear(UnitStarted(name))
    view.clock.time += seconds
    record(store, one, *h, cause=cause)
    view.hear(CellEnded(name, one.key))
    view.hear(UnitEnded(name))


def test_a_unit_at_work_says_what_it_is_how_far_and_how_long_still(open_live):
    cells = [cell("ACMR", seed) for seed in range(2)]
    view = open_live(cells)
    assert shown(view) == ["╌" * 24 + "  0/2 cells · 0:00 · workers are starting"]
    view.hear(UnitStarted(unit(cells[0]).name))
    assert shown(view)[0] == "CUB · ACMR · seed 0  " + "╌" * 16 + "   - %     0:00"
    view.clock.time = 10.0
    view.hear(Progress(unit(cells[0]).name, cells[0].key, 0, 4))
    view.clock.time = 30.0
    view.hear(Progress(unit(cells[0]).name, cells[0].key, 1, 4))
    first, last = shown(view)
    # A quarter took 20 s after 10 s of loading: 60 s are left of it, then 90 s of the other cell.
    assert first == "CUB · ACMR · seed 0  ━━━━╌╌╌╌╌╌╌╌╌╌╌╌  25 %     0:30  1:00 left"
    assert last == "╌" * 24 + "  0/2 cells · 0:30 · about 2 min left"


def test_a_stacked_unit_is_as_far_as_its_cells_together():
    clock = Clock()
    pace, cells = Pace(clock), [cell("ACMR", seed) for seed in range(4)]
    both = unit(*cells)
    pace.started(both)
    clock.time = 10.0
    pace.finished(both.name, cells[0].key)
    assert pace.left_of(pace.jobs[both.name]) == pytest.approx(30)
    clock.time = 20.0
    pace.reported(both.name, cells[1].key, 5, 10)
    assert pace.jobs[both.name].share == pytest.approx(1.5 / 4)
    # Half a cell in the 10 s since the first report.
    assert pace.left_of(pace.jobs[both.name]) == pytest.approx(10 * 2.5 / 0.5)


def test_what_is_left_follows_each_kind_s_own_pace_and_the_units_side_by_side():
    clock = Clock()
    pace = Pace(clock)
    slow, fast = [cell("slow", s) for s in range(4)], [cell("fast", s) for s in range(4)]
    assert pace.left(slow) is None
    pace.started(unit(slow[0]))
    pace.started(unit(fast[0]))
    clock.time = 2.0
    pace.finished(unit(fast[0]).name, fast[0].key)
    pace.ended(unit(fast[0]).name)
    clock.time = 100.0
    pace.finished(unit(slow[0]).name, slow[0].key)
    pace.ended(unit(slow[0]).name)
    # Three of 100 s and three of 2 s by two workers.
    assert pace.left([*slow[1:], *fast[1:]]) == pytest.approx((3 * 100 + 3 * 2) / 2)
    # A kind that nobody has seen takes as long as the others on average.
    assert pace.left([cell("new")] * 4) == pytest.approx(4 * 51 / 2)
    # The longest unit bounds it from below.
    pace.started(unit(slow[1]))
    assert pace.left([]) == pytest.approx(100)


def test_what_other_runs_finish_shortens_what_is_left():
    clock = Clock()
    pace = Pace(clock)
    cells = [cell("ACMR", s) for s in range(8)]
    pace.started(unit(cells[0]))
    clock.time = 100.0
    pace.finished(unit(cells[0]).name, cells[0].key)
    pace.ended(unit(cells[0]).name)
    assert pace.left(cells[1:]) == pytest.approx(700)
    # Two runs elsewhere, each as fast as this one.
    for one in cells[6:]:
        pace.elsewhere(one)
    assert pace.left(cells[1:6]) == pytest.approx(500 / 3)


def test_cells_of_other_runs_are_told_before_their_turn_comes_and_once(store, capsys):
    class Others:
        def others(self):
            return ["another"]

    cells, clock = [cell("ACMR", s) for s in range(4)], Clock()
    store.presence = Others()
    view = View(suite_of(cells), [unit(c) for c in cells], store, Pace(clock))
    view.clock = clock
    record(store, cells[3], 50.0)
    train(view, store, cells[0], 52.1)
    assert view.ended == 1  # not looked again so soon
    capsys.readouterr()
    clock.time += 30.0
    view.hear(UnitStarted(unit(cells[1]).name))
    said = "[2/4] CUB · ACMR · seed 3: U 1.0  S 2.0  H 50.0 (3 s); by another run\n"
    assert capsys.readouterr().err == said
    view.hear(CellElsewhere(cells[3].key))
    clock.time += 60.0
    view.hear(UnitEnded(unit(cells[1]).name))
    assert (view.ended, capsys.readouterr().err) == (2, "")


def test_data_sets_of_one_label_are_told_apart(store, capsys):
    short, long = [
        replace(cell(f"ACMR {n}"), label="ACMR", request={"use": "CUB", "attributes": name})
        for n, name in enumerate(("att", "sent"))
    ]
    view = View(suite_of([short, long]), [unit(short), unit(long)], store)
    assert [each.title for each in view.units.values()] == [
        "CUB (att) · ACMR · seed 0", "CUB (sent) · ACMR · seed 0",
    ]  # fmt: skip
    assert view.result(long.key) == "CUB (sent) · ACMR · seed 0: no record"


def test_the_mean_h_of_every_method_and_data_set_by_the_honest_rule(open_live, store):
    cells = [cell(m, s, d) for d in ("CUB", "FLO") for m in ("ACMR", "ESZSL") for s in range(2)]
    view = open_live(cells, ("best_test", "last"))
    train(view, store, cells[0], 40.0, 30.0)
    train(view, store, cells[1], 41.0, 31.0)
    train(view, store, cells[6], 7.0)
    head, acmr, eszsl, _ = shown(view)
    # The suite's first rule looks at the test set; the honest one leads.
    assert head.split("  ")[0] == "mean H by last"
    assert head.split()[-2:] == ["CUB", "FLO"]
    assert acmr.split() == ["ACMR", "30.5", "(2/2)", "-"]
    assert eszsl.split() == ["ESZSL", "-", "7.0", "(1/2)"]
    assert acmr.index("30.5") == head.index("CUB")
    assert eszsl.index("7.0") == head.index("FLO")


def test_val_waits_for_its_folds_and_says_so(open_live, store):
    real, folds = cell("ACMR"), [cell("ACMR", fold=f) for f in (1, 2)]
    view = open_live([real, *folds], ("val", "last"))
    train(view, store, real, 40.0, 30.0)
    assert "30.0* (1/1)" in shown(view)[1]
    assert shown(view)[2] == "* by last: val waits for its folds"
    train(view, store, folds[0], 9.0, 3.0)
    train(view, store, folds[1], 9.0, 3.0)
    # The folds choose the first checkpoint; their own H stands in no column.
    assert "40.0 (1/1)" in shown(view)[1]
    assert len(shown(view)) == 3


def test_failures_are_said_once_in_one_sentence_above_the_live_part(open_live, store):
    cells = [cell("ACMR", s) for s in range(3)]
    view = open_live(cells)
    train(view, store, cells[0], cause="ValueError: a\nb\x1b[2J   c " + "x" * 999)
    said = view.console.file.getvalue()
    lines = [line for line in said.splitlines() if "FAILED" in line]
    assert len(lines) == 1
    assert lines[0].endswith("K[1/3] CUB · ACMR · seed 0: FAILED: ValueError: a b [2J c ")
    assert said.count("x") == 240 - len("ValueError: a b [2J c ") - 1
    assert "\x1b[2J" not in said
    assert "(0/3, 1 failed)" in shown(view)[1]
    assert "1/3 cells · 1 failed" in shown(view)[-1]
    # Tried again with success: it is no failure any more.
    train(view, store, cells[0], 12.0)
    assert "failed" not in "".join(shown(view))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("methods", [1, 40])
def test_it_is_never_higher_or_wider_than_the_terminal(open_live, store, size, methods):
    names = [f"{LONG} {i}" for i in range(methods)]
    datasets = ["CUB", "FLO", "AWA1", "表データの名前がとても長い", "AWA2", "SUN", "aPY", "digits"]
    cells = [cell(m, s, d) for m in names for d in datasets for s in range(2)]
    view = open_live(cells, size=size)
    for turn, found in enumerate(view.latest.standings.values(), start=1):
        found.each, found.done, found.turn = {"k": 50.0}, 1, turn
    for one in cells[1::2]:
        view.pace.started(unit(one))
    view.clock.time = 3600 * 30.0
    view.hear(Progress(unit(cells[1]).name, cells[1].key, 1, 3))
    lines = shown(view, size)
    assert len(lines) <= max(1, size[1] // 2, size[1] - 8)
    assert all(cell_len(line) <= max(10, size[0] - 4) for line in lines), lines
    assert all(line == line.rstrip() for line in lines)
    if size[1] >= 24:
        text = "\n".join(lines)
        assert "mean H" in lines[0]
        assert ("more at work" in text) == (methods == 40)
        assert ("more methods" in text) == (methods == 40)
        assert "seed 1" in text  # long labels are cut in the middle


def test_after_a_resize_nothing_of_the_old_lines_stays(open_live, store):
    cells = [cell(LONG, s) for s in range(3)]
    view = open_live(cells, size=(100, 24))
    view.hear(UnitStarted(unit(cells[0]).name))
    widths = [cell_len(line) for line in shown(view, (100, 24))]
    # The terminal breaks what was drawn: a line of 60 columns takes two of 40.
    assert view.frame.overflowing(100) == 0
    assert view.frame.overflowing(40) == sum(-(-w // 40) - 1 for w in widths) > 0
    view.console.file.truncate(0)
    view.console.file.seek(0)
    view.console.width = 40
    view.live.refresh()
    ups = view.console.file.getvalue().count("\x1b[1A")
    assert ups == len(widths) - 1 + sum(-(-w // 40) - 1 for w in widths)
    assert view.frame.overflowing(40) == 0


def test_closing_leaves_a_clean_terminal(open_live, store):
    cells = [cell("ACMR", s) for s in range(2)]
    view = open_live(cells)
    view.hear(UnitStarted(unit(cells[0]).name))
    view.hear(Stopping())
    assert "stopping" in shown(view)[-1]
    height = len(shown(view))
    view.console.file.truncate(0)
    view.console.file.seek(0)
    view.close()
    said = view.console.file.getvalue()
    assert said.endswith("\x1b[1A\x1b[2K" * height)  # every line is erased
    assert "\x1b[?25h" in said  # and the cursor is there again


def test_bars_need_no_colour_and_no_unicode():
    assert bar(0.5, 4).plain == "━━╌╌"
    assert bar(0.25, 4, plain=True).plain == "#..."
    assert bar(7.0, 4).plain == "━━━━"


def test_plain_lines_hold_one_result_each_and_no_control_characters(store, capsys):
    cells = [cell("ACMR", s) for s in range(4)]
    clock = Clock()
    view = View(suite_of(cells), [unit(c) for c in cells], store, Pace(clock))
    view.clock = clock
    view.open()
    train(view, store, cells[0], 52.1)
    train(view, store, cells[1], cause="ValueError: two\nlines\x1b[31m")
    view.hear(Stopping())
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "training 4 cells: a line for each when it ends",
        "[1/4] CUB · ACMR · seed 0: U 1.0  S 2.0  H 52.1 (3 s); about 30 s left",
        "[2/4] CUB · ACMR · seed 1: FAILED: ValueError: two lines [31m; about 20 s left",
        "stopping after the running step of each worker; Ctrl-C again stops at once",
    ]
    assert not CONTROL.search(err)


def test_plain_lines_say_how_far_a_cell_is_once_a_minute(store, capsys):
    cells = [cell("ACMR", s) for s in range(2)]
    clock = Clock()
    view = View(suite_of(cells), [unit(c) for c in cells], store, Pace(clock))
    view.open()
    view.hear(UnitStarted(unit(cells[0]).name))
    capsys.readouterr()
    for done in range(1, 8):  # every 20 seconds
        clock.time += 20.0
        view.hear(Progress(unit(cells[0]).name, cells[0].key, done, 10))
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(";")[0] for line in said] == [
        "[0/2] CUB · ACMR · seed 0: 30 %",
        "[0/2] CUB · ACMR · seed 0: 60 %",
    ]
    assert all("left" in line for line in said)


def test_loading_before_the_first_epoch_is_no_pace(store, capsys):
    only, clock = cell("ACMR"), Clock()
    view = View(suite_of([only]), [unit(only)], store, Pace(clock))
    view.hear(UnitStarted(unit(only).name))
    clock.time = 100.0
    view.hear(Progress(unit(only).name, only.key, 1, 100))
    assert capsys.readouterr().err == "[0/1] CUB · ACMR · seed 0: 1 %\n"
    clock.time = 200.0
    view.hear(Progress(unit(only).name, only.key, 51, 100))
    assert capsys.readouterr().err == "[0/1] CUB · ACMR · seed 0: 51 %; about 2 min left\n"
    # One that reports but twice tells by its first.
    view = View(suite_of([only]), [unit(only)], store, Pace(clock))
    view.hear(UnitStarted(unit(only).name))
    clock.time = 300.0
    view.hear(Progress(unit(only).name, only.key, 1, 2))
    assert "50 %; about 2 min left" in capsys.readouterr().err


def test_what_was_finished_before_counts_as_such(store, capsys):
    cells = [cell("ACMR", s) for s in range(3)]
    for one in cells[:2]:
        record(store, one, 50.0)
    view = View(suite_of(cells), [unit(c) for c in cells], store)
    view.open()
    assert capsys.readouterr().err == (
        "2 of 3 cells are finished already\ntraining 1 cell: a line for each when it ends\n"
    )
    assert view.latest.standings["ACMR", "CUB"].done == 2
    assert view.latest.standings["ACMR", "CUB"].h == 50.0


def test_times_in_words():
    assert [clock(s) for s in (7, 750, 3730)] == ["0:07", "12:30", "1:02:10"]
    assert [about(s) for s in (40, 720, 12600)] == ["about 40 s", "about 12 min", "about 3.5 h"]
