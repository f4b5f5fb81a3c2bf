"""Selection rules on recorded checkpoints; what suites may name follows from their list."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from pydantic import ValidationError

from gzsl_bench.errors import SuiteError
from gzsl_bench.scoring.rules import (
    RULES,
    Folds,
    Trained,
    Unchosen,
    forms,
    lead,
    rule_of,
)
from gzsl_bench.suite.schema import Suite


@dataclass(frozen=True)
class Point:
    number: int
    metrics: dict[str, float]


def curve(*points: tuple[int, float]) -> tuple[Point, ...]:
    return tuple(Point(n, {"harmonic_mean": h}) for n, h in points)


def choose(rule: str, checkpoints: tuple[Point, ...], *folds: tuple[Point, ...]) -> list[int]:
    trained = Trained(checkpoints, lambda: Folds(folds), "CUB · ACMR", 3)
    return [checkpoint.number for checkpoint in rule_of(rule).choose(trained)]


TRAINING = curve((1, 20.0), (5, 50.0), (9, 50.0), (12, 40.0))


def test_last_and_best_test():
    assert choose("last", TRAINING) == [12]
    assert choose("best_test", TRAINING) == [5]  # the first of equals
    with pytest.raises(SuiteError, match="'best_tset'; did you mean 'best_test'"):
        rule_of("best_tset")


def test_val_takes_the_best_mean_over_folds():
    folds = [curve((1, 90.0), (5, 50.0), (9, 40.0)), curve((1, 0.0), (5, 45.0), (9, 54.0))]
    # Means: 45, 47.5, 47.
    assert choose("val", TRAINING, *folds) == [5]
    # The first of equals.
    assert Folds([curve((3, 10.0), (7, 30.0)), curve((3, 30.0), (7, 10.0))]).best == 3
    # What a fold lacks is no candidate.
    assert Folds([curve((1, 10.0), (2, 99.0)), curve((1, 10.0), (3, 99.0))]).best == 1
    with pytest.raises(Unchosen, match="no checkpoint number in common"):
        choose("val", TRAINING, curve((1, 10.0)), curve((2, 10.0)))
    with pytest.raises(Unchosen, match="CUB · ACMR choose checkpoint 7, which seed 3 of the real"):
        choose("val", TRAINING, curve((7, 10.0)))
    # The only candidate needs no folds.
    assert choose("val", TRAINING[:1]) == [1]


def test_calibrated_forms_follow_their_rule():
    assert forms(["best_test", "last"], True) == ["best_test", "last", "last+gamma"]
    assert forms(["best_test", "last"], False) == ["best_test", "last"]
    assert rule_of("last+gamma") is rule_of("last")


@pytest.mark.parametrize(
    ("selection", "first"),
    [(["last", "val"], "val"), (["best_test", "last"], "last"), (["best_test"], "best_test")],
)
def test_an_honest_rule_leads(selection, first):
    assert lead(selection) == first


def test_a_suite_may_name_every_rule_and_no_other():
    suite = {"name": "s", "datasets": ["digits"], "methods": ["eszsl"]}
    assert Suite.model_validate({**suite, "selection": list(RULES)}).selection == list(RULES)
    with pytest.raises(ValidationError):
        Suite.model_validate({**suite, "selection": ["first"]})


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_every_rule_says_what_it_does(rule):
    assert rule.words
    assert rule.gap_to is None or rule.gap_to in RULES
    assert not rule.reads_test or not rule.needs_folds
