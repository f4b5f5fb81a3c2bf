"""A tuning in MLflow: one run per trial, repaired like any other mirror."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tracking_helpers import client, parent, runs

from gzsl_bench.builtin.metrics import gzsl_bench_metrics
from gzsl_bench.records.store import RecordStore
from gzsl_bench.results.rows import HEADINGS
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.rules import Folds
from gzsl_bench.suite.datasets import Place
from gzsl_bench.suite.load import check_names, load_suite
from gzsl_bench.tracking.describe import PREFIX
from gzsl_bench.tracking.trials import TrialMirror, open_trial_mirror
from gzsl_bench.tuning.table import render_trials, trial_rows
from gzsl_bench.tuning.trials import Tuning, prepare, score

TEXT = """\
name: s
datasets: [tiny]
methods:
  - {use: eszsl, label: E, config: {targets: pm1}, tune: {feature_penalty: [1, 100, 10000]}}
"""


@pytest.fixture
def tuning(tmp_path: Path, make_registry: Any, run_inline: Any, store: RecordStore) -> Tuning:
    """Three trials, trained."""
    from gzsl_bench_eszsl import gzsl_bench_methods

    registry = make_registry(*gzsl_bench_methods())
    path = tmp_path / "s.yaml"
    path.write_text(TEXT)
    loaded = load_suite(path)
    check_names(loaded, registry, ())
    found = prepare(loaded, registry, Place(None, None))
    run_inline(found.suite.cells, registry, out=store.layout.out)
    return found


def finish(mirror: TrialMirror, tuning: Tuning, store: RecordStore) -> None:
    table = trial_rows(tuning, Results(tuning.suite, store))
    mirror.finish(render_trials(table), table, "FINISHED")
    assert mirror.behind is None


def test_one_run_per_trial(tuning: Tuning, store: RecordStore, uri: str) -> None:
    finish(open_trial_mirror(uri, tuning, Results(tuning.suite, store)), tuning, store)
    found = {run.info.run_name: run for run in runs(uri, "s tuning", "trial")}
    assert set(found) == {f"tiny E trial {n}" for n in (1, 2, 3)}
    (search,) = tuning.searches
    for each in score(search, Results(tuning.suite, store)):
        run = found[f"tiny E trial {each.trial.number}"]
        assert run.info.status == "FINISHED"
        # What was tried and nothing else, so that plots show it.
        assert run.data.params == {
            "dataset": "tiny",
            "method": "eszsl",
            "label": "E",
            "feature_penalty": str(float(each.trial.values["feature_penalty"])),
        }
        best = {name.removeprefix("best_validation/"): value
                for name, value in run.data.metrics.items()
                if name.startswith("best_validation/")}  # fmt: skip
        means = {HEADINGS.get(name, name): round(v, 4) for name, v in each.mean.items()}
        assert best == {**means, "checkpoint": each.checkpoint}
        assert {HEADINGS.get(m.name, m.name) for m in gzsl_bench_metrics()} <= set(best)
        folds = Folds(store.read(cell.key).checkpoints for cell in each.trial.cells)  # type: ignore[union-attr]
        history = client(uri).get_metric_history(run.info.run_id, "validation/H")
        expected = {number: round(h, 4) for number, h in folds.means().items()}
        assert {m.step: m.value for m in history} == expected
        assert run.data.tags[f"{PREFIX}task"] == "3 validation folds"
        assert "No result by itself" in run.data.tags["mlflow.note.content"]
    assert runs(uri, "s tuning", "cell") == runs(uri, "s tuning", "fold") == []
    whole = parent(uri, "s tuning")
    assert whole.info.status == "FINISHED"
    assert "feature_penalty" in whole.data.tags["mlflow.note.content"]


def test_trials_come_one_by_one_and_again_nothing_changes(
    tuning: Tuning, store: RecordStore, uri: str
) -> None:
    cells = tuning.suite.cells
    aside = store.layout.out / "aside"
    store.layout.cells.rename(aside)
    store.layout.cells.mkdir()
    mirror = open_trial_mirror(uri, tuning, Results(tuning.suite, store))
    shown = []
    for cell in cells:
        (aside / cell.key).rename(store.layout.cell(cell.key))
        record = store.read(cell.key)
        assert record is not None
        mirror.cell(record)
        shown.append(len(runs(uri, "s tuning", "trial")))
    assert shown == [0, 0, 1, 1, 1, 2, 2, 2, 3]
    finish(mirror, tuning, store)
    before = {run.info.run_id for run in runs(uri, "s tuning", "trial")}
    finish(open_trial_mirror(uri, tuning, Results(tuning.suite, store)), tuning, store)
    assert {run.info.run_id for run in runs(uri, "s tuning", "trial")} == before
    # A run that somebody spoilt is written anew.
    spoilt = min(before)
    client(uri).set_tag(spoilt, f"{PREFIX}task", "none")
    finish(open_trial_mirror(uri, tuning, Results(tuning.suite, store)), tuning, store)
    after = {run.info.run_id for run in runs(uri, "s tuning", "trial")}
    assert before - after == {spoilt}
    assert len(after) == 3
