"""Selection rules: which checkpoint's numbers count, chosen from recorded rows after the training.

A rule is one class here and its place in :data:`RULES`; what suites may name, what is trained for
it, and what tables and pages say of it follow from that.  A rule that looks for the best of all
checkpoints may be asked to look along one axis alone (:mod:`gzsl_bench.scoring.axes`):
``best_test.classifier_epoch`` is the best classifier epoch on the test set, last GAN epoch.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Protocol

from gzsl_bench.errors import GzslBenchError, SuiteError, unknown_name

#: Ends the name of a rule whose scores are calibrated on the validation folds.
GAMMA = "+gamma"
#: What is said of a choice among checkpoints that are equally good on the validation folds.
UNSUPPORTED = "folds do not tell checkpoints apart"
_H = "harmonic_mean"
#: Two values of H, in percent, that differ by less are the same: sums round differently.
_EQUAL = 1e-9


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


@dataclass(frozen=True)
class Support:
    """What speaks for a choice among checkpoints.

    Attributes:
        candidates: checkpoints that the folds have in common.
        tied: how many of them share the best mean H, the chosen one included.
        folds: how many folds there are.
        turned: folds without which another checkpoint would have been chosen.
    """

    candidates: int
    tied: int
    folds: int
    turned: int

    @property
    def words(self) -> str:
        """Why the choice is none; empty where one checkpoint is better than all others."""
        return UNSUPPORTED if self.tied > 1 else ""

    def to_json(self) -> dict[str, int]:
        """Plain data."""
        return dict(vars(self))


class Folds:
    """What the validation folds of one method on one data set recorded.

    Args:
        records: the checkpoints of each fold and validation seed.
        numbers: the fold of each record; by default each is one of its own.
    """

    def __init__(
        self, records: Iterable[Sequence[Checkpoint]], numbers: Sequence[int] | None = None
    ) -> None:
        self._found = [{c.number: c.metrics for c in checkpoints} for checkpoints in records]
        self._numbers = list(range(len(self._found)) if numbers is None else numbers)

    def means(self, metric: str = _H, without: int | None = None) -> dict[int, float]:
        """Mean of a metric for every checkpoint number that all folds have, by number.

        Args:
            metric: its recorded name.
            without: a fold to leave out.
        """
        common = sorted(set.intersection(*map(set, self._found))) if self._found else []
        pairs = zip(self._found, self._numbers, strict=True)
        counted = [found for found, number in pairs if number != without]
        return {n: statistics.fmean(each[n][metric] for each in counted) for n in common}

    def among(self, numbers: Collection[int]) -> Folds:
        """The same folds, where only checkpoints of these numbers may be chosen."""
        return _Among(self, numbers)

    def scores(self) -> dict[int, list[float]]:
        """What speaks for each checkpoint: mean H over all folds, then without each of them."""
        folds = list(dict.fromkeys(self._numbers))
        lacking = [self.means(without=fold) for fold in folds] if len(folds) > 1 else []
        return {n: [h, *(each[n] for each in lacking)] for n, h in self.means().items()}

    @cached_property
    def elected(self) -> tuple[int, Support]:
        """The checkpoint number that :func:`elect` chooses by :meth:`scores`, and its support.

        Raises:
            Unchosen: the folds have no checkpoint number in common.
        """
        return elect(self.scores())

    @property
    def best(self) -> int:
        """The checkpoint number with the best mean H; the last one of equals."""
        return self.elected[0]


class _Among(Folds):
    def __init__(self, folds: Folds, numbers: Collection[int]) -> None:
        super().__init__(())
        self._all, self._wanted = folds, numbers

    def scores(self) -> dict[int, list[float]]:
        return {n: each for n, each in self._all.scores().items() if n in self._wanted}


def elect(scores: Mapping[int, Sequence[float]]) -> tuple[int, Support]:
    """The checkpoint with the best score; of equals the last one, for nothing speaks against it.

    Args:
        scores: by checkpoint number: over all folds, and then without each of them where there are
            several.

    Raises:
        Unchosen: there is none.
    """
    if not scores:
        raise Unchosen("the validation folds have no checkpoint number in common")

    def tied(column: int) -> list[int]:
        best = max(each[column] for each in scores.values())
        return [n for n, each in scores.items() if each[column] >= best - _EQUAL]

    first, *others = (tied(column) for column in range(len(next(iter(scores.values())))))
    number = max(first)
    turned = sum(max(other) != number for other in others)
    return number, Support(len(scores), len(first), max(1, len(others)), turned)


@dataclass(frozen=True)
class Trained:
    """A training of the real task, as a rule sees it.

    Attributes:
        checkpoints: those to choose from, at least one, in the order they came.
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

    Args:
        over: the only axis along which it chooses; all others are at their last.

    Attributes:
        name: what suites, records and tables call it.
        words: what it does, and why it may be believed or not: wherever its numbers are a headline.
        note: a sentence under tables that show it.
        needs_folds: validation folds are trained for it.
        reads_test: it looks at results on the test set: optimistic, never for conclusions.
        calibrates: it may be shown with calibrated scores; its choice is a single checkpoint then.
        gap_to: the rule whose H is taken off its own, as a column of tables.
        searches: it looks for the best of several checkpoints, so it may do so along one axis.
        over: that axis, or None.
    """

    name: str
    words: str
    note = ""
    needs_folds = False
    reads_test = False
    calibrates = True
    gap_to: str | None = None
    searches = True

    def __init__(self, over: str | None = None) -> None:
        self.over = over
        if over is not None:
            self.note = f"{self.name}.{over}: {self.name} along {over} alone, all else at its last."
            self.name, self.words = f"{self.name}.{over}", f"along {over} alone, {self.words}"
            self.gap_to = self.gap_to and f"{self.gap_to}.{over}"

    def choose(self, trained: Trained) -> Sequence[Checkpoint]:
        """The checkpoints whose mean counts, most often a single one.

        Raises:
            Unchosen: there is no choice, and why.
        """
        raise NotImplementedError


class Last(Rule):
    """The final checkpoint: looks at nothing."""

    name = "last"
    words = "last checkpoint, nothing was chosen, so the test set had no say"
    searches = False

    def choose(self, trained: Trained) -> Sequence[Checkpoint]:
        """The last one."""
        return trained.checkpoints[-1:]


class Val(Rule):
    """The checkpoint that validation folds choose: one number for all seeds, and honest."""

    name = "val"
    words = (
        "checkpoint chosen on validation folds made of training classes, so the test set had no say"
    )
    note = (
        "val chooses one checkpoint for all seeds, by the mean H over validation folds, the last"
        " one of equals."
    )
    needs_folds = True

    def choose(self, trained: Trained) -> Sequence[Checkpoint]:
        """The one with the number that has the best mean H over the folds.

        Raises:
            Unchosen: the folds are not complete, or choose a checkpoint that is not there.
        """
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
        """The last one of equals."""
        return (max(reversed(trained.checkpoints), key=lambda c: c.metrics[_H]),)


#: Every rule by its name.
RULES: Mapping[str, Rule] = {rule.name: rule for rule in (Last(), Val(), BestTest())}


@cache
def rule_of(name: str) -> Rule:
    """The rule behind a name, calibrated or not, along one axis or not.

    Raises:
        SuiteError: no such rule.
    """
    plain, dot, axis = name.removesuffix(GAMMA).partition(".")
    if plain not in RULES:
        raise SuiteError(unknown_name("selection rule", plain, RULES))
    if not dot:
        return RULES[plain]
    if not RULES[plain].searches:
        raise SuiteError(f"the selection rule {plain!r} chooses nothing, so it takes no axis")
    if not axis.isidentifier():
        raise SuiteError(f"{axis!r} is no name of a checkpoint axis: {plain}.AXIS is expected")
    return type(RULES[plain])(axis)


def forms(selection: Iterable[str], calibration: bool) -> list[str]:
    """Names of rules as tables show them: each followed by its calibrated form, where wanted."""
    found = []
    for name in selection:
        found.append(name)
        if calibration and rule_of(name).calibrates:
            found.append(name + GAMMA)
    return found


def lead(selection: Iterable[str]) -> str:
    """The rule to lead with: an honest one, of these one that validates, the first of them.

    One along a single axis is for methods that have it, so one without leads where there is any.
    """
    rules = {name: rule_of(name) for name in selection}

    def rank(name: str) -> tuple[bool, bool, bool]:
        rule = rules[name]
        return not rule.reads_test, rule.needs_folds, rule.over is None

    return max(rules, key=rank)
