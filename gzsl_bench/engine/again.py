"""A cell trained once more, as its record says that it was trained; no record is touched."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from gzsl_bench.engine.bench import ready_method
from gzsl_bench.engine.environment import instructions
from gzsl_bench.engine.fit import fit_runs
from gzsl_bench.engine.sink import CellSink
from gzsl_bench.engine.worker import Worker
from gzsl_bench.errors import GzslBenchError, RecordError, WorkerError, in_one_line
from gzsl_bench.hooks.run import Run
from gzsl_bench.records.record import MAIN
from gzsl_bench.scoring.evaluate import outdated
from gzsl_bench.scoring.predict import TestSet
from gzsl_bench.suite.cells import EXTERNAL, Cell

if TYPE_CHECKING:
    from gzsl_bench.records.record import Record
    from gzsl_bench.records.store import RecordStore

S = TypeVar("S", bound=CellSink)
#: Scores of a training on another machine differ by rounding, by their spread at most so much.
_ROUNDING = 1e-3


def train_again(
    worker: Worker, cell: Cell, record: Record | None, make_sink: Callable[[TestSet], S]
) -> S:
    """Train a cell as its record was trained: same data, seed, streams and threads.

    Args:
        worker: with the plugins and the data.
        cell: which one.
        record: fixes the number of threads, which may change how sums are rounded.
        make_sink: what is reported to, made for the test rows.

    Raises:
        DataError: the data are not those of the key.
        PluginError: nor is the method, or it breaks its contract.
        WorkerError: the training failed.
        NotApplicable: the method cannot work on these data.
    """
    ((sink, error),) = train_together(worker, [cell], record, make_sink)
    if error is not None:
        raise error
    return sink


def train_together(
    worker: Worker,
    cells: Sequence[Cell],
    record: Record | None,
    make_sink: Callable[[TestSet], S],
) -> list[tuple[S, GzslBenchError | None]]:
    """Train cells again that were trained together, see :func:`train_again`.

    Args:
        worker: with the plugins and the data.
        cells: in the order of that training: of one data set and method, with their seeds.
        record: of one of them.
        make_sink: makes what each reports to.

    Returns:
        For every cell its sink, and what went wrong with it alone.

    Raises:
        GzslBenchError: the training as a whole went wrong.
    """
    import torch

    first = cells[0]
    threads = (record.provenance.threads if record else None) or worker.settings.threads
    factory, bench = ready_method(worker.registry, first), worker.bench(first)
    device = torch.device(worker.settings.device)
    sinks = [make_sink(bench.tests(cell.seed)) for cell in cells]
    runs = [
        Run(
            cell.seed,
            device,
            factory.Config.model_validate(cell.identity["method"]["config"]),
            sink,
            alone=len(cells) == 1,
            precision=cell.identity["precision"],
        )
        for cell, sink in zip(cells, sinks, strict=True)
    ]
    try:
        errors = fit_runs(factory, bench.task, runs, (first.key, threads), bench.changed)
    except GzslBenchError:
        raise
    except Exception as error:
        raise _failed(first, in_one_line(error)) from error
    return [
        (sink, _own(cell, error, run.failure))
        for cell, sink, run, error in zip(cells, sinks, runs, errors, strict=True)
    ]


def _own(cell: Cell, error: Exception | None, failure: str | None) -> GzslBenchError | None:
    """What went wrong with one cell of a training."""
    if error is None:
        return None if failure is None else _failed(cell, failure)
    return error if isinstance(error, GzslBenchError) else _failed(cell, in_one_line(error))


def _failed(cell: Cell, why: str) -> WorkerError:
    return WorkerError(f"{cell.title}: the training failed: {why}")


def rounds_otherwise(record: Record, device: str) -> str:
    """How the processor here is known to round otherwise than the record's; "" where it is not.

    Args:
        record: of the training that is made again.
        device: where that is; on a GPU the processor has no say.
    """
    then, here = record.provenance.hardware.get("instructions"), instructions()
    if device != "cpu" or then in (None, here):
        return ""
    return f"trained with {then} instructions, again with {here}, which round otherwise"


@dataclass(frozen=True)
class Reproduction:
    """How a training made again compares with its record.

    Attributes:
        predictions: of all checkpoints, and ways to predict: all classes, seen, unseen.
        differing: of those, how many are others now.
        scores: how many best scores are others, at all checkpoints.
        metrics: names of metrics that are others somewhere.
        checkpoints: numbers that only one of the two has.
        rounded: the scores that are others differ by no more than rounding does.
        main: H at the last checkpoint, now and in the record.
    """

    predictions: int
    differing: int
    scores: int
    metrics: tuple[str, ...]
    checkpoints: tuple[int, ...] = ()
    rounded: bool = True
    main: tuple[float, float] | None = None

    @property
    def equal(self) -> bool:
        """Every prediction, score and metric of every checkpoint, bit for bit."""
        return not (self.differing or self.scores or self.metrics or self.checkpoints)

    @property
    def same_predictions(self) -> bool:
        """Every predicted class of every checkpoint."""
        return not (self.differing or self.checkpoints)

    @property
    def words(self) -> str:
        """One clause."""
        if self.equal:
            return "equal bit for bit: every prediction, score and metric of every checkpoint"
        if self.checkpoints:
            return f"differs: checkpoints {list(self.checkpoints)} are of one training alone"
        metrics = f"; so are the metrics {', '.join(self.metrics)}" if self.metrics else ""
        if self.same_predictions:
            how = "rounded otherwise" if self.rounded else "others"
            return f"equal predictions; {self.scores} scores are {how}{metrics}"
        both = "" if self.main is None else "; H at the last checkpoint is {:.1f}, not {:.1f}"
        last = both.format(*(self.main or ()))
        return f"differs in {self.differing} of {self.predictions} predictions{last}{metrics}"


def find(store: RecordStore, key: str) -> Record:
    """The record of a key, or of the only one that begins so, as it was written.

    Raises:
        RecordError: there is none, there are several, or it has no numbers.
    """
    from gzsl_bench.records.verify import checked

    places = store.layout.cells.glob(f"{key}*") if key.isalnum() or not key else ()
    found = list(itertools.islice(sorted(places), 3))
    if not found:
        raise RecordError(f"{store.layout.out} holds no record whose key begins with {key!r}")
    if len(found) > 1:
        names = ", ".join(place.name for place in found[:2])
        raise RecordError(f"several records have a key that begins with {key!r}: {names}, ...")
    record = checked(found[0])
    if not record.complete:
        raise RecordError(f"the record {record.key} has no numbers: {record.cause}")
    if record.about["fidelity"] == EXTERNAL:
        raise RecordError(
            f"the record {record.key} holds predictions that were made elsewhere: there is nothing"
            " to train again"
        )
    return record


def reproduce(
    worker: Worker, record: Record, on_progress: Callable[[int, int], None]
) -> Reproduction:
    """Train the cell of a record again and compare everything; nothing is written.

    Raises:
        DataError: the data are not those of the record.
        PluginError: nor is the method, or the program's own code that fixes numbers.
        WorkerError: the training failed.
    """
    cell = record.cell
    metrics = worker.registry.metrics
    sink = train_again(
        worker, cell, record, lambda tests: CellSink(tests, metrics, on_progress, lambda: None)
    )
    ours, theirs = sink.arrays(), record.predictions()
    numbers = [{int(n) for n in arrays["checkpoints"]} for arrays in (ours, theirs)]
    alone = tuple(sorted(numbers[0] ^ numbers[1]))
    if alone:
        return Reproduction(0, 0, 0, (), alone)
    classes = ("predicted", "predicted_seen", "predicted_unseen")
    old = {name for name, _, _ in outdated(record.metrics, metrics.values())}
    before = {row.number: row.metrics for row in record.checkpoints}
    others = {
        name
        for row in sink.rows
        for name, value in row.metrics.items()
        if name not in old and before[row.number].get(name, value) != value
    }
    return Reproduction(
        predictions=sum(ours[name].size for name in classes),
        differing=sum(_other(ours, theirs, name) for name in classes),
        scores=sum(_other(ours, theirs, name) for name in ("best_seen", "best_unseen")),
        metrics=tuple(sorted(others)),
        main=(sink.rows[-1].metrics[MAIN], record.checkpoints[-1].metrics[MAIN]),
        rounded=all(_near(ours[name], theirs[name]) for name in ("best_seen", "best_unseen")),
    )


def _near(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether scores differ by less than a thousandth of their spread."""
    if ours.shape != theirs.shape:
        return False
    return bool(np.allclose(ours, theirs, rtol=0, atol=_ROUNDING * float(np.std(ours))))


def _other(ours: Mapping[str, np.ndarray], theirs: Mapping[str, Any], name: str) -> int:
    """How many values of an array differ; all of them where the shape does."""
    if ours[name].shape != theirs[name].shape:
        return int(ours[name].size)
    return int((ours[name] != theirs[name]).sum())
