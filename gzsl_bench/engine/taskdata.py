"""The arrays of one task, from the data files of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gzsl_bench.data.folds import Split, real_split, validation_folds
from gzsl_bench.data.tasks import prepare_rows
from gzsl_bench.errors import DataError
from gzsl_bench.hooks.dataset import DatasetRequest
from gzsl_bench.suite.resolve import dataset_spec, load_data

if TYPE_CHECKING:
    from gzsl_bench.data.gzsl import GZSLData
    from gzsl_bench.engine.events import WorkerSettings
    from gzsl_bench.hooks.manager import Registry
    from gzsl_bench.suite.cells import Cell


@dataclass(frozen=True, eq=False)
class TaskData:
    """A task, real or of a validation fold, preprocessed; arrays may be read-only.

    Attributes:
        train_features: [n, D] float32, in the order of the training rows.
        train_labels: [n] int64.
        attributes: [C, A] float32, one class embedding a row.
        seen: [S] int64 ascending ids of the classes with training rows.
        unseen: [U] int64 ascending ids of the others.
        test_features: [m, D] float32, rows of seen classes, then of unseen ones.
        test_labels: [m] int64.
    """

    train_features: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    attributes: NDArray[np.float32]
    seen: NDArray[np.int64]
    unseen: NDArray[np.int64]
    test_features: NDArray[np.float32]
    test_labels: NDArray[np.int64]

    @property
    def size(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in vars(self).values())


def load_task(cell: Cell, registry: Registry, settings: WorkerSettings) -> TaskData:
    """Load, check and preprocess the data of a cell's task.

    Raises:
        DataError: the data are not those that the cell's key was made from.
    """
    request = DatasetRequest(
        name=cell.request["use"],
        root=settings.root,
        features=cell.request["features"],
        attributes=cell.request["attributes"],
        cache=settings.cache,
    )
    return task_data(cell, load_data(dataset_spec(registry, request.name), request))


def task_name(cell: Cell) -> str:
    """Cells of the same name train on the same arrays."""
    identity = cell.identity
    parts = (identity[part] for part in ("preprocessing", "setting", "task"))
    return repr((sorted(cell.request.items()), *parts))


def task_data(cell: Cell, data: GZSLData) -> TaskData:
    """Choose and preprocess the rows of a cell's task.

    Raises:
        DataError: the data are not those that the cell's key was made from.
    """
    if data.fingerprint != cell.identity["dataset"]["fingerprint"]:
        raise DataError(
            f"the data of {cell.dataset} changed on disk, or are not those of the key:"
            f" fingerprint {data.fingerprint} instead of"
            f" {cell.identity['dataset']['fingerprint']}"
        )
    split = _split(cell, data)
    ready = prepare_rows(
        data.features,
        split.labels,
        split.train,
        (split.test_seen, split.test_unseen),
        cell.identity["preprocessing"],
    )
    return TaskData(
        train_features=ready.train_features,
        train_labels=ready.train_labels,
        attributes=split.attributes.astype(np.float32),
        seen=split.seen,
        unseen=split.unseen,
        test_features=ready.test_features,
        test_labels=ready.test_labels,
    )


def _split(cell: Cell, data: GZSLData) -> Split:
    """The rows of a cell's task; of a fold's, no test row is ever looked at."""
    if not cell.fold:
        return real_split(data)
    (fold,) = validation_folds(data, [cell.fold])
    if fold.content != cell.identity["task"]["content"]:
        raise DataError(
            f"the class lists of {cell.dataset} changed on disk, or are not those of the key:"
            f" fold {cell.fold} has other classes or rows"
        )
    return fold.split(data)
