"""Models of finished cells: kept as safetensors, tied to the record, and made to score again.

A cell is trained once more, as its record was, and the model of the chosen checkpoint is kept where
it predicts what is recorded.  Before a kept model scores anything new it has to do so again.  A
model is the tensors that a method names, or the operations of its scorer (:mod:`.recorded`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gzsl_bench import atomic
from gzsl_bench.data.checks import check_finite
from gzsl_bench.data.tasks import preprocessing
from gzsl_bench.engine.again import train_together
from gzsl_bench.engine.bench import ready_method
from gzsl_bench.engine.sink import CellSink
from gzsl_bench.engine.visualize import Wanted, wanted
from gzsl_bench.engine.worker import Worker
from gzsl_bench.errors import DataError, GzslBenchError, NotApplicable, PluginError, RecordError
from gzsl_bench.hooks.dataset import DatasetRequest
from gzsl_bench.hooks.metric import FloatArray, MetricSpec
from gzsl_bench.hooks.run import ScoreFunction, Scorer
from gzsl_bench.records.layout import Layout
from gzsl_bench.scoring.kept import kept_predictions
from gzsl_bench.scoring.predict import EmbeddingCache, TestSet
from gzsl_bench.suite.cells import Cell
from gzsl_bench.suite.datasets import dataset_spec, load_data

if TYPE_CHECKING:
    import torch

    from gzsl_bench.records.record import Record
    from gzsl_bench.results.view import Results

#: Rows that are scored at once where the model leaves it open.
_ROWS = 4096


def require() -> None:
    """Make sure that safetensors is there.

    Raises:
        GzslBenchError: it is not installed.
    """
    try:
        import safetensors  # noqa: F401
    except ImportError:
        raise GzslBenchError(
            "models are kept as safetensors, which is not installed: pip install"
            " 'gzsl-bench[models]'"
        ) from None


class ModelSink(CellSink):
    """Scores as in any run; at the wanted checkpoint it takes the scorer's state.

    It is taken at once, since parameters may change afterwards.

    Attributes:
        state: the tensors that the scorer names, or those of its operations.
        program: its operations; "" where it names its tensors.
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
        self.state: dict[str, torch.Tensor] = {}
        self.program = ""

    def checkpoint(self, number: int, scorer: ScoreFunction) -> None:
        """Score, then take the state."""
        super().checkpoint(number, scorer)
        if number != self._wanted:
            return
        if isinstance(scorer, Scorer) and scorer.state is not None:
            state = scorer.state()
        else:
            state = self._recorded(scorer)
        self.state = {
            name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()
        }

    def _recorded(self, scorer: ScoreFunction) -> Mapping[str, torch.Tensor]:
        import torch

        from gzsl_bench.engine.recorded import record

        if not isinstance(self.tests.shown, torch.Tensor):
            raise NotApplicable("it is shown more than features, and a kept model is not")
        found = record(scorer, self.tests.shown)
        self.program = found.program
        return found.state


def trained_together(results: Results, cell: Cell) -> list[Cell]:
    """The cells of the training that a finished cell's record came of, in its order.

    A GPU trains many as one, and rounds otherwise when one is trained alone.
    """
    record = results.record(cell.key)
    assert record is not None
    keys = record.provenance.trained
    found = [each for each in map(results.store.read, keys) if each is not None]
    whole = len(found) == len(keys) and record.key in keys
    return [each.cell for each in found] if whole else [cell]


def keep_models(
    worker: Worker,
    results: Results,
    cells: Sequence[Cell],
    together: Sequence[Cell],
    on_progress: Callable[[int, int], None],
) -> list[Wanted | GzslBenchError]:
    """Train finished cells again and keep their models; says which checkpoint's, or why not.

    Args:
        worker: with the plugins and the data.
        results: the suite's.
        cells: whose models are to be kept.
        together: all cells that were trained together, these among them.
        on_progress: told how far all of them are, taken together.

    Raises:
        NotApplicable: the method's scorers cannot be kept.
        GzslBenchError: they cannot be trained again.
    """
    records = {cell.key: results.record(cell.key) for cell in cells}
    choices = {cell.key: wanted(results, cell) for cell in cells}
    metrics, others = worker.registry.metrics, iter(together)
    far: dict[str, int] = {}

    def sink(tests: TestSet) -> ModelSink:
        key = next(others).key
        choice = choices.get(key)

        def advance(done: int, total: int) -> None:  # as long for each: they differ in seeds
            far[key] = done
            on_progress(sum(far.values()), total * len(together))

        return ModelSink(tests, metrics, advance, choice.checkpoint if choice else None)

    trained = train_together(worker, together, records[cells[0].key], sink)
    outcomes = dict(zip((cell.key for cell in together), trained, strict=True))
    found: list[Wanted | GzslBenchError] = []
    for cell in cells:
        made, error = outcomes[cell.key]
        record, choice = records[cell.key], choices[cell.key]
        assert record is not None
        try:
            if error is not None:
                raise error
            _keep(results.store.layout.model(cell.key), record, choice, made)
        except GzslBenchError as refused:
            found.append(refused)
        else:
            found.append(choice)
    return found


def _keep(path: Path, record: Record, choice: Wanted, sink: ModelSink) -> None:
    """Write a model whose training predicts what is recorded.

    Raises:
        PluginError: it does not.
    """
    from safetensors.torch import save

    assert choice.checkpoint is not None  # of a record it is known
    _compare(record, choice.checkpoint, sink.arrays(), "trained again it")
    about = {
        "key": record.key,
        "checkpoint": str(choice.checkpoint),
        "rule": choice.rule,
        "predictions_sha256": record.predictions_sha256 or "",
        "identity": json.dumps(record.identity, sort_keys=True),
        "state_sha256": _digest(sink.state),
    }
    if sink.program:
        about["program"] = sink.program
    with atomic.writing(path) as file:
        file.write(save(sink.state, metadata=about))


def _compare(record: Record, number: int, arrays: Mapping[str, np.ndarray], who: str) -> None:
    """Refuse predictions that are not the recorded ones.

    Raises:
        PluginError: they differ.
    """
    ours, theirs = kept_predictions(arrays, number), kept_predictions(record.predictions(), number)
    count = int((ours.predicted != theirs.predicted).sum())
    count += int((ours.predicted_unseen != theirs.predicted_unseen).sum())
    if count:
        raise PluginError(f"{who} differs in {count} predictions from its record")


@dataclass(frozen=True, eq=False)
class Model:
    """A kept model that has just predicted what is recorded.

    Attributes:
        checkpoint: its number.
        classes: C.
    """

    checkpoint: int
    classes: int
    _scorer: ScoreFunction
    _transform: Callable[[FloatArray], FloatArray]
    _width: int
    _device: torch.device

    def scores(self, features: np.ndarray, what: str = "the features") -> np.ndarray:
        """[M, C] scores of new rows.

        Args:
            features: [M, D] as the data set has them, before any preprocessing.
            what: how messages call them.

        Raises:
            DataError: they are no such features.
        """
        import torch

        from gzsl_bench.engine.recorded import RecordedScorer

        if features.ndim != 2 or features.dtype.kind != "f" or features.shape[1] != self._width:
            raise DataError(
                f"{what}: an array of {features.dtype} of the shape {features.shape}, where floats"
                f" of the shape (rows, {self._width}) are expected"
            )
        check_finite(features, what)
        found = [np.zeros((0, self.classes))]
        size = self._scorer.rows if isinstance(self._scorer, RecordedScorer) else _ROWS
        for start in range(0, len(features), size):
            block = features[start : start + size].astype(np.float32).astype(np.float64)
            ready = torch.from_numpy(self._transform(block).astype(np.float32)).to(self._device)
            with torch.no_grad():
                found.append(self._scorer(ready).double().cpu().numpy())
        return np.concatenate(found)


def open_model(worker: Worker, record: Record, layout: Layout) -> Model:
    """The kept model of a record, once it has predicted its test rows as they are recorded.

    Raises:
        RecordError: none was kept, or it is of another record, or cannot be read.
        DataError: the data are not those of the record.
        PluginError: nor is the method; or the model predicts something else.
    """
    import torch

    from gzsl_bench.engine.recorded import RecordedScorer

    about, state = _read(layout.model(record.key), record)
    cell = record.cell
    chosen = preprocessing(cell.identity["preprocessing"])
    if chosen.leaks:
        raise RecordError(f"{cell.title}: new rows cannot be scaled as {chosen.name} scales")
    factory, bench = ready_method(worker.registry, cell), worker.bench(cell)
    device, number = torch.device(worker.settings.device), int(about["checkpoint"])
    scorer: ScoreFunction
    if "program" in about:
        try:
            scorer = RecordedScorer(about["program"], state, device)
        except RecordError as error:
            raise RecordError(f"{layout.model(record.key)}: {error}") from None
    else:
        config = factory.Config.model_validate(cell.identity["method"]["config"])
        scorer = factory(config).restore({name: t.to(device) for name, t in state.items()})
    tests = bench.tests(cell.seed)
    with torch.no_grad():
        found = tests.predict(scorer, EmbeddingCache())
    recorded = kept_predictions(record.predictions(), number)
    count = int((found.predicted != recorded.predicted).sum())
    if count:
        raise PluginError(
            f"{cell.title}: the kept model differs in {count} predictions from its record"
        )
    request = DatasetRequest(
        name=cell.request["use"],
        root=worker.settings.root,
        features=cell.request["features"],
        attributes=cell.request["attributes"],
        cache=worker.settings.cache,
    )
    data = load_data(dataset_spec(worker.registry, request.name), request)
    transform = chosen.fit(data.features, data.trainval)
    classes, width = data.num_classes, int(data.features.shape[1])
    return Model(number, classes, scorer, transform, width, device)


def _read(path: Path, record: Record) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise RecordError(
            f"no model was kept of {record.key}; `gzsl-bench run SUITE --keep-models` does it"
        )
    try:
        with safe_open(path, framework="pt") as file:
            about = dict(file.metadata() or {})
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise RecordError(f"{path} cannot be read: {error}") from None
    tied = (about.get("key"), about.get("predictions_sha256"))
    if tied != (record.key, record.predictions_sha256) or not about.get("checkpoint", "").isdigit():
        raise RecordError(f"{path} is the model of another record than {record.key}")
    if about.get("state_sha256") != _digest(state):
        raise RecordError(
            f"{path} has changed since it was written; remove it, and `gzsl-bench run SUITE"
            " --keep-models` keeps the model again"
        )
    return about, state


def _digest(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of a model's tensors: a bit that turns may turn no test row's class, but others'."""
    import torch

    found = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.contiguous().cpu().flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
