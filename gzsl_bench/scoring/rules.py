"""Selection rules: which checkpoint's numbers count, chosen from recorded rows after the training.

A rule is one class here and its place in :data:`RULES`; what suites may name, what is trained for
it, and what tables and pages say of it follow from that.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from gzsl_bench.errors import GzslBenchError, SuiteError, unknown_name

#: Ends the name of a rule whose scores are calibrated on the validation folds.
GAMMA = "+gamma"
_H = "harmonic_mean"


class Unchosen(GzslBenchError):
    """A rule cannot choose; the message says why in one sentence."""


class Checkpoint(Protocol):
    """What was recorded at one point of a training."""

    @property
    def number(self) -> int:
        """The method's own count, an epoch say."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """Values by name; shares are in percent."""


class Folds:
    """What the validation folds of one method on one data set recorded.

    Args:
        records: the checkpoints of each fold and validation seed.
    """

    def __init__(self, records: Iterable[Sequence[Checkpoint]]) -> None:
        self._found = [{c.number: c.metrics for c in checkpoints} for checkpoints in records]

    def means(self, metric: str = _H) -> dict[int, float]:
        """Mean of a metric for every checkpoint number that all folds have, by number."""
        common = sorted(set.intersection(*map(set, self._found))) if self._found else []
        return {n: statistics.fmean(each[n][metric] for each in self._found) for n in common}

    @cached_property
    def best(self) -> int:
        """The checkpoint number with the best mean H; the first one of equals.

        Raises:
            Unchosen: the folds have no checkpoint number in common.
        """
        means = self.means()
        if not means:
            raise Unchosen("the validation folds have no checkpoint number in common")
        return max(means, key=lambda n: (means[n], -n))


@dataclass(frozen=True)
class Trained:
    """A training of the real task, as a rule sees it.

    Attributes:
        checkpoints: at least one, in the order they came.
        folds: what its validation folds recorded; raises :class:`Unchosen` where they lack.
        where: data set and method, for messages.
        seed: of the training.
    """

    checkpoints: Sequence[Checkpoint]
    folds: Callable[[], Folds]
    where: str
    seed: int


class Rule:
    """Chooses checkpoints of a training; a base class.

    Attributes:
        name: what suites, records and tables call it.
        words: what it does, on the first screen of a report.
        note: a sentence under tables that show it.
        needs_folds: validation folds are trained for it.
        reads_test: it looks at results on the test set: optimistic, never for conclusions.
        calibrates: it may be shown with calibrated scores; its choice is a single checkpoint then.
        gap_to: the rule whose H is taken off its own, as a column of tables.
    """

    name: str
    words: str
    note = ""
    needs_folds = False
    reads_test = False
    calibrates = True
    gap_to: str | None = None

    def choose(self, trained: Trained) -> Sequence[Checkpoint]:
        """The checkpoints whose mean counts, most often a single one.

        Raises:
            Unchosen: there is no choice, and why.
        """
        raise NotImplementedError


class Last(Rule):
    """The final checkpoint: looks at nothing."""

    name = "last"
    words = "last checkpoint, nothing was chosen"

    def choose(self, trained: Trained) -> Sequence[Checkpoint]:
        """The last one."""
        return trained.checkpoints[-1:]


class Val(Rule):
    """The checkpoint that validation folds choose: one number for all seeds, and honest."""

    name = "val"
    words = "checkpoint chosen on validation folds made of training classes"
    note = "val chooses one checkpoint for all seeds, by the mean H over validation folds."
    needs_folds = True

    def choose(self, trained: Trained) -> Sequence[Checkpoint]:
        """The one with the number that has the best mean H over the folds."""
        if len(trained.checkpoints) == 1:
            return trained.checkpoints  # the only candidate, whatever the folds say
        number = trained.folds().best
        for checkpoint in trained.checkpoints:
            if checkpoint.number == number:
                return (checkpoint,)
        raise Unchosen(
            f"the validation folds of {trained.where} choose checkpoint {number}, which"
            f" seed {trained.seed} of the real task does not have"
        )


class BestTest(Rule):
    """The checkpoint with the best H on the test set: the literature's habit, to compare with.

    It is not calibrated: with a checkpoint from the test set and a bias from validation it would be
    neither the literature's habit nor honest.
    """

    name = "best_test"
    words = "checkpoint chosen on the test set: optimistic, not for conclusions"
    note = "best_test chooses the checkpoint on the test set: optimistic, shown to compare."
    reads_test = True
    calibrates = False
    gap_to = Val.name

    def choose(self, trained: Trained) -> Sequence[Checkpoint]:
        """The first one of equals."""
        return (max(trained.checkpoints, key=lambda checkpoint: checkpoint.metrics[_H]),)


#: Every rule by its name.
RULES: Mapping[str, Rule] = {rule.name: rule for rule in (Last(), Val(), BestTest())}


def rule_of(name: str) -> Rule:
    """The rule behind a name, calibrated or not.

    Raises:
        SuiteError: no such rule.
    """
    plain = name.removesuffix(GAMMA)
    if plain not in RULES:
        raise SuiteError(unknown_name("selection rule", plain, RULES))
    return RULES[plain]


def forms(selection: Iterable[str], calibration: bool) -> list[str]:
    """Names of rules as tables show them: each followed by its calibrated form, where wanted."""
    found = []
    for name in selection:
        found.append(name)
        if calibration and rule_of(name).calibrates:
            found.append(name + GAMMA)
    return found


def lead(selection: Iterable[str]) -> str:
    """The rule to lead with: an honest one, of these one that validates; whatever stands first."""
    return max(selection, key=lambda name: (not RULES[name].reads_test, RULES[name].needs_folds))
