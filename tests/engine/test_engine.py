"""The engine with tiny methods: what is recorded, what fails, and what a method gets to see."""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import json
import signal
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import torch
from filelock import FileLock, Timeout

from gzsl_bench import (
    BatchedMethod,
    Config,
    Method,
    MethodSpec,
    NotApplicable,
    Predictions,
    Scorer,
    stackable,
)
from gzsl_bench.engine.events import CellEnded, Progress, UnitEnded, UnitStarted
from gzsl_bench.engine.units import plan
from gzsl_bench.errors import RecordError
from gzsl_bench.executors.run import hold
from gzsl_bench.hooks.run import Run
from gzsl_bench.report.notes import notes, remarks, short_protocol
from gzsl_bench.report.table import render
from gzsl_bench.results.rows import rows
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.evaluate import evaluate
from gzsl_bench.terminal.progress import View


class Knobs(Config):
    steps: int = 3
    noise: float = stackable(0.5, "size of the noise")


def noisy_scorer(task, run, step):
    """Nearest class embedding after a ridge regression with noise that shrinks and grows."""
    size = run.config.noise * abs(step - 2)
    x, y = task.features.double(), task.attributes[task.labels].double()
    weights = torch.linalg.solve(x.T @ x + torch.eye(x.shape[1]), x.T @ y)
    draw = torch.randn(weights.shape, generator=run.generator(f"noise {step}")).double()
    weights = weights + size * draw
    return Scorer(
        lambda v: v.double() @ weights,
        lambda e: -torch.cdist(e, task.attributes.double()),
    )


class Noisy(Method):
    Config = Knobs

    def fit(self, task, run):
        for step in range(1, self.config.steps + 1):
            run.log(step, loss=1 / step, odd=float("nan") if step == 2 else 1.0)
            run.checkpoint(step * 10, noisy_scorer(task, run, step))
            run.progress(step, self.config.steps)


class Together(BatchedMethod):
    Config = Knobs
    companies: list[list[tuple[int, float]]] = []  # noqa: RUF012  who trained with whom

    def fit_batch(self, task, runs):
        self.companies.append([(run.seed, run.config.noise) for run in runs])
        for run in runs:
            if run.seed == 13:
                run.fail("the loss is NaN at step 1")
                continue
            for step in range(1, run.config.steps + 1):
                run.checkpoint(step * 10, noisy_scorer(task, run, step))


NOISY = MethodSpec("noisy", Noisy, citation="", fidelity="paper", preprocessing="minmax")
TOGETHER = MethodSpec("together", Together, citation="", fidelity="paper", preprocessing="minmax")


def suite_text(*methods: str, seeds="[0]") -> str:
    return f"name: s\ndatasets: [tiny]\nmethods: [{', '.join(methods)}]\nseeds: {seeds}\n"


@pytest.fixture(autouse=True)
def _fresh():
    Together.companies.clear()


def ten_lines(data, scores, rows_of):
    """U, S and T1 in loops over classes; ``scores`` in the order of ``rows_of``."""
    labels = data.labels[rows_of]

    def accuracy(classes, among):
        shares = []
        for c in classes:
            mine = [among[int(np.argmax(scores[i][among]))] for i in np.flatnonzero(labels == c)]
            shares.append(sum(guess == c for guess in mine) / len(mine))
        return sum(shares) / len(shares)

    everything = np.arange(data.num_classes)
    u, s = accuracy(data.unseen, everything), accuracy(data.seen, everything)
    return 100 * u, 100 * s, 100 * accuracy(data.unseen, data.unseen)


def test_recorded_metrics_equal_an_independent_scorer(
    tiny, make_registry, resolve_text, run_inline
):
    cells = resolve_text(suite_text("noisy", seeds="2"), make_registry(NOISY)).cells
    outcome, store, _ = run_inline(cells, make_registry(NOISY))
    assert outcome.exit_code == 0
    rows_of = np.concatenate([tiny.test_seen, tiny.test_unseen])
    low = tiny.features[tiny.trainval].min(0).astype(float)
    high = tiny.features[tiny.trainval].max(0).astype(float)
    scaled = ((tiny.features - low) / (high - low)).astype(np.float32)
    task = type("T", (), {})()
    task.features = torch.tensor(scaled[tiny.trainval])
    task.labels = torch.tensor(tiny.labels[tiny.trainval])
    task.attributes = torch.tensor(tiny.attributes, dtype=torch.float32)
    hs = []
    for cell in cells:
        run = Run(cell.seed, torch.device("cpu"), Knobs(), None)
        record = store.read(cell.key)
        assert [c.number for c in record.checkpoints] == [10, 20, 30]
        for step, row in enumerate(record.checkpoints, start=1):
            scores = noisy_scorer(task, run, step)(torch.tensor(scaled[rows_of])).numpy()
            u, s, t1 = ten_lines(tiny, scores, rows_of)
            found = row.metrics
            assert found["acc_unseen"] == pytest.approx(u, abs=1e-9)
            assert found["acc_seen"] == pytest.approx(s, abs=1e-9)
            assert found["zsl_acc"] == pytest.approx(t1, abs=1e-9)
            h = 2 * u * s / (u + s) if u + s else 0
            assert found["harmonic_mean"] == pytest.approx(h, abs=1e-9)
            hs.append(h)
    assert max(hs) > 10  # the data can be learned: zeros would agree with anything


def test_a_record_says_what_it_is(make_registry, resolve_text, run_inline):
    registry = make_registry(NOISY)
    suite = resolve_text(suite_text("noisy"), registry)
    _, store, events = run_inline(suite.cells, registry)
    (cell,) = suite.cells
    record = store.read(cell.key)
    assert record.identity == json.loads(json.dumps(cell.identity))
    assert (record.dataset, record.method, record.seed) == ("tiny", "noisy", 0)
    about = record.provenance
    assert {"python", "torch", "numpy"} <= set(about.versions)
    assert about.hardware["device"] == "cpu"
    assert about.seconds >= 0
    assert about.trained == (cell.key,)
    assert abs((datetime.now(UTC) - about.started).total_seconds()) < 600
    # NaN is no number: the curve has a gap there.
    assert record.curves == {
        "loss": ((1, 1.0), (2, 0.5), (3, 1 / 3)),
        "odd": ((1, 1.0), (3, 1.0)),
    }
    kinds = [type(event) for event in events]
    assert kinds == [UnitStarted, Progress, Progress, Progress, CellEnded, UnitEnded]
    assert [(e.done, e.total) for e in events if isinstance(e, Progress)] == [
        (1, 3),
        (2, 3),
        (3, 3),
    ]


class Astray(Method):
    Config = Knobs

    def fit(self, task, run):
        for step in (1, 2, 3):
            run.log(
                step,
                loss=1.0 if step == 1 else float("nan"),
                once=(1.0, float("inf"), 1.0)[step - 1],
            )
            run.checkpoint(step, noisy_scorer(task, run, step))


def test_a_loss_that_ends_as_nan_though_scores_are_numbers_is_said(
    make_registry, resolve_text, run_inline
):
    registry = make_registry(replace(NOISY, name="astray", factory=Astray))
    suite = resolve_text(suite_text("astray", seeds="2"), registry)
    _, store, _ = run_inline(suite.cells, registry)
    record = store.read(suite.cells[0].key)
    assert record.complete
    assert record.not_finite == {"loss": 2}
    view = View(suite, [], store)
    assert view.result(record.key).endswith("; warning: loss is not finite from step 2 on")
    table = rows(Results(suite, store))
    said = "Logged values that end as NaN or infinite: astray on tiny: loss (seeds 0, 1)."
    assert said in notes(table)
    assert said in remarks(table)
    assert said in short_protocol(table, ["harmonic_mean"])
    assert table[0].to_json()["not_finite"] == "loss (seeds 0, 1)"


def test_predictions_reproduce_every_recorded_metric(make_registry, resolve_text, run_inline):
    registry = make_registry(NOISY)
    cells = resolve_text(suite_text("noisy", seeds="3"), registry).cells
    _, store, _ = run_inline(cells, registry)
    scored = 0
    for cell in cells:
        record = store.read(cell.key)
        arrays = record.predictions()
        assert arrays["checkpoints"].tolist() == [10, 20, 30]
        recorded = record.checkpoints
        assert arrays["scored"].tolist() == [10, 20, 30]
        for index, row in enumerate(recorded):
            kept = np.flatnonzero(arrays["scored"] == row.number)
            found = Predictions(
                arrays["labels"],
                arrays["seen"],
                arrays["unseen"],
                arrays["predicted"][index],
                arrays["predicted_seen"][index],
                arrays["predicted_unseen"][index],
                arrays["best_seen"][kept[0]] if kept.size else None,
                arrays["best_unseen"][kept[0]] if kept.size else None,
            )
            again = evaluate(found, registry.metrics)
            scored += "ausuc" in again
            assert again == {name: row.metrics[name] for name in again}
            assert len(again) >= 4
            if kept.size:
                # The scores and the plain prediction tell the same story.
                seen_wins = found.best_seen > found.best_unseen
                expected = np.where(seen_wins, found.predicted_seen, found.predicted_unseen)
                clear = found.best_seen != found.best_unseen
                np.testing.assert_array_equal(found.predicted[clear], expected[clear])
    assert scored == 9


def test_best_test_is_at_least_last(make_registry, resolve_text, run_inline):
    registry = make_registry(NOISY)
    text = suite_text("noisy", seeds="3") + "selection: [last, best_test]\n"
    suite = resolve_text(text, registry)
    _, store, _ = run_inline(suite.cells, registry)
    table = {row.selection: row for row in rows(Results(suite, store))}
    best = [
        max(c.metrics["harmonic_mean"] for c in store.read(cell.key).checkpoints)
        for cell in suite.cells
    ]
    assert table["best_test"].summary().mean == pytest.approx(np.mean(best))
    assert table["best_test"].summary().sd == pytest.approx(np.std(best, ddof=1))
    # Step 2 has no noise at all, step 3 does.
    assert table["best_test"].summary().mean > table["last"].summary().mean


# Failures ----------------------------------------------------------------------------------------


def failing(name, action):
    class Failing(Method):
        def fit(self, task, run):
            return action(task, run)

    return MethodSpec(name, Failing, citation="", fidelity="paper")


def raise_here(task, run):
    raise ValueError("no inverse,\n  sorry")


def leave(task, run):
    raise SystemExit(4)


FAILURES = {
    "raises": (raise_here, "ValueError: no inverse, sorry", "in raise_here"),
    "exits": (leave, "SystemExit: 4", "in leave"),
    "nothing": (lambda t, r: None, "fit returned no scorer and offered no checkpoint", ""),
    "shape": (lambda t, r: lambda x: x, "scores of shape", ""),
    "nan": (
        lambda t, r: lambda x: torch.full((len(x), t.num_classes), torch.nan),
        "NaN or infinite",
        "",
    ),
    "order": (
        lambda t, r: [r.checkpoint(n, lambda x: x @ torch.zeros(5, 7)) for n in (2, 1)],
        "must increase, but 1 came after 2",
        "",
    ),
    "gives up": (lambda t, r: r.fail("the loss is NaN"), "the loss is NaN", ""),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failing_method_leaves_a_record_and_the_others_run(
    make_registry, resolve_text, run_inline, case
):
    action, cause, where = FAILURES[case]
    registry = make_registry(NOISY, failing("bad", action))
    cells = resolve_text(suite_text("bad", "noisy"), registry).cells
    outcome, store, _ = run_inline(cells, registry)
    assert (outcome.total, outcome.done, outcome.exit_code) == (2, 1, 1)
    bad, good = (store.read(cell.key) for cell in cells)
    assert good.complete
    assert not bad.complete
    assert cause in bad.cause
    assert "\n" not in bad.cause
    assert where in bad.traceback
    assert bad.identity == json.loads(json.dumps(cells[0].identity))
    assert not (bad.path / "predictions.npz").exists()
    assert [r.key for r in outcome.failed] == [bad.key]


def test_a_second_run_tries_failures_alone(make_registry, resolve_text, run_inline):
    calls = []

    def moody(task, run):
        calls.append(run.seed)
        if run.seed == 1 and calls.count(1) == 1:
            raise RuntimeError("not today")
        return lambda x: x @ torch.ones(5, 7)

    registry = make_registry(failing("moody", moody))
    cells = resolve_text(suite_text("moody", seeds="3"), registry).cells
    first, store, _ = run_inline(cells, registry)
    assert (first.exit_code, first.done) == (1, 2)
    before = {p: p.read_bytes() for c in (cells[0], cells[2])
              for p in store.layout.cell(c.key).iterdir()}  # fmt: skip
    second, _, _ = run_inline(cells, registry)
    assert (second.exit_code, second.done, second.failed) == (0, 3, ())
    assert calls == [0, 1, 2, 1]
    assert {p: p.read_bytes() for p in before} == before
    assert "not today" in (store.layout.failed / f"{cells[1].key}-1" / "record.json").read_text()
    third, _, events = run_inline(cells, registry)
    assert third.exit_code == 0
    assert events == []
    assert len(calls) == 4


def test_a_corrupt_record_is_run_again(make_registry, resolve_text, run_inline):
    registry = make_registry(NOISY)
    cells = resolve_text(suite_text("noisy"), registry).cells
    _, store, _ = run_inline(cells, registry)
    path = store.layout.cell(cells[0].key) / "record.json"
    before = json.loads(path.read_text())
    path.write_text(path.read_text()[:100])
    outcome, _, _ = run_inline(cells, registry)
    assert outcome.exit_code == 0
    assert json.loads(path.read_text())["checkpoints"] == before["checkpoints"]


def test_data_that_changed_meanwhile_fail_the_cell(
    make_registry, make_data, resolve_text, run_inline
):
    cells = resolve_text(suite_text("noisy"), make_registry(NOISY)).cells
    whole = make_data()
    reordered = replace(whole, trainval=whole.trainval[::-1].copy())
    for data, what in ((make_data(seed=5), "data"), (reordered, "order of training rows")):
        outcome, _, _ = run_inline(cells, make_registry(NOISY, data={"tiny": data}))
        assert outcome.exit_code == 1
        assert f"the {what} of tiny changed on disk" in outcome.failed[0].cause


# Units and batches -------------------------------------------------------------------------------


def test_grouping(make_registry, make_data, resolve_text, monkeypatch):
    registry = make_registry(NOISY, TOGETHER, data={"tiny": make_data(), "b": make_data(3)})
    text = """\
name: s
datasets: [tiny, b]
methods:
  - together
  - {use: together, label: louder, config: {noise: 0.9}}
  - {use: together, label: longer, config: {steps: 4}}
  - noisy
seeds: 3
"""
    cells = resolve_text(text, registry).cells
    units = plan(cells, registry, 100)
    shape = [[(c.dataset, c.label, c.seed) for c in unit.cells] for unit in units]
    expected = []
    for data in ("tiny", "b"):
        # Other noise may be stacked, another number of steps may not.
        expected.append([(data, label, s) for label in ("together", "louder") for s in range(3)])
        expected.append([(data, "longer", s) for s in range(3)])
        expected += [[(data, "noisy", s)] for s in range(3)]
    assert shape == expected
    assert [len(u.cells) for u in plan(cells, registry, 4)][:2] == [4, 2]
    alone = plan(cells, registry, 1)
    assert all(len(u.cells) == 1 for u in alone)
    assert [u.cells[0].key for u in alone] == [c.key for c in cells]
    assert len({u.name for u in units}) == len(units)
    monkeypatch.setattr(Together, "stacks_on_cpu", True)
    here = [[(c.dataset, c.label, c.seed) for c in u.cells] for u in plan(cells, registry, 1)]
    assert here == expected
    assert plan(cells, registry, 4) == plan(cells, registry, 4)
    # Cells that ask for the same training are trained once.
    twice = text.replace("label: louder, config: {noise: 0.9}", "label: louder")
    again = resolve_text(twice, registry).cells
    planned = [c.key for u in plan(again, registry, 100) for c in u.cells]
    assert sorted(planned) == sorted({c.key for c in again})


def test_runs_trained_together_equal_runs_trained_alone(
    tmp_path, make_registry, resolve_text, run_inline
):
    registry = make_registry(TOGETHER)
    cells = resolve_text(suite_text("together", seeds="4"), registry).cells
    _, one, _ = run_inline(cells, registry, stack=10, out=tmp_path / "one")
    assert Together.companies == [[(s, 0.5) for s in range(4)]]
    _, other, _ = run_inline(cells, registry, stack=1, out=tmp_path / "other")
    assert len(Together.companies) == 5
    for cell in cells:
        left, right = one.read(cell.key), other.read(cell.key)
        assert left.checkpoints == right.checkpoints
        for name, array in left.predictions().items():
            np.testing.assert_array_equal(array, right.predictions()[name])


def test_a_lost_run_leaves_its_neighbours(make_registry, resolve_text, run_inline):
    registry = make_registry(TOGETHER)
    cells = resolve_text(suite_text("together", seeds="[1, 13, 2]"), registry).cells
    outcome, store, _ = run_inline(cells, registry, stack=10)
    assert Together.companies == [[(1, 0.5), (13, 0.5), (2, 0.5)]]
    assert (outcome.done, outcome.exit_code) == (2, 1)
    assert store.read(cells[1].key).cause == "the loss is NaN at step 1"
    # The next try trains the lost one alone.
    run_inline(cells, registry, stack=10)
    assert Together.companies[1:] == [[(13, 0.5)]]


def batched(name, action):
    class Batched(BatchedMethod):
        def fit_batch(self, task, runs):
            return action(task, runs)

    return MethodSpec(name, Batched, citation="", fidelity="paper")


def zeros(x):
    return torch.zeros(len(x), 7)


def test_scorers_that_are_returned_belong_to_their_runs(make_registry, resolve_text, run_inline):
    def action(task, runs):
        return [
            lambda x, s=run.seed: torch.nn.functional.one_hot(torch.full((len(x),), s), 7).float()
            for run in runs
        ]

    registry = make_registry(batched("b", action))
    cells = resolve_text(suite_text("b", seeds="3"), registry).cells
    _, store, _ = run_inline(cells, registry, stack=10)
    for cell in cells:
        assert set(store.read(cell.key).predictions()["predicted"].ravel()) == {cell.seed}


def test_bad_scores_of_one_run_leave_its_neighbours(make_registry, resolve_text, run_inline):
    """A run may not depend on who trains beside it: one that diverges fails alone."""

    def action(task, runs):
        for number in (1, 2):
            for run in runs:
                bad = run.seed == 1 and number == 2
                run.checkpoint(number, (lambda x: zeros(x) / 0) if bad else zeros)

    registry = make_registry(batched("b", action))
    cells = resolve_text(suite_text("b", seeds="3"), registry).cells
    outcome, store, _ = run_inline(cells, registry, stack=10)
    assert [store.read(c.key).complete for c in cells] == [True, False, True]
    assert "NaN" in outcome.failed[0].cause


def test_too_few_scorers_fail_the_unit(make_registry, resolve_text, run_inline):
    registry = make_registry(batched("b", lambda task, runs: [zeros]))
    cells = resolve_text(suite_text("b", seeds="3"), registry).cells
    outcome, _, _ = run_inline(cells, registry, stack=10)
    assert len(outcome.failed) == 3
    assert "fit_batch gave 1 scorers for 3 runs" in outcome.failed[0].cause


def test_a_crash_keeps_the_reason_of_a_run_given_up_before(make_registry, resolve_text, run_inline):
    def action(task, runs):
        runs[0].fail("its loss was NaN")
        raise RuntimeError("then all broke")

    registry = make_registry(batched("b", action))
    cells = resolve_text(suite_text("b", seeds="2"), registry).cells
    outcome, _, _ = run_inline(cells, registry, stack=10)
    causes = [record.cause for record in outcome.failed]
    assert causes == ["its loss was NaN", "RuntimeError: then all broke"]


# What a method sees ------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", ["inductive", "transductive"])
def test_a_method_sees_training_rows_and_embeddings_alone(
    tiny, make_registry, resolve_text, run_inline, setting
):
    seen = []

    def look(task, run):
        seen.append((task, run))
        return lambda x: seen.append(x) or torch.zeros(len(x), 7)

    spec = dataclasses.replace(failing("spy", look), setting=setting)
    registry = make_registry(spec)
    outcome, _, _ = run_inline(resolve_text(suite_text("spy"), registry).cells, registry)
    assert outcome.exit_code == 0
    task, run = seen[0]
    extras = ("regions", "second", "words", "groups", "class_names")
    assert {f.name for f in dataclasses.fields(task)} == {
        "features", "labels", "attributes", "seen", "unseen", "unlabelled", "_shared", *extras,
    }  # fmt: skip
    assert [getattr(task, name) for name in extras] == [None] * 5  # it asks for none of them
    assert task._shared == {}
    np.testing.assert_array_equal(task.features.numpy(), tiny.features[tiny.trainval])
    np.testing.assert_array_equal(task.labels.numpy(), tiny.labels[tiny.trainval])
    np.testing.assert_array_equal(task.attributes.numpy(), tiny.attributes.astype(np.float32))
    assert (task.seen.tolist(), task.unseen.tolist()) == ([0, 2, 3, 5, 6], [1, 4])
    public = {name for name in vars(run) if not name.startswith("_")}
    assert public == {"seed", "device", "config", "failure", "precision"}
    tests = tiny.features[np.concatenate([tiny.test_seen, tiny.test_unseen])]
    assert len(seen) == 2  # one call for both parts
    for given in [seen[1]] + ([task.unlabelled] if setting == "transductive" else []):
        rows_given = [tuple(row) for row in given.tolist()]
        assert sorted(rows_given) == sorted(map(tuple, tests.tolist()))
        assert rows_given != [tuple(row) for row in tests.tolist()]
    if setting == "inductive":
        assert task.unlabelled is None
    else:
        # The order of the unlabelled rows says nothing about that of the scored ones.
        assert not torch.equal(task.unlabelled, seen[1])


def test_what_a_method_does_to_its_task_does_not_reach_the_next_cell(
    tiny, make_registry, resolve_text, run_inline
):
    sums = []

    def spoil(task, run):
        sums.append((task.features.sum().item(), task.labels.sum().item()))
        task.features.zero_()
        task.labels.zero_()
        return zeros

    registry = make_registry(failing("spoil", spoil))
    run_inline(resolve_text(suite_text("spoil", seeds="2"), registry).cells, registry)
    assert sums[0] == sums[1]


# The folder --------------------------------------------------------------------------------------


def test_runs_share_a_folder_but_not_with_an_older_version(tmp_path, monkeypatch):
    out = tmp_path / "out"
    with hold(out) as one, hold(out) as two:
        assert one.shared
        assert two.shared
        assert one.run != two.run
        # What versions before this one did: hold the file exclusively or not at all.
        with pytest.raises(Timeout):
            FileLock(one.layout.lock).acquire(timeout=0)
    assert not list(one.layout.runs.iterdir())
    monkeypatch.setattr("gzsl_bench.records.folderlock.PATIENCE", 0.1)
    with (
        FileLock(out / ".lock"),
        pytest.raises(RecordError, match="a run of an older version"),
        hold(out),
    ):
        pass
    with hold(out) as store:
        assert not store.shared


def test_a_folder_that_cannot_be_made_gets_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="cannot be written"), hold(tmp_path / "file" / "out"):
        pass


def test_drafts_of_a_killed_run_are_swept_and_those_of_others_are_not(tmp_path):
    older = tmp_path / "out" / "tmp" / "abc-1"
    older.mkdir(parents=True)
    with hold(tmp_path / "out") as one:
        assert not older.exists()
        ours = one.layout.draft(one.run, "abc")
        ours.mkdir(parents=True)
        with hold(tmp_path / "out"):
            assert ours.exists()
        assert ours.exists()
    assert not ours.exists()


def test_ctrl_c_inline_is_an_interruption(make_registry, resolve_text, run_inline):
    def stop(task, run):
        for _ in range(2 * (run.seed == 1)):  # the first one is counted, the second one raised
            signal.raise_signal(signal.SIGINT)
        return zeros

    registry = make_registry(failing("stop", stop))
    cells = resolve_text(suite_text("stop", seeds="3"), registry).cells
    outcome, store, _ = run_inline(cells, registry)
    assert (outcome.exit_code, outcome.done) == (130, 1)
    assert store.read(cells[1].key) is None


# What is no failure, and what is shared -----------------------------------------------------------


def test_a_method_that_does_not_apply_is_no_failure_and_is_not_tried_again(
    make_registry, resolve_text, run_inline
):
    calls = []

    def refuse(task, run):
        calls.append(run.seed)
        raise NotApplicable("the class embedding is not binary")

    registry = make_registry(NOISY, failing("dap", refuse))
    suite = resolve_text(suite_text("dap", "noisy", seeds="2"), registry)
    outcome, store, _ = run_inline(suite.cells, registry)
    assert (outcome.exit_code, outcome.done, outcome.failed) == (0, 4, ())
    record = store.read(suite.cells[0].key)
    assert (record.complete, record.not_applicable, record.final) == (False, True, True)
    assert record.cause == "the class embedding is not binary"
    run_inline(suite.cells, registry)
    assert calls == [0, 1]
    table = rows(Results(suite, store))
    (row,) = [row for row in table if row.label == "dap"]
    assert list(row.seeds) == []
    assert row.metrics["harmonic_mean"] is None
    text = render(table)
    assert "dap on tiny: not applicable: the class embedding is not binary." in text
    assert Results(suite, store).missing() == ([], [])


def test_a_refusal_after_a_checkpoint_is_a_failure(make_registry, resolve_text, run_inline):
    def late(task, run):
        run.checkpoint(1, lambda x: x @ torch.ones(5, 7))
        raise NotApplicable("changed my mind")

    registry = make_registry(failing("late", late))
    cells = resolve_text(suite_text("late"), registry).cells
    outcome, store, _ = run_inline(cells, registry)
    assert outcome.exit_code == 1
    assert store.read(cells[0].key).status == "failed"


MADE = []


def gram(task):
    MADE.append(task)
    return task.features.T @ task.features


def test_shared_work_is_done_once_for_runs_that_are_trained_together(
    make_registry, resolve_text, run_inline
):
    class Together(BatchedMethod):
        def fit_batch(self, task, runs):
            made = [task.shared(gram)[:, :1].expand(-1, 7) for _ in runs]
            return [lambda x, w=w: x @ w for w in made]

    MADE.clear()
    spec = MethodSpec("together", Together, citation="tests", fidelity="approximation")
    registry = make_registry(spec)
    cells = resolve_text(suite_text("together", seeds="3"), registry).cells
    outcome, _, _ = run_inline(cells, registry, stack=3)
    assert outcome.exit_code == 0
    assert len(MADE) == 1


def test_changing_shared_work_fails_and_is_undone(make_registry, resolve_text, run_inline):
    seen = []

    def spoil(task, run):
        found = task.shared(gram)
        seen.append(found.clone())
        found.zero_()
        return lambda x: x @ torch.ones(5, 7)

    registry = make_registry(failing("spoil", spoil))
    cells = resolve_text(suite_text("spoil", seeds="2"), registry).cells
    outcome, store, _ = run_inline(cells, registry)
    assert outcome.exit_code == 1
    assert "what task.shared(gram) gave" in store.read(cells[0].key).cause
    assert torch.equal(seen[0], seen[1])
    assert seen[0].abs().sum() > 0


def test_only_a_module_function_can_be_shared(make_registry, resolve_text, run_inline):
    registry = make_registry(failing("l", lambda t, r: t.shared(lambda task: 1)))
    cells = resolve_text(suite_text("l"), registry).cells
    _, store, _ = run_inline(cells, registry)
    assert "takes a function at the top of a module" in store.read(cells[0].key).cause


def test_peak_memory_is_that_of_the_cell(make_registry, resolve_text, run_inline):
    """A process that has held much before, and does not any more, has not held it for the cell."""

    def greedy(task, run):
        held = torch.ones(400 << 18)  # 400 MiB
        return lambda x: x @ torch.ones(5, 7) * held.mean()

    registry = make_registry(
        failing("greedy", greedy), failing("modest", lambda t, r: lambda x: x @ torch.ones(5, 7))
    )
    cells = resolve_text(suite_text("greedy", "modest"), registry).cells
    for cell in cells:
        # What tests before it have freed, and this process keeps, would be taken again unseen.
        ctypes.CDLL(None).malloc_trim(0)
        _, store, _ = run_inline((cell,), registry)
        gc.collect()  # what a cell leaves in cycles is held by this process until somebody looks
    peaks = [store.read(cell.key).provenance.peak_memory for cell in cells]
    assert peaks[0] - peaks[1] > 200 << 20
