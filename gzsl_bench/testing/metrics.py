"""Checking a metric plugin."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gzsl_bench.engine.audit.leftovers import GlobalRandomStates
from gzsl_bench.errors import NotApplicable
from gzsl_bench.hooks.checks import check_spec
from gzsl_bench.hooks.manager import installed
from gzsl_bench.hooks.metric import MetricSpec, Predictions
from gzsl_bench.testing.report import Broken, Check, Checks, Report, Skipped, ends_in, make

if TYPE_CHECKING:
    from gzsl_bench.hooks.manager import Registry

check: Checks[Values] = Checks()

_SEEN, _UNSEEN = np.array([0, 2, 3, 5, 6]), np.array([1, 4])
_ROWS = 12


def _predictions(how: str) -> Predictions:
    """Predictions of one kind for the test rows of five seen and two unseen classes.

    ``right`` and ``wrong`` in every respect (a wrong row is taken for the other part, too),
    ``guessed``, ``all one class``, and ``one unseen class`` with a single image of it.
    """
    rng = np.random.default_rng(7)
    unseen = _UNSEEN[:1] if how == "one unseen class" else _UNSEEN
    labels = np.repeat(np.concatenate([_SEEN, unseen]), _ROWS)
    if how == "one unseen class":
        labels = labels[: 5 * _ROWS + 1]
    from_unseen = np.isin(labels, unseen)
    among_seen, among_unseen = rng.choice(_SEEN, labels.size), rng.choice(unseen, labels.size)
    best_seen, best_unseen = rng.normal(size=labels.size), rng.normal(size=labels.size)
    if how in ("right", "wrong"):
        shift = 0 if how == "right" else 1
        among_seen = np.where(from_unseen, among_seen, _following(labels, _SEEN, shift))
        among_unseen = np.where(from_unseen, _following(labels, unseen, shift), among_unseen)
        sign = np.where(from_unseen, 1.0, -1.0) * (1 if how == "right" else -1)
        best_seen, best_unseen = -sign * np.abs(best_seen), sign * np.abs(best_unseen)
    elif how == "all one class":
        among_seen, among_unseen = np.full_like(labels, 0), np.full_like(labels, unseen[0])
        best_seen, best_unseen = np.ones(labels.size), np.zeros(labels.size)
    return Predictions(
        labels=labels,
        seen=_SEEN,
        unseen=unseen,
        predicted=np.where(best_unseen > best_seen, among_unseen, among_seen),
        predicted_seen=among_seen,
        predicted_unseen=among_unseen,
        best_seen=best_seen,
        best_unseen=best_unseen,
    )


def _following(labels: np.ndarray, classes: np.ndarray, shift: int) -> np.ndarray:
    """The class that follows by ``shift``; of a row of other classes, the first."""
    place = np.searchsorted(classes, labels).clip(0, classes.size - 1)
    found: np.ndarray = classes[(place + shift) % classes.size]
    return found


KINDS = ("guessed", "right", "wrong", "all one class", "one unseen class")


@dataclass(frozen=True)
class Values:
    """A metric, and what it says."""

    spec: MetricSpec

    def of(self, predictions: Predictions) -> float:
        """Its value.

        Raises:
            Skipped: it has none, and ``is_finite`` says why.
        """
        nothing = "there is nothing to look at: see is_finite"
        with ends_in(Skipped, nothing):
            value = float(self.spec.compute(predictions))
        if not math.isfinite(value):
            raise Skipped(nothing)
        return value

    def steady(self, predictions: Predictions) -> float:
        """Its value, where it gives the same one twice.

        Raises:
            Skipped: it does not, or it has none.
        """
        value = self.of(predictions)
        if value != self.of(predictions):
            raise Skipped("it gives another number every time: see same_twice")
        return value


@check
def described(m: Values) -> str | None:
    """The MetricSpec is complete: a column's name and a sentence with the formula."""
    problem = check_spec(m.spec, MetricSpec, "gzsl_bench_metrics")
    if problem is not None:
        raise Broken(problem)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", m.spec.name):
        raise Broken(f"the name {m.spec.name!r} must be lower case, digits and underscores")
    if not m.spec.summary.strip():
        raise Broken(
            "its summary is empty; one sentence with the formula or its source is expected"
        )
    return m.spec.summary


@check
def is_finite(m: Values) -> str | None:
    """It gives a finite number whatever was predicted: all right, all wrong, all one class."""
    for kind in KINDS:
        with ends_in(Broken, f"for predictions of the kind '{kind}' it fails: {{error}}"):
            value = float(m.spec.compute(_predictions(kind)))
        if not math.isfinite(value):
            raise Broken(
                f"for predictions of the kind '{kind}' it gives {value}; say what 0/0 means here"
            )
    return None


@check
def share_lies_between_0_and_1(m: Values) -> str | None:
    """A share lies in [0, 1]; it is recorded times 100."""
    if not m.spec.percent:
        raise NotApplicable("it is no share (percent=False)")
    for kind in KINDS:
        value = m.of(_predictions(kind))
        if not -1e-12 <= value <= 1 + 1e-12:
            raise Broken(
                f"for predictions of the kind '{kind}' it gives {value:g}; give a share and let the"
                " harness multiply, or declare percent=False"
            )
    return None


@check
def row_order_plays_no_part(m: Values) -> str | None:
    """Test rows in another order give the same number."""
    given = _predictions("guessed")
    order = np.random.default_rng(3).permutation(given.labels.size)
    rows: dict[str, Any] = {
        field.name: value[order]
        for field in fields(given)
        if isinstance(value := getattr(given, field.name), np.ndarray)
        and field.name not in ("seen", "unseen")
    }
    before, after = m.steady(given), m.of(replace(given, **rows))
    if not math.isclose(before, after, rel_tol=1e-9, abs_tol=1e-12):
        raise Broken(
            f"with the rows in another order it gives {after:g} instead of {before:g}; rows are"
            " told apart by labels, not by their place"
        )
    return None


@check
def input_is_left_alone(m: Values) -> str | None:
    """It changes none of the arrays it is given, which other metrics look at."""
    given, kept = _predictions("guessed"), _predictions("guessed")
    m.of(given)
    for field in fields(given):
        if not np.array_equal(getattr(given, field.name), getattr(kept, field.name)):
            raise Broken(f"it changes {field.name} in place; copy the array first")
    return None


@check
def same_twice(m: Values) -> str | None:
    """The same predictions give the same number."""
    before, after = m.of(_predictions("guessed")), m.of(_predictions("guessed"))
    if before != after:
        raise Broken(
            f"asked twice it gives {before!r} and {after!r}; draw from a generator with a fixed"
            " seed, and keep nothing between calls"
        )
    return None


@check
def no_global_random_state(m: Values) -> str | None:
    """It leaves Python's, numpy's and torch's random states alone."""
    before = GlobalRandomStates.now()
    m.of(_predictions("guessed"))
    moved = before.moved(GlobalRandomStates.now())
    before.restore()
    if moved:
        raise Broken(
            f"it moves the global random state of {' and '.join(moved)}; draw from a generator of"
            " its own with a fixed seed"
        )
    return None


@check
def scores_as_declared(m: Values) -> str | None:
    """Without kept scores it gives the same number, unless needs_scores is declared."""
    given = _predictions("guessed")
    bare = replace(given, best_seen=None, best_unseen=None)
    value = m.steady(given)
    if m.spec.needs_scores:
        return "it is declared to need scores"
    undeclared = "without best_seen and best_unseen it fails: {error}; declare needs_scores=True"
    with ends_in(Broken, undeclared):
        without = float(m.spec.compute(bare))
    if without != value:
        raise Broken(
            f"without scores it gives {without:g} instead of {value:g}; declare needs_scores=True"
        )
    return None


@check
def direction_as_declared(m: Values) -> str | None:
    """Predictions that are right in every respect are no worse than wrong ones."""
    right, wrong = m.of(_predictions("right")), m.of(_predictions("wrong"))
    better = right >= wrong if m.spec.higher_is_better else right <= wrong
    if not better:
        raise Broken(
            f"it gives {right:g} where all is right and {wrong:g} where all is wrong, but declares"
            f" higher_is_better={m.spec.higher_is_better}"
        )
    return None


#: Every check of a metric, in the order of the report.
METRIC_CHECKS: Sequence[Check[Values]] = tuple(check.all)


def check_metric(
    metric: MetricSpec | str,
    *,
    registry: Registry | None = None,
    on_check: Callable[[str], None] = lambda name: None,
) -> Report:
    """Check a metric.

    Args:
        metric: the name of an installed one, or a spec.
        registry: the plugins, where they are loaded already.
        on_check: told the name of each check as it begins.

    Raises:
        PluginError: no metric is called ``metric``.
    """
    spec: MetricSpec = installed("metrics", metric, registry)
    return Report("metric", spec.name, make(METRIC_CHECKS, Values(spec), on_check))
