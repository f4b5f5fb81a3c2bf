"""``run`` and ``tune`` on a CPU: workers and threads as asked for, or by what is measured here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gzsl_bench.cli.main import run
from gzsl_bench.cli.placement import place_workers
from gzsl_bench.engine import environment, pace, timings
from gzsl_bench.engine.pace import Unmeasured
from gzsl_bench.engine.placement import Placement, candidates, most_workers
from gzsl_bench.records.layout import Layout

GIB = 1 << 30
HEAD = "name: mini\ndatasets: [digits]\nmethods:\n"
ENTRY = "  - {{use: eszsl, label: m{0}, config: {{feature_penalty: {0}}}}}\n"
TUNED = (
    "name: mini\ndatasets: [digits]\nfolds: 2\nmethods:\n"
    "  - {use: eszsl, label: ESZSL, tune: {feature_penalty: [1, 100]}}\n"
)
#: Threads help a lot: 4 units take 4 x 1, 2 x 3 or 1 x 5 ms.
THREADED = {(1, 8): 1e-3, (2, 4): 3e-3, (4, 2): 5e-3, (8, 1): 9e-3}
#: They do not: 4 units take 4 x 3, 2 x 3 or 1 x 3 ms.
SIDE_BY_SIDE = {(1, 8): 3e-3, (2, 4): 3e-3, (4, 2): 3e-3, (8, 1): 4e-3}


class Bench:
    """A machine of 8 cores and 64 GiB whose step times are made up; nothing is trained.

    Attributes:
        asked: what was measured, call by call.
        found: what is measured.
        placed: workers and threads of every executor that was to train.
    """

    def __init__(self, out: Path, capsys) -> None:
        self.out, self._capsys = out, capsys
        self.asked: list[list[tuple[int, int]]] = []
        self.found = dict(THREADED)
        self.placed: list[tuple[int, int]] = []

    @property
    def layout(self) -> Layout:
        return Layout(self.out)

    def measure(self, placements):
        self.asked.append([(p.workers, p.threads) for p in placements])
        return {key: self.found[key] for key in self.asked[-1]}

    def call(self, text: str, *options: str, command: str = "run") -> str:
        """Runs until the training, which is "interrupted"; what was said."""
        suite = self.out.parent / "suite.yaml"
        suite.write_text(text)
        fixed = ("--out", str(self.out), "--device", "cpu", "--tracking-uri", "none")
        assert run([command, str(suite), *fixed, *options]) == 130
        return self._capsys.readouterr().err


@pytest.fixture
def bench(tmp_path, monkeypatch, capsys) -> Bench:
    found = Bench(tmp_path / "out", capsys)

    class Executor:
        def __init__(self, jobs, limits):
            self.jobs = jobs

        def run(self, work, settings, listen):
            found.placed.append((self.jobs, settings.threads))
            return False

    monkeypatch.setenv("GZSL_BENCH_TIMINGS", str(tmp_path / "home" / "timings.json"))
    monkeypatch.setattr(environment, "usable_cores", lambda: 8)
    monkeypatch.setattr(environment, "total_memory", lambda: 64 * GIB)
    monkeypatch.setattr(pace, "measure", found.measure)
    monkeypatch.setattr("gzsl_bench.engine.executors.local.LocalExecutor", Executor)
    return found


def suite(units: int) -> str:
    return HEAD + "".join(ENTRY.format(number) for number in range(1, units + 1))


def recalled(path: Path) -> dict[tuple[int, int], float]:
    return timings.recall(path, timings.fingerprint())


# chosen by what is measured -----------------------------------------------------------------------


def test_a_machine_measures_once(bench):
    err = bench.call(suite(4))
    assert "measuring how many workers are fastest (once per machine, a few seconds)" in err
    assert "1 worker of 8 threads (1 ms a step, 4 workers of 2 threads side by side 5 ms)" in err
    assert bench.placed == [(1, 8)]
    assert recalled(bench.layout.placement) == recalled(timings.shared_file()) == THREADED
    bench.out = bench.out.with_name("another")
    err = bench.call(suite(4))
    assert "measuring" not in err
    assert bench.placed == [(1, 8), (1, 8)]
    assert bench.asked == [[(1, 8), (2, 4), (4, 2), (8, 1)]]
    assert recalled(bench.layout.placement) == THREADED


def test_processes_side_by_side_where_that_is_as_fast(bench):
    bench.found = SIDE_BY_SIDE
    err = bench.call(suite(4))
    assert "4 workers of 2 threads each (side by side 3 ms a step, 4 workers of 1 thread " in err
    assert bench.placed == [(4, 2)]


def test_a_resumed_suite_is_placed_as_before_whatever_the_cache_says(bench):
    bench.call(suite(4))
    timings.shared_file().unlink()
    timings.remember(timings.shared_file(), timings.fingerprint(), SIDE_BY_SIDE)
    bench.call(suite(4))
    assert bench.placed == [(1, 8), (1, 8)]
    bench.out = bench.out.with_name("another")
    bench.call(suite(4))
    assert bench.placed[-1] == (4, 2)
    assert len(bench.asked) == 1


def test_only_what_is_not_known_is_measured(bench):
    bench.call(suite(4))
    bench.found |= {(3, 2): 0.5e-3, (1, 8): 99.0}
    err = bench.call(suite(3))  # as many workers as units are a candidate of their own
    assert bench.asked[1:] == [[(3, 2)]]
    assert "3 workers of 2 threads each" in err
    assert recalled(bench.layout.placement) == THREADED | {(3, 2): 0.5e-3}
    assert recalled(timings.shared_file()) == THREADED | {(3, 2): 0.5e-3}


def test_timings_of_another_machine_are_not_ours(bench, monkeypatch):
    bench.call(suite(4))
    monkeypatch.setattr(environment, "processor", lambda: "Abacus")
    bench.found = SIDE_BY_SIDE
    bench.call(suite(4))
    assert bench.placed == [(1, 8), (4, 2)]
    monkeypatch.undo()
    assert len(json.loads(bench.layout.placement.read_text())["machines"]) == 2


def test_damaged_files_are_measured_anew(bench):
    for path in (bench.layout.placement, timings.shared_file()):
        path.parent.mkdir()
        path.write_text('{"version": 1, "machines": [{}]}')
    bench.call(suite(4))
    assert bench.placed == [(1, 8)]
    assert recalled(bench.layout.placement) == recalled(timings.shared_file()) == THREADED


def test_a_cache_that_cannot_be_written_is_no_error(bench, monkeypatch):
    (bench.out.parent / "file").write_text("")
    monkeypatch.setenv("GZSL_BENCH_TIMINGS", str(bench.out.parent / "file" / "timings.json"))
    bench.call(suite(4))
    bench.call(suite(4))  # the results folder remembers
    assert bench.placed == [(1, 8), (1, 8)]
    assert len(bench.asked) == 1


def test_somebody_else_measured_while_we_waited(bench, monkeypatch):
    real = timings.alone

    def alone():
        timings.remember(timings.shared_file(), timings.fingerprint(), SIDE_BY_SIDE)
        return real()

    monkeypatch.setattr(timings, "alone", alone)
    assert "measuring" not in bench.call(suite(4))
    assert bench.placed == [(4, 2)]
    assert bench.asked == []


def test_where_nothing_can_be_measured_it_is_as_ever(bench, monkeypatch):
    def fail(placements):
        raise Unmeasured("the measurement took too long")

    monkeypatch.setattr(pace, "measure", fail)
    err = bench.call(suite(4))
    warnings = [line for line in err.splitlines() if line.startswith("warning: ")]
    assert warnings == [
        "warning: how fast workers are side by side could not be measured: the measurement took too"
        " long; it is 8 workers of 1 thread each, as usual"
    ]
    assert bench.placed == [(8, 1)]
    assert not bench.layout.placement.exists()


# what counts as a unit ----------------------------------------------------------------------------


def test_a_suite_of_one_cell_gets_as_many_threads_as_help(bench):
    err = bench.call(suite(1))
    assert "1 worker of 8 threads (1 ms a step, one worker of 4 threads 3 ms)" in err
    bench.out = bench.out.with_name("another")
    timings.shared_file().unlink()
    bench.found = SIDE_BY_SIDE
    err = bench.call(suite(1))
    assert "1 worker of 2 threads (3 ms a step, one worker of 8 threads 3 ms)" in err
    assert bench.placed == [(1, 8), (1, 2)]


def test_the_memory_limits_the_workers(bench, monkeypatch):
    monkeypatch.setattr(environment, "total_memory", lambda: 5 * GIB)
    bench.found = SIDE_BY_SIDE
    bench.call(suite(4))
    assert bench.placed == [(2, 4)]
    monkeypatch.setattr(environment, "total_memory", lambda: 3 * GIB)
    assert "1 worker of 8 threads (the memory holds no more)" in bench.call(suite(4))


@pytest.mark.parametrize("done", [0, 1, 3])
def test_finished_units_count(bench, monkeypatch, done):
    order: dict[str, int] = {}

    def finished(self, key):
        return order.setdefault(key, len(order)) < done

    monkeypatch.setattr("gzsl_bench.records.store.RecordStore.finished", finished)
    bench.found = SIDE_BY_SIDE
    bench.call(suite(4))
    assert bench.placed == [(4, 2)]


def test_units_that_have_not_failed_count(bench, monkeypatch):
    def one(resolved, units, out):
        return resolved, units[3:]

    monkeypatch.setattr("gzsl_bench.cli.run._failed_part", one)
    bench.found = SIDE_BY_SIDE
    bench.call(suite(4), "--only-failed")
    assert bench.placed == [(4, 2)]


def test_tune_is_placed_by_its_fold_cells(bench):
    pytest.importorskip("optuna")
    bench.found = SIDE_BY_SIDE
    err = bench.call(TUNED, command="tune")  # 2 candidates on 2 folds
    assert bench.placed == [(4, 2)]
    assert "4 workers of 2 threads each" in err
    bench.call(TUNED, "--jobs", "3", "--threads", "2", command="tune")
    assert bench.placed[1:] == [(3, 2)]


# as asked for -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "placed"),
    [
        (["--jobs", "2"], (2, 4)),
        (["--jobs", "3"], (3, 2)),
        (["--jobs", "16"], (16, 1)),
        (["--jobs", "2", "--threads", "1"], (2, 1)),
        (["--jobs", "8", "--threads", "8"], (8, 8)),
        (["--threads", "1"], (8, 1)),
        (["--threads", "3"], (2, 3)),
        (["--threads", "9"], (1, 9)),
    ],
)
def test_what_the_user_says_counts(bench, options, placed):
    bench.call(suite(4), *options)
    assert bench.placed == [placed]
    assert bench.asked == []
    assert not bench.layout.placement.exists()


@pytest.mark.parametrize("options", [["--jobs", "0"], ["--threads", "0"], ["--threads", "many"]])
def test_nonsense_is_refused(bench, tmp_path, options):
    (tmp_path / "suite.yaml").write_text(suite(1))
    assert run(["run", str(tmp_path / "suite.yaml"), *options]) == 2


def test_nothing_is_measured_where_it_would_say_nothing(bench, tmp_path, monkeypatch):
    path = tmp_path / "suite.yaml"
    path.write_text(suite(2))
    fixed = ("run", str(path), "--out", str(bench.out), "--tracking-uri", "none", "--device", "cpu")
    assert run([*fixed, "--dry-run"]) == 0
    assert run([*fixed, "--inline"]) == 0
    assert run(list(fixed)) == 0  # nothing is left to train
    layout = Layout(tmp_path / "other")
    asked = {"jobs": None, "threads": None, "measured": True}
    assert place_workers(layout, 4, device="cuda:1", **asked) == Placement(1, 8)
    monkeypatch.setattr(environment, "usable_cores", lambda: 1)
    assert place_workers(layout, 4, device="cpu", **asked) == Placement(1, 1)
    assert bench.asked == []
    assert not bench.layout.placement.exists()


@pytest.mark.slow
@pytest.mark.parametrize("start", ["module", "script"])
def test_the_real_program_measures(start, tmp_path):
    """Spawned processes import the main module again, which differs between the two."""
    script = tmp_path / "gzsl-bench"  # as pip writes it
    script.write_text(
        "import sys\nfrom gzsl_bench.cli.main import main\n"
        "if __name__ == '__main__':\n    sys.exit(main())\n"
    )
    (tmp_path / "suite.yaml").write_text(suite(2))
    program = ["-m", "gzsl_bench"] if start == "module" else [str(script)]
    options = ("run", "suite.yaml", "--device", "cpu", "--tracking-uri", "none")
    done = subprocess.run(
        [sys.executable, *program, *options],
        cwd=tmp_path, env=os.environ | {"GZSL_BENCH_TIMINGS": str(tmp_path / "timings.json")},
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "warning" not in done.stderr
    cores = environment.usable_cores()
    if cores > 1:
        found = recalled(tmp_path / "timings.json")
        wanted = candidates(2, cores, most_workers(cores))
        assert found.keys() == {(c.workers, c.threads) for c in wanted}
        assert recalled(Layout(tmp_path / "gzsl-results").placement) == found
        assert done.stderr.count(" a step, ") == 1
