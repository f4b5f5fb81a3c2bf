"""Validation folds end to end: what a method sees, what is never read, what the rules choose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from records_factory import commit

from gzsl_bench import Config, Method, MethodSpec
from gzsl_bench.builtin import datasets
from gzsl_bench.data.folds import validation_folds
from gzsl_bench.data.gzsl import ClassFold
from gzsl_bench.data.identity import identify
from gzsl_bench.engine.events import CellEnded
from gzsl_bench.records.record import Checkpoint
from gzsl_bench.records.store import RecordStore
from gzsl_bench.report.cells import GAP
from gzsl_bench.report.failures import failures
from gzsl_bench.report.samples import sample
from gzsl_bench.report.table import render
from gzsl_bench.results.rows import rows
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.calibration import calibrate
from gzsl_bench.scoring.kept import kept_predictions
from gzsl_bench.scoring.rules import RULES, Folds, Rule, Unchosen
from gzsl_bench.scoring.summary import Summary

SEEN_BIAS = 0.5


class Knobs(Config):
    checkpoints: int = 3
    bias: float = SEEN_BIAS


class Ridge(Method):
    """Ridge regression to class embeddings; noise differs by checkpoint and seed, seen is favoured.

    Remembers every task it was given.
    """

    Config = Knobs
    tasks: list = []  # noqa: RUF012

    def fit(self, task, run):
        self.tasks.append(task)
        x, y = task.features.double(), task.attributes[task.labels].double()
        weights = torch.linalg.solve(x.T @ x + torch.eye(x.shape[1]), x.T @ y)
        push = torch.zeros(task.num_classes, dtype=torch.float64)
        push[task.seen] = self.config.bias
        for step in range(1, self.config.checkpoints + 1):
            draw = torch.randn(weights.shape, generator=run.generator(f"noise {step}")).double()
            noisy = weights + 0.4 * abs(step - 2) * draw
            run.checkpoint(
                step * 10,
                lambda v, w=noisy: -torch.cdist(v.double() @ w, task.attributes.double()) + push,
            )


RIDGE = MethodSpec("ridge", Ridge, citation="", fidelity="paper", preprocessing="minmax")
TEXT = "name: s\ndatasets: [tiny]\nmethods: [ridge]\nseeds: 3\nselection: [last, best_test]\n"
VAL = TEXT.replace("last, best_test", "last, val, best_test")


@pytest.fixture(autouse=True)
def _fresh():
    Ridge.tasks.clear()


def failing_on(number_of_classes: int) -> MethodSpec:
    class Picky(Ridge):
        def fit(self, task, run):
            if task.num_classes == number_of_classes:
                raise ValueError("not with so many classes")
            super().fit(task, run)

    return replace(RIDGE, factory=Picky)


# What is trained ---------------------------------------------------------------------------------


def test_adding_val_to_a_finished_suite_trains_the_folds_alone(
    make_registry, resolve_text, run_inline
):
    registry = make_registry(RIDGE)
    before = resolve_text(TEXT, registry)
    _, store, _ = run_inline(before.cells, registry)
    files = {p: p.read_bytes() for c in before.cells for p in store.layout.cell(c.key).iterdir()}
    suite = resolve_text(VAL + "calibration: true\n", registry)
    outcome, _, events = run_inline(suite.cells, registry)
    assert (outcome.total, outcome.done, outcome.exit_code) == (6, 6, 0)
    trained = {e.key for e in events if isinstance(e, CellEnded)}
    assert trained == {c.key for c in suite.cells if c.fold}
    assert {p: p.read_bytes() for p in files} == files
    assert run_inline(suite.cells, registry)[2] == []


def test_a_fold_is_a_task_like_any_other(tiny, make_registry, resolve_text, run_inline):
    registry = make_registry(RIDGE)
    suite = resolve_text(VAL.replace("seeds: 3", "seeds: 1"), registry)
    _, store, _ = run_inline(suite.cells, registry)
    real, *found = Ridge.tasks
    assert real.features.shape == (len(tiny.trainval), 5)
    assert len(found) == 3
    for task, fold in zip(found, validation_folds(tiny, [1, 2, 3]), strict=True):
        tensors = ("features", "labels", "attributes", "seen", "unseen")
        assert vars(task).keys() == vars(real).keys()
        assert all(vars(task)[n].dtype == vars(real)[n].dtype for n in tensors)
        assert task.num_classes == 5
        np.testing.assert_array_equal(
            torch.cat([task.seen, task.unseen]).sort().values, np.arange(5)
        )
        classes = np.union1d(fold.seen, fold.unseen)
        np.testing.assert_array_equal(task.attributes, tiny.attributes[classes].astype(np.float32))
        np.testing.assert_array_equal(classes[task.labels.numpy()], tiny.labels[fold.train])
        # The scaler has seen the fold's training rows and no others.
        raw = tiny.features[fold.train].astype(float)
        scaled = (raw - raw.min(0)) / (raw.max(0) - raw.min(0))
        np.testing.assert_allclose(task.features, scaled, atol=1e-6)
        assert task.unlabelled is None
        (cell,) = [c for c in suite.cells if c.fold == fold.number]
        arrays = store.read(cell.key).predictions()
        rows_of = np.concatenate([fold.test_seen, fold.test_unseen])
        np.testing.assert_array_equal(classes[arrays["labels"]], tiny.labels[rows_of])
        assert arrays["unseen"].tolist() == task.unseen.tolist()


def test_folds_run_where_no_test_row_can_be_used(
    tiny, make_registry, resolve_text, run_inline, tmp_path, monkeypatch
):
    """Test features that are NaN: a scorer that is shown them fails, a scaler too."""
    monkeypatch.setattr(datasets, "reads", lambda spec: True)  # they pass for checked
    tests = np.concatenate([tiny.test_seen, tiny.test_unseen])
    features = tiny.features.copy()
    features[tests] = np.nan
    whole = identify(tiny)
    poisoned = make_registry(RIDGE, data={"tiny": replace(whole, features=features)})
    sound = make_registry(RIDGE, data={"tiny": whole})
    cells = resolve_text(VAL, poisoned).cells
    assert [c.key for c in cells] == [c.key for c in resolve_text(VAL, sound).cells]
    outcome, bad, _ = run_inline(cells, poisoned, out=tmp_path / "bad")
    _, good, _ = run_inline(cells, sound, out=tmp_path / "good")
    assert outcome.done == 3
    for cell in cells:
        record = bad.read(cell.key)
        assert record.complete == bool(cell.fold)
        if cell.fold:
            expected = good.read(cell.key).checkpoints
            assert record.checkpoints == expected
        else:
            assert "NaN" in record.cause


class Spied(np.ndarray):
    """Features that remember which rows were asked for."""

    asked: set[int]

    def __getitem__(self, index):
        if isinstance(index, np.ndarray):
            self.asked.update(index.tolist())
        else:
            self.asked.update(range(len(self))[index] if isinstance(index, slice) else [index])
        return np.asarray(self)[index]


def test_a_fold_asks_for_training_rows_only(
    tiny, make_registry, resolve_text, run_inline, monkeypatch
):
    monkeypatch.setattr(datasets, "reads", lambda spec: True)  # nobody hashes them
    features = tiny.features.view(Spied)
    features.asked = set()
    data = replace(identify(tiny), features=features)
    registry = make_registry(RIDGE, data={"tiny": data})
    cells = [c for c in resolve_text(VAL, registry).cells if c.fold]
    run_inline(cells, registry)
    assert features.asked == set(tiny.trainval.tolist())
    run_inline(resolve_text(TEXT, registry).cells, registry)
    assert features.asked >= set(tiny.test_unseen.tolist())


def test_class_lists_that_change_meanwhile_fail_the_folds(
    tiny, make_registry, resolve_text, run_inline
):
    cells = resolve_text(VAL, make_registry(RIDGE)).cells
    shipped = ClassFold(train=np.array([0, 2, 3]), val=np.array([5, 6]))
    changed = make_registry(RIDGE, data={"tiny": replace(tiny, folds=(shipped,))})
    outcome, store, _ = run_inline(cells, changed)
    assert outcome.done == 5
    (failed,) = outcome.failed
    assert "the class lists of tiny changed on disk" in failed.cause
    assert failed.key == next(c.key for c in cells if c.fold == 1)


def test_transductive_folds_show_validation_rows(tiny, make_registry, resolve_text, run_inline):
    registry = make_registry(replace(RIDGE, setting="transductive"))
    suite = resolve_text(VAL.replace("seeds: 3", "seeds: 1"), registry)
    run_inline(suite.cells, registry)
    for task, fold in zip(Ridge.tasks[1:], validation_folds(tiny, [1, 2, 3]), strict=True):
        assert len(task.unlabelled) == len(fold.test_seen) + len(fold.test_unseen)


# The rule ----------------------------------------------------------------------------------------


def curve(*points: tuple[int, float]):
    return tuple(Checkpoint(n, {"harmonic_mean": h}) for n, h in points)


def test_val_is_one_checkpoint_for_all_seeds(make_registry, resolve_text, run_inline):
    registry = make_registry(RIDGE)
    suite = resolve_text(VAL + "val_seeds: 2\n", registry)
    _, store, _ = run_inline(suite.cells, registry)
    folds = [store.read(c.key).checkpoints for c in suite.cells if c.fold]
    assert len(folds) == 6
    means = {
        n: np.mean([row.metrics["harmonic_mean"] for f in folds for row in f
                    if row.number == n])
        for n in (10, 20, 30)
    }  # fmt: skip
    expected = max(means, key=means.__getitem__)
    assert len(set(means.values())) == 3
    table = {row.selection: row for row in rows(Results(suite, store))}
    assert table["val"].to_json()["checkpoints"] == [expected] * 3
    real = [store.read(c.key).checkpoints for c in suite.cells if not c.fold]
    h = [row.metrics["harmonic_mean"] for r in real for row in r if row.number == expected]
    assert table["val"].summary().mean == pytest.approx(np.mean(h))
    best = [max(row.metrics["harmonic_mean"] for row in r) for r in real]
    gaps = np.array(best) - h
    gap = table["best_test"].selection_gap
    assert gap == Summary(pytest.approx(gaps.mean()), pytest.approx(gaps.std(ddof=1)), 3)
    assert (gaps >= 0).all()
    assert [table[rule].selection_gap for rule in ("last", "val")] == [None, None]
    assert list(table) == ["last", "val", "best_test"]


@pytest.mark.parametrize("classes", [5, 7])
def test_without_all_folds_there_is_a_sentence_and_no_number(
    make_registry, resolve_text, run_inline, classes
):
    registry = make_registry(failing_on(classes))
    suite = resolve_text(VAL, registry)
    outcome, store, _ = run_inline(suite.cells, registry)
    assert outcome.exit_code == 1
    table = {row.selection: row for row in rows(Results(suite, store))}
    if classes == 7:  # the real task has so many
        (row,) = table.values()
        assert row.unavailable == "failed: ValueError: not with so many classes"
        assert (row.seeds, row.fate) == ((), "failed")
        return
    reason = table["val"].unavailable
    assert reason == (
        "the validation folds of tiny · ridge are not complete: fold 1 with seed 0 failed, fold 2"
        " with seed 0 failed, fold 3 with seed 0 failed; run the suite again"
    )
    assert table["val"].metrics["harmonic_mean"] is None
    assert table["val"].to_json()["checkpoints"] == []
    assert table["best_test"].selection_gap is None
    assert table["last"].summary().n == 3
    text = render(list(table.values()))
    assert f"No numbers for val: {reason}." in " ".join(text.split())
    assert GAP not in text
    for fmt in ("latex", "csv", "json"):
        render(list(table.values()), fmt)
    lines = [line.split("|")[2].strip() for line in failures(outcome.failed).splitlines()[2:]]
    assert lines == ["ridge (fold 1)", "ridge (fold 2)", "ridge (fold 3)"]


def test_folds_that_have_not_run_are_named(make_registry, resolve_text, run_inline):
    registry = make_registry(RIDGE)
    suite = resolve_text(VAL, registry)
    _, store, _ = run_inline([c for c in suite.cells if c.fold != 2], registry)
    (_, val, _) = rows(Results(suite, store))
    assert "not complete: fold 2 with seed 0 has not run; run the suite again" in val.unavailable


def test_a_number_the_real_run_lacks_is_not_replaced(make_registry, resolve_text, run_inline):
    registry = make_registry(RIDGE)
    suite = resolve_text(VAL, registry)
    _, store, _ = run_inline([c for c in suite.cells if c.fold], registry)
    for cell in suite.cells:
        if not cell.fold:  # as if the real runs had stopped elsewhere
            points = [{"number": n, "metrics": {"harmonic_mean": n + 4.0}} for n in (1, 2)]
            commit(store, cell, {"checkpoints": points})
    (_, val, _) = rows(Results(suite, store))
    number = Folds(store.read(c.key).checkpoints for c in suite.cells if c.fold).best
    assert val.unavailable == (
        f"the validation folds of tiny · ridge choose checkpoint {number}, which seed 0 of the real"
        " task does not have"
    )


def test_one_checkpoint_needs_no_choice(make_registry, resolve_text, run_inline):
    registry = make_registry(RIDGE)
    text = VAL.replace("[ridge]", "[{use: ridge, config: {checkpoints: 1}}]")
    suite = resolve_text(text, registry)
    assert sum(c.fold > 0 for c in suite.cells) == 3
    _, store, _ = run_inline([c for c in suite.cells if not c.fold], registry)
    last, val, best = rows(Results(suite, store))
    assert val.metrics["harmonic_mean"] == last.metrics["harmonic_mean"]
    assert val.unavailable == ""
    assert best.selection_gap == Summary(0.0, 0.0, 3)


class LastTwo(Rule):
    """The mean of the last two checkpoints."""

    name = "last2"
    words = "mean of the last two checkpoints"
    calibrates = False

    def choose(self, trained):
        return trained.checkpoints[-2:]


def test_a_rule_is_one_class_and_several_checkpoints_may_count(
    make_registry, resolve_text, run_inline, monkeypatch
):
    registry = make_registry(RIDGE)
    suite = resolve_text(VAL, registry)
    _, store, _ = run_inline([c for c in suite.cells if not c.fold], registry)
    monkeypatch.setitem(RULES, LastTwo.name, LastTwo())
    suite = replace(suite, selection=("last", "last2"), calibration=True)
    results = Results(suite, store)
    last, _, mean = rows(results)
    assert (last.selection, mean.selection) == ("last", "last2")
    real = [store.read(c.key).checkpoints for c in suite.cells if not c.fold]
    assert last.to_json()["checkpoints"] == [30, 30, 30]
    assert mean.to_json()["checkpoints"] == [[20, 30]] * 3
    means = [np.mean([c.metrics["acc_unseen"] for c in each[-2:]]) for each in real]
    assert mean.summary("acc_unseen").mean == pytest.approx(np.mean(means))
    # What is behind it, by seed and class, is the mean of the same checkpoints.
    np.testing.assert_allclose(sample(mean, results).unseen.mean(1), means)
    assert "| last2 " in render([last, mean])


# Calibration -------------------------------------------------------------------------------------


def h_of(predictions) -> float:
    """H in loops."""

    def part(classes):
        labels, guess = predictions.labels, predictions.predicted
        return np.mean([(guess[labels == c] == c).mean() for c in classes])

    u, s = part(predictions.unseen), part(predictions.seen)
    return 100 * 2 * u * s / (u + s) if u + s else 0.0


def test_gamma_is_chosen_on_folds_and_applied_to_the_real_task(
    make_registry, resolve_text, run_inline
):
    registry = make_registry(RIDGE)
    suite = resolve_text(VAL + "calibration: true\n", registry)
    assert suite.rules == ["last", "last+gamma", "val", "val+gamma", "best_test"]
    _, store, _ = run_inline(suite.cells, registry)
    table = {row.selection: row for row in rows(Results(suite, store))}
    # What every bias gives on the folds, by checkpoint.
    folds = {
        number: [
            kept_predictions(store.read(c.key).predictions(), number) for c in suite.cells if c.fold
        ]
        for number in (10, 20, 30)
    }
    tried = {
        number: max(
            np.mean([h_of(calibrate(f, g)) for f in found])
            for g in np.concatenate([f.best_seen - f.best_unseen for f in found]) + 1e-9
        )
        for number, found in folds.items()
    }
    # ``last`` calibrates its own checkpoint; ``val`` chooses checkpoint and bias together.
    expected = {"last": 30, "val": max(tried, key=tried.__getitem__)}
    for rule in ("last", "val"):
        plain, biased = table[rule], table[f"{rule}+gamma"]
        number = expected[rule]
        assert biased.checkpoints == ((number,),) * 3
        (gamma,) = set(biased.gamma)
        assert plain.gamma is None
        mean = np.mean([h_of(calibrate(f, gamma)) for f in folds[number]])
        assert mean == pytest.approx(tried[number], abs=1e-9)
        real = [
            kept_predictions(store.read(c.key).predictions(), number)
            for c in suite.cells
            if not c.fold
        ]
        applied = np.mean([h_of(calibrate(p, gamma)) for p in real])
        assert biased.summary().mean == pytest.approx(applied)
        # What a bias cannot change is what was recorded.
        for name in ("zsl_acc", "ausuc"):
            there = [
                next(p.metrics[name] for p in store.read(c.key).checkpoints if p.number == number)
                for c in suite.cells
                if not c.fold
            ]
            assert biased.summary(name).mean == pytest.approx(np.mean(there))
    # The method favours seen classes on purpose, and the data can be learned.
    assert table["val+gamma"].gamma[0] > 0
    assert table["val+gamma"].summary().mean > table["val"].summary().mean + 5
    text = render(list(table.values()))
    assert "val+gamma" in text
    assert "+\N{GREEK SMALL LETTER GAMMA}" not in text
    assert f" {table['val+gamma'].gamma[0]:.3g} " in text
    assert "val+gamma" in render(list(table.values()), "latex")


def test_a_record_without_predictions_is_not_calibrated(make_registry, resolve_text, run_inline):
    registry = make_registry(RIDGE)
    suite = resolve_text(VAL + "calibration: true\n", registry)
    _, store, _ = run_inline(suite.cells, registry)
    cell = suite.cells[0]
    record = store.read(cell.key)
    validation = Results(suite, RecordStore(store.layout.out)).validation
    assert validation.choose("last+gamma", cell, record).gamma is not None
    # A metric newer than the record, which says neither its unit nor its direction, stays out.
    for row in record.checkpoints:
        del row.metrics["unseen_as_seen"]
    assert "seen_as_unseen" in validation.choose("last+gamma", cell, record).metrics
    assert "unseen_as_seen" not in validation.choose("last+gamma", cell, record).metrics
    (record.path / "predictions.npz").unlink()
    validation = Results(suite, RecordStore(store.layout.out)).validation
    with pytest.raises(Unchosen, match=r"predictions\.npz of cell \w+ cannot be read"):
        validation.choose("last+gamma", cell, record)


def test_calibration_without_val(make_registry, resolve_text, run_inline):
    registry = make_registry(RIDGE)
    suite = resolve_text(TEXT + "calibration: true\n", registry)
    _, store, _ = run_inline(suite.cells, registry)
    last, biased, best = rows(Results(suite, store))
    assert [r.selection for r in (last, biased, best)] == ["last", "last+gamma", "best_test"]
    assert biased.summary().mean > last.summary().mean
    assert best.selection_gap is None
