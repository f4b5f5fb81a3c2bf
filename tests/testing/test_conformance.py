"""The test classes: one test per check, shared trainings, skips and failures as pytest's."""

from __future__ import annotations

import unittest
from pathlib import Path

import pytest

from gzsl_bench import MethodSpec
from gzsl_bench.errors import PluginError
from gzsl_bench.testing import Budget, MethodConformance
from gzsl_bench.testing.datasets import DATASET_CHECKS
from gzsl_bench.testing.methods import METHOD_CHECKS
from gzsl_bench.testing.metrics import METRIC_CHECKS


@pytest.fixture
def conformance(faults):
    """A conformance class of one of the planted methods, not collected by itself."""

    def make(factory, **about):
        planted = MethodSpec("planted", getattr(faults, factory), "tests", "paper", "minmax")
        return type("Planted", (MethodConformance,), {"method": planted, **about})

    return make


def test_there_is_one_test_per_check():
    tests = {name for name in vars(MethodConformance) if name.startswith("test_")}
    assert tests == {f"test_{check.name}" for check in METHOD_CHECKS}
    assert len(METHOD_CHECKS) == len(tests)
    assert all(getattr(MethodConformance, name).__doc__.endswith((".", ").")) for name in tests)


@pytest.mark.parametrize("checks", [METHOD_CHECKS, DATASET_CHECKS, METRIC_CHECKS])
def test_every_check_is_documented(checks):
    page = Path(__file__).parents[2] / "docs" / "check-plugin.md"
    text = page.read_text(encoding="utf-8")
    assert [check.name for check in checks if f"`{check.name}`" not in text] == []


def test_a_check_passes_fails_or_is_skipped(conformance):
    planted = conformance("Silent")()
    planted.test_score_shape()
    with pytest.raises(AssertionError, match="reports_progress: it iterates and never calls"):
        planted.test_reports_progress()
    with pytest.raises(unittest.SkipTest, match="not applicable: it trains one run at a time"):
        planted.test_stacked_equals_alone()


def test_trainings_are_shared_within_a_class_and_not_beyond(conformance, monkeypatch, faults):
    fitted = []
    honest = faults.Honest.fit
    monkeypatch.setattr(
        faults.Honest, "fit", lambda self, *given: (fitted.append(1), honest(self, *given))[1]
    )
    one, other = conformance("Honest"), conformance("Honest")
    one().test_score_shape()
    one().test_score_dtype()
    one().test_better_than_chance_on_seen()
    assert len(fitted) == 2  # seeds 0 and 1
    other().test_score_shape()
    assert len(fitted) == 3


def test_configuration_and_budget_are_the_class_s(conformance):
    planted = conformance("Honest", config={"steps": 2}, budget=Budget(seconds=5))
    assert planted.subject().config.steps == 2
    assert planted.subject().budget.seconds == 5


def test_an_unknown_name_says_so():
    class Unknown(MethodConformance):
        method = "eszsll"

    with pytest.raises(PluginError, match="unknown method 'eszsll'; did you mean 'eszsl'"):
        Unknown().test_trains()
