"""``run`` and ``tune``: workers and threads by the suite and the machine, or as asked for."""

from __future__ import annotations

import pytest

from gzsl_bench.cli.main import run
from gzsl_bench.engine import environment

GIB = 1 << 30
HEAD = "name: mini\ndatasets: [digits]\nmethods:\n"
ENTRY = "  - {{use: eszsl, label: m{0}, preprocessing: {0}}}\n"  # no two are trained together
TUNED = (
    "name: mini\ndatasets: [digits]\nfolds: 2\nmethods:\n"
    "  - {use: eszsl, label: ESZSL, tune: {targets: ['01', pm1]}}\n"
)


@pytest.fixture
def placed(tmp_path, monkeypatch):
    """Runs a command on a machine of 8 cores and 64 GiB up to the training: workers, threads."""
    found = []

    class Executor:
        def __init__(self, jobs, limits, early):
            self.jobs = jobs

        def run(self, work, settings, listen):
            found.append((self.jobs, settings.threads))
            return False

    monkeypatch.setattr(environment, "usable_cores", lambda: 8)
    monkeypatch.setattr(environment, "total_memory", lambda: 64 * GIB)
    monkeypatch.setattr("gzsl_bench.executors.local.local_executor", Executor)

    def call(text: str, *options: str, command: str = "run") -> tuple[int, int]:
        path = tmp_path / "suite.yaml"
        path.write_text(text)
        fixed = ("--out", str(tmp_path / "out"), "--device", "cpu", "--tracking-uri", "none")
        assert run([command, str(path), *fixed, *options]) == 130
        return found[-1]

    return call


def suite(units: int) -> str:
    scalings = ("none", "minmax", "l2", "zscore")
    return HEAD + "".join(ENTRY.format(name) for name in scalings[:units])


def test_by_units_cores_and_memory(placed, monkeypatch):
    assert placed(suite(4)) == (4, 2)
    assert placed(suite(1)) == (1, 8)
    monkeypatch.setattr(environment, "total_memory", lambda: 5 * GIB)
    assert placed(suite(4)) == (2, 4)


@pytest.mark.parametrize("done", [0, 1, 3])
def test_finished_units_count(placed, monkeypatch, done):
    order: dict[str, int] = {}

    def finished(self, key):
        return order.setdefault(key, len(order)) < done

    monkeypatch.setattr("gzsl_bench.records.store.RecordStore.finished", finished)
    assert placed(suite(4)) == (4, 2)


def test_units_that_have_not_failed_count(placed, monkeypatch):
    def one(resolved, units, out):
        return resolved, units[3:]

    monkeypatch.setattr("gzsl_bench.cli.run._failed_part", one)
    assert placed(suite(4), "--only-failed") == (4, 2)


def test_tune_is_placed_by_its_fold_cells(placed):
    pytest.importorskip("optuna")
    assert placed(TUNED, command="tune") == (4, 2)  # 2 candidates on 2 folds
    assert placed(TUNED, "--jobs", "3", "--threads", "2", command="tune") == (3, 2)


def test_as_asked_for(placed):
    assert placed(suite(4), "--jobs", "2") == (2, 4)
    assert placed(suite(4), "--threads", "4") == (2, 4)


@pytest.mark.parametrize("options", [["--jobs", "0"], ["--threads", "0"], ["--threads", "many"]])
def test_nonsense_is_refused(tmp_path, options):
    (tmp_path / "suite.yaml").write_text(suite(1))
    assert run(["run", str(tmp_path / "suite.yaml"), *options]) == 2
