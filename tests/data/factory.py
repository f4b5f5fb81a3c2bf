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


#: How each format names an array: with a key, where a file may hold several.
FORMATS = (".npy", ".npz", ".h5", ".mat", ".safetensors", ".csv", ".txt")
KEYED = (".npz", ".h5", ".mat", ".safetensors")


def write_array(folder: Path, stem: str, suffix: str, values: Any) -> str:
    """Write one array in a format and return its entry of a ``dataset.yaml``, without braces."""
    folder.mkdir(parents=True, exist_ok=True)
    path, values = folder / f"{stem}{suffix}", np.asarray(values)
    if suffix == ".npy":
        np.save(path, values)
    elif suffix == ".npz":
        np.savez(path, x=values)
    elif suffix == ".h5":
        import h5py

        with h5py.File(path, "w") as file:
            file["group/x"] = values
    elif suffix == ".mat":
        savemat(path, {"x": values})
    elif suffix == ".safetensors":
        from safetensors.numpy import save_file

        save_file({"other": np.zeros(3), "x": np.ascontiguousarray(values)}, path)
    else:
        mark = "," if suffix == ".csv" else " "
        rows = [values] if suffix == ".csv" and values.ndim == 1 else np.atleast_2d(values.T).T
        lines = [mark.join(repr(v.item()) for v in row) for row in rows]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    key = {".h5": "group/x"}.get(suffix, "x")
    return f"file: {path.name}" + (f", key: {key}" if suffix in KEYED else "")


def write_described(
    folder: Path,
    suffix: str = ".npy",
    *,
    side: str = "rows",
    base: int = 0,
    split: str = "rows",
    **replaced: Any,
) -> Path:
    """The tiny data set as a described folder, every array in the format ``suffix``.

    Args:
        folder: the data set's folder.
        suffix: one of :data:`FORMATS`.
        side: whether images and classes are ``rows`` or ``columns``.
        base: what labels and rows are counted from.
        split: ``rows`` for three lists of row numbers, ``classes`` for class lists.
        replaced: arrays that are written instead of the tiny ones.
    """
    content = tiny_content()
    features, att = content["res101"]["features"].T, content["att_splits"]["att"].T
    turn = side == "columns"
    values: dict[str, Any] = {
        "features": features.T if turn else features,
        "att": att.T if turn else att,
        "labels": content["res101"]["labels"].reshape(-1).astype(np.int64) - 1 + base,
    }
    for part in ("trainval", "test_seen", "test_unseen"):
        rows = content["att_splits"][f"{part}_loc"].reshape(-1).astype(np.int64)
        values[part] = rows - 1 + base
    values |= replaced
    entry = {stem: write_array(folder, stem, suffix, array) for stem, array in values.items()}
    lists = (
        f"  trainval: {{{entry['trainval']}}}\n  test_unseen: {{{entry['test_unseen']}}}\n"
        if split == "rows"
        else "  seen: trainvalclasses.txt\n  unseen: testclasses.txt\n"
    )
    for stem, names in CLASS_FILES.items():
        (folder / f"{stem}.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    (folder / "dataset.yaml").write_text(
        "classes: allclasses.txt\n"
        f"labels: {{{entry['labels']}, count_from: {base}}}\n"
        f"features:\n  backbone: {{{entry['features']}, images: {side}}}\n"
        f"attributes:\n  words: {{{entry['att']}, classes: {side}}}\n"
        f"split:\n  count_from: {base}\n  test_seen: {{{entry['test_seen']}}}\n{lists}"
        "folds:\n"
        "  - {train: trainclasses1.txt, val: valclasses1.txt}\n"
        "  - {train: trainclasses2.txt, val: valclasses2.txt}\n",
        encoding="utf-8",
    )
    return folder
