"""Trials on validation folds: what is trained, what is never read, what is chosen."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from gzsl_bench_eszsl import gzsl_bench_methods as eszsl_methods

from gzsl_bench import BatchedMethod, Config, Method, MethodSpec, stackable
from gzsl_bench.builtin import datasets
from gzsl_bench.data.folds import validation_folds
from gzsl_bench.data.identity import identify
from gzsl_bench.engine.events import CellEnded
from gzsl_bench.engine.units import plan
from gzsl_bench.errors import SuiteError
from gzsl_bench.results.view import Results
from gzsl_bench.suite.datasets import Filter, Place
from gzsl_bench.suite.load import check_names, load_suite
from gzsl_bench.tuning.table import render_trials, trial_rows
from gzsl_bench.tuning.trials import prepare, score
from gzsl_bench.tuning.tuned import chosen, edges, ties, tuned_suite

(ESZSL,) = eszsl_methods()
FEATURE, ATTRIBUTE, TARGETS = [0.01, 1, 30, 1000], [0.001, 0.1, 10], ["01", "pm1"]
GRID = f"""\
name: s
datasets: [tiny]
methods:
  - use: eszsl
    tune:
      feature_penalty: {FEATURE}
      attribute_penalty: {ATTRIBUTE}
      targets: {TARGETS}
"""
SMALL = """\
name: s
datasets: [tiny]
methods:
  - use: eszsl
    tune:
      feature_penalty: [1, 1000]
      targets: ["01", pm1]
"""


class Knobs(Config):
    rate: float = stackable(0.5, "noise", ge=0)
    shape: int = 1
    low: int = 0
    high: int = 5
    fail: bool = False


class Curves(BatchedMethod):
    """Ridge regression with noise that differs by checkpoint: the best one is not the last."""

    Config = Knobs

    def fit_batch(self, task, runs):
        classes = task.attributes.double()
        x, y = task.features.double(), classes[task.labels]
        weights = torch.linalg.solve(x.T @ x + torch.eye(x.shape[1]), x.T @ y)
        push = torch.zeros(task.num_classes, dtype=torch.float64)
        push[task.seen] = 0.5
        for run in runs:
            if run.config.fail:
                raise ValueError("made to fail")
            for step in (10, 20, 30):
                draw = torch.randn(weights.shape, generator=run.generator(f"noise {step}"))
                noisy = weights + run.config.rate * abs(step - 20) / 10 * draw.double()
                run.checkpoint(
                    step,
                    lambda v, w=noisy: (
                        -torch.cdist(v.double() @ w, task.attributes.double()) + push
                    ),
                )


CURVES = MethodSpec("curves", Curves, citation="", fidelity="paper", preprocessing="minmax")


@pytest.fixture
def prepared(tmp_path):
    """Checks a suite and makes its trials."""

    def go(text, registry, only=None):
        path = tmp_path / "suite.yaml"
        path.write_text(text, encoding="utf-8")
        loaded = load_suite(path)
        check_names(loaded, registry, ())
        return prepare(loaded, registry, Place(None, None), only)

    return go


def written_of(tuning, store) -> str:
    """The suite with the chosen values."""
    results = Results(tuning.suite, store)
    return tuned_suite(tuning, chosen(tuning, results), results)


def brute_force(data):
    """Mean validation H of every candidate, from the formula, with numpy alone."""
    found = {}
    for gamma, lam, targets in itertools.product(FEATURE, ATTRIBUTE, TARGETS):
        h = []
        for fold in validation_folds(data, [1, 2, 3]):
            raw = data.features.astype(np.float64)
            low, high = raw[fold.train].min(0), raw[fold.train].max(0)
            features = ((raw - low) / (high - low)).astype(np.float32).astype(np.float64)
            classes = data.attributes.astype(np.float32).astype(np.float64)
            x, s = features[fold.train], classes[fold.seen].T
            y = (data.labels[fold.train][:, None] == fold.seen).astype(float)
            y = 2 * y - 1 if targets == "pm1" else y
            left = np.linalg.inv(x.T @ x + gamma * np.eye(x.shape[1]))
            v = left @ x.T @ y @ s.T @ np.linalg.inv(s @ s.T + lam * np.eye(len(s)))
            there = np.union1d(fold.seen, fold.unseen)

            def accuracy(rows, of, v=v, features=features, there=there, classes=classes):
                predicted = there[np.argmax(features[rows] @ v @ classes[there].T, axis=1)]
                return np.mean([np.mean(predicted[data.labels[rows] == c] == c) for c in of])

            s_acc, u_acc = (
                accuracy(fold.test_seen, fold.seen),
                accuracy(fold.test_unseen, fold.unseen),
            )
            h.append(200 * s_acc * u_acc / (s_acc + u_acc) if s_acc + u_acc else 0.0)
        found[gamma, lam, targets] = np.mean(h)
    return found


@pytest.mark.parametrize("seed", [0, 2])
def test_the_choice_is_that_of_an_independent_loop(
    make_data, make_registry, prepared, run_inline, seed
):
    data = make_data(seed)
    registry = make_registry(ESZSL, data={"tiny": data})
    tuning = prepared(GRID, registry)
    _, store, _ = run_inline(tuning.suite.cells, registry)
    (search,) = tuning.searches
    scores = score(search, Results(tuning.suite, store))
    expected = brute_force(identify(data))
    assert len(scores) == len(expected) == 24
    for found in scores:
        assert found.mean["harmonic_mean"] == pytest.approx(
            expected[tuple(found.trial.values.values())], abs=1e-6
        )
    assert max(expected.values()) > min(expected.values()) + 1
    best = scores[0].trial.values
    assert expected[tuple(best.values())] == pytest.approx(max(expected.values()), abs=1e-6)
    # Of equals the first in the suite's order.
    equals = [v for v, h in expected.items() if h > max(expected.values()) - 1e-6]
    assert tuple(best.values()) == equals[0]


def test_only_folds_are_trained_and_a_second_time_nothing(make_registry, prepared, run_inline):
    registry = make_registry(ESZSL)
    tuning = prepared(SMALL, registry)
    assert {cell.fold for cell in tuning.suite.cells} == {1, 2, 3}
    outcome, _, events = run_inline(tuning.suite.cells, registry)
    assert (outcome.total, outcome.done) == (12, 12)
    assert sum(isinstance(e, CellEnded) for e in events) == 12
    again = prepared(SMALL, registry)
    assert run_inline(again.suite.cells, registry)[2] == []
    # More values train what is new and nothing else.
    wider = prepared(SMALL.replace("[1, 1000]", "[1, 5, 1000]"), registry)
    _, _, events = run_inline(wider.suite.cells, registry)
    assert sum(isinstance(e, CellEnded) for e in events) == 3 * 2


class Spied(np.ndarray):
    """Features that remember which rows were asked for."""

    asked: set[int]

    def __getitem__(self, index):
        if isinstance(index, np.ndarray):
            self.asked.update(index.tolist())
        else:
            self.asked.update(range(len(self))[index] if isinstance(index, slice) else [index])
        return np.asarray(self)[index]


def test_no_test_row_is_asked_for(tiny, make_registry, prepared, run_inline, monkeypatch):
    monkeypatch.setattr(datasets, "reads", lambda spec: True)  # nobody hashes them
    features = tiny.features.view(Spied)
    features.asked = set()
    registry = make_registry(ESZSL, data={"tiny": replace(identify(tiny), features=features)})
    features.asked.clear()
    tuning = prepared(SMALL, registry)
    _, store, _ = run_inline(tuning.suite.cells, registry)
    written_of(tuning, store)
    assert features.asked == set(tiny.trainval.tolist())


def test_poisoned_test_rows_change_nothing(
    tiny, make_registry, prepared, run_inline, tmp_path, monkeypatch
):
    tests = np.concatenate([tiny.test_seen, tiny.test_unseen])
    whole = identify(tiny)
    features, labels = tiny.features.copy(), tiny.labels.copy()
    features[tests] = np.nan
    labels[tests] = np.roll(labels[tests], 7)
    monkeypatch.setattr(datasets, "reads", lambda spec: True)  # they pass for checked
    poisoned = replace(whole, features=features, labels=labels)
    found = []
    for name, data in (("sound", whole), ("bad", poisoned)):
        registry = make_registry(ESZSL, data={"tiny": data})
        tuning = prepared(SMALL, registry)
        _, store, _ = run_inline(tuning.suite.cells, registry, out=tmp_path / name)
        table = trial_rows(tuning, Results(tuning.suite, store))
        assert all(row["harmonic_mean"] for row in table)
        found.append(
            (
                table,
                written_of(tuning, store),
            )
        )
    assert found[0] == found[1]


TWO = """\
name: two
datasets: [tiny, other]
methods:
  - use: eszsl
    label: E
    config: {targets: pm1}
    tune:
      feature_penalty: [0.01, 1000]
      attribute_penalty: [0.001, 10]
  - use: curves
    label: C
    datasets: [other]
    search: random
    trials: 3
    tune: {rate: {low: 0.01, high: 3, log: true}}
  - {use: curves, label: plain, datasets: [tiny]}
seeds: 2
selection: [last, best_test]
"""


def test_the_written_suite_runs_and_the_rule_val_agrees(
    make_data, make_registry, prepared, run_inline, resolve_text
):
    registry = make_registry(ESZSL, CURVES, data={"tiny": make_data(0), "other": make_data(5)})
    tuning = prepared(TWO, registry)
    _, store, _ = run_inline(tuning.suite.cells, registry)
    assert [(s.dataset, s.label, len(s.trials)) for s in tuning.searches] == [
        ("tiny", "E", 4),
        ("other", "E", 4),
        ("other", "C", 3),
    ]
    text = written_of(tuning, store)
    assert text == written_of(tuning, store)
    written = resolve_text(text, registry)
    assert written.name == "two-tuned"
    assert written.selection == ("last", "best_test", "val")
    assert written.warnings == ()
    outcome, _, events = run_inline(written.cells, registry)
    assert outcome.exit_code == 0
    trained = {e.key for e in events if isinstance(e, CellEnded)}
    tuned = {c.key for c in tuning.suite.cells}
    # Of the tuned methods nothing but the real task is trained; `plain` was never on a fold.
    assert {c.fold for c in written.cells if c.key in trained and c.label != "plain"} == {0}
    assert {c.key for c in written.cells if c.fold and c.label != "plain"} <= tuned
    validation = Results(written, store).validation
    for search in tuning.searches:
        best = score(search, Results(tuning.suite, store))[0]
        cells = [
            c for c in written.cells
            if (c.dataset, c.label) == (search.dataset, search.label) and not c.fold
        ]  # fmt: skip
        assert len(cells) == (1 if search.label == "E" else 2)
        for cell in cells:
            config = cell.identity["method"]["config"]
            assert {n: config[n] for n in best.trial.values} == best.trial.values
            choice = validation.choose("val", cell, store.read(cell.key))
            assert choice.number == best.checkpoint
    assert {c.identity["method"]["config"]["targets"] for c in written.cells if c.label == "E"} == {
        "pm1"
    }


def test_the_written_suite_says_where_its_values_come_from(
    make_registry, prepared, run_inline, tiny
):
    registry = make_registry(ESZSL)
    tuning = prepared(SMALL, registry)
    _, store, _ = run_inline(tuning.suite.cells, registry)
    found = chosen(tuning, Results(tuning.suite, store))
    best = found[0][1][0]
    text = tuned_suite(tuning, found, Results(tuning.suite, store))
    assert text.startswith("# Written by `gzsl-bench tune` (gzsl-bench ")
    comments = "\n".join(line for line in text.splitlines() if line.lstrip().startswith("#"))
    assert f"trial {best.trial.number} of 4 (grid), decided 20" in comments
    assert f"validation H {best.mean['harmonic_mean']:.2f} ± " in comments
    assert "at checkpoint 1 over 3 folds, seed 0" in comments
    assert identify(tiny).fingerprint in comments
    for fold in validation_folds(identify(tiny), [1, 2, 3]):
        assert f"{fold.number} derived {fold.content}" in comments
    for cell in best.trial.cells:
        assert cell.key in comments


def test_texts_of_any_kind_survive_writing(make_registry, prepared, run_inline, resolve_text):
    label = 'E: "x" | #1'
    text = f"""\
name: s
description: "one: #1\\n  - two"
datasets: [{{use: tiny, label: a.b}}]
methods:
  - use: eszsl
    label: '{label}'
    preprocessing: l2
    precision: float32
    tune: {{targets: ["01", pm1], feature_penalty: [1.0e-5, 1e-3]}}
"""
    registry = make_registry(ESZSL)
    tuning = prepared(text, registry)
    _, store, _ = run_inline(tuning.suite.cells, registry)
    written = resolve_text(
        written_of(tuning, store),
        registry,
    )
    assert written.description == "one: #1\n  - two"
    assert {(c.dataset, c.label) for c in written.cells} == {("a.b", label)}
    assert {c.identity["preprocessing"] for c in written.cells} == {"l2"}
    best = score(tuning.searches[0], Results(tuning.suite, store))[0].trial
    assert {c.key for c in written.cells if c.fold} == {c.key for c in best.cells}


def test_a_leak_beside_it_keeps_val_out(make_registry, prepared, run_inline, resolve_text):
    leak = "  - {use: curves, preprocessing: minmax_refit_on_test}\n"
    registry = make_registry(ESZSL, CURVES)
    tuning = prepared(SMALL + leak, registry)
    _, store, _ = run_inline(tuning.suite.cells, registry)
    written = resolve_text(
        written_of(tuning, store),
        registry,
    )
    assert written.selection == ("last",)
    assert {c.label for c in written.cells} == {"eszsl", "curves"}


def test_the_best_checkpoint_of_all_folds_counts(make_registry, prepared, run_inline):
    text = "name: s\ndatasets: [tiny]\nmethods: [{use: curves, tune: {rate: [2, 3]}}]\n"
    registry = make_registry(CURVES)
    tuning = prepared(text + "val_seeds: 2\n", registry)
    _, store, _ = run_inline(tuning.suite.cells, registry)
    for found in score(tuning.searches[0], Results(tuning.suite, store)):
        rows = [store.read(c.key).checkpoints for c in found.trial.cells]
        assert len(rows) == len(found.folds) == 6
        means = {
            n: np.mean([r.metrics["harmonic_mean"] for each in rows for r in each
                        if r.number == n])
            for n in (10, 20, 30)
        }  # fmt: skip
        assert found.mean["harmonic_mean"] == pytest.approx(max(means.values()))
        assert found.checkpoint == max(means, key=means.__getitem__)
    assert score(tuning.searches[0], Results(tuning.suite, store))[0].checkpoint == 20


def test_stackable_fields_are_tried_in_one_unit(make_registry, prepared, run_inline, tmp_path):
    text = """\
name: s
datasets: [tiny]
methods: [{use: curves, tune: {rate: [0, 0.5, 1, 2], shape: [1, 2]}}]
"""
    registry = make_registry(CURVES)
    cells = prepared(text, registry).suite.cells
    units = plan(cells, registry, 32)
    assert sorted(len(unit.cells) for unit in units) == [4] * 6
    for unit in units:
        configs = [cell.identity["method"]["config"] for cell in unit.cells]
        assert len({c["rate"] for c in configs}) == 4
        assert len({c["shape"] for c in configs}) == 1
        assert len({cell.fold for cell in unit.cells}) == 1
    assert {len(unit.cells) for unit in plan(cells, registry, 1)} == {1}
    # Together or alone, the same numbers.
    tables = []
    for stack in (1, 32):
        tuning = prepared(text, registry)
        _, store, _ = run_inline(tuning.suite.cells, registry, stack, tmp_path / str(stack))
        tables.append(trial_rows(tuning, Results(tuning.suite, store)))
    assert tables[0] == tables[1]


def test_combinations_that_the_configuration_refuses_are_left_out(
    make_registry, prepared, run_inline
):
    class Ordered(Knobs):
        def model_post_init(self, context):
            if self.low > self.high:
                raise ValueError("low must not be larger than high")

    class Picky(Curves):
        Config = Ordered

    registry = make_registry(replace(CURVES, factory=Picky))
    text = (
        "name: s\ndatasets: [tiny]\nmethods: [{use: curves, tune: {low: [0, 7], high: [5, 9]}}]\n"
    )
    tuning = prepared(text, registry)
    (search,) = tuning.searches
    assert [tuple(t.values.values()) for t in search.trials] == [(0, 5), (0, 9), (7, 9)]
    assert search.refused == 1
    _, store, _ = run_inline(tuning.suite.cells, registry)
    assert "1 combination that the configuration refuses" in render_trials(
        trial_rows(tuning, Results(tuning.suite, store))
    )
    with pytest.raises(SuiteError, match=r"3: no candidate can be used: .*low must not be larger"):
        prepared(text.replace("[0, 7]", "[11, 12]"), registry)


def test_failed_trials_are_no_candidates(make_registry, prepared, run_inline):
    text = "name: s\ndatasets: [tiny]\nmethods: [{use: curves, tune: {fail: [true, false]}}]\n"
    registry = make_registry(CURVES)
    tuning = prepared(text, registry)
    outcome, store, _ = run_inline(tuning.suite.cells, registry)
    assert outcome.exit_code == 1
    ((_, scores),) = chosen(tuning, Results(tuning.suite, store))
    assert [s.trial.values["fail"] for s in scores] == [False, True]
    assert "made to fail" in scores[1].reason
    assert "1 trial without a number; trial 1: fold 1 failed: " in render_trials(
        trial_rows(tuning, Results(tuning.suite, store))
    )
    text = written_of(tuning, store)
    assert "trial 2 of 2 (grid, 1 without a number)" in text
    # With no number at all there is no choice.
    tuning = prepared(
        "name: s\ndatasets: [tiny]\nmethods: [{use: curves, tune: {fail: [true]}}]\n", registry
    )
    assert chosen(tuning, Results(tuning.suite, store)) is None


def test_a_part_of_a_suite(make_data, make_registry, prepared, run_inline, resolve_text):
    registry = make_registry(ESZSL, CURVES, data={"tiny": make_data(0), "other": make_data(5)})
    only = Filter(frozenset({"other"}), frozenset({"E", "plain"}))
    tuning = prepared(TWO, registry, only)
    assert [(s.dataset, s.label) for s in tuning.searches] == [("other", "E")]
    _, store, _ = run_inline(tuning.suite.cells, registry)
    written = resolve_text(
        written_of(tuning, store),
        registry,
    )
    # `plain` runs on the data set that was left out.
    assert {(c.dataset, c.label) for c in written.cells} == {("other", "E")}
    with pytest.raises(SuiteError, match="unknown method of this suite 'X'"):
        prepared(TWO, registry, Filter(methods=frozenset({"X"})))
    with pytest.raises(SuiteError, match="nothing here is to be tuned; give a method"):
        prepared(TWO, registry, Filter(methods=frozenset({"plain"})))


def test_data_sets_of_one_name_are_refused(make_registry, prepared):
    text = SMALL.replace("[tiny]", "[tiny, {use: tiny, features: more}]")
    with pytest.raises(SuiteError, match=r":2: two data sets are called 'tiny'"):
        prepared(text, make_registry(ESZSL))


def test_too_few_candidates_are_said(make_registry, prepared):
    text = """\
name: s
datasets: [tiny]
methods: [{use: curves, search: random, trials: 9, tune: {shape: {low: 1, high: 3}}}]
"""
    tuning = prepared(text, make_registry(CURVES))
    assert len(tuning.searches[0].trials) == 3
    assert tuning.suite.warnings == (
        "curves: the search space has 3 different candidates, fewer than the 9 trials asked for",
    )


def test_values_at_the_end_of_their_list_are_pointed_out(make_registry, prepared, run_inline):
    text = "name: s\ndatasets: [tiny]\nmethods: [{use: curves, tune: {rate: [0, 1, 3]}}]\n"
    registry = make_registry(CURVES)
    tuning = prepared(text, registry)
    _, store, _ = run_inline(tuning.suite.cells, registry)
    # Checkpoint 20 has no noise whatever the rate: the first of equals is chosen.
    (line,) = edges(chosen(tuning, Results(tuning.suite, store)))
    assert (
        line
        == "tiny · curves: rate 0 is the smallest value of its list; better ones may lie beyond"
    )


def test_exact_ties_are_said_on_the_terminal_and_in_the_written_suite(
    make_registry, prepared, run_inline
):
    text = "name: s\ndatasets: [tiny]\nmethods: [{use: curves, tune: {rate: [0, 1, 3]}}]\n"
    registry = make_registry(CURVES)
    tuning = prepared(text, registry)
    _, store, _ = run_inline(tuning.suite.cells, registry)
    found = chosen(tuning, Results(tuning.suite, store))
    said = "trial 1 ties exactly with trials 2, 3, which the folds do not tell from it; it is"
    (line,) = ties(found)
    assert line.startswith(f"tiny · curves: {said}")
    assert f"#   {said} chosen because it was listed" in written_of(tuning, store)
    ((search, scores),) = found
    alone = [scores[0], replace(scores[1], mean={**scores[1].mean, "harmonic_mean": 0.0})]
    assert ties([(search, alone)]) == []


def test_the_table_shows_the_twenty_best(make_registry, prepared, run_inline):
    registry = make_registry(ESZSL)
    tuning = prepared(SMALL, registry)
    _, store, _ = run_inline(tuning.suite.cells, registry)
    table = trial_rows(tuning, Results(tuning.suite, store))
    assert len(table) == 4
    h = [row["harmonic_mean"]["mean"] for row in table]
    assert h == sorted(h, reverse=True)
    many = [{**row, "trial": 4 * i + row["trial"]} for i in range(6) for row in table]
    lines = render_trials(many).splitlines()
    assert sum(line.startswith("| tiny ") for line in lines) == 20
    assert lines[22] == "4 more of 24 trials: --format json."
    assert json.loads(render_trials(many, "json")) == many


def test_a_method_of_one_run_can_be_tuned_too(make_registry, prepared, run_inline):
    class Single(Method):
        Config = Knobs

        def fit(self, task, run):
            return lambda v: torch.zeros(len(v), task.num_classes, dtype=torch.float64)

    registry = make_registry(replace(CURVES, factory=Single))
    text = "name: s\ndatasets: [tiny]\nmethods: [{use: curves, tune: {rate: [1, 2]}}]\n"
    tuning = prepared(text, registry)
    _, store, _ = run_inline(tuning.suite.cells, registry, 32)
    assert [s.trial.number for s in score(tuning.searches[0], Results(tuning.suite, store))] == [
        1,
        2,
    ]
