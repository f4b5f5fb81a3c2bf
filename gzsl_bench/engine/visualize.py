"""Latents of finished cells: each cell is trained once more, and what it offers is kept.

The training is that of the record: same data, seed, streams and threads.  Its predictions are
compared with the record's, so that a picture is known to be of the model that was scored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gzsl_bench.engine.again import train_again
from gzsl_bench.engine.sink import CellSink
from gzsl_bench.engine.worker import Worker
from gzsl_bench.errors import PluginError
from gzsl_bench.hooks.metric import MetricSpec
from gzsl_bench.hooks.run import Latents, ScoreFunction, Scorer
from gzsl_bench.records.latents import KeptLatents, predictions_digest
from gzsl_bench.scoring.predict import TestSet
from gzsl_bench.scoring.rules import Last, Unchosen, rule_of

if TYPE_CHECKING:
    from gzsl_bench.records.record import Record
    from gzsl_bench.results.view import Results
    from gzsl_bench.suite.cells import Cell


@dataclass(frozen=True)
class Wanted:
    """Which checkpoint of a cell is drawn.

    Attributes:
        rule: that chose it.
        checkpoint: its number; None where no record tells it, which means the last one.
        note: why it is not what the suite's honest rule would choose, or empty.
    """

    rule: str
    checkpoint: int | None
    note: str = ""


@dataclass(frozen=True)
class Agreement:
    """Whether the training made again gave what is recorded.

    Attributes:
        equal: every prediction and score of every checkpoint, bit for bit; None: no record.
        changed: predictions that differ at the checkpoint that is drawn.
        rows: test images.
    """

    equal: bool | None
    changed: int = 0
    rows: int = 0

    @property
    def words(self) -> str:
        """One clause."""
        if self.equal is None:
            return "no record to compare with"
        if self.equal:
            return "equals its record bit for bit"
        if not self.changed:
            return "predicts as its record does, but is not equal to it bit for bit"
        return f"differs from its record in {self.changed} of {self.rows} predictions"


def wanted(results: Results, cell: Cell) -> Wanted:
    """The checkpoint that the suite's honest rule chooses."""
    record = _complete(results, cell)
    rule = results.suite.lead
    if rule_of(rule).reads_test:
        rule = Last.name
    if record is None:
        note = f"nothing is recorded of it, so {rule} has nothing to choose from"
        return Wanted(Last.name, None, note if rule_of(rule).needs_folds else "")
    validation = results.validation
    try:
        return Wanted(rule, validation.choose(rule, cell, record).number)
    except Unchosen as reason:
        return Wanted(Last.name, validation.choose(Last.name, cell, record).number, str(reason))


def agreement(kept: KeptLatents, results: Results, cell: Cell) -> Agreement:
    """Compare latents' training with the cell's record.

    Raises:
        RecordError: the record's predictions cannot be read.
    """
    record = _complete(results, cell)
    if record is None:
        return Agreement(None)
    arrays = record.predictions()
    rows = len(kept.predicted)
    if predictions_digest(arrays) == kept.digest:
        return Agreement(True, 0, rows)
    places = np.flatnonzero(arrays["checkpoints"] == kept.checkpoint)
    if not len(places) or arrays["predicted"].shape[1] != rows:
        return Agreement(False, rows, rows)
    return Agreement(False, int((arrays["predicted"][places[0]] != kept.predicted).sum()), rows)


def draw_again(
    worker: Worker,
    cell: Cell,
    checkpoint: int | None,
    record: Record | None,
    on_progress: Callable[[int, int], None],
) -> KeptLatents:
    """Train a cell as its record was trained and keep what a checkpoint offers.

    Args:
        worker: with the plugins and the data.
        cell: of the real task.
        checkpoint: its number; None means the last one.
        record: of the cell, if it has one.
        on_progress: told how far the training is.

    Raises:
        PluginError: the checkpoint offers no latents, or unusable ones.
        WorkerError: the training failed.
        NotApplicable: the method cannot work on these data.
    """
    metrics = worker.registry.metrics
    return train_again(
        worker, cell, record, lambda tests: LatentSink(tests, metrics, on_progress, checkpoint)
    ).kept(cell)


class LatentSink(CellSink):
    """Scores as in any run; at the wanted checkpoint it then takes what the scorer offers.

    It is taken at once, since parameters may change afterwards.  Where the last checkpoint is
    wanted, whose number nobody knows before, every checkpoint's is taken; those that share one
    object are taken once.
    """

    def __init__(
        self,
        tests: TestSet,
        metrics: Mapping[str, MetricSpec],
        on_progress: Callable[[int, int], None],
        wanted: int | None,
    ) -> None:
        super().__init__(tests, metrics, on_progress, lambda: None)
        self._wanted = wanted
        self._offered: Latents | None = None
        self._taken: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        self._number: int | None = None

    def checkpoint(self, number: int, scorer: ScoreFunction) -> None:
        """Score, then take the latents.

        Raises:
            PluginError: the scorer offers none.
        """
        super().checkpoint(number, scorer)
        if self._wanted is not None and number != self._wanted:
            return
        offered = scorer.latents if isinstance(scorer, Scorer) else None
        if offered is None:
            raise PluginError(
                f"the scorer of checkpoint {number} offers no latents, though the method's spec"
                " says so; give Scorer(..., latents=Latents(visual, semantic))"
            )
        if offered is not self._offered:
            self._taken = self.tests.latents(offered)
            self._offered = offered
        self._number = number

    def kept(self, cell: Cell) -> KeptLatents:
        """What was taken.

        Raises:
            PluginError: the wanted checkpoint did not come.
        """
        numbers = [row.number for row in self.rows]
        if self._taken is None or self._number is None:
            raise PluginError(
                f"{cell.title}: trained again it offers the checkpoints {numbers}, of which none is"
                f" checkpoint {self._wanted}, the one that is recorded and chosen"
            )
        visual, semantic, classes = self._taken
        arrays = self.arrays()
        return KeptLatents(
            key=cell.key,
            checkpoint=self._number,
            last=self._number == numbers[-1],
            visual=visual,
            labels=arrays["labels"],
            semantic=semantic,
            classes=classes,
            seen=arrays["seen"],
            unseen=arrays["unseen"],
            predicted=arrays["predicted"][numbers.index(self._number)].astype(np.int64),
            digest=predictions_digest(arrays),
        )


def _complete(results: Results, cell: Cell) -> Record | None:
    record = results.record(cell.key)
    return record if record is not None and record.complete else None
