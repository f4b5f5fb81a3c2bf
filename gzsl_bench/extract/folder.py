"""The folder of a data set that features are written into: names, labels, what is there already."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gzsl_bench.atomic import write_text
from gzsl_bench.data import editing
from gzsl_bench.data.classes import read_class_file
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
    if path.exists():
        before = path.read_text(encoding="utf-8").splitlines()
        if before != list(images.names):
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
                raise DataError(f"{folder / CLASSES}: {unknown_name('class', name, known[:20])}")


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
    folder: Path, name: str, source: Mapping[str, Any], regions: bool, again: bool
) -> tuple[Path, ...] | None:
    """The files of a feature set that is there already, or None where it has to be made.

    Raises:
        DataError: a feature set of this name is there, made otherwise.
    """
    part = editing.content(folder).get("features", {}).get(name)
    if part is None or again:
        return None
    files = [folder / features_file(name), folder / regions_files(name)[0]]
    files = files if regions else files[:1]
    if part.get("source") == source and all(path.exists() for path in files):
        return tuple(files)
    raise DataError(
        f"{folder} has a feature set {name} that was made otherwise; name this one differently with"
        " --name, or replace it with --again"
    )
