"""The data object every data set plugin returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ClassFold:
    """One shipped validation split of the seen classes: names or ids, both sides disjoint.

    Attributes:
        train: class ids that keep training rows.
        val: class ids that play the unseen ones.
    """

    train: NDArray[np.int64]
    val: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RegionMaps:
    """Region maps of all images, usually mapped from a file.

    Attributes:
        name: how suites call them.
        values: [N, R, C] int8, float16 or float32: R regions of C channels for each image.
        scale: [C] float32 that the values are multiplied with, or None.
        digest: of values and scale; see ``gzsl_bench.data.regions``.
    """

    name: str
    values: NDArray[Any]
    scale: NDArray[np.float32] | None = None
    digest: str = ""


@dataclass(frozen=True, eq=False)
class GZSLData:
    """A data set with its Proposed Split: 0-based, row-major, checked.

    Attributes:
        name: the data set's name.
        features: [N, D] float32, one image a row; may be memory-mapped and read-only.
        labels: [N] int64 class ids in ``0..C-1``.
        attributes: [C, A] float64, one class embedding a row.
        trainval: [n] int64 row numbers of the training rows, in the file's order.
        test_seen: row numbers of the test rows of seen classes.
        test_unseen: row numbers of the test rows of unseen classes.
        class_names: [C] names, or None where the source has none.
        folds: validation splits of the seen classes that the source ships, possibly none.
        feature_set: name of the feature set (``res101``).
        attribute_set: name of the class embedding (``att``).
        fingerprint: hex digest of the content; see ``gzsl_bench.data.identity``.
        provenance: what is worth knowing but changes no result: files, md5, v1/v2/none lists.
        warnings: sentences to show to the user.
        regions: region maps of the images, in the order of ``features``, or None.
        second: [N, E] float32, the images in a second feature set, or None.
        second_set: name of the second feature set.
        words: [A, W] float64, a word vector for each dimension of the class embedding, or None.
        groups: [A] int64, the group of each dimension of the class embedding, or None.
    """

    name: str
    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    attributes: NDArray[np.float64]
    trainval: NDArray[np.int64]
    test_seen: NDArray[np.int64]
    test_unseen: NDArray[np.int64]
    class_names: tuple[str, ...] | None = None
    folds: tuple[ClassFold, ...] = ()
    feature_set: str = "features"
    attribute_set: str = "attributes"
    fingerprint: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    regions: RegionMaps | None = None
    second: NDArray[np.float32] | None = None
    second_set: str = ""
    words: NDArray[np.float64] | None = None
    groups: NDArray[np.int64] | None = None

    @property
    def num_classes(self) -> int:
        """C, seen and unseen classes together."""
        return int(self.attributes.shape[0])

    @property
    def seen(self) -> NDArray[np.int64]:
        """[S] ascending ids of the classes that have training rows."""
        return np.unique(self.labels[self.trainval])

    @property
    def unseen(self) -> NDArray[np.int64]:
        """[U] ascending ids of the classes that have none."""
        return np.setdiff1d(np.arange(self.num_classes), self.seen)
