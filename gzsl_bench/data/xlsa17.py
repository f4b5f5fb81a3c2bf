"""The reader of the xlsa17 layout: a folder with a feature file, att_splits.mat and class lists.

Nothing a file claims is believed: every fact that can be checked is, and what cannot be right is
refused in one sentence.  The shipped ``train_loc`` and ``val_loc`` are never used (in the first
version of the files they contain the seen test images); they only say which version a file is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gzsl_bench.data.checks import PARTS, check_split, unused_rows
from gzsl_bench.data.classes import class_names, read_embedding, read_folds
from gzsl_bench.data.features import load_features
from gzsl_bench.data.gzsl import GZSLData, RegionMaps
from gzsl_bench.data.identity import file_facts, identify
from gzsl_bench.data.matfile import read_mat, vector
from gzsl_bench.data.places import (
    SPLITS_FILE,
    embedding_source,
    feature_path,
    missing,
    plain_name,
    regions_path,
    regions_scale,
)
from gzsl_bench.data.published import compare_with_published
from gzsl_bench.data.regions import load_regions
from gzsl_bench.errors import DataError
from gzsl_bench.hooks.dataset import DatasetRequest

_KEYS = {part: f"{part}_loc" for part in PARTS}


def load(request: DatasetRequest) -> GZSLData:
    """Read one variant of a data set in the xlsa17 layout, checked and identified.

    Args:
        request: name, root folder, feature file, class embedding and cache.

    Returns:
        0-based, row-major data; ``provenance["lists"]`` is v1, v2, none, leaky or clean.

    Raises:
        DataError: anything is missing, damaged or contradicts itself.
    """
    for file in missing(request):
        raise DataError(f"{file.path} is missing: {file.hint}")
    assert request.root is not None
    folder = request.root / plain_name(request.name, "the data set")
    splits = folder / SPLITS_FILE
    content = read_mat(
        splits, list(_KEYS.values()), ["allclasses_names", "att", "train_loc", "val_loc"]
    )
    names = class_names(folder, content.get("allclasses_names"))
    path = feature_path(folder, request.features)
    loaded = load_features(path, request.cache)
    num_classes = _num_classes(names, content.get("att"), loaded.labels)
    labels = _labels(loaded.labels, num_classes, path)
    attributes, twins = read_embedding(folder, request.attributes, num_classes, _caller(names))
    parts = {part: vector(content[key], key, splits) - 1 for part, key in _KEYS.items()}
    check_split(labels, parts, num_classes, str(splits), keys=_KEYS, class_name=_caller(names))
    seen = np.unique(labels[parts["trainval"]])
    unseen = np.setdiff1d(np.arange(num_classes), seen)
    folds, notes = read_folds(folder, names, seen, unseen)
    version = lists_version(content, parts)
    embedding_file = embedding_source(folder, request.attributes)[0]
    data = GZSLData(
        name=request.name,
        features=loaded.features,
        labels=labels,
        attributes=attributes,
        trainval=parts["trainval"],
        test_seen=parts["test_seen"],
        test_unseen=parts["test_unseen"],
        class_names=names,
        folds=folds,
        feature_set=request.features,
        attribute_set=request.attributes,
        provenance={
            "layout": "xlsa17",
            "lists": version,
            "files": file_facts(folder, (path.name, splits.name, embedding_file.name), path.name),
        },
        warnings=(
            *loaded.warnings,
            *twins,
            *notes,
            *unused_rows(len(labels), parts, str(splits)),
            *_leak(version, content, parts, splits),
        ),
        regions=_regions(folder, request, len(labels)),
        second=_second(folder, request, loaded.labels),
        second_set=request.second or "",
    )
    return identify(compare_with_published(data, folder), loaded.digest)


def _regions(folder: Path, request: DatasetRequest, count: int) -> RegionMaps | None:
    name = request.regions
    if name is None:
        return None
    maps, scale = regions_path(folder, name), regions_scale(folder, name)
    return load_regions(name, maps, scale, count, request.cache)


def _second(
    folder: Path, request: DatasetRequest, labels: NDArray[np.int64]
) -> NDArray[np.float32] | None:
    """[N, D2] features of another backbone, of the same images as far as labels tell."""
    if request.second is None:
        return None
    path, other = (feature_path(folder, name) for name in (request.features, request.second))
    found = load_features(other, request.cache)
    if not np.array_equal(found.labels, labels):
        raise DataError(f"{other} and {path} hold other labels, but must be of the same images")
    return found.features


def _num_classes(
    names: tuple[str, ...] | None, att: NDArray[Any] | None, labels: NDArray[np.int64]
) -> int:
    """C from the names; a file without names (FLO's) has it in the columns of ``att``."""
    if names is not None:
        return len(names)
    if att is not None and att.ndim == 2:
        return int(att.shape[1])
    return int(labels.max(initial=0))


def _labels(labels: NDArray[np.int64], num_classes: int, path: Path) -> NDArray[np.int64]:
    low, high = int(labels.min()), int(labels.max())
    if low == 0:
        raise DataError(
            f"labels in {path} run from 0 to {high}, but the file format counts classes from 1; "
            "a 0-based file must be shifted by one"
        )
    if low < 0 or high > num_classes:
        raise DataError(
            f"labels in {path} run from {low} to {high}, but there are {num_classes} classes, "
            f"so labels run from 1 to {num_classes}"
        )
    return labels - 1


def _caller(names: tuple[str, ...] | None) -> Any:
    if names is None:
        return None
    return lambda c: f"class {c + 1} ({names[c]})"


def lists_version(content: Mapping[str, NDArray[Any]], parts: Mapping[str, Any]) -> str:
    """Which version of the files this is, judged by the content of ``train_loc`` and ``val_loc``.

    Source: protocol sheet, section 3.

    Args:
        content: variables of att_splits.mat, 1-based.
        parts: 0-based rows of the three final lists.

    Returns:
        ``none`` (2019: no such keys), ``v1`` (trainval and the seen test images), ``v2`` (trainval
        alone), else ``leaky`` (some test images) or ``clean`` (no test image, not all of trainval);
        ``unreadable`` where the keys hold no numbers.
    """
    given = [content[key] for key in ("train_loc", "val_loc") if key in content]
    if not given:
        return "none"
    if any(item.dtype.kind not in "iuf" for item in given):
        return "unreadable"
    rows = np.concatenate([np.asarray(item, dtype=np.float64).reshape(-1) for item in given]) - 1
    tests = np.concatenate([parts["test_seen"], parts["test_unseen"]])
    union = np.unique(rows)
    trainval = np.sort(parts["trainval"])
    if np.array_equal(union, np.union1d(trainval, parts["test_seen"])) and union.size == rows.size:
        return "v1"
    if np.isin(tests, union).any():
        return "leaky"
    return "v2" if np.array_equal(union, trainval) and union.size == rows.size else "clean"


def _leak(
    version: str, content: Mapping[str, NDArray[Any]], parts: Mapping[str, Any], path: Path
) -> tuple[str, ...]:
    """A warning where the shipped training lists hold test images; whoever uses them leaks."""
    if version not in ("v1", "leaky"):
        return ()
    lists = [content[key].reshape(-1) for key in ("train_loc", "val_loc") if key in content]
    rows = np.unique(np.concatenate(lists).astype(np.int64) - 1)
    held = [
        f"{int(np.isin(parts[part], rows).sum())} of the {len(parts[part])} test images of {what}"
        for part, what in (("test_seen", "seen classes"), ("test_unseen", "unseen classes"))
        if np.isin(parts[part], rows).any()
    ]
    name = "the first version's (v1)" if version == "v1" else "a leaky version's"
    # It stands in suites and reports that are handed on: whose machine it was is nobody's business.
    return (
        f"train_loc and val_loc in {path.parent.name}/{path.name} are {name}: they hold"
        f" {' and '.join(held)};"
        " gzsl-bench never uses these lists, but numbers of programs that do are too good",
    )
