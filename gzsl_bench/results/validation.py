"""What the records of validation folds say about the cells of the real task.

The numbers of every table and page come from :meth:`Validation.choose`: a rule, a cell and its
record give one checkpoint and its metrics, or a sentence that says why there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gzsl_bench.builtin.metrics import gzsl_bench_metrics
from gzsl_bench.errors import RecordError
from gzsl_bench.hooks.metric import Predictions
from gzsl_bench.records.store import Record, RecordStore
from gzsl_bench.results.rules import GAMMA, Rows, Unchosen, best_validation, select
from gzsl_bench.scoring.calibration import best_gamma, calibrate
from gzsl_bench.scoring.evaluate import evaluate
from gzsl_bench.scoring.kept import kept_predictions
from gzsl_bench.suite.cells import Cell
from gzsl_bench.suite.resolve import ResolvedSuite

#: A bias between seen and unseen scores does not change these.
_UNBIASED = ("zsl_acc", "ausuc")


@dataclass(frozen=True)
class Choice:
    """What a rule chose of one record.

    Attributes:
        number: the checkpoint.
        metrics: its metrics, calibrated where ``gamma`` is given.
        gamma: subtracted from the scores of seen classes, on the method's own scale; or None.
    """

    number: int
    metrics: Mapping[str, float]
    gamma: float | None = None


def rules(suite: ResolvedSuite) -> list[str]:
    """The suite's rules, each honest one followed by its calibrated form if that is asked for.

    ``best_test`` has none: with a checkpoint from the test set and a bias from validation it would
    be neither the literature's habit nor honest.
    """
    found = []
    for rule in suite.selection:
        found.append(rule)
        if suite.calibration and rule != "best_test":
            found.append(rule + GAMMA)
    return found


class Validation:
    """Choices for the cells of one suite; the records of its folds are read once.

    Args:
        suite: its cells include those of the folds.
        store: the results folder.
    """

    def __init__(self, suite: ResolvedSuite, store: RecordStore) -> None:
        self._store = store
        self._cells: dict[str, dict[str, Cell]] = {}
        for cell in suite.cells:
            if cell.fold:
                self._cells.setdefault(cell.family, {})[cell.key] = cell
        self._numbers: dict[str, int] = {}
        self._gammas: dict[tuple[str, int], float] = {}

    def choose(self, rule: str, cell: Cell, record: Record) -> Choice:
        """What ``rule`` chooses of a complete record of the real task.

        Raises:
            Unchosen: there is no choice, and why.
        """
        plain = rule.removesuffix(GAMMA)
        rows: Rows = record.content["checkpoints"]
        row = self._validated(cell, rows) if plain == "val" else select(plain, rows)
        number = row["number"]
        if plain == rule:
            return Choice(number, row["metrics"])
        gamma = self.gamma(cell, number)
        scored = _scored(record, number, cell.title)
        builtin = {metric.name: metric for metric in gzsl_bench_metrics()}
        # What the record knows nothing of is not added: only it can say how to read a metric.
        same = {name: row["metrics"][name] for name in _UNBIASED if name in row["metrics"]}
        known = {n: spec for n, spec in builtin.items() if n in row["metrics"] and n not in same}
        metrics = evaluate(calibrate(scored, gamma), known)
        return Choice(number, metrics | same, gamma)

    def gamma(self, cell: Cell, number: int) -> float:
        """The gamma with the best mean H over the folds at checkpoint ``number``.

        Raises:
            Unchosen: the folds are not complete, or one lacks the checkpoint.
        """
        known = cell.family, number
        if known not in self._gammas:
            self._gammas[known], _ = best_gamma(
                [_scored(record, number, title) for title, record in self._complete(cell)]
            )
        return self._gammas[known]

    def _validated(self, cell: Cell, rows: Rows) -> Mapping[str, Any]:
        """The row of the checkpoint that the folds choose."""
        if len(rows) == 1:
            return rows[0]  # the only candidate, whatever the folds say
        if cell.family not in self._numbers:
            found = [record.content["checkpoints"] for _, record in self._complete(cell)]
            self._numbers[cell.family] = best_validation(found)
        number = self._numbers[cell.family]
        for row in rows:
            if row["number"] == number:
                return row
        raise Unchosen(
            f"the validation folds of {' · '.join(cell.place)} choose checkpoint {number}, which"
            f" seed {cell.seed} of the real task does not have"
        )

    def _complete(self, cell: Cell) -> list[tuple[str, Record]]:
        """Titles and records of all folds of a cell, every one of them complete."""
        where = " · ".join(cell.place)
        cells = list(self._cells.get(cell.family, {}).values())
        if not cells:
            raise Unchosen(f"nothing is known of validation folds of {where}; run the suite again")
        found, lacking = [], []
        for fold in cells:
            record = self._store.read(fold.key)
            if record is not None and record.complete:
                found.append((fold.title, record))
            else:
                fate = "has not run" if record is None else "failed"
                if record is not None and record.not_applicable:
                    raise Unchosen(
                        f"the method does not apply to fold {fold.fold} of {where}:"
                        f" {record.content['cause']}"
                    )
                lacking.append(f"fold {fold.fold} with seed {fold.seed} {fate}")
        if lacking:
            raise Unchosen(
                f"the validation folds of {where} are not complete: {', '.join(lacking)};"
                " run the suite again"
            )
        return found


def _scored(record: Record, number: int, title: str) -> Predictions:
    """Predictions with scores of one checkpoint."""
    try:
        found = kept_predictions(record.predictions(), number)
    except RecordError as error:
        raise Unchosen(f"{title} cannot be calibrated: {error}") from None
    if found.best_seen is None:
        raise Unchosen(
            f"{title} cannot be calibrated: an earlier version made its record and kept no scores"
            f" of checkpoint {number}"
        )
    return found
