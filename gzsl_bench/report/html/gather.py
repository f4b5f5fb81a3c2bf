"""Everything a page shows of a suite, as plain data: read once, computed once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gzsl_bench.errors import GzslBenchError
from gzsl_bench.hooks.metric import Predictions
from gzsl_bench.plots.confusion import Confusion, mean, shares
from gzsl_bench.plots.cost import Cost
from gzsl_bench.plots.curves import Curve, mean_curve
from gzsl_bench.plots.forest import Entry
from gzsl_bench.plots.gap import Entry as Gap
from gzsl_bench.plots.heatmap import ClassMap
from gzsl_bench.plots.sensitivity import Sensitivity
from gzsl_bench.plots.training import Line, Panel, thinned
from gzsl_bench.records.record import Record
from gzsl_bench.report.cells import Table
from gzsl_bench.report.html.sweeps import sweeps
from gzsl_bench.report.ranking import open_ranks
from gzsl_bench.report.samples import predictions, sample
from gzsl_bench.report.verdicts import cause
from gzsl_bench.results.classes import class_names, nameless
from gzsl_bench.results.comparable import Place, obstacle, place
from gzsl_bench.results.rows import NO_RULE, Row
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.metrics import bias_sweep
from gzsl_bench.scoring.rules import GAMMA, Folds, rule_of
from gzsl_bench.scoring.sample import Sample
from gzsl_bench.suite.cells import EXTERNAL


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
        leads: H of every method by the rule.
        gaps: what choosing on the test set adds to it, where the suite tells.
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
    leads: tuple[Entry, ...]
    gaps: tuple[Gap, ...]
    left_out: tuple[str, ...]


def grounds(results: Results, table: Table, rule: str) -> list[Ground]:
    """What is drawn of every data set.

    Args:
        results: of the suite.
        table: all rows, with intervals.
        rule: whose checkpoints are drawn.
    """
    together: dict[Place, list[Row]] = {}
    for row in table.rows:
        together.setdefault(place(row), []).append(row)
    numbers = {
        name: i
        for i, name in enumerate(
            dict.fromkeys(table.who(row) for row in table.rows if row.sweep is None)
        )
    }
    gatherer = _Gatherer(results, table, numbers, rule)
    return [gatherer.ground(where_, mine) for where_, mine in together.items()]


class _Gatherer:
    def __init__(
        self,
        results: Results,
        table: Table,
        numbers: Mapping[str, int],
        rule: str,
    ) -> None:
        self.rule = rule
        self.results = results
        self.table = table
        self.numbers = numbers

    def ground(self, place_: Place, rows: Sequence[Row]) -> Ground:
        shown = [row for row in rows if not row.unavailable and row.sweep is None]
        main = [row for row in shown if row.selection == self.rule]
        calibrated = {row.keys: row for row in shown if row.selection == self.rule + GAMMA}
        without = [
            row
            for row in rows
            if row.unavailable and row.sweep is None and row.selection in (self.rule, NO_RULE)
        ]
        left_out = [f"{self.table.who(row)}: {row.unavailable.rstrip('.')}." for row in without]
        # A plot has room for a few words.
        absent = tuple(
            (self.table.who(row), row.unavailable if row.fate in ("failed", "n/a") else cause(row))
            for row in without
        )
        curves, confusion = [], []
        for row in main:
            who_ = self.table.who(row)
            try:
                found = self._predictions(row)
            except GzslBenchError as error:
                left_out.append(f"{who_}: {error}.")
                continue
            confusion.append(_confusion(who_, found))
            other = calibrated.get(row.keys)
            if other is not None:
                confusion.append(_confusion(who_ + GAMMA, self._predictions(other)))
            if any(each.best_seen is None for each in found):
                left_out.append(f"{who_}: predicted classes without scores, so there is no curve.")
            else:
                curves.append(self._curve(row, who_, found, shown))
        confusion += [Confusion.without(who_, why) for who_, why in absent if confusion]
        single = [self.table.who(row) for row in main if len(self._record(row, 0).checkpoints) < 2]
        if single:
            left_out.append(
                f"{', '.join(single)}: a single checkpoint, so there is no curve over checkpoints."
            )
        classes = self._classes(main, absent)
        if classes is not None and not classes.names:
            left_out.append(nameless(rows[0].dataset))
        return Ground(
            place=place_,
            title=self.table.where(rows[0]),
            rows=tuple(rows),
            curves=tuple(curves),
            classes=classes,
            confusion=tuple(confusion),
            training=tuple(p for row in main if (p := self._training(row)) is not None),
            logged=tuple(p for row in main if (p := self._logged(row)) is not None),
            costs=tuple(self._cost(row) for row in main if row.fidelity != EXTERNAL),
            sweeps=sweeps(rows, self.results.cells, self.rule),
            leads=(
                *self._leads(main),
                *(Entry(w, self.numbers.get(w, 0), why=why) for w, why in absent),
            ),
            gaps=self._gaps(main, shown),
            left_out=tuple(left_out),
        )

    def _gaps(self, main: Sequence[Row], shown: Sequence[Row]) -> tuple[Gap, ...]:
        """Of methods with more than one checkpoint: ``best_test`` against ``val``."""
        if self.rule != "val":
            return ()  # that is what the rows' gap is measured from
        best = {row.keys: row.selection_gap for row in shown if row.selection_gap is not None}
        return tuple(
            Gap(
                self.table.who(row), self.numbers[self.table.who(row)],
                row.summary().mean, found.mean, found.sd,
            )
            for row in main
            if (found := best.get(row.keys)) is not None
            and len(self._record(row, 0).checkpoints) > 1
        )  # fmt: skip

    def _record(self, row: Row, i: int) -> Record:
        record = self.results.record(row.keys[i])
        assert record is not None  # the row was made from it
        return record

    def _predictions(self, row: Row) -> list[Predictions]:
        """Of every seed and checkpoint that counts."""
        return [p for i in range(len(row.seeds)) for p in predictions(row, self.results, i)]

    def _curve(
        self, row: Row, label: str, found: Sequence[Predictions], rows: Sequence[Row]
    ) -> Curve:
        sweeps = [bias_sweep(predictions)[1:] for predictions in found]
        unseen, seen = mean_curve(sweeps)
        return Curve(
            label=label,
            index=self.numbers[self.table.who(row)],
            unseen=100 * unseen,
            seen=100 * seen,
            area=100 * float(np.mean([np.trapezoid(s, u) for u, s in sweeps])),
            points={
                other.selection: (other.summary("acc_unseen").mean, other.summary("acc_seen").mean)
                for other in rows
                if other.keys == row.keys
            },
        )

    def _classes(self, main: Sequence[Row], absent: tuple[tuple[str, str], ...]) -> ClassMap | None:
        samples: list[Sample] = []
        labels: list[str] = []
        for row in main:
            try:
                found = sample(row, self.results)
            except GzslBenchError:
                continue  # said where its predictions are needed first
            if samples and not (
                np.array_equal(found.unseen_ids, samples[0].unseen_ids)
                and np.array_equal(found.seen_ids, samples[0].seen_ids)
            ):
                continue
            samples.append(found)
            labels.append(self.table.who(row))
        if not samples:
            return None
        return ClassMap(
            tuple(labels),
            np.stack([s.unseen.mean(0) for s in samples]),
            np.stack([s.seen.mean(0) for s in samples]),
            samples[0].unseen_ids,
            samples[0].seen_ids,
            absent,
            class_names(self.results.suite.datasets, main[0].fingerprint),
        )

    def _training(self, row: Row) -> Panel | None:
        """H on the test set by checkpoint, and the mean over the folds that ``val`` looks at."""
        seeds = {}
        for i, seed in enumerate(row.seeds):
            checkpoints = self._record(row, i).checkpoints
            seeds[seed] = [(float(c.number), c.metrics["harmonic_mean"]) for c in checkpoints]
        if all(len(line) < 2 for line in seeds.values()):
            return None
        folds = self.results.folds.get(self.results.families[row.keys[0]], ())
        records = (self.results.record(cell.key) for cell in folds)
        means = Folds(r.checkpoints for r in records if r is not None and r.complete).means()
        by_folds = rule_of(self.rule).needs_folds
        chosen = {self.rule: float(row.checkpoints[0][-1])} if by_folds else {}
        return Panel(
            self.table.who(row),
            self.numbers[self.table.who(row)],
            seeds,
            sorted((float(n), h) for n, h in means.items()),
            chosen,
        )

    def _logged(self, row: Row) -> Panel | None:
        """The loss a method logged; where none is called so, the first value it logged."""
        curves = [self._record(row, i).curves for i in range(len(row.seeds))]
        names = list(dict.fromkeys(name for found in curves for name in found))
        if not names:
            return None
        name = next((n for n in ("loss", *names) if n in names), names[0])
        seeds: dict[int, Line] = {
            seed: thinned([(float(step), float(v)) for step, v in found[name]])
            for seed, found in zip(row.seeds, curves, strict=True)
            if found.get(name)
        }
        if all(len(line) < 2 for line in seeds.values()):
            return None
        label = f"{self.table.who(row)}: {name}"
        return Panel(label, self.numbers[self.table.who(row)], seeds)

    def _leads(self, main: Sequence[Row]) -> Iterator[Entry]:
        """H of every method, with its ranks where any two of them are told apart."""
        rivals = [row for row in main if not obstacle(row)]
        ranks = open_ranks(rivals, self.results)
        if set(ranks.values()) == {(1, len(rivals))}:
            ranks = {}
        for row in main:
            h, label = row.summary(), self.table.who(row)
            yield Entry(label, self.numbers[label], h.mean, h.low, h.high, ranks=ranks.get(row))

    def _cost(self, row: Row) -> Cost:
        found = [self._record(row, i) for i in range(len(row.seeds))]
        h = row.summary()
        memory = [r.provenance.peak_memory / 2**20 for r in found if r.provenance.peak_memory]
        return Cost(
            label=self.table.who(row),
            index=self.numbers[self.table.who(row)],
            harmonic_mean=h.mean,
            low=h.mean if h.low is None else h.low,
            high=h.mean if h.high is None else h.high,
            seconds=max(1e-3, float(np.mean([record.seconds_each for record in found]))),
            memory=max(memory) if memory else None,
        )


def _confusion(label: str, found: Sequence[Predictions]) -> Confusion:
    parts = [shares(predictions) for predictions in found]
    return Confusion(label, mean([p[0] for p in parts]), mean([p[1] for p in parts]))
