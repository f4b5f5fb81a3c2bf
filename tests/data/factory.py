"""Tiny data sets in the xlsa17 layout, made by hand so that every number can be checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat

NAMES = ("ant", "bee", "cat", "dog", "elk", "fox")
#: Images of each class; the first four classes are seen.
PER_CLASS = 5
UNSEEN = ("elk", "fox")


def tiny_content() -> dict[str, dict[str, Any]]:
    """The variables of ``res101.mat`` and ``att_splits.mat``: 30 images, 7 features, 4 attributes.

    Images lie class by class; of each seen class the first image is a test image.
    """
    rng = np.random.default_rng(7)
    count = len(NAMES) * PER_CLASS
    labels = np.repeat(np.arange(1, len(NAMES) + 1), PER_CLASS)
    rows = np.arange(1, count + 1)
    seen = labels <= 4
    first = (rows - 1) % PER_CLASS == 0
    names = np.empty((len(NAMES), 1), dtype=object)
    names[:, 0] = NAMES
    return {
        "res101": {
            "features": rng.random((7, count)),
            "labels": labels[:, None].astype(np.float64),
        },
        "att_splits": {
            "att": rng.random((4, len(NAMES))),
            "allclasses_names": names,
            "trainval_loc": rng.permutation(rows[seen & ~first])[:, None].astype(np.uint16),
            "test_seen_loc": rows[seen & first][:, None].astype(np.uint16),
            "test_unseen_loc": rows[~seen][:, None].astype(np.uint16),
        },
    }


CLASS_FILES: Mapping[str, tuple[str, ...]] = {
    "allclasses": NAMES,
    "trainvalclasses": NAMES[:4],
    "testclasses": NAMES[4:],
    "trainclasses1": ("ant", "bee", "dog"),
    "valclasses1": ("cat",),
    "trainclasses2": ("cat", "bee", "dog"),
    "valclasses2": ("ant",),
}


def write_xlsa17(
    folder: Path,
    content: Mapping[str, Mapping[str, Any]] | None = None,
    class_files: Mapping[str, tuple[str, ...]] | None = None,
    features: str = "res101",
) -> Path:
    """Write a data set folder; by default the tiny one with its class text files.

    Args:
        folder: the data set's folder (``<root>/<NAME>``), made if need be.
        content: variables by file stem; see :func:`tiny_content`.
        class_files: names by file stem.
        features: what to call the file that ``content`` has under ``res101``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for stem, values in (tiny_content() if content is None else content).items():
        name = features if stem == "res101" else stem
        savemat(folder / f"{name}.mat", dict(values), do_compression=True)
    for stem, names in (CLASS_FILES if class_files is None else class_files).items():
        (folder / f"{stem}.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    return folder
