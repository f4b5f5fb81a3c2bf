"""Tasks: rows to train with and to score, preprocessed as fitted on the training rows alone.

The arithmetic is that of scikit-learn's scalers on float64, which the released implementations use;
only the result is float32.  No copy of the whole matrix in float64 is ever made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gzsl_bench.data.gzsl import GZSLData
from gzsl_bench.data.identity import row_chunks
from gzsl_bench.errors import SuiteError, unknown_name

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Rows = NDArray[np.int64]
#: float64 rows [n, D] -> float64 rows [n, D]; may work in place.
Transform: TypeAlias = Callable[[Float64], Float64]

#: Like scikit-learn, call a dimension constant when its range is below ten machine epsilons.
_CONSTANT = 10 * np.finfo(np.float64).eps
_CHUNK = 1 << 24


@dataclass(frozen=True)
class Preprocessing:
    """One named way to treat features.

    Attributes:
        name: how suites and methods call it.
        fit: (features [N, D], rows to fit on) -> what to do to each block of rows.
        summary: one sentence.
        leaks: test features influence the result, so it may never serve an honest number.
        numerics: part of the key of its cells: raise it when it gives other features than before.
    """

    name: str
    fit: Callable[[Float32, Rows], Transform]
    summary: str
    leaks: bool = False
    numerics: int = 1


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
        regions: [N, R, C] region maps of all images, mapped from their file where they have one.
        region_scale: [C] float32 that they are multiplied with.
        train_rows: [n] int64 rows of ``regions`` of the training rows.
        test_rows: [m] int64 rows of ``regions`` of the test rows.
        train_second: [n, E] float32, the training rows in a second feature set.
        test_second: [m, E] float32, the test rows in it.
        words: [A, W] float32, a word vector for each dimension of the class embedding.
        groups: [A] int64, the group of each.
        class_names: [C] text.
    """

    train_features: Float32
    train_labels: NDArray[np.int64]
    attributes: Float32
    seen: NDArray[np.int64]
    unseen: NDArray[np.int64]
    test_features: Float32
    test_labels: NDArray[np.int64]
    regions: NDArray[Any] | None = None
    region_scale: Float32 | None = None
    train_rows: NDArray[np.int64] | None = None
    test_rows: NDArray[np.int64] | None = None
    train_second: Float32 | None = None
    test_second: Float32 | None = None
    words: Float32 | None = None
    groups: NDArray[np.int64] | None = None
    class_names: NDArray[np.str_] | None = None

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Those that there are, by name."""
        return {name: array for name, array in vars(self).items() if array is not None}

    @property
    def size(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self.arrays.values())

    def whole(self) -> TaskData:
        """The same with maps as a plain array, to be sent where their file is not."""
        maps = None if self.regions is None else np.asarray(self.regions)
        return replace(self, regions=maps)


def _blocks(features: NDArray[Any], rows: Rows) -> list[slice]:
    return row_chunks(len(rows), 8 * features.shape[1], _CHUNK)


def _fit_none(features: Float32, rows: Rows) -> Transform:
    return lambda block: block


def _fit_l2(features: Float32, rows: Rows) -> Transform:
    def transform(block: Float64) -> Float64:
        norms = np.sqrt(np.einsum("nd,nd->n", block, block))
        norms[norms == 0] = 1.0
        block /= norms[:, None]
        return block

    return transform


def _range(features: Float32, rows: Rows) -> tuple[Float64, Float64]:
    """Smallest and largest value of each dimension over ``rows``."""
    low = np.full(features.shape[1], np.inf, dtype=np.float32)
    high = np.full(features.shape[1], -np.inf, dtype=np.float32)
    for part in _blocks(features, rows):
        block = features[rows[part]]
        np.minimum(low, block.min(axis=0), out=low)
        np.maximum(high, block.max(axis=0), out=high)
    return low.astype(np.float64), high.astype(np.float64)


def _fit_minmax(features: Float32, rows: Rows) -> Transform:
    low, high = _range(features, rows)
    spread = high - low
    spread[spread < _CONSTANT] = 1.0
    scale = 1.0 / spread
    shift = 0.0 - low * scale

    def transform(block: Float64) -> Float64:
        block *= scale
        block += shift
        return block

    return transform


def _fit_zscore(features: Float32, rows: Rows) -> Transform:
    total = np.zeros(features.shape[1])
    for part in _blocks(features, rows):
        total += features[rows[part]].astype(np.float64).sum(axis=0)
    mean = total / len(rows)
    squares = np.zeros_like(mean)
    for part in _blocks(features, rows):
        deviations = features[rows[part]] - mean
        squares += np.einsum("nd,nd->d", deviations, deviations)
    deviation = np.sqrt(squares / len(rows))
    low, high = _range(features, rows)
    # A constant dimension gets a deviation of rounding errors; dividing by it would make noise.
    deviation[(high - low < _CONSTANT) | (deviation == 0)] = 1.0

    def transform(block: Float64) -> Float64:
        block -= mean
        block /= deviation
        return block

    return transform


#: Every way to treat features, by name.
PREPROCESSING: Mapping[str, Preprocessing] = {
    item.name: item
    for item in (
        Preprocessing("none", _fit_none, "features as they are"),
        Preprocessing("minmax", _fit_minmax, "each dimension to [0, 1] over the training rows"),
        Preprocessing("l2", _fit_l2, "each row to unit Euclidean length"),
        Preprocessing("zscore", _fit_zscore, "each dimension to mean 0, deviation 1 over training"),
        Preprocessing(
            "minmax_refit_on_test",
            _fit_minmax,
            "minmax fitted anew on each test part, as CADA-VAE's first release did",
            leaks=True,
        ),
    )
}


def preprocessing(name: str) -> Preprocessing:
    """Look up a preprocessing by name.

    Raises:
        SuiteError: nothing has this name.
    """
    if name not in PREPROCESSING:
        raise SuiteError(unknown_name("preprocessing", name, PREPROCESSING))
    return PREPROCESSING[name]


def _apply(features: Float32, rows: Rows, transform: Transform, out: Float32) -> None:
    for part in _blocks(features, rows):
        out[part] = transform(features[rows[part]].astype(np.float64))


def prepare_rows(
    features: Float32, train: Rows, tests: Sequence[Rows], name: str
) -> tuple[Float32, Float32]:
    """Preprocess any choice of rows: those to train with, and those to score.

    Args:
        features: [N, D] float32, possibly memory-mapped; never changed.
        train: rows to fit on and to train with, in this order.
        tests: rows to score, one array per part; the parts come one after the other.
        name: a key of :data:`PREPROCESSING`.

    Returns:
        [len(train), D] and [rows of all parts, D], both float32.

    Raises:
        SuiteError: nothing is called ``name``.
        ValueError: there is no training row.
    """
    chosen = preprocessing(name)
    if len(train) == 0:
        raise ValueError("preprocessing needs at least one training row")
    width = features.shape[1]
    fitted = chosen.fit(features, train)
    train_features = np.empty((len(train), width), np.float32)
    _apply(features, train, fitted, train_features)
    test_features = np.empty((sum(map(len, tests)), width), np.float32)
    start = 0
    for rows in tests:
        transform = chosen.fit(features, rows) if chosen.leaks and len(rows) else fitted
        _apply(features, rows, transform, test_features[start : start + len(rows)])
        start += len(rows)
    return train_features, test_features


def prepare(data: GZSLData, name: str) -> TaskData:
    """The task of a data set, or of a fold of one: ``test_seen`` rows, then ``test_unseen`` rows.

    Raises:
        SuiteError: no preprocessing is called ``name``.
    """
    tests = (data.test_seen, data.test_unseen)
    train_features, test_features = prepare_rows(data.features, data.trainval, tests, name)
    more: dict[str, Any] = {}
    if data.regions is not None:
        more["regions"], more["region_scale"] = data.regions.values, data.regions.scale
        more["train_rows"], more["test_rows"] = data.trainval, np.concatenate(tests)
    if data.second is not None:
        rows = prepare_rows(data.second, data.trainval, tests, name)
        more["train_second"], more["test_second"] = rows
    if data.words is not None:
        more["words"] = data.words.astype(np.float32)
    if data.class_names is not None:
        more["class_names"] = np.array(data.class_names)
    return TaskData(
        train_features=train_features,
        train_labels=data.labels[data.trainval],
        attributes=data.attributes.astype(np.float32),
        seen=data.seen,
        unseen=data.unseen,
        test_features=test_features,
        test_labels=data.labels[np.concatenate(tests)],
        groups=data.groups,
        **more,
    )
