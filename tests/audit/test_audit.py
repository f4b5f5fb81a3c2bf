"""Planted cheats fail the audit, each for its own reason; honest methods pass."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from gzsl_bench.data.gzsl import RegionMaps
from gzsl_bench.engine.audit import judge as audits
from gzsl_bench.engine.audit.judge import RunSpec, Setup, audit, audit_runs
from gzsl_bench.engine.audit.observe import Shown, TracingSink, observe
from gzsl_bench.engine.audit.watch import Guard
from gzsl_bench.hooks.manager import load_plugins
from gzsl_bench.hooks.run import Run, Scorer
from gzsl_bench.hooks.task import Task


@pytest.fixture
def data(make_data):
    """Large enough that halves of the test rows have statistics much like the whole."""
    return make_data(rows=40)


def names(report):
    return [finding.name for finding in report.findings]


@pytest.mark.parametrize("name", ["honest", "shared", "opens", "reseeds"])
def test_honest_methods_pass(cheats, data, name):
    report = audit(cheats.SPECS[name], {}, data)
    assert report.outcome == "ok", report
    assert report.reason == ""
    # Nothing had to be told apart: two trainings, and the same scores.
    assert list(report.trainings) == ["original", "twin"]
    assert report.trainings["original"]["scores"] == report.trainings["twin"]["scores"]
    assert report.trainings["twin"]["checkpoints"] == 3
    assert report.trainings["twin"]["alone"] < 1e-9


FAILURES = {
    "learner": (audits.LEARNS, r"changes its last scores \(\d+ of 116 predictions\)"),
    "running": (audits.LEARNS, "changes its last scores"),
    "adapts_once": (audits.LEARNS, "changes its last scores"),
    "logs": (audits.LEARNS, "changes its logged values of confidence$"),
    "stops_early": (audits.LEARNS, "changes its checkpoints: 1 instead of 3"),
    "particular": (audits.LEARNS, "shown noise, it fails: ValueError: these are no features"),
    "keeps_state": (audits.STATE, r"two identical runs of seed 0 differ.* gz_cheats\.MEMORY$"),
    "keeps_state_alone": (audits.STATE, r"training changes gz_cheats\.MEMORY$"),
    "torch_global": (audits.RANDOM, r"global random state of torch instead of run\.generator"),
    "numpy_global": (audits.RANDOM, r"global random state of numpy\.random instead"),
    "python_global": (audits.RANDOM, r"global random state of random instead"),
    "unseeded": (audits.CHANCE, "with the same global random state too"),
    "stale": (audits.STALE, "outdated embedding"),
    "centres": (audits.PEEKS, "scores of a row depend on the other rows"),
    "fixed_size": (audits.PEEKS, "cannot score half of the test rows"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_planted_cheats_fail_with_their_reason(cheats, data, name):
    wanted, reason = FAILURES[name]
    report = audit(cheats.SPECS[name], {}, data)
    assert report.outcome == "failed"
    assert names(report) == [wanted], report.reason
    assert re.search(reason, report.reason), report.reason


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("maps", None),
        ("map_learner", audits.LEARNS),
        ("map_centres", audits.PEEKS),
        ("map_opens", audits.FILES),
    ],
)
def test_cheats_on_region_maps_fail_as_those_on_features_do(cheats, data, tmp_path, name, finding):
    path = tmp_path / "maps.npy"
    maps = data.features[:, None] + np.random.default_rng(0).standard_normal((1, 4, 1))
    np.save(path, maps.astype(np.float16))
    mapped = replace(data, regions=RegionMaps("grid", np.load(path, mmap_mode="r")))
    report = audit(cheats.ON_MAPS[name], {}, mapped, guard=Guard.of([], [str(path)]))
    assert names(report) == ([] if finding is None else [finding]), report.reason


def test_the_same_method_without_its_cheat_passes(cheats, data):
    assert audit(cheats.SPECS["learner"], {"cheat": False}, data).outcome == "ok"
    assert audit(cheats.SPECS["learner"], {"cheat": True}, data).outcome == "failed"
    # With a single checkpoint there is no later training to profit: but the weights have moved.
    assert audit(cheats.SPECS["learner"], {"steps": 1}, data).outcome == "ok"


def test_using_a_global_state_without_consequence_is_a_note(cheats, data):
    report = audit(cheats.SPECS["reseeds"], {}, data)
    assert report.outcome == "ok"
    assert any("moves the global random state of torch" in note for note in report.notes)
    assert not audit(cheats.SPECS["honest"], {}, data).notes


def test_a_clock_among_the_curves_is_no_fault(cheats, data):
    report = audit(cheats.SPECS["clock"], {}, data)
    assert report.outcome == "ok", report
    assert report.notes == ("two identical runs log other values of seconds",)


def test_the_audit_itself_leaves_global_states_alone(cheats, data):
    before = torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"].copy()
    audit(cheats.SPECS["learner"], {}, data)
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state(legacy=False)["state"]["key"])


def test_a_method_that_fails_is_not_audited(cheats, data):
    class Broken(cheats.Base):
        def step(self, step):
            raise RuntimeError("no luck")

    spec = cheats.MethodSpec("broken", Broken, citation="", fidelity="paper")
    report = audit(spec, {}, data)
    assert report.outcome == "not audited"
    assert report.reason == "trained once more, it fails: RuntimeError: no luck"
    assert list(report.trainings) == ["original"]


def test_a_transductive_method_may_look_at_other_rows(cheats, data):
    spec = replace(cheats.SPECS["centres"], setting="transductive")
    assert audit(spec, {}, data).outcome == "ok"


# Files -------------------------------------------------------------------------------------------


def test_a_guarded_file_must_not_be_opened(cheats, data, tmp_path):
    secret = tmp_path / "data" / "CUB" / "res101.mat"
    secret.parent.mkdir(parents=True)
    secret.write_bytes(b"labels")
    config = {"file": str(secret)}
    guard = Guard.of([secret.parent])
    report = audit(cheats.SPECS["opens"], config, data, guard=guard)
    assert names(report) == [audits.FILES]
    assert report.reason == f"while it trains it opens {secret}, where test data lie"
    # By its real path: a link does not hide it, nor does another folder look like it.
    link = tmp_path / "link"
    link.symlink_to(secret)
    report = audit(cheats.SPECS["opens"], {"file": str(link)}, data, guard=guard)
    assert names(report) == [audits.FILES]
    other = tmp_path / "data" / "CUB2"
    other.write_bytes(b"")
    assert audit(cheats.SPECS["opens"], {"file": str(other)}, data, guard=guard).outcome == "ok"
    assert audit(cheats.SPECS["opens"], {}, data, guard=guard).outcome == "ok"


# Companies ---------------------------------------------------------------------------------------


def small_task(make_data):
    data = make_data()
    task = Task(
        features=torch.tensor(data.features[data.trainval]),
        labels=torch.tensor(data.labels[data.trainval]),
        attributes=torch.tensor(data.attributes, dtype=torch.float32),
        seen=torch.tensor(data.seen),
        unseen=torch.tensor(data.unseen),
    )
    tests = np.concatenate([data.test_seen, data.test_unseen])
    return task, torch.tensor(data.features[tests])


def test_in_a_company_each_run_is_judged_by_itself(cheats, make_data):
    task, tests = small_task(make_data)
    shares = (0.0, 0.5, 0.0)
    specs = [RunSpec(seed, cheats.Settings(share=s)) for seed, s in enumerate(shares)]
    reports = audit_runs(cheats.SPECS["together"], Setup.of(task, tests, 0), specs)
    assert [report.outcome for report in reports] == ["ok", "failed", "ok"]
    assert names(reports[1]) == [audits.LEARNS]


# What scorers are shown --------------------------------------------------------------------------


def test_noise_has_the_shape_of_the_test_rows_and_the_range_of_the_training_rows(make_data):
    task, tests = small_task(make_data)
    setup = Setup.of(task, tests, seed=3)
    assert setup.noise.shape == tests.shape
    assert setup.noise.dtype == tests.dtype
    low, high = task.features.amin(0), task.features.amax(0)
    assert bool((setup.noise >= low).all())
    assert bool((setup.noise <= high).all())
    # Uniform over that range: mean (a + b) / 2 with standard error (b - a) / sqrt(12 n).
    error = (setup.noise.mean(0) - (low + high) / 2).abs() / (high - low)
    assert float(error.max()) < 4 / (12 * len(tests)) ** 0.5
    assert torch.equal(setup.noise, Setup.of(task, tests, seed=3).noise)
    assert not torch.equal(setup.noise, Setup.of(task, tests, seed=4).noise)


@pytest.mark.parametrize("two_parts", [False, True])
def test_who_is_shown_what(make_data, two_parts):
    task, tests = small_task(make_data)
    setup = Setup.of(task, tests, seed=0)
    shown = []

    def look(x):
        if torch.equal(x, setup.noise):
            shown.append("noise")
        elif len(x) < len(tests):
            shown.append("half")
        else:
            same = sorted(map(tuple, x.tolist())) == sorted(map(tuple, tests.tolist()))
            shown.append("truth" if same else "?")
        return x

    def score(x):
        return torch.zeros(len(x), 7)

    def go(what, final):
        shown.clear()
        sink = TracingSink(setup, 0, what, final, lambda done, total: None, lambda: None)
        run = Run(0, torch.device("cpu"), None, sink)
        for number in (2, 5, 9):
            run.checkpoint(number, Scorer(look, score) if two_parts else lambda x: score(look(x)))
        return list(shown)

    if two_parts:  # one embedding for each kind of rows
        assert go(Shown.TRUTH, None) == ["truth"]
        assert go(Shown.NOISE, 9) == ["noise", "truth", "half"]
        assert go(Shown.TRUTH_ANEW, 9) == ["truth", "truth"]
    else:
        assert go(Shown.TRUTH, None) == ["truth"] * 3
        assert go(Shown.NOISE, 9) == ["noise"] * 3 + ["truth", "half"]
        assert go(Shown.NOISE, 5) == ["noise", "noise", "truth", "half", "noise"]


def test_a_training_is_observed_bit_for_bit(cheats, make_data):
    task, tests = small_task(make_data)
    setup = Setup.of(task, tests, 0)

    def train(seed, **config):
        specs = [RunSpec(seed, cheats.Settings(**config))]
        return observe(cheats.Honest, setup, specs)[0]

    assert train(0).equals(train(0))
    assert not train(0).equals(train(1))
    assert not train(0).equals(train(0, steps=2))
    one, other = train(0), train(0)
    other.scores = torch.nextafter(other.scores, other.scores + 1)
    assert not one.equals(other)  # the smallest step there is


# Shipped methods ---------------------------------------------------------------------------------

SHIPPED = {
    "eszsl": {},
    "cada_vae": {"epochs": 1, "classifier_epochs": 3},
    "acmr": {"epochs": 1, "classifier_epochs": 3},
}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_methods_pass(name):
    from gzsl_bench.builtin.digits import load
    from gzsl_bench.hooks.dataset import DatasetRequest

    registry = load_plugins()
    if name not in registry.methods:
        pytest.skip(f"the plugin {name} is not installed")
    digits = load(DatasetRequest("digits", None, "pixels", "strokes", None))
    report = audit(registry.methods[name], SHIPPED[name], digits)
    assert report.outcome == "ok", report
    assert report.trainings["twin"]["alone"] < 1e-4
