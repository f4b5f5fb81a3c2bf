"""What the records of validation folds say about the cells of the real task.

The numbers of every table and page come from :meth:`Validation.choose`: a rule, a cell and its
record give one checkpoint and its metrics, or a sentence that says why there is none.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gzsl_bench.builtin.metrics import gzsl_bench_metrics
from gzsl_bench.errors import RecordError
from gzsl_bench.hooks.metric import Predictions
from gzsl_bench.records.record import Record
from gzsl_bench.scoring.calibration import best_gamma, calibrate
from gzsl_bench.scoring.evaluate import evaluate
from gzsl_bench.scoring.rules import GAMMA, Checkpoint, Folds, Trained, Unchosen, rule_of
from gzsl_bench.suite.cells import Cell

#: A bias between seen and unseen scores does not change these.
_UNBIASED = ("zsl_acc", "ausuc")


@dataclass(frozen=True)
class Choice:
    """What a rule chose of one record.

    Attributes:
        numbers: of the checkpoints whose mean counts, most often a single one.
        metrics: theirs, calibrated where ``gamma`` is given.
        gamma: subtracted from the scores of seen classes, on the method's own scale; or None.
    """

    numbers: tuple[int, ...]
    metrics: Mapping[str, float]
    gamma: float | None = None

    @property
    def number(self) -> int:
        """The last of the checkpoints."""
        return self.numbers[-1]


class Known(Protocol):
    """What is known of a suite's cells: :class:`~gzsl_bench.results.view.Results`."""

    def record(self, key: str) -> Record | None:
        """The record of a cell, or None."""

    def predictions(self, key: str, number: int) -> Predictions:
        """What a cell predicted at one of its checkpoints."""

    @property
    def families(self) -> Mapping[str, str]:
        """What cells of the real task share with their validation folds, by key."""

    @property
    def folds(self) -> Mapping[str, Sequence[Cell]]:
        """Cells of validation folds by family."""


class Validation:
    """Choices for the cells of one suite; what its folds say is worked out once.

    Args:
        known: of the suite.
    """

    def __init__(self, known: Known) -> None:
        self._known = known
        self._folds: dict[str, Folds] = {}
        self._gammas: dict[tuple[str, int], float] = {}

    def choose(self, rule: str, cell: Cell, record: Record) -> Choice:
        """What ``rule`` chooses of a complete record of the real task.

        Raises:
            Unchosen: there is no choice, and why.
        """
        trained = Trained(
            record.checkpoints, lambda: self._of_folds(cell), " · ".join(cell.place), cell.seed
        )
        chosen = rule_of(rule).choose(trained)
        if not rule.endswith(GAMMA):
            return Choice(tuple(c.number for c in chosen), _mean(chosen))
        (checkpoint,) = chosen
        gamma = self.gamma(cell, checkpoint.number)
        scored = self._scored(cell, checkpoint.number)
        builtin = {metric.name: metric for metric in gzsl_bench_metrics()}
        there = checkpoint.metrics
        # What the record knows nothing of is not added: only it can say how to read a metric.
        same = {name: there[name] for name in _UNBIASED if name in there}
        known = {n: spec for n, spec in builtin.items() if n in there and n not in same}
        metrics = evaluate(calibrate(scored, gamma), known)
        return Choice((checkpoint.number,), metrics | same, gamma)

    def gamma(self, cell: Cell, number: int) -> float:
        """The gamma with the best mean H over the folds at checkpoint ``number``.

        Raises:
            Unchosen: the folds are not complete, or one lacks the checkpoint.
        """
        place = self._known.families[cell.key], number
        if place not in self._gammas:
            self._complete(cell)
            folds = self._known.folds[place[0]]
            self._gammas[place], _ = best_gamma([self._scored(fold, number) for fold in folds])
        return self._gammas[place]

    def _of_folds(self, cell: Cell) -> Folds:
        family = self._known.families[cell.key]
        if family not in self._folds:
            self._folds[family] = Folds(record.checkpoints for record in self._complete(cell))
        return self._folds[family]

    def _complete(self, cell: Cell) -> list[Record]:
        """Records of all folds of a cell, every one of them complete."""
        where = " · ".join(cell.place)
        cells = self._known.folds.get(self._known.families[cell.key], ())
        if not cells:
            raise Unchosen(f"nothing is known of validation folds of {where}; run the suite again")
        found, lacking = [], []
        for fold in cells:
            record = self._known.record(fold.key)
            if record is not None and record.complete:
                found.append(record)
            else:
                fate = "has not run" if record is None else "failed"
                if record is not None and record.not_applicable:
                    raise Unchosen(
                        f"the method does not apply to fold {fold.fold} of {where}: {record.cause}"
                    )
                lacking.append(f"fold {fold.fold} with seed {fold.seed} {fate}")
        if lacking:
            raise Unchosen(
                f"the validation folds of {where} are not complete: {', '.join(lacking)};"
                " run the suite again"
            )
        return found

    def _scored(self, cell: Cell, number: int) -> Predictions:
        """Predictions with scores of one checkpoint."""
        try:
            return self._known.predictions(cell.key, number)
        except RecordError as error:
            raise Unchosen(f"{cell.title} cannot be calibrated: {error}") from None


def _mean(chosen: Sequence[Checkpoint]) -> Mapping[str, float]:
    """Metrics of a checkpoint, or the means of those that several have."""
    if len(chosen) == 1:
        return chosen[0].metrics
    names = [name for name in chosen[0].metrics if all(name in c.metrics for c in chosen)]
    return {name: statistics.fmean(c.metrics[name] for c in chosen) for name in names}
