from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from filelock import FileLock
from tracking_factory import commit, content, grid, make_cell, make_suite
from tracking_helpers import assert_mirrors, by_key, client, parent, runs

from gzsl_bench.cli.sync import sync_command
from gzsl_bench.errors import RecordError, TrackingError
from gzsl_bench.records.record import FAILED
from gzsl_bench.records.store import RecordStore
from gzsl_bench.records.suites import remember
from gzsl_bench.results.view import Results
from gzsl_bench.tracking import SyncReport, open_mirror, stamp, sync
from gzsl_bench.tracking.describe import describe


def test_sync_makes_everything_from_the_records(store: RecordStore, uri: str) -> None:
    cells = grid(2)
    suite = make_suite(cells)
    for cell in cells[:-1]:
        commit(store, cell)
    commit(store, cells[-1], status=FAILED)
    assert sync(uri, Results(suite, store)) == SyncReport(created=8)
    assert_mirrors(uri, Results(suite, store))
    assert parent(uri, "small").info.status == "FAILED"
    before = {run.info.run_id for run in runs(uri, "small")}
    assert sync(uri, Results(suite, store)) == SyncReport(unchanged=8)
    assert {run.info.run_id for run in runs(uri, "small")} == before


def test_what_a_kill_leaves_is_replaced(store: RecordStore, uri: str) -> None:
    cells = grid(1)
    suite = make_suite(cells)
    open_mirror(uri, Results(suite, store))  # killed: the suite's own run stays RUNNING
    own = parent(uri, "small").info
    for number, cell in enumerate(cells[:3]):
        record = commit(store, cell)
        image = describe(Results(suite, store), [cell], record)
        tags = {**image.tags, "mlflow.parentRunId": own.run_id, "gzsl_bench.content": image.digest}
        run = client(uri).create_run(own.experiment_id, start_time=image.started, tags=tags)
        if number > 0:  # half a batch
            client(uri).log_metric(run.info.run_id, "H", 1.0)
        if number > 1:  # whoever ended it, it is not whole
            client(uri).set_terminated(run.info.run_id, "FINISHED")
    assert sync(uri, Results(suite, store)) == SyncReport(repaired=3)
    assert_mirrors(uri, Results(suite, store))
    assert parent(uri, "small").info.status == "KILLED"  # one cell never ran
    commit(store, cells[3])
    assert sync(uri, Results(suite, store)) == SyncReport(created=1, unchanged=3)


def test_duplicates_and_strangers_are_removed(store: RecordStore, uri: str) -> None:
    cells = grid(1)
    suite = make_suite(cells)
    for cell in cells:
        commit(store, cell)
    sync(uri, Results(suite, store))
    run = by_key(uri, "small")[cells[0].key]
    double = client(uri).create_run(run.info.experiment_id, tags=run.data.tags)
    client(uri).set_terminated(double.info.run_id)
    another = client(uri).create_run(run.info.experiment_id, tags=parent(uri, "small").data.tags)
    other = client(uri).create_run(run.info.experiment_id, tags={"mine": "a user's own run"})
    elsewhere = client(uri).create_run(
        run.info.experiment_id, tags={**run.data.tags, "gzsl_bench.out": "/another/folder"}
    )
    shutil.rmtree(store.layout.cell(cells[1].key))
    assert sync(uri, Results(suite, store)) == SyncReport(removed=2, unchanged=3)
    assert client(uri).get_run(other.info.run_id).info.lifecycle_stage == "active"
    assert client(uri).get_run(elsewhere.info.run_id).info.lifecycle_stage == "active"
    assert client(uri).get_run(another.info.run_id).info.lifecycle_stage == "deleted"


def test_a_failure_that_became_complete(store: RecordStore, uri: str) -> None:
    cell = make_cell()
    suite = make_suite([cell])
    commit(store, cell, status=FAILED)
    sync(uri, Results(suite, store))
    commit(store, cell)
    assert sync(uri, Results(suite, store)) == SyncReport(repaired=1)
    assert_mirrors(uri, Results(suite, store))


def test_a_run_somebody_changed_is_put_right(store: RecordStore, uri: str) -> None:
    cell = make_cell()
    suite = make_suite([cell])
    commit(store, cell)
    sync(uri, Results(suite, store))
    run_id = by_key(uri, "small")[cell.key].info.run_id
    client(uri).log_metric(run_id, "H", 99.9, step=5)
    assert sync(uri, Results(suite, store)) == SyncReport(repaired=1)
    assert_mirrors(uri, Results(suite, store))


def test_a_cell_of_two_suites_has_a_run_in_each(store: RecordStore, uri: str) -> None:
    cells = grid(1)
    one, two = make_suite(cells, "one"), make_suite(cells[:2], "two", selection=("best_test",))
    for cell in cells:
        commit(store, cell)
    sync(uri, Results(one, store))
    sync(uri, Results(two, store))
    assert_mirrors(uri, Results(one, store))
    assert len(runs(uri, "one")) == 4
    shown = by_key(uri, "two")
    assert set(shown) == {cells[0].key, cells[1].key}
    # The only rule leads.
    metrics = shown[cells[0].key].data.metrics
    assert metrics["H"] == 53.2
    assert not [name for name in metrics if name.startswith(("last/", "best_test/"))]
    assert shown[cells[0].key].data.tags["gzsl_bench.rule"] == "best_test"


def test_two_labels_of_one_training_share_a_run(store: RecordStore, uri: str) -> None:
    from dataclasses import replace

    cell = make_cell()
    suite = make_suite([cell, replace(cell, label="ACMR again")])
    commit(store, cell)
    assert sync(uri, Results(suite, store)).created == 1
    assert by_key(uri, "small")[cell.key].data.params["label"] == "ACMR / ACMR again"


def test_a_run_that_goes_on_keeps_its_status(store: RecordStore, uri: str) -> None:
    cell = make_cell()
    suite = make_suite([cell])
    commit(store, cell)
    with FileLock(store.layout.lock):
        open_mirror(uri, Results(suite, store))
        sync(uri, Results(suite, store))
        assert parent(uri, "small").info.status == "RUNNING"
    sync(uri, Results(suite, store))
    assert parent(uri, "small").info.status == "FINISHED"


def test_more_metrics_and_params_than_a_call_takes(store: RecordStore, uri: str) -> None:
    cell = make_cell(config={f"p{i}": i for i in range(230)})
    suite = make_suite([cell])
    commit(store, cell, count=500)  # 2,500 values
    sync(uri, Results(suite, store))
    run = by_key(uri, "small")[cell.key]
    assert len(run.data.params) == 234
    history = client(uri).get_metric_history(run.info.run_id, "checkpoint/U")
    assert len(history) == 500
    assert sync(uri, Results(suite, store)) == SyncReport(unchanged=1)


def test_odd_names_and_values(
    store: RecordStore, uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    cell = make_cell(label="VAE: β (x=1)", config={"seed": 3, "empty": "", "nothing": None})
    suite = make_suite([cell])
    made = content(cell)
    made["checkpoints"] = [
        {"number": 1, "metrics": {"harmonic_mean": 50.0, "top@5": 1.0, "top#5": 2.0, "../x": 3.0}}
    ]
    # JSON as we write it holds no such number; a file from elsewhere may.
    made["curves"] = {"loss": [[0, 1e400], [1, 2.0]], "kl (β)": [[0, 1.0]]}
    record = commit(store, cell, **(made | {"curves": {}}))
    record = replace(record, curves=made["curves"])
    image = describe(Results(suite, store), [cell], record)
    assert {p.name for p in image.points if p.name.startswith("train/")} == {
        "train/loss", "train/kl _β_",
    }  # fmt: skip
    assert [p.value for p in image.points if p.name == "train/loss"] == [2.0]
    assert "not finite" in caplog.text
    sync(uri, Results(suite, store))
    run = by_key(uri, "small")[cell.key]
    assert run.data.metrics["top_5"] == 2.0
    assert run.data.metrics["top_5_2"] == 1.0
    assert run.data.metrics["x"] == 3.0
    assert run.data.params["config.seed"] == "3"
    assert run.data.params["seed"] == "0"
    assert run.data.params["empty"] == run.data.params["nothing"] == "none"
    assert sync(uri, Results(suite, store)) == SyncReport(unchanged=1)


def test_a_moved_results_folder(store: RecordStore, uri: str, tmp_path: Path) -> None:
    cell = make_cell()
    suite = make_suite([cell])
    commit(store, cell)
    sync(uri, Results(suite, store))
    moved = RecordStore(tmp_path / 'o\'the "new" place')
    shutil.move(store.layout.out, moved.layout.out)
    uri = moved.layout.tracking_store
    assert sync(uri, Results(suite, moved)) == SyncReport(created=1)
    assert_mirrors(uri, Results(suite, moved))
    assert sync(uri, Results(suite, moved)) == SyncReport(unchanged=1)
    assert not store.layout.out.exists()
    # What a visitor of the bare address sees: suites alone.
    assert [e.name for e in client(uri).search_experiments()] == [suite.name]


def test_ui_shows_what_a_run_without_mlflow_left(
    store: RecordStore, uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from gzsl_bench.cli.sync import _catch_up

    cells = [make_cell(seed=seed) for seed in range(2)]
    suite = make_suite(cells)
    commit(store, cells[0])
    sync(uri, Results(suite, store))
    commit(store, cells[1])
    _catch_up(uri, Results(suite, store))
    assert "1 run brought up to date with the records" in capsys.readouterr().err
    assert_mirrors(uri, Results(suite, store))
    # Told from the files alone that there is nothing to do.
    stamp.leave(uri, Results(suite, store))
    _catch_up(uri, Results(suite, store))
    assert capsys.readouterr().err == ""


def test_a_deleted_experiment_comes_back(store: RecordStore, uri: str) -> None:
    cell = make_cell()
    suite = make_suite([cell])
    commit(store, cell)
    sync(uri, Results(suite, store))
    remember(store.layout, suite)
    client(uri).delete_experiment(parent(uri, "small").info.experiment_id)
    for said in ("small had been deleted in MLflow and is restored", ""):
        done = CliRunner().invoke(
            sync_command, ["small", "--out", str(store.layout.out)], catch_exceptions=False
        )
        assert said in done.stderr
        assert ("restored" in done.stderr) == bool(said)
        assert_mirrors(uri, Results(suite, store))


def test_the_command(store: RecordStore, uri: str) -> None:
    cell = make_cell()
    suite = remember(store.layout, make_suite([cell]))
    commit(store, cell)
    done = CliRunner().invoke(
        sync_command, ["small", "--out", str(store.layout.out), "--json"], catch_exceptions=False
    )
    assert done.exit_code == 0
    assert '"created": 1' in done.stdout
    assert "shows 1 of 1 cell of small: 1 created" in done.stderr
    assert_mirrors(uri, Results(suite, store))
    arguments = ["--out", str(store.layout.out)]
    wrong = CliRunner().invoke(sync_command, ["smal", *arguments])
    assert isinstance(wrong.exception, RecordError)
    off = CliRunner().invoke(sync_command, ["small", *arguments, "--tracking-uri", "none"])
    assert isinstance(off.exception, TrackingError)


def test_a_store_of_an_older_mlflow_is_upgraded(store: RecordStore, uri: str) -> None:
    import sqlite3

    with sqlite3.connect(store.layout.out / "mlflow.db") as database:
        (head,) = database.execute("select version_num from alembic_version").fetchone()
    from alembic.script import ScriptDirectory
    from mlflow.store.db import utils

    script = ScriptDirectory.from_config(utils._get_alembic_config(""))
    assert script.get_current_head() == head
    (store.layout.out / "mlflow.db").unlink()
    engine = utils.create_sqlalchemy_engine(uri)
    utils.InitialBase.metadata.create_all(engine)
    from alembic import command

    config = utils._get_alembic_config(uri)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, script.get_revision(head).down_revision)
    engine.dispose()
    cell = make_cell()
    commit(store, cell)
    suite = make_suite([cell])
    sync(uri, Results(suite, store))
    assert_mirrors(uri, Results(suite, store))


def test_notes_hold_no_html(store: RecordStore, uri: str) -> None:
    """MLflow's pages read notes as Markdown, in which HTML counts."""
    bad = "<img src=x onerror=alert(1)>"
    suite = replace(make_suite([make_cell(label=bad)]), description=bad)
    commit(store, suite.cells[0], status=FAILED, cause=bad)
    sync(uri, Results(suite, store))
    (run,) = runs(uri, "small")
    experiment = client(uri).get_experiment(run.info.experiment_id)
    notes = [run.data.tags, parent(uri, "small").data.tags, experiment.tags]
    for note in (tags["mlflow.note.content"] for tags in notes):
        assert "<img" not in note
    assert "&lt;img" in run.data.tags["mlflow.note.content"]
    assert run.data.tags["gzsl_bench.cause"] == bad  # a tag is text
