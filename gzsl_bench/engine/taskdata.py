"""The arrays of one task, from the data files of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gzsl_bench.data.folds import validation_folds
from gzsl_bench.data.identity import extras
from gzsl_bench.data.tasks import TaskData, prepare
from gzsl_bench.errors import DataError
from gzsl_bench.hooks.dataset import DatasetRequest
from gzsl_bench.hooks.images import EXTRAS
from gzsl_bench.suite.datasets import dataset_spec, load_data

if TYPE_CHECKING:
    from gzsl_bench.data.gzsl import GZSLData
    from gzsl_bench.engine.events import WorkerSettings
    from gzsl_bench.hooks.manager import Registry
    from gzsl_bench.suite.cells import Cell


def load_task(cell: Cell, registry: Registry, settings: WorkerSettings) -> TaskData:
    """Load, check and preprocess the data of a cell's task.

    Raises:
        DataError: the data are not those that the cell's key was made from.
    """
    request = asked(cell.request, settings)
    return task_data(cell, load_data(dataset_spec(registry, request.name), request))


def asked(request: Mapping[str, str], settings: WorkerSettings) -> DatasetRequest:
    """The variant of a data set that a cell or a record asks for, on this machine."""
    return DatasetRequest(
        name=request["use"],
        root=settings.root,
        features=request["features"],
        attributes=request["attributes"],
        cache=settings.cache,
        regions=request.get("regions"),
        second=request.get("second"),
    )


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
    found = {
        "data": data.fingerprint,
        "order of training rows": data.provenance["trainval_order"],
        **extras(data),
    }
    said = {**cell.identity["dataset"]}
    said["data"], said["order of training rows"] = said["fingerprint"], said["trainval_order"]
    for name in ("data", "order of training rows", *EXTRAS):
        if name in said and found.get(name) != said[name]:
            raise DataError(
                f"the {name} of {cell.dataset} changed on disk, or are not those of the key:"
                f" {found.get(name)} instead of {said[name]}"
            )
    return prepare(_split(cell, data), cell.identity["preprocessing"])


def _split(cell: Cell, data: GZSLData) -> GZSLData:
    """The rows of a cell's task; of a fold's, no test row is ever looked at."""
    if not cell.fold:
        return data
    (fold,) = validation_folds(data, [cell.fold])
    if fold.content != cell.identity["task"]["content"]:
        raise DataError(
            f"the class lists of {cell.dataset} changed on disk, or are not those of the key:"
            f" fold {cell.fold} has other classes or rows"
        )
    return fold.split(data)
