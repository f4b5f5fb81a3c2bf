"""Tuning: a suite's search spaces as trials, each a set of fold cells, and what they came to.

Only cells of validation folds are made.  A trial's number is the one the rule ``val`` goes by: the
best mean H over the folds, at one checkpoint for all of them.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gzsl_bench.errors import SuiteError
from gzsl_bench.records.record import Record
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.rules import Folds, Unchosen, Val
from gzsl_bench.suite.cells import Cell
from gzsl_bench.suite.datasets import (
    Filter,
    Place,
    dataset_spec,
    info,
    refuse_twins,
    request,
    wanted,
)
from gzsl_bench.suite.load import LoadedSuite, refuse_leaks
from gzsl_bench.suite.resolve import resolve, resolve_config
from gzsl_bench.suite.resolved import ResolvedSuite
from gzsl_bench.suite.schema import DatasetEntry, MethodEntry
from gzsl_bench.suite.space import dimensions
from gzsl_bench.tuning.search import candidates
from gzsl_bench.wording import counted

if TYPE_CHECKING:
    from gzsl_bench.hooks.manager import Registry

_H = "harmonic_mean"

#: Candidates by number: their values on every data set that can use them.
_Usable = dict[int, dict[str, dict[str, Any]]]
#: A method, what can be tried, and how many candidates there were.
_Plan = tuple[MethodEntry, _Usable, int]


@dataclass(frozen=True)
class Trial:
    """One candidate on one data set.

    Attributes:
        number: counted from 1; the same candidate has the same number on every data set.
        values: of the tuned fields, as the method's configuration reads them.
        cells: one for every fold and validation seed.
    """

    number: int
    values: Mapping[str, Any]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Search:
    """The trials of one method on one data set.

    Attributes:
        dataset: the data set's label.
        entry: the method's entry in the suite.
        kind: ``grid`` or ``random``.
        trials: by number.
        refused: how many candidates the method's configuration refused as a combination.
    """

    dataset: str
    entry: MethodEntry
    kind: str
    trials: tuple[Trial, ...]
    refused: int

    @property
    def label(self) -> str:
        """The method's label."""
        return self.entry.name

    @property
    def title(self) -> str:
        """``CUB · ACMR``."""
        return f"{self.dataset} · {self.label}"


@dataclass(frozen=True)
class Tuning:
    """All searches of a suite.

    Attributes:
        loaded: the suite as written.
        only: the part of it that is tuned.
        suite: the fold cells of all trials, as an engine runs them and a mirror shows them.
        searches: by method as the suite lists them, then by data set.
        val_fits: whether the suite may have the rule ``val``, or has a scaler that sees test rows.
    """

    loaded: LoadedSuite
    only: Filter
    suite: ResolvedSuite
    searches: tuple[Search, ...]
    val_fits: bool


@dataclass(frozen=True)
class Score:
    """What a trial came to.

    Attributes:
        trial: which one.
        checkpoint: the one with the best mean H over the folds; None where there is no number.
        folds: the metrics at that checkpoint, of every fold and seed.
        mean: their means; H decides.
        reason: why there is no number, else None.
    """

    trial: Trial
    checkpoint: int | None
    folds: tuple[Mapping[str, float], ...]
    mean: Mapping[str, float]
    reason: str | None = None


def prepare(
    loaded: LoadedSuite, registry: Registry, place: Place, only: Filter | None = None
) -> Tuning:
    """Find the candidates, load and identify the data, and make the fold cells of every trial.

    Args:
        loaded: a suite whose names were checked.
        registry: what is installed.
        place: where data are.
        only: the part of the suite that is wanted.

    Raises:
        DataError: data are missing or damaged.
        SuiteError: there is no search space, or one without a candidate the method can use.
    """
    only = only or Filter()
    datasets, methods = wanted(loaded, only)
    refuse_twins(loaded, only, "values chosen for one could not be told from those for the other")
    plans: list[_Plan] = []
    expanded: list[MethodEntry] = []
    for entry in methods:
        if entry.tune is None:
            continue
        found, count = _usable(loaded, registry, place, entry, datasets)
        plans.append((entry, found, count))
        expanded += [
            _trial_entry(entry, number, values) for number, values in found.items() if values
        ]
    if not expanded:
        raise SuiteError(
            f"{loaded.file.path}: nothing here is to be tuned; give a method a search space, such"
            " as `tune: {learning_rate: [0.001, 0.01]}`"
        )
    used = frozenset(name for entry in expanded for name in entry.datasets or ())
    suite = loaded.suite.model_copy(
        update={"methods": expanded, "selection": [Val.name], "seeds": [0], "calibration": False}
    )
    whole = resolve(replace(loaded, suite=suite), registry, place, only=Filter(datasets=used))
    cells: dict[tuple[str, str], list[Cell]] = {}
    for cell in whole.cells:
        if cell.fold:
            cells.setdefault((cell.dataset, cell.label), []).append(cell)
    searches = []
    for entry, found, count in plans:
        for dataset in (d.name for d in datasets):
            trials = tuple(
                Trial(number, values[dataset], tuple(cells[dataset, _trial_label(entry, number)]))
                for number, values in found.items()
                if dataset in values
            )
            if trials:
                kind = loaded.suite.kind_of_search(entry)
                searches.append(Search(dataset, entry, kind, trials, count - len(trials)))
    return Tuning(
        loaded=loaded,
        only=only,
        suite=replace(
            whole,
            warnings=(*whole.warnings, *_fewer(loaded, plans)),
            # With a blank, which no suite's name has: an experiment of its own in MLflow.
            name=f"{loaded.suite.name} tuning",
            cells=tuple(c for s in searches for t in s.trials for c in t.cells),
        ),
        searches=tuple(searches),
        val_fits=_val_fits(loaded, registry),
    )


def _fewer(loaded: LoadedSuite, plans: Sequence[_Plan]) -> list[str]:
    """Sentences about random searches whose space has fewer candidates than asked for."""
    return [
        f"{entry.name}: the search space has {counted(count, 'different candidate')}, fewer"
        f" than the {asked} trials asked for"
        for entry, _, count in plans
        if loaded.suite.kind_of_search(entry) == "random"
        and count < (asked := entry.trials or loaded.suite.trials or 0)
    ]


def _val_fits(loaded: LoadedSuite, registry: Registry) -> bool:
    suite = loaded.suite.model_copy(update={"selection": [Val.name]})
    try:
        refuse_leaks(replace(loaded, suite=suite), registry)
    except SuiteError:
        return False
    return True


def score(search: Search, results: Results) -> list[Score]:
    """All trials of a search, the best mean validation H first, the first one of equals.

    Trials without a number come last, in their order.
    """
    found = [score_trial(trial, results) for trial in search.trials]
    return sorted(found, key=lambda s: (-s.mean.get(_H, float("-inf")), s.trial.number))


def score_trial(trial: Trial, results: Results) -> Score:
    """The number of one trial, or the reason why it has none."""
    records: list[Record] = []
    for cell in trial.cells:
        record = results.record(cell.key)
        if record is None:
            return Score(trial, None, (), {}, "not complete yet")
        if not record.complete:
            fate = "does not apply" if record.not_applicable else "failed"
            return Score(trial, None, (), {}, f"fold {cell.fold} {fate}: {record.cause}")
        records.append(record)
    folds = [record.checkpoints for record in records]
    try:
        number = Folds(folds).best
    except Unchosen as error:
        return Score(trial, None, (), {}, str(error))
    at = [next(c.metrics for c in each if c.number == number) for each in folds]
    names = [name for name in at[0] if all(name in metrics for metrics in at)]
    mean = {name: statistics.fmean(metrics[name] for metrics in at) for name in names}
    return Score(trial, number, tuple(at), mean)


def _trial_label(entry: MethodEntry, number: int) -> str:
    return f"{entry.name} trial {number}"


def _trial_entry(
    entry: MethodEntry, number: int, values: Mapping[str, Mapping[str, Any]]
) -> MethodEntry:
    """The entry that stands for one candidate, on the data sets where it can be used."""
    return entry.model_copy(
        update={
            "label": _trial_label(entry, number),
            "config": {**entry.config, **next(iter(values.values()))},
            "datasets": list(values),
            "tune": None,
        }
    )


def _usable(
    loaded: LoadedSuite,
    registry: Registry,
    place: Place,
    entry: MethodEntry,
    datasets: Sequence[DatasetEntry],
) -> tuple[_Usable, int]:
    """The candidates, on every data set where the method's configuration takes them.

    A combination may be refused though each of its values is right.

    Returns:
        What can be tried, and how many candidates there were.
    """
    spec = registry.methods[entry.use]
    config = spec.factory.Config
    assert entry.tune is not None
    drawn = candidates(
        dimensions(entry.tune, config, entry.config),
        loaded.suite.kind_of_search(entry),
        entry.trials or loaded.suite.trials,
    )
    found: _Usable = {n: {} for n in range(1, len(drawn) + 1)}
    for dataset in datasets:
        label = dataset.name
        if entry.datasets is not None and label not in entry.datasets:
            continue
        asked = request(dataset, dataset_spec(registry, dataset.use, place.root), place)
        known = info(dataset, asked)
        complaints = []
        for number, values in enumerate(drawn, start=1):
            try:
                full = resolve_config(spec.name, spec.factory, known, {**entry.config, **values})
            except SuiteError as error:
                complaints.append(str(error))
            else:
                found[number][label] = {name: full[name] for name in values}
        if len(complaints) == len(drawn):
            place_of = ("methods", loaded.suite.methods.index(entry), "tune")
            raise loaded.file.error(place_of, f"no candidate can be used: {complaints[0]}")
    return found, len(drawn)
