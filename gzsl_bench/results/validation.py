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
from gzsl_bench.scoring.axes import Axes, along, described
from gzsl_bench.scoring.calibration import Bias, calibrate
from gzsl_bench.scoring.evaluate import evaluate
from gzsl_bench.scoring.packed import short
from gzsl_bench.scoring.rules import GAMMA, Checkpoint, Folds, Support, Trained, Unchosen, rule_of
from gzsl_bench.suite.cells import EXTERNAL, Cell
from gzsl_bench.suite.resolved import ResolvedSuite

#: A bias between seen and unseen scores does not change these.
_UNBIASED = ("zsl_acc", "ausuc")


@dataclass(frozen=True)
class Choice:
    """What a rule chose of one record.

    Attributes:
        numbers: of the checkpoints whose mean counts, most often a single one.
        metrics: theirs, calibrated where ``gamma`` is given.
        gamma: subtracted from the scores of seen classes, on the method's own scale; or None.
        support: what the folds say for it; None where they were not asked.
        axes: of the record's checkpoints.
    """

    numbers: tuple[int, ...]
    metrics: Mapping[str, float]
    gamma: float | None = None
    support: Support | None = None
    axes: Axes = ()

    @property
    def words(self) -> str:
        """The checkpoints, each with its place on the axes where there are several."""
        return ", ".join(described(self.axes, number) for number in self.numbers)

    @property
    def number(self) -> int:
        """The last of the checkpoints."""
        return self.numbers[-1]


class Known(Protocol):
    """What is known of a suite's cells: :class:`~gzsl_bench.results.view.Results`."""

    @property
    def suite(self) -> ResolvedSuite:
        """The suite."""

    def record(self, key: str) -> Record | None:
        """The record of a cell, or None."""

    def predictions(self, key: str, number: int) -> Predictions:
        """What a cell predicted at one of its checkpoints."""

    def biases(self, folds: Sequence[Cell], numbers: Sequence[int]) -> Mapping[int, Bias]:
        """The gamma that complete folds choose at each of these checkpoints."""

    @property
    def families(self) -> Mapping[str, str]:
        """What cells of the real task share with their validation folds, by key."""

    @property
    def folds(self) -> Mapping[str, Sequence[Cell]]:
        """Cells of validation folds by family."""


class _Calibrated(Folds):
    """Folds that speak for a checkpoint by its best mean H over all biases."""

    def __init__(self, biases: Mapping[int, Bias]) -> None:
        super().__init__(())
        self._biases = biases

    def scores(self) -> dict[int, list[float]]:
        """In percent."""
        return {n: [100 * h for h in (b.h, *b.without)] for n, b in sorted(self._biases.items())}


class Validation:
    """Choices for the cells of one suite; what its folds say is worked out once.

    Args:
        known: of the suite.
    """

    def __init__(self, known: Known) -> None:
        self._known = known
        self._folds: dict[tuple[str, bool], Folds] = {}
        self._gammas: dict[tuple[str, int], float] = {}

    def choose(self, rule: str, cell: Cell, record: Record) -> Choice:
        """What ``rule`` chooses of a complete record of the real task.

        Raises:
            Unchosen: there is no choice, and why.
        """
        chosen, support = self._chosen(rule, cell, record)
        if not rule.endswith(GAMMA):
            numbers = tuple(c.number for c in chosen)
            return Choice(numbers, _mean(chosen), support=support, axes=record.axes)
        (checkpoint,) = chosen
        gamma = self.gamma(cell, checkpoint.number)
        try:
            scored = self._known.predictions(cell.key, checkpoint.number)
        except RecordError as error:
            raise Unchosen(f"{cell.title} cannot be calibrated: {error}") from None
        if scored.best_seen is None:
            raise Unchosen(f"{cell.title} cannot be calibrated: it has classes and no scores")
        gamma = short(gamma) if scored.rounded else gamma
        builtin = {metric.name: metric for metric in gzsl_bench_metrics()}
        there = checkpoint.metrics
        # What the record knows nothing of is not added: only it can say how to read a metric.
        same = {name: there[name] for name in _UNBIASED if name in there}
        known = {n: spec for n, spec in builtin.items() if n in there and n not in same}
        metrics = evaluate(calibrate(scored, gamma), known)
        return Choice((checkpoint.number,), metrics | same, gamma, support, record.axes)

    def numbers(self, rule: str, cell: Cell, record: Record) -> tuple[int, ...]:
        """The checkpoints that ``rule`` chooses, without a look at the record's predictions.

        Raises:
            Unchosen: there is no choice, and why.
        """
        return tuple(checkpoint.number for checkpoint in self._chosen(rule, cell, record)[0])

    def gamma(self, cell: Cell, number: int) -> float:
        """The gamma with the best mean H over the folds at checkpoint ``number``.

        Raises:
            Unchosen: the folds are not complete, or one lacks the checkpoint.
        """
        place = self._known.families[cell.key], number
        if place not in self._gammas:
            biases = self._biases(cell, number)
            if number not in biases:
                raise Unchosen(
                    f"{cell.title} cannot be calibrated: a validation fold lacks checkpoint"
                    f" {number}"
                )
            self._gammas[place] = biases[number].gamma
        return self._gammas[place]

    def _chosen(
        self, rule: str, cell: Cell, record: Record
    ) -> tuple[Sequence[Checkpoint], Support | None]:
        """The checkpoints, and what the folds say for them where the rule asks them."""
        chooser, asked = rule_of(rule), list[Folds]()
        where = " · ".join(cell.place)
        candidates = _candidates(chooser.over, record, where)

        def folds() -> Folds:
            found = self._of_folds(cell, rule.endswith(GAMMA))
            if chooser.over is not None:
                found = found.among({checkpoint.number for checkpoint in candidates})
            asked.append(found)
            return found

        if cell.about.get("fidelity") == EXTERNAL and chooser.needs_folds:
            # Of a single checkpoint, too, nobody knows by what it was chosen.
            self._complete(cell)
        chosen = chooser.choose(Trained(candidates, folds, where, cell.seed))
        return chosen, asked[0].elected[1] if asked else None

    def _of_folds(self, cell: Cell, calibrated: bool) -> Folds:
        place = self._known.families[cell.key], calibrated
        if place not in self._folds:
            if calibrated:
                self._folds[place] = _Calibrated(self._biases(cell))
            else:
                records = [record.checkpoints for record in self._complete(cell)]
                numbers = [fold.fold for fold in self._known.folds[place[0]]]
                self._folds[place] = Folds(records, numbers)
        return self._folds[place]

    def _biases(self, cell: Cell, number: int | None = None) -> Mapping[int, Bias]:
        """Gammas of every checkpoint that a rule of the suite may choose, or of one."""
        records = self._complete(cell)
        numbers = set.intersection(*({c.number for c in r.checkpoints} for r in records))
        # All of them at once where folds choose among them: their predictions are read once.
        searched = self._searched(cell)
        if searched is not None:
            numbers &= searched | ({number} if number is not None else set())
        folds = self._known.folds[self._known.families[cell.key]]
        try:
            return self._known.biases(folds, sorted(numbers))
        except RecordError as error:
            raise Unchosen(f"{cell.title} cannot be calibrated: {error}") from None

    def _searched(self, cell: Cell) -> set[int] | None:
        """Checkpoints among which folds choose together with a gamma; None if among all."""
        rules = [rule_of(name) for name in self._known.suite.selection]
        axes = {rule.over for rule in rules if rule.calibrates and rule.needs_folds}
        record = self._known.record(cell.key)
        if None in axes or record is None:
            return None
        numbers = [checkpoint.number for checkpoint in record.checkpoints]
        found: set[int] = set()
        for name, _ in record.axes:
            found.update(along(record.axes, name, numbers) if name in axes else ())
        return found

    def _complete(self, cell: Cell) -> list[Record]:
        """Records of all folds of a cell, every one of them complete."""
        where = " · ".join(cell.place)
        cells = self._known.folds.get(self._known.families[cell.key], ())
        if not cells and cell.about.get("fidelity") == EXTERNAL:
            raise Unchosen(f"{where} was trained elsewhere, and no predictions of folds came along")
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


def _candidates(axis: str | None, record: Record, where: str) -> Sequence[Checkpoint]:
    """The checkpoints that a rule along ``axis`` may choose: all of them if it is None.

    Raises:
        Unchosen: the training has no such axis.
    """
    if axis is None or len(record.checkpoints) == 1:  # there is no choice
        return record.checkpoints
    names = [name for name, _ in record.axes]
    if axis not in names:
        has = f"only {' and '.join(names)}" if names else "their numbers count one thing alone"
        raise Unchosen(f"the checkpoints of {where} have no axis {axis!r}: {has}")
    wanted = set(along(record.axes, axis, [c.number for c in record.checkpoints]))
    return [checkpoint for checkpoint in record.checkpoints if checkpoint.number in wanted]


def _mean(chosen: Sequence[Checkpoint]) -> Mapping[str, float]:
    """Metrics of a checkpoint, or the means of those that several have."""
    if len(chosen) == 1:
        return chosen[0].metrics
    names = [name for name in chosen[0].metrics if all(name in c.metrics for c in chosen)]
    return {name: statistics.fmean(c.metrics[name] for c in chosen) for name in names}
