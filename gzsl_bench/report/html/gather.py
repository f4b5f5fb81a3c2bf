"""Everything a page shows of a suite, as plain data: read once, computed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gzsl_bench.errors import GzslBenchError
from gzsl_bench.hooks.metric import Predictions
from gzsl_bench.records.record import Record
from gzsl_bench.records.store import RecordStore
from gzsl_bench.report.cells import rule_name, where, who
from gzsl_bench.report.html.sweeps import sweeps
from gzsl_bench.report.plots.confusion import Confusion, mean, shares
from gzsl_bench.report.plots.cost import Cost
from gzsl_bench.report.plots.curves import Curve, mean_curve
from gzsl_bench.report.plots.heatmap import ClassMap
from gzsl_bench.report.plots.sensitivity import Sensitivity
from gzsl_bench.report.plots.training import Line, Panel, thinned
from gzsl_bench.report.samples import sample
from gzsl_bench.results.comparable import Place, place
from gzsl_bench.results.rows import NO_RULE, Row, is_swept
from gzsl_bench.scoring.calibration import calibrate
from gzsl_bench.scoring.kept import kept_predictions
from gzsl_bench.scoring.metrics import bias_sweep
from gzsl_bench.scoring.rules import GAMMA, RULES, Folds
from gzsl_bench.scoring.sample import Sample
from gzsl_bench.suite.resolve import ResolvedSuite


@dataclass(frozen=True, eq=False)
class Ground:
    """One data set, in the sense in which numbers are comparable, and what is drawn of it.

    Attributes:
        place: what must agree.
        title: its name in the table.
        rows: all rows of it, with intervals.
        curves: seen-unseen curves.
        classes: accuracies by class, or None where there is nothing to show.
        confusion: what became of the images.
        training: H by checkpoint, methods with more than one.
        logged: what methods logged while training: label of the axis's value and panels.
        costs: time and memory.
        sweeps: H over hyper-parameters; points of sweeps are in no other plot.
        left_out: sentences on what a plot lacks, and why.
    """

    place: Place
    title: str
    rows: tuple[Row, ...]
    curves: tuple[Curve, ...]
    classes: ClassMap | None
    confusion: tuple[Confusion, ...]
    training: tuple[Panel, ...]
    logged: tuple[Panel, ...]
    costs: tuple[Cost, ...]
    sweeps: tuple[Sensitivity, ...]
    left_out: tuple[str, ...]


def grounds(suite: ResolvedSuite, store: RecordStore, table: Sequence[Row]) -> list[Ground]:
    """What is drawn of every data set.

    Args:
        suite: the suite.
        store: its records.
        table: all rows, with intervals.
    """
    together: dict[Place, list[Row]] = {}
    for row in table:
        together.setdefault(place(row), []).append(row)
    numbers = {
        name: i
        for i, name in enumerate(
            dict.fromkeys(who(row, table) for row in table if not is_swept(row))
        )
    }
    gatherer = _Gatherer(suite, store, table, numbers)
    return [gatherer.ground(where_, mine) for where_, mine in together.items()]


class _Gatherer:
    def __init__(
        self,
        suite: ResolvedSuite,
        store: RecordStore,
        table: Sequence[Row],
        numbers: Mapping[str, int],
    ) -> None:
        self.rule = suite.lead
        self.store = store
        self.table = table
        self.numbers = numbers
        self.cells = {cell.key: cell for cell in suite.cells}
        self.folds: dict[str, list[Record]] = {}
        for cell in suite.cells:
            record = store.read(cell.key) if cell.fold else None
            if record is not None and record.complete:
                self.folds.setdefault(cell.family, []).append(record)

    def ground(self, place_: Place, rows: Sequence[Row]) -> Ground:
        shown = [row for row in rows if not row["unavailable"] and not is_swept(row)]
        main = [row for row in shown if row["selection"] == self.rule]
        calibrated = {id(self._main(main, row)): row for row in shown
                      if row["selection"] == self.rule + GAMMA}  # fmt: skip
        left_out: list[str] = []
        curves, confusion = [], []
        for row in main:
            who_ = who(row, self.table)
            try:
                found = self._predictions(row)
            except GzslBenchError as error:
                left_out.append(f"{who_}: {error}.")
                continue
            confusion.append(_confusion(who_, found))
            other = calibrated.get(id(row))
            if other is not None:
                biased = [calibrate(p, g) for p, g in zip(found, other["gamma"], strict=True)]
                confusion.append(_confusion(f"{who_} +\N{GREEK SMALL LETTER GAMMA}", biased))
            if any(p.best_seen is None for p in found):
                left_out.append(
                    f"{who_} has no seen-unseen curve: its record kept no scores of the checkpoint"
                    f" that {self.rule} chose."
                )
                continue
            curves.append(self._curve(row, who_, found, shown))
        single = [who(row, self.table) for row in main if len(self._record(row, 0).checkpoints) < 2]
        if single:
            left_out.append(
                f"{', '.join(single)}: a single checkpoint, so there is no curve over checkpoints."
            )
        return Ground(
            place=place_,
            title=where(rows[0], self.table),
            rows=tuple(rows),
            curves=tuple(curves),
            classes=self._classes(main),
            confusion=tuple(confusion),
            training=tuple(p for row in main if (p := self._training(row)) is not None),
            logged=tuple(p for row in main if (p := self._logged(row)) is not None),
            costs=tuple(self._cost(row) for row in main),
            sweeps=sweeps(rows, self.cells, self.rule),
            left_out=tuple(left_out),
        )

    @staticmethod
    def _main(main: Sequence[Row], row: Row) -> Row | None:
        return next((r for r in main if r["keys"] == row["keys"]), None)

    def _record(self, row: Row, i: int) -> Record:
        record = self.store.read(row["keys"][i])
        assert record is not None  # the row was made from it
        return record

    def _predictions(self, row: Row) -> list[Predictions]:
        return [
            kept_predictions(self._record(row, i).predictions(), number)
            for i, number in enumerate(row["checkpoints"])
        ]

    def _curve(
        self, row: Row, label: str, found: Sequence[Predictions], rows: Sequence[Row]
    ) -> Curve:
        sweeps = [bias_sweep(predictions)[1:] for predictions in found]
        unseen, seen = mean_curve(sweeps)
        return Curve(
            label=label,
            index=self.numbers[who(row, self.table)],
            unseen=100 * unseen,
            seen=100 * seen,
            area=100 * float(np.mean([np.trapezoid(s, u) for u, s in sweeps])),
            points={
                rule_name(other): (other["acc_unseen"]["mean"], other["acc_seen"]["mean"])
                for other in rows
                if other["keys"] == row["keys"]
            },
        )

    def _classes(self, main: Sequence[Row]) -> ClassMap | None:
        samples: list[Sample] = []
        labels: list[str] = []
        for row in main:
            try:
                found = sample(row, self.store)
            except GzslBenchError:
                continue  # said where its predictions are needed first
            if samples and not (
                np.array_equal(found.unseen_ids, samples[0].unseen_ids)
                and np.array_equal(found.seen_ids, samples[0].seen_ids)
            ):
                continue
            samples.append(found)
            labels.append(who(row, self.table))
        if not samples:
            return None
        return ClassMap(
            tuple(labels),
            np.stack([s.unseen.mean(0) for s in samples]),
            np.stack([s.seen.mean(0) for s in samples]),
            samples[0].unseen_ids,
            samples[0].seen_ids,
        )

    def _training(self, row: Row) -> Panel | None:
        """H on the test set by checkpoint, and the mean over the folds that ``val`` looks at."""
        seeds = {}
        for i, seed in enumerate(row["seeds"]):
            checkpoints = self._record(row, i).checkpoints
            seeds[seed] = [(c.number, c.metrics["harmonic_mean"]) for c in checkpoints]
        if all(len(line) < 2 for line in seeds.values()):
            return None
        folds = self.folds.get(self.cells[row["keys"][0]].family, [])
        means = Folds(record.checkpoints for record in folds).means()
        by_folds = RULES[self.rule].needs_folds
        chosen = {self.rule: float(row["checkpoints"][0])} if by_folds else {}
        return Panel(
            who(row, self.table),
            self.numbers[who(row, self.table)],
            seeds,
            sorted((float(n), h) for n, h in means.items()),
            chosen,
        )

    def _logged(self, row: Row) -> Panel | None:
        """The loss a method logged; where none is called so, the first value it logged."""
        curves = [self._record(row, i).curves for i in range(len(row["seeds"]))]
        names = list(dict.fromkeys(name for found in curves for name in found))
        if not names:
            return None
        name = next((n for n in ("loss", *names) if n in names), names[0])
        seeds: dict[int, Line] = {
            seed: thinned([(float(step), float(v)) for step, v in found[name]])
            for seed, found in zip(row["seeds"], curves, strict=True)
            if found.get(name)
        }
        if all(len(line) < 2 for line in seeds.values()):
            return None
        label = f"{who(row, self.table)}: {name}"
        return Panel(label, self.numbers[who(row, self.table)], seeds)

    def _cost(self, row: Row) -> Cost:
        found = [self._record(row, i) for i in range(len(row["seeds"]))]
        h = row["harmonic_mean"]
        memory = [r.provenance.peak_memory / 2**20 for r in found if r.provenance.peak_memory]
        return Cost(
            label=who(row, self.table),
            index=self.numbers[who(row, self.table)],
            harmonic_mean=h["mean"],
            low=h.get("low", h["mean"]),
            high=h.get("high", h["mean"]),
            seconds=max(1e-3, float(np.mean([record.seconds_each for record in found]))),
            memory=max(memory) if memory else None,
        )


def applicable(rows: Sequence[Row]) -> list[Row]:
    """Rows of methods that the data sets suit."""
    return [row for row in rows if row["selection"] != NO_RULE]


def _confusion(label: str, found: Sequence[Predictions]) -> Confusion:
    parts = [shares(predictions) for predictions in found]
    return Confusion(label, mean([p[0] for p in parts]), mean([p[1] for p in parts]))
