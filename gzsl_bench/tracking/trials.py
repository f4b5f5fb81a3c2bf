"""A tuning in MLflow: one run per trial, in an experiment beside that of the suite's results.

A trial's params are the values that were tried and nothing else, so MLflow's parallel coordinates
show at once which of them matter.  Its metrics are means over the validation folds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from gzsl_bench.records.record import Record
from gzsl_bench.results.rows import HEADINGS
from gzsl_bench.results.view import Results
from gzsl_bench.scoring.rules import Folds
from gzsl_bench.suite.cells import digest
from gzsl_bench.tracking.address import checked
from gzsl_bench.tracking.client import require
from gzsl_bench.tracking.describe import (
    TRIAL,
    Image,
    Point,
    dataset_input,
    params_of,
    period,
    tags_of,
)
from gzsl_bench.tracking.experiment import Experiment
from gzsl_bench.tracking.mirror import Mirror
from gzsl_bench.tracking.names import safe_names
from gzsl_bench.tuning.trials import Score, Search, Trial, Tuning, score_trial
from gzsl_bench.wording import counted

#: The chosen checkpoint's means; ``validation/...`` are those of every checkpoint.
_BEST = "best_validation"


class TrialMirror(Mirror):
    """Shows each trial once all its fold cells have a record."""

    def __init__(self, uri: str, tuning: Tuning, results: Results) -> None:
        super().__init__(uri, results)
        self._tuning = tuning
        self._trials: dict[str, list[tuple[Search, Trial]]] = {}
        for search in tuning.searches:
            for trial in search.trials:
                for cell in trial.cells:
                    self._trials.setdefault(cell.key, []).append((search, trial))

    def image(self, record: Record) -> Image | None:
        """The trial that ``record`` made whole; of twins the first, the end adds the others."""
        for search, trial in self._trials.get(record.key, ()):
            if (image := trial_image(self._tuning, search, trial, self._results)) is not None:
                return image
        return None

    def _offer_views(self, experiment: Experiment) -> None:
        """Those of results would show none of the trials."""

    def _follow(self) -> None:
        """A search has all its trials from the start."""

    def images(self) -> Iterator[Image]:
        """All trials that are whole."""
        for search in self._tuning.searches:
            for trial in search.trials:
                image = trial_image(self._tuning, search, trial, self._results)
                if image is not None:
                    yield image


def open_trial_mirror(uri: str, tuning: Tuning, results: Results) -> TrialMirror:
    """The mirror of a tuning; one that cannot reach its store is behind from the start.

    Raises:
        TrackingError: the URI makes no sense, or mlflow or a driver is not installed.
    """
    uri = checked(uri)
    require()
    mirror = TrialMirror(uri, tuning, results)
    mirror.open()
    return mirror


def trial_image(tuning: Tuning, search: Search, trial: Trial, results: Results) -> Image | None:
    """The run of a trial; None while a fold cell has no record.

    Args:
        tuning: gives the suite and its data sets.
        search: what the trial is part of.
        trial: which one.
        results: of the fold cells.
    """
    records = [results.record(cell.key) for cell in trial.cells]
    whole = [record for record in records if record is not None]
    if len(whole) < len(records):
        return None
    found = score_trial(trial, results)
    cell = trial.cells[0]
    periods = [period(record) for record in whole]
    key = digest({"trial": [c.key for c in trial.cells], "label": cell.label})
    number = (
        f"Without a number: {found.reason}"
        if found.reason
        else f"Validation H {found.mean['harmonic_mean']:.1f} at checkpoint {found.checkpoint}."
    )
    cells = ", ".join(c.key for c in trial.cells)
    axes = {"dataset": search.dataset, "method": cell.method, "label": search.label}
    return Image(
        key=key,
        name=f"{search.dataset} {search.label} trial {trial.number}",
        status="FAILED" if found.checkpoint is None else "FINISHED",
        started=min(start for start, _ in periods),
        ended=max(end for _, end in periods),
        tags=tags_of(
            cell,
            whole[0],
            f"{number} No result by itself. Fold cells: {cells}",
            key=key,
            suite=tuning.loaded.suite.name,
            dataset=search.dataset,
            label=search.label,
            task=counted(len(trial.cells), "validation fold"),
            status="complete" if found.checkpoint is not None else "failed",
            cause=None if found.reason is None else found.reason[:500],
            out=str(results.store.layout.out.resolve()),
            role=TRIAL,
        ),
        params=params_of(axes, trial.values),
        points=_points(found, whole),
        dataset=dataset_input(tuning.suite, cell, search.dataset),
        texts={"config.json": json.dumps(cell.identity["method"]["config"], indent=1)},
    )


def _points(found: Score, records: list[Record]) -> list[Point]:
    if found.checkpoint is None:
        return []
    raw: list[tuple[str, float, int]] = [
        (f"{_BEST}/{HEADINGS.get(name, name)}", round(value, 4), 0)
        for name, value in found.mean.items()
    ]
    raw.append((f"{_BEST}/checkpoint", found.checkpoint, 0))
    folds = Folds(record.checkpoints for record in records)
    for name in found.mean:
        means = folds.means(name)
        short = HEADINGS.get(name, name)
        raw += [(f"validation/{short}", round(v, 4), number) for number, v in means.items()]
    raw.append(("seconds", sum(record.seconds_each for record in records), 0))
    names = safe_names(dict.fromkeys(name for name, _, _ in raw))
    return [Point(names[name], float(value), step) for name, value, step in raw]
