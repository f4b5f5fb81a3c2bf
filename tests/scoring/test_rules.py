"""Selection rules on recorded checkpoints; what suites may name follows from their list."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from pydantic import ValidationError

from gzsl_bench.errors import SuiteError
from gzsl_bench.scoring.rules import (
    RULES,
    Folds,
    Support,
    Trained,
    Unchosen,
    elect,
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
    assert choose("best_test", TRAINING) == [9]  # the last of equals
    with pytest.raises(SuiteError, match="'best_tset'; did you mean 'best_test'"):
        rule_of("best_tset")


def test_val_takes_the_best_mean_over_folds():
    folds = [curve((1, 90.0), (5, 50.0), (9, 40.0)), curve((1, 0.0), (5, 45.0), (9, 54.0))]
    # Means: 45, 47.5, 47.
    assert choose("val", TRAINING, *folds) == [5]
    # The last of equals.
    assert Folds([curve((3, 10.0), (7, 30.0)), curve((3, 30.0), (7, 10.0))]).best == 7
    assert choose("val", TRAINING, *[curve((1, 0.0), (5, 0.0), (9, 0.0), (12, 0.0))] * 3) == [12]
    # What a fold lacks is no candidate.
    assert Folds([curve((1, 10.0), (2, 99.0)), curve((1, 10.0), (3, 99.0))]).best == 1
    with pytest.raises(Unchosen, match="no checkpoint number in common"):
        choose("val", TRAINING, curve((1, 10.0)), curve((2, 10.0)))
    with pytest.raises(Unchosen, match="CUB · ACMR choose checkpoint 7, which seed 3 of the real"):
        choose("val", TRAINING, curve((7, 10.0)))
    # The only candidate needs no folds.
    assert choose("val", TRAINING[:1]) == [1]


def test_what_the_folds_say_for_a_choice():
    """Means 30, 40, 20; without the first fold 45, 40, 15, without the second 20, 40, 15."""
    folds = [
        curve((1, 0.0), (2, 40.0), (3, 30.0)),
        curve((1, 50.0), (2, 40.0), (3, 30.0)),
        curve((1, 40.0), (2, 40.0), (3, 0.0)),
    ]
    assert Folds(folds).scores() == {
        1: [30.0, 45.0, 20.0, 25.0],
        2: [40.0, 40.0, 40.0, 40.0],
        3: [20.0, 15.0, 15.0, 30.0],
    }
    assert Folds(folds).elected == (2, Support(candidates=3, tied=1, folds=3, turned=1))
    assert Folds(folds).elected[1].words == ""
    # The second and third record are two seeds of one fold: it is left out as a whole.
    assert Folds(folds, [1, 2, 2]).elected == (2, Support(3, 1, 2, 1))
    # A single fold cannot be left out.
    assert Folds(folds[:1]).elected == (2, Support(3, 1, 1, 0))
    level = Folds([curve((1, 0.0), (2, 0.0), (3, 0.0))] * 2).elected
    assert level == (3, Support(candidates=3, tied=3, folds=2, turned=0))
    assert level[1].words == "folds do not tell checkpoints apart"
    # Sums that round differently are equal: 0.1 + 0.2 is not 0.3.
    assert elect({4: [0.1 + 0.2], 9: [0.3]}) == (9, Support(2, 2, 1, 0))


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
