"""The folder of a data set that features are written into: names, labels, what is there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gzsl_bench.atomic import write_text
from gzsl_bench.data import editing, proposal
from gzsl_bench.data.classes import read_class_file, read_lines
from gzsl_bench.errors import DataError, unknown_name
from gzsl_bench.extract.images import Listing

#: The images' names in the order of rows, their class names, and every class name once.
IMAGES, LABELS, CLASSES = "images.txt", "labels.txt", "classes.txt"


def features_file(name: str) -> str:
    """Of a feature set, within the folder."""
    return f"features/{name}.npy"


def regions_files(name: str) -> tuple[str, str]:
    """Of maps, and of their scale where they are int8."""
    return f"regions/{name}.npy", f"regions/{name}.scale.npy"


def check(folder: Path, images: Listing) -> None:
    """Make the folder, or see that it is of the same images and classes.

    Raises:
        DataError: it is of others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / IMAGES
    before = read_lines(path)
    if before is not None and before != list(images.names):
        at = next(
            (i for i, (a, b) in enumerate(zip(before, images.names, strict=False)) if a != b),
            min(len(before), len(images.names)),
        )
        raise DataError(
            f"{path} lists {len(before)} images and {images.root} has {len(images.names)}, and"
            f" number {at + 1} is another; feature sets of one data set need the same images in"
            " one order"
        )
    if images.classes is not None and (folder / CLASSES).exists():
        known = read_class_file(folder / CLASSES) or ()
        for name in images.classes:
            if name not in known:
                raise DataError(f"{folder / CLASSES}: {unknown_name('class', name, known, 20)}")
    if images.classes is not None:
        _check_labels(folder, images, images.classes)


def _check_labels(folder: Path, images: Listing, classes: Sequence[str]) -> None:
    """See that the folder's labels, where it has some by class names, are the images'."""
    said = editing.content(folder)
    if "labels" not in said or not isinstance(said.get("classes"), str):
        return
    names, labels, _ = proposal.read(folder)
    if len(labels) != len(classes):
        raise DataError(
            f"{folder} has labels of {len(labels)} images and {images.root} has {len(classes)};"
            " feature sets of one data set need the same images in one order"
        )
    for number, (label, now) in enumerate(zip(labels, classes, strict=True)):
        if names[label] != now:
            raise DataError(
                f"{folder} has {images.names[number]} in class {names[label]!r}, and here it is in"
                f" {now!r}; give the same classes, or make another data set with --to"
            )


def description(folder: Path, images: Listing) -> dict[str, Any]:
    """Write which images and classes these are; the parts of ``dataset.yaml`` that name them."""
    write_text(folder / IMAGES, "".join(f"{name}\n" for name in images.names))
    if images.classes is None:
        return {}
    said = editing.content(folder)
    if not (folder / CLASSES).exists():
        names = sorted(set(images.classes))
        write_text(folder / CLASSES, "".join(f"{name}\n" for name in names))
    parts: dict[str, Any] = {key: said[key] for key in ("classes", "labels") if key in said}
    if "labels" not in said:
        write_text(folder / LABELS, "".join(f"{name}\n" for name in images.classes))
        parts["labels"] = LABELS
    parts.setdefault("classes", CLASSES)
    return parts


def finished(
    folder: Path, name: str, source: Mapping[str, Any], regions: str, again: bool
) -> tuple[Path, ...] | None:
    """The files of a feature set that is there already, or None where it has to be made.

    Args:
        folder: of the data set.
        name: of the feature set.
        source: what would make it.
        regions: ``none``, or how maps would be kept.
        again: it is to be made anew.

    Raises:
        DataError: a feature set of this name is there, made otherwise.
    """
    said = editing.content(folder)
    part = said.get("features", {}).get(name)
    if part is None or again:
        return None
    files = [features_file(name)]
    if regions != "none":
        files += regions_files(name)[: 1 + (regions == "int8")]
    paths = tuple(folder / file for file in files)
    kept = said.get("regions", {}).get(name)
    otherwise = ""
    if part.get("source") != source:
        otherwise = "that was made otherwise"
    elif regions != "none" and kept is None:
        otherwise = "without region maps"
    elif regions != "none" and _kind(folder, kept) not in ("", regions):
        otherwise = f"with --regions {_kind(folder, kept)}"
    if not otherwise:
        return paths if all(path.exists() for path in paths) else None
    raise DataError(
        f"{folder} has a feature set {name} {otherwise}; name this one differently with --name, or"
        " replace it with --again"
    )


def has_features(folder: Path, name: str) -> bool:
    """Whether the description has a feature set of this name."""
    return name in editing.content(folder).get("features", {})


def _kind(folder: Path, part: Mapping[str, Any]) -> str:
    """How maps are kept; "" where the file cannot say."""
    try:
        dtype = np.load(folder / str(part["file"]), mmap_mode="r", allow_pickle=False).dtype.name
    except (OSError, ValueError, EOFError, KeyError, TypeError):
        return ""
    return "pixels" if dtype == "uint8" else dtype


def clear(folder: Path, name: str, regions: bool = True) -> None:
    """Take away the files of a feature set that is about to be replaced.

    A run that is killed in between leaves a data set that lacks files, and says so, never numbers
    of one backbone under the name of another.

    Args:
        folder: of the data set.
        name: of the feature set.
        regions: its maps, too.
    """
    for file in (features_file(name), *(regions_files(name) if regions else ())):
        (folder / file).unlink(missing_ok=True)
