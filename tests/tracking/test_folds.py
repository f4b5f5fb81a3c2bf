"""Validation folds in MLflow: runs that say what they are, and rules chosen by them."""

from __future__ import annotations

from dataclasses import replace

from tracking_factory import checkpoints, commit, make_cell, make_suite
from tracking_helpers import by_key, runs

from gzsl_bench.records.store import RecordStore
from gzsl_bench.results.rows import HEADINGS
from gzsl_bench.results.view import Results
from gzsl_bench.tracking import open_mirror, sync
from gzsl_bench.tracking.describe import PREFIX

RULES = ("val", "last", "best_test")


def test_folds_are_runs_of_their_own_kind(store: RecordStore, uri: str) -> None:
    cell, fold = make_cell(seed=0), make_cell(seed=0, fold=2)
    suite = make_suite([cell, fold], selection=RULES)
    for each in suite.cells:
        commit(store, each)
    sync(uri, Results(suite, store))
    # The page that `ui` opens asks for the role "cell".
    assert set(by_key(uri, "small")) == {cell.key}
    (run,) = runs(uri, "small", "fold")
    assert run.info.run_name == "CUB ACMR fold 2 seed 0"
    assert run.data.tags[f"{PREFIX}task"] == "fold 2"
    assert by_key(uri, "small")[cell.key].data.tags[f"{PREFIX}task"] == "real"
    shown = checkpoints(0, 3)[-1]["metrics"]
    # No name in common with results: a fold is in no column of theirs.
    assert run.data.metrics == {
        f"validation/{HEADINGS[n]}": round(v, 4) for n, v in shown.items()
    } | {
        "train/loss": 0.75,
        "seconds": 12.5,
    }
    assert "no result by itself" in run.data.tags["mlflow.note.content"]


def test_real_runs_show_what_val_chooses(store: RecordStore, uri: str) -> None:
    cells = [make_cell(seed=s) for s in (0, 1)]
    folds = [make_cell(seed=0, fold=n) for n in (1, 2)]
    suite = make_suite([*cells, *folds], selection=RULES)
    mirror = open_mirror(uri, Results(suite, store))
    for cell in cells:
        mirror.cell(commit(store, cell))
    before = by_key(uri, "small")[cells[0].key]
    assert not any(name.startswith("val/") for name in before.data.metrics)
    # The headline rule cannot choose yet, so there is no headline.
    assert "H" not in before.data.metrics
    assert "fold 1 with seed 0 has not run" in before.data.tags["mlflow.note.content"]
    for fold in folds:  # both have their best H at checkpoint 3 of 4
        mirror.cell(commit(store, fold, count=4))
    mirror.finish("table", [], "FINISHED")
    assert mirror.behind is None
    for cell in cells:
        run = by_key(uri, "small")[cell.key]
        expected = checkpoints(cell.seed, 3)[2]["metrics"]
        shown_as = {HEADINGS[n]: round(v, 4) for n, v in expected.items()}
        assert {n: run.data.metrics[n] for n in shown_as} == shown_as
        note = run.data.tags["mlflow.note.content"]
        assert "By val, the rule of the metrics U, S and H, U " in note
        assert "(checkpoint 3" in note
    assert sync(uri, Results(suite, store)).unchanged == 4


def test_what_cannot_be_calibrated_is_a_note(store: RecordStore, uri: str) -> None:
    cell, fold = make_cell(), make_cell(fold=1)
    suite = replace(make_suite([cell, fold], selection=("last",)), calibration=True)
    for each in suite.cells:
        commit(store, each)  # without predictions
    sync(uri, Results(suite, store))
    run = by_key(uri, "small")[cell.key]
    note = run.data.tags["mlflow.note.content"]
    assert f"By last+gamma no numbers: {cell.title} cannot be calibrated: predictions.npz" in note
    assert not any("gamma" in name for name in run.data.metrics)
