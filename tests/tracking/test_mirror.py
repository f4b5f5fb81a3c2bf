from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tracking_factory import (
    FINGERPRINT,
    checkpoints,
    commit,
    grid,
    make_cell,
    make_store,
    make_suite,
)
from tracking_helpers import HANGING, assert_mirrors, by_key, client, parent, runs

from gzsl_bench.errors import TrackingError
from gzsl_bench.records.record import FAILED
from gzsl_bench.records.store import RecordStore
from gzsl_bench.report.table import render
from gzsl_bench.results.rows import HEADINGS, rows
from gzsl_bench.results.view import Results
from gzsl_bench.tracking import client as room
from gzsl_bench.tracking import open_mirror, sync
from gzsl_bench.tracking.describe import PREFIX, describe


def test_a_run_shows_its_record(store: RecordStore, uri: str) -> None:
    cell = make_cell("CUB", "ACMR", 2)
    suite = make_suite([cell])
    mirror = open_mirror(uri, Results(suite, store))
    record = commit(store, cell)
    mirror.cell(record)
    assert mirror.behind is None

    run = by_key(uri, "small")[cell.key]
    assert run.info.run_name == "CUB ACMR seed 2"
    assert run.info.start_time == 1777629600000
    assert run.info.end_time == 1777629612500
    assert run.info.status == "FINISHED"

    rows = checkpoints(2, 3)
    last, best = ({HEADINGS[n]: round(v, 4) for n, v in rows[i]["metrics"].items()} for i in (2, 1))
    # Those of the rule that leads by their short names; of others U, S and H.
    expected = {**last, "seconds": 12.5, "train/loss": 0.75}
    expected |= {f"best_test/{name}": best[name] for name in ("U", "S", "H")}
    expected |= {f"checkpoint/{name}": value for name, value in last.items()}
    assert run.data.metrics == expected
    assert "By last, the rule of the metrics U, S and H, U " in run.data.tags["mlflow.note.content"]

    history = client(uri).get_metric_history(run.info.run_id, "checkpoint/H")
    assert [(m.step, m.value) for m in history] == [
        (row["number"], round(row["metrics"]["harmonic_mean"], 4)) for row in rows
    ]
    losses = client(uri).get_metric_history(run.info.run_id, "train/loss")
    assert [(m.step, m.value) for m in losses] == [(0, 3.0), (1, 1.5), (2, 1.0), (3, 0.75)]

    assert run.data.params == {
        "dataset": "CUB",
        "method": "acmr",
        "label": "ACMR",
        "seed": "2",
        "alpha": "0.5",
        "layers": "[64, 32]",
        "decay.rate": "0.0001",
    }
    tags = {n.removeprefix(PREFIX): v for n, v in run.data.tags.items() if n.startswith(PREFIX)}
    assert "none" not in tags.values()
    assert "cause" not in tags
    assert tags["rule"] == "last"
    assert tags["dataset"] == "CUB"
    assert tags["fingerprint"] == FINGERPRINT
    assert tags["program"] == f"0.1.0 at {'f' * 12}, changed"
    assert tags["started_in"] == "abc123+"
    assert tags["out"] == str(store.layout.out.resolve())

    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("CUB", FINGERPRINT)
    assert json.loads(data.dataset.source) == {"splits": "v1"}
    assert json.loads(data.dataset.profile)["trainval"] == 7057


def test_the_time_of_runs_trained_as_one_is_shared_out(store: RecordStore, uri: str) -> None:
    cell = make_cell("CUB", "ACMR", 2)
    mirror = open_mirror(uri, Results(make_suite([cell]), store))
    stack = {"trained": tuple("abcde")}
    mirror.cell(commit(store, cell, **stack))
    run = by_key(uri, "small")[cell.key]
    assert run.data.metrics["seconds"] == 12.5 / 5
    # Its place in time is that of the whole stack.
    assert run.info.end_time - run.info.start_time == 12500


def test_a_failure_is_shown_with_cause_and_traceback(store: RecordStore, uri: str) -> None:
    cell = make_cell()
    suite = make_suite([cell])
    mirror = open_mirror(uri, Results(suite, store))
    mirror.cell(commit(store, cell, status=FAILED, cause="x" * 900))
    run = by_key(uri, "small")[cell.key]
    assert run.info.status == "FAILED"
    assert run.data.tags["gzsl_bench.cause"] == "x" * 500
    assert run.data.metrics == {"seconds": 12.5}
    folder = Path(client(uri).download_artifacts(run.info.run_id, ""))
    assert "Traceback" in (folder / "traceback.txt").read_text()
    assert (folder / "log.txt").read_text() == "boom\n"


def test_the_suites_own_run(store: RecordStore, uri: str) -> None:
    cells = grid(1)
    suite = make_suite(cells)
    mirror = open_mirror(uri, Results(suite, store))
    assert parent(uri, "small").info.status == "RUNNING"
    for cell in cells:
        mirror.cell(commit(store, cell))
    table = rows(Results(suite, store))
    plain = [row.to_json() for row in table]
    mirror.finish(render(table), plain, "FINISHED")
    assert mirror.behind is None
    run = parent(uri, "small")
    assert run.info.status == "FINISHED"
    note = run.data.tags["mlflow.note.content"]
    first, _, second, *_ = note.splitlines()
    assert first.startswith("Best by last (last checkpoint, nothing was chosen, so the test set")
    assert second.startswith("CUB: ")
    assert not {"|", "*", "`"} & set(note)
    # What suites are compared by: whose predictions are gone has no interval.
    assert run.data.metrics == {"CUB/H": 48.3, "FLO/H": 48.3}
    folder = store.layout.artifacts / run.info.run_id / "artifacts"
    assert (folder / "suite.yaml").read_text() == suite.text
    assert json.loads((folder / "table.json").read_text()) == plain
    written = json.loads((folder / "resolved.json").read_text())
    assert written == json.loads(json.dumps(suite.to_json()))
    assert "| CUB" in (folder / "table.md").read_text()
    assert_mirrors(uri, Results(suite, store))

    again = open_mirror(uri, Results(suite, store))  # resumed: the same run goes on
    assert parent(uri, "small").info.run_id == run.info.run_id
    assert parent(uri, "small").info.status == "RUNNING"
    again.finish(render(table), plain, "KILLED")
    assert parent(uri, "small").info.status == "KILLED"


def test_a_retried_failure_is_replaced(store: RecordStore, uri: str) -> None:
    cell = make_cell()
    suite = make_suite([cell])
    mirror = open_mirror(uri, Results(suite, store))
    mirror.cell(commit(store, cell, status=FAILED))
    record = commit(store, cell)
    mirror.cell(record)
    mirror.cell(record)  # told twice
    assert by_key(uri, "small")[cell.key].info.status == "FINISHED"
    assert sync(uri, Results(suite, store)).unchanged == 1


def test_opening_repairs_what_a_killed_parent_left(store: RecordStore, uri: str) -> None:
    cells = grid(1)
    suite = make_suite(cells)
    first = open_mirror(uri, Results(suite, store))
    records = [commit(store, cell) for cell in cells]
    first.cell(records[0])
    own = parent(uri, "small").info
    image = describe(Results(suite, store), [cells[1]], records[1])
    # killed right after create_run
    client(uri).create_run(own.experiment_id, tags=dict(image.tags))
    open_mirror(uri, Results(suite, store))
    assert_mirrors(uri, Results(suite, store))


def test_data_sets_of_one_label_have_names_of_their_own(store: RecordStore) -> None:
    cells = [make_cell(attributes=name) for name in ("att", "sentences")]
    images = [describe(Results(make_suite(cells), store), [c], commit(store, c)) for c in cells]
    assert [image.params["dataset"] for image in images] == ["CUB (att)", "CUB (sentences)"]


def test_a_store_of_the_results_folder_can_be_made_later(store: RecordStore, uri: str) -> None:
    cells = grid(2)
    suite = make_suite(cells)
    commit(store, cells[0])
    file = store.layout.out / "mlflow.db"
    file.unlink()
    mirror = open_mirror(uri, Results(suite, store), later=True)
    assert not file.exists()
    mirror.cell(commit(store, cells[1]))  # shows the first, too
    assert_mirrors(uri, Results(suite, store))
    again = open_mirror(uri, Results(suite, store), later=True)
    again.open()
    again.finish("", [], "FINISHED")
    assert_mirrors(uri, Results(suite, store))


def test_a_store_elsewhere_is_reached_before_anything_trains(store: RecordStore) -> None:
    elsewhere = f"sqlite:///{store.layout.out}/other.db"
    open_mirror(elsewhere, Results(make_suite(grid(1)), store), later=True)
    assert (store.layout.out / "other.db").exists()


def test_records_of_other_suites_are_not_shown(store: RecordStore, uri: str) -> None:
    mirror = open_mirror(uri, Results(make_suite([make_cell()]), store))
    mirror.cell(commit(store, make_cell(seed=9)))
    assert runs(uri, "small") == []


def _break_create_run(mirror: Any, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    real = mirror._experiment.store.client
    left = [times]

    class Broken:
        def __getattr__(self, name: str) -> Any:
            if name == "log_batch" and left[0] > 0:
                left[0] -= 1
                raise OSError("No space left on device")
            return getattr(real, name)

    object.__setattr__(mirror._experiment.store, "client", Broken())


def test_a_fault_on_the_way_is_made_good_at_the_end(
    store: RecordStore, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = grid(1)
    suite = make_suite(cells)
    mirror = open_mirror(uri, Results(suite, store))
    _break_create_run(mirror, monkeypatch, times=1)
    for cell in cells:
        mirror.cell(commit(store, cell))
    assert mirror.behind is not None
    assert "No space left" in mirror.behind
    assert len(runs(uri, "small")) == 1  # resting after the fault, a half-written run left
    mirror.finish("table", [], "FINISHED")
    assert mirror.behind is None
    assert_mirrors(uri, Results(suite, store))


def test_a_store_that_comes_back_is_caught_up_with(
    store: RecordStore, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = grid(1)
    suite = make_suite(cells)
    mirror = open_mirror(uri, Results(suite, store))
    _break_create_run(mirror, monkeypatch, times=1)
    mirror.cell(commit(store, cells[0]))
    mirror._rest_until = 0.0
    mirror.cell(commit(store, cells[1]))
    assert mirror.behind is None
    assert_mirrors(uri, Results(suite, store))


def test_a_locked_database(store: RecordStore, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PATIENCE", 0.2)
    cells = grid(1)
    suite = make_suite(cells)
    mirror = open_mirror(uri, Results(suite, store))
    other = sqlite3.connect(store.layout.out / "mlflow.db")
    other.execute("BEGIN EXCLUSIVE")
    begun = time.monotonic()
    for cell in cells:
        mirror.cell(commit(store, cell))
    assert time.monotonic() - begun < HANGING
    assert mirror.behind is not None
    assert "locked" in mirror.behind
    other.rollback()
    other.close()
    mirror.finish("table", [], "FINISHED")
    assert mirror.behind is None
    assert_mirrors(uri, Results(suite, store))


@pytest.mark.parametrize("kind", ["garbage", "folder", "no folder"])
def test_a_damaged_store(tmp_path: Path, kind: str) -> None:
    store = make_store(tmp_path / "out")
    uri = store.layout.tracking_store
    if kind == "garbage":
        (store.layout.out / "mlflow.db").write_text("this is no database at all" * 100)
    elif kind == "folder":
        (store.layout.out / "mlflow.db").mkdir()
    else:
        (tmp_path / "file").write_text("")
        uri = f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}"
    suite = make_suite([make_cell()])
    begun = time.monotonic()
    mirror = open_mirror(uri, Results(suite, store))
    mirror.cell(commit(store, make_cell()))
    mirror.finish("", [], "FINISHED")
    assert mirror.behind is not None
    assert time.monotonic() - begun < HANGING
    with pytest.raises(TrackingError, match="records are untouched"):
        sync(uri, Results(suite, store))


_HERE = str(Path(__file__).parent)

_SCRIPT = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from factory import make_cell, make_suite
from gzsl_bench.records.store import RecordStore
from gzsl_bench.results.view import Results
from gzsl_bench.tracking import open_mirror
store = RecordStore(Path(sys.argv[1]))
mirror = open_mirror(store.layout.tracking_store, Results(make_suite([make_cell()]), store))
mirror.cell(store.read(make_cell().key))
mirror.finish("", [], "FINISHED")
print(mirror.behind)
"""


def test_a_read_only_store(store: RecordStore) -> None:
    commit(store, make_cell())
    # Root may write anything, unless told not to.
    humble = ["setpriv", "--bounding-set", "-dac_override"] if os.geteuid() == 0 else []
    if humble and not shutil.which("setpriv"):
        pytest.skip("root, and no setpriv to be less")
    store.layout.out.chmod(0o555)
    (store.layout.out / "mlflow.db").chmod(0o444)
    try:
        done = subprocess.run(
            [*humble, sys.executable, "-c", _SCRIPT, str(store.layout.out), _HERE],
            capture_output=True,
            text=True,
            timeout=300,
        )
    finally:
        store.layout.out.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert "cannot be written" in done.stdout
    assert done.stderr == ""


def test_one_writer_at_a_time(
    store: RecordStore, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "PATIENCE", 0.2)
    suite = make_suite([make_cell()])
    mirror = open_mirror(uri, Results(suite, store))
    with (store.layout.out / "mlflow.db.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        mirror.cell(commit(store, make_cell()))
        assert mirror.behind is not None
        assert "another gzsl-bench" in mirror.behind
    mirror.finish("", [], "FINISHED")
    assert mirror.behind is None
    assert_mirrors(uri, Results(suite, store))


def test_a_database_without_its_driver(store: RecordStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(TrackingError, match=r"pip install .?psycopg") as caught:
        open_mirror(
            "postgresql+psycopg2://me:secret@127.0.0.1:9/db",
            Results(make_suite([make_cell()]), store),
        )
    assert "secret" not in str(caught.value)


def test_a_sync_beside_a_live_mirror(store: RecordStore, uri: str) -> None:
    cells = grid(6)
    suite = make_suite(cells)
    mirror = open_mirror(uri, Results(suite, store))
    going = threading.Event()

    def interfere() -> None:
        while not going.wait(0.2):
            sync(uri, Results(suite, store))

    other = threading.Thread(target=interfere)
    other.start()
    for cell in cells:
        mirror.cell(commit(store, cell))
    going.set()
    other.join()
    mirror.finish("table", [], "FINISHED")
    assert mirror.behind is None
    assert_mirrors(uri, Results(suite, store))
    assert parent(uri, "small").info.status == "FINISHED"


_KILLED = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from factory import commit, grid, make_suite
from gzsl_bench.records.store import RecordStore
from gzsl_bench.results.view import Results
from gzsl_bench.tracking import open_mirror
store = RecordStore(Path(sys.argv[1]))
cells = grid(100)
mirror = open_mirror(store.layout.tracking_store, Results(make_suite(cells), store))
for cell in cells:
    if store.read(cell.key) is None:
        mirror.cell(commit(store, cell))
        print("one", flush=True)
"""


@pytest.mark.parametrize("milliseconds", [151, 333])
def test_killed_at_some_moment(store: RecordStore, uri: str, milliseconds: int) -> None:
    suite = make_suite(grid(100))
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(store.layout.out), _HERE], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"one\n"  # on a busy machine the first takes its time
    time.sleep(milliseconds / 1000)
    process.kill()
    process.communicate()
    sync(uri, Results(suite, store))
    assert_mirrors(uri, Results(suite, store))
    assert runs(uri, "small")
    assert parent(uri, "small").info.status == "KILLED"


def test_nothing_is_printed(store: RecordStore) -> None:
    """MLflow and alembic announce a migration in eighty lines, a fault in forty."""
    (store.layout.out / "mlflow.db").unlink()
    commit(store, make_cell())
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(store.layout.out), _HERE],
        capture_output=True,
        text=True,
        timeout=300,
    )
    # But for our own word on an interval that needs predictions.
    assert done.stdout == "None\n"
    assert re.fullmatch(r"warning: \S.* predictions\.npz of cell .* is missing\n", done.stderr)
