"""Planted faults fail the check they belong to and no other; honest methods pass."""

from __future__ import annotations

import json
import random
import re
import sys

import numpy as np
import pytest
import torch

from gzsl_bench import MethodSpec
from gzsl_bench.hooks.images import EXTRAS
from gzsl_bench.testing import Budget, check_method

#: A new process takes seconds: only the checks about it are made in one.
FRESH = ("survives_spawn", "memory_budget")


def spec(factory, **about):
    settings = {"citation": "tests", "fidelity": "paper", "preprocessing": "minmax"} | about
    return MethodSpec("planted", factory, **settings)


def look(factory, *, fresh=False, budget=None, **about):
    leave_out = () if fresh else FRESH
    return check_method(spec(factory, **about), budget=budget, leave_out=leave_out)


def failures(report):
    return {each.name: each.reason for each in report.failures}


@pytest.mark.parametrize(
    "name", ["Honest", "Together", "ClosedForm", "WithModules", "TriesOut", "Drawable", "Stacked"]
)
def test_honest_methods_pass(faults, name):
    drawable = name == "Drawable"
    report = look(getattr(faults, name), deterministic=name == "ClosedForm", latents=drawable)
    assert report.passed, report.text()
    outcomes = {each.name: each.outcome for each in report.results}
    odd = {check for check, outcome in outcomes.items() if outcome != "ok"}
    expected = set() if torch.cuda.is_available() else {"gpu"}
    expected |= set() if drawable else {"latents", "latents_change_nothing"}
    expected |= {"stacked_equals_alone"} if name not in ("Together", "Stacked") else set()
    expected |= {"captured_graphs"} if name != "Stacked" else set()
    expected |= {"reports_progress"} if name == "ClosedForm" else set()
    assert odd == expected, report.text()


def test_two_seeds_are_enough_where_ids_clearly_play_no_part(faults):
    report = look(faults.DrawsPerClass)
    assert report.passed, report.text()
    assert report.result("class_order").reason == (
        "in the mean over 2 seeds, within what seeds explain"
    )


def test_a_method_gets_all_that_it_needs(faults):
    report = look(faults.NeedsAll, needs=EXTRAS)
    assert report.passed, report.text()
    assert report.result("blind_twin").outcome == report.result("device").outcome == "ok"


#: What the MethodSpec of a method with latents says.
DRAWN = {"latents": True}

#: fault -> (the check it fails, what the reason says, what is special about its MethodSpec)
PLANTED = {
    # Scores.
    "SeenColumns": ("score_shape", r"shape \[120, 12\] instead of \[120, 20\].*column per class"),
    "Flat": ("score_shape", r"shape \[120\] instead of \[120, 20\]"),
    "Integers": ("score_dtype", "gives a tensor of int64; return a torch tensor of floats"),
    "Arrays": ("score_dtype", "gives a ndarray; return a torch tensor"),
    "NotANumber": ("scores_finite", r"of 2400 scores are NaN; scale or clamp"),
    "Masked": ("scores_finite", "120 of 2400 scores are infinite;.*instead of -inf"),
    # Shapes.
    "SpreadOfUnseen": ("one_unseen_class", "a single unseen class it fails:.* NaN"),
    "SpreadOfClasses": ("one_image_in_a_class", "with a single training image it fails:.* NaN"),
    "SquareRoots": ("negative_features", "all negative it fails", {"preprocessing": "none"}),
    "Squeezes": ("one_dimensional_embeddings", "embeddings of one number it fails"),
    "Broken": ("trains", r"ValueError: no luck \(faults\.py, line \d+\); see"),
    "ReturnsItsWeights": ("trains", r"a Tensor of shape \[3, 2\] is no scorer; a scorer is"),
    "Never": ("trains", "none of the generated tasks: needs a word embedding"),
    # Learning.
    "GuessesUnseen": ("better_than_chance_on_unseen", r"the 8 unseen classes.* gives 12\.5 %"),
    "SeenOnly": ("better_than_chance_on_unseen", r"^12\.5 % of the unseen test rows"),
    "UnseenOnly": ("better_than_chance_on_seen", r"^8\.3 % of the seen test rows"),
    "PrefersLowIds": ("class_order", "averaged over 3 seeds.* take classes from task.seen"),
    # Randomness and state.
    "TorchGlobal": ("no_global_random_state", "state of torch, which.* run.generator"),
    "Layers": (
        "no_global_random_state",
        r"state of torch, which.* within `with torch\.random\.fork_rng",
    ),
    "NumpyGlobal": ("no_global_random_state", r"state of numpy\.random"),
    "PythonGlobal": ("no_global_random_state", "state of random"),
    "Reseeds": ("no_global_random_state", "state of torch"),
    "Unseeded": ("same_seed_same_result", "from the same global random states, too"),
    "IgnoresSeed": ("seeds_as_declared", "seed 1 gives the scores of seed 0.*deterministic=True"),
    "Honest": ("seeds_as_declared", "declared deterministic, but seed 1", {"deterministic": True}),
    "Counts": ("no_state_between_runs", r"second identical.*\(gz_faults\.Counts\.runs\)"),
    "DefaultArgument": ("no_state_between_runs", r"DefaultArgument\.draw's default arguments\)"),
    "Remembers": ("no_state_between_runs", r"on other labels it gives.*\(gz_faults\.MEMORY\)"),
    # What scorers are shown.
    "Learner": ("blind_twin", "changes its last scores .*; a scorer must only score"),
    "Stale": ("blind_twin", "outdated embedding"),
    "Normalises": ("rows_scored_alone", "depend on the other rows.*eval mode"),
    "Centres": ("rows_scored_alone", "depend on the other rows"),
    "CentresAtOnce": (
        "rows_scored_alone",
        "depend on the other rows",
        {"deterministic": True},
    ),
    # Tensors of others.
    "CentresTask": ("task_unchanged", "changes the task's features in place.*clone before"),
    "CentresTaskInNumpy": ("task_unchanged", "changes the task's attributes in place"),
    "ScalesShared": ("task_unchanged", r"changes what task\.shared\(spread_of\) gave in place"),
    "ClampsRows": ("shown_rows_unchanged", "changes the rows it is shown"),
    "ClampsRowsInNumpy": ("shown_rows_unchanged", "changes the rows it is shown"),
    # Devices.
    "NoDevice": ("device", r"add gets tensors of run\.device and of the CPU \(faults\.py, line"),
    "LayerOnCpu": ("device", r"linear gets tensors of run\.device and of the CPU"),
    "DrawsOnDevice": ("device", r"randn draws on run\.device with a CPU generator"),
    "ToNumpy": ("device", r"turned into a numpy array without \.cpu\(\) \(faults\.py, line"),
    "ScoresOnCpu": ("device", r"indexed by one on run\.device"),
    "MapsOfTheMachine": ("device", r"run\.device and of the CPU", {"needs": EXTRAS}),
    # In company, on the clock.
    "OneGenerator": ("stacked_equals_alone", "beside another run its scores move by"),
    "MeanRate": ("stacked_equals_alone", "beside another run its scores move by"),
    "MeanOverRuns": ("stacked_equals_alone", "beside another run its scores move by"),
    "ReadsItsLoss": ("captured_graphs", r"item reads a value back \(faults\.py, line"),
    "BringsNumbers": ("captured_graphs", r"tensor brings numbers from the host \(faults\.py, line"),
    "SortsOut": ("captured_graphs", r"index makes a tensor whose size depends on values \(faults"),
    "CountsSteps": ("captured_graphs", r"steps move the scores by .*frozen there \(faults\.py"),
    "TensorPerEpoch": ("captured_graphs", r"steps move the scores by .*frozen there; give it"),
    "BeyondItsAxes": ("checkpoint_numbers", "checkpoint 3 does not lie on the axes epoch 2"),
    "CountsBatches": ("checkpoint_numbers", "checkpoints 6, 12, 18 instead of 12, 24, 36"),
    "Silent": ("reports_progress", "iterates and never calls run.progress"),
    "StopsShort": ("reports_progress", "ends at 2 of 3"),
    # What it offers to be drawn.
    "DrawnAnew": ("latents", "asked twice .* gives others; make the run.generator", DRAWN),
    "TwoSpaces": ("latents", "visual latents have 6 dimensions and the semantic ones 5", DRAWN),
    "OnePerClass": (
        "latents",
        r"semantic latents have the shape \(20, 6\) where \(120, K\)",
        DRAWN,
    ),
    "NotFinite": ("latents", "semantic latents hold values that are NaN or infinite", DRAWN),
    "RaisesWhenDrawn": ("latents", "asked for latents it fails: IndexError: no such class", DRAWN),
    "ScalesClasses": ("latents", "semantic latents changed what they were shown", DRAWN),
    "Together": ("latents", "says latents=True and no scorer offers any", DRAWN),
    "Drawable": ("latents", "its scorers offer latents; say so by latents=True"),
    "ShiftsItself": ("latents_change_nothing", "asking for its latents changes its numbers", DRAWN),
    # What it says about itself.
    "ClosedForm": ("citation_and_fidelity", "its citation is empty", {"citation": " "}),
    "TriesOut": (
        "citation_and_fidelity",
        "needs or wants 'depth'; of regions",
        {"needs": ("depth",)},
    ),
    "Binary": (
        "citation_and_fidelity",
        "unknown preprocessing 'standard'; available: l2, minmax",
        {"preprocessing": "standard"},
    ),
    "Undocumented": ("configuration_documented", "fields have no description: steps, rate"),
    "Lenient": ("configuration_refuses_unknown_keys", "accepts keys it does not have"),
    "NoDefault": ("configuration_has_defaults", r"Config\(\) fails: rate: Field required"),
    "KnowsOnlyCub": ("defaults_fit", "fails for the data set 'SUN': KeyError"),
    "WrongDefaults": ("defaults_fit", "refuses the defaults of the data set 'SUN': steps: "),
}


@pytest.mark.filterwarnings("ignore:std")
@pytest.mark.parametrize("name", PLANTED)
def test_planted_faults_fail_their_check_and_no_other(faults, name):
    check, reason, *special = PLANTED[name]
    about = special[0] if special else {}
    if name == "ClosedForm":
        about = {"deterministic": True, **about}
    report = look(getattr(faults, name), **about)
    assert not report.passed
    found = failures(report)
    assert list(found) == [check], report.text()
    assert re.search(reason, found[check]), found[check]


def test_what_cannot_be_looked_at_says_where_to_look(faults):
    report = look(faults.NotANumber)
    skipped = {each.name: each.reason for each in report.results if each.outcome == "skipped"}
    assert len(skipped) > 15
    assert report.text().endswith(" skipped; failed: scores_finite")
    assert set(skipped.values()) == {"there is nothing to look at: see scores_finite"}


def test_ids_that_are_taken_for_granted_fail_wherever_they_are_others(faults):
    found = failures(look(faults.SeenFirst))
    assert set(found) == {"seen_after_unseen", "class_order"}
    assert "ids follow the unseen it fails" in found["seen_after_unseen"]
    assert "with other class ids it fails" in found["class_order"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is the GPU it asks for")
def test_a_method_that_asks_for_a_gpu_fails_where_there_is_none(faults):
    found = failures(look(faults.WantsCuda))
    assert list(found) == ["device"]
    assert "asks for a GPU though run.device is the CPU" in found["device"]


@pytest.mark.gpu
def test_a_gpu_is_tried_where_there_is_one(faults):
    assert look(faults.Honest).result("gpu").outcome == "ok"
    found = failures(look(faults.NoDevice))
    assert set(found) == {"device", "gpu"}
    assert "on the GPU it fails" in found["gpu"]


# Declarations ------------------------------------------------------------------------------------


def test_a_transductive_method_may_look_at_other_rows(faults):
    report = look(faults.Centres, setting="transductive")
    assert report.passed, report.text()
    assert "declared transductive" in report.result("rows_scored_alone").reason


def test_a_task_that_does_not_apply_is_no_failure(faults):
    report = look(faults.Binary)
    assert report.passed, report.text()
    scalar = report.result("one_dimensional_embeddings")
    assert (scalar.outcome, scalar.reason) == ("not applicable", "needs binary attributes")


def test_a_method_that_does_not_apply_to_the_easy_task_is_checked_on_another(faults):
    report = look(faults.Continuous)
    assert report.passed, report.text()
    trains = report.result("trains")
    assert trains.reason.endswith("looked at one_dimensional_embeddings")
    assert report.result("better_than_chance_on_seen").outcome == "not applicable"
    assert report.result("class_order").outcome == "ok"


def test_the_budget_of_time(faults):
    budget = Budget(seconds=0.25)
    found = failures(look(faults.Slow, budget=budget))
    assert list(found) == ["time_budget"]
    assert "and the budget is 0.25 s, for a training on a tiny task" in found["time_budget"]
    found = failures(look(faults.SlowAndDeaf, budget=budget, deterministic=True))
    assert list(found) == ["time_budget"]
    assert "and the budget is 0.25 s" in found["time_budget"]
    assert look(faults.SlowAndDeaf, deterministic=True).passed


def test_a_training_without_an_end_is_stopped_though_it_reports_nothing(faults, monkeypatch):
    monkeypatch.setattr("gzsl_bench.testing.trials.LATE", 0.1)
    found = failures(look(faults.Endless, budget=Budget(seconds=0.1)))
    assert list(found) == ["time_budget"]
    assert "it is stopped after 0." in found["time_budget"]


def test_files_outside_the_package(faults, tmp_path, monkeypatch):
    secret = tmp_path / "att_splits.mat"
    secret.write_bytes(b"x")
    monkeypatch.setattr(faults.Reads, "file", secret, raising=False)
    found = failures(look(faults.Reads))
    assert list(found) == ["opens_no_files"]
    assert str(secret) in found["opens_no_files"]


def test_what_a_library_does_as_it_is_imported_is_no_fault(faults, tmp_path, monkeypatch):
    (tmp_path / "words.txt").write_text("a word")
    late = "import random\nrandom.random()\n"
    late += "open(__file__.replace('gz_late.py', 'words.txt')).close()\n"
    (tmp_path / "gz_late.py").write_text(late)
    monkeypatch.syspath_prepend(tmp_path)
    assert look(faults.ImportsLate).passed
    assert sys.modules.pop("gz_late")


# A fresh process ---------------------------------------------------------------------------------


def test_an_honest_method_survives_and_its_memory_is_measured(faults):
    report = look(faults.Honest, fresh=True)
    assert report.passed, report.text()
    assert report.result("survives_spawn").reason == "to the last bit"
    # What it takes is megabytes; the process itself takes hundreds before it begins.
    assert re.match(r"\d\d? MB of 1024 MB", report.result("memory_budget").reason)


def test_what_only_this_process_has_set_up_is_found(faults, monkeypatch):
    monkeypatch.setattr(sys.modules["__main__"], "gz_faults_scale", 1.0, raising=False)
    found = failures(look(faults.KnowsMain, fresh=True))
    assert list(found) == ["survives_spawn"]
    assert "in a fresh process it fails: AttributeError" in found["survives_spawn"]
    assert "gz_faults_scale" in found["survives_spawn"]


def test_other_scores_in_a_fresh_process_are_found(faults, monkeypatch):
    monkeypatch.setattr(faults.Configured, "scale", 0.0)
    report = look(faults.Configured, fresh=True)
    survives = report.result("survives_spawn")
    assert survives.outcome == "failed"
    assert "in a fresh process its scores differ by" in survives.reason
    assert list(failures(report)) == ["survives_spawn"]


def test_global_random_states_are_blamed_once(faults):
    assert list(failures(look(faults.TorchGlobal, fresh=True))) == ["no_global_random_state"]


def test_a_class_no_other_process_can_import_is_found(faults):
    found = failures(look(faults.local_method(), fresh=True))
    assert list(found) == ["survives_spawn"]
    assert "Local is defined inside a function" in found["survives_spawn"]


def test_the_budget_of_memory(faults):
    report = look(faults.Hungry, fresh=True, budget=Budget(megabytes=100))
    assert list(failures(report)) == ["memory_budget"]
    taken = float(report.result("memory_budget").reason.split()[3])
    assert 150 <= taken <= 250  # 160 MB of ones, and what else it needs


# The report --------------------------------------------------------------------------------------


def test_the_report_says_what_was_checked(faults):
    given = check_method(spec(faults.Honest), {"steps": 2}, leave_out=FRESH)
    assert "configuration: steps=2; every other field at its default" in given.text()
    plain = json.loads(json.dumps(given.to_json()))
    assert plain["passed"] is True
    assert plain["checked"]["given"] == {"steps": 2}
    assert plain["checked"]["configuration"] == {"steps": 2, "noise": 0.05}
    assert {each["outcome"] for each in plain["checks"]} <= {
        "ok",
        "failed",
        "skipped",
        "not applicable",
    }
    assert all(each["about"].endswith(".") for each in plain["checks"])


def test_a_configuration_that_is_refused_fails(faults):
    report = check_method(spec(faults.Honest), {"steps": 0}, leave_out=FRESH)
    assert list(failures(report)) == ["configuration_has_defaults"]
    assert "to check with is refused: steps" in failures(report)["configuration_has_defaults"]
    report = check_method(spec(faults.Honest), {"step": 2}, leave_out=FRESH)
    found = failures(report)["configuration_has_defaults"]
    assert "is refused: unknown key 'step'; did you mean 'steps'?" in found


def test_checking_leaves_the_process_alone(faults):
    states = random.getstate(), np.random.get_state(legacy=False), torch.get_rng_state()
    threads = torch.get_num_threads()
    look(faults.TorchGlobal)
    look(faults.NumpyGlobal)
    assert random.getstate() == states[0]
    key = np.random.get_state(legacy=False)["state"]["key"]
    np.testing.assert_array_equal(key, states[1]["state"]["key"])
    assert torch.equal(torch.get_rng_state(), states[2])
    assert torch.get_num_threads() == threads
