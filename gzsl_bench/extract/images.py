"""Which images, in which order, and of which classes: a folder, or a list of files."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

from gzsl_bench.errors import DataError

#: Files of a folder that are taken for images.
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


@dataclass(frozen=True)
class Listing:
    """Images in the order of the rows they become.

    Attributes:
        root: the folder that names are relative to.
        names: [N] paths, with ``/``.
        classes: [N] class names, or None where nothing says them.
    """

    root: Path
    names: tuple[str, ...]
    classes: tuple[str, ...] | None

    @property
    def digest(self) -> str:
        """SHA-256 of the names in their order."""
        return hashlib.sha256("\n".join(self.names).encode()).hexdigest()


def listing(source: Path) -> Listing:
    """The images of a folder or a list.

    A folder of folders has a class in each of them and is read in the order of paths.  A .csv file
    has a heading with ``file`` and, if known, ``class``; a .txt file names one image a line.  Names
    in a list are relative to it.

    Args:
        source: the folder or the list.

    Raises:
        DataError: there is none, it is empty, an image is missing, listed twice or without a class.
    """
    if source.is_dir():
        return _of_folder(source)
    if not source.is_file():
        raise DataError(f"{source} does not exist; name a folder of images, or a list of them")
    try:
        text = source.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(f"{source} cannot be read as UTF-8 text ({error})") from None
    if source.suffix == ".csv":
        names, classes = _of_table(source, text)
    elif source.suffix == ".txt":
        names, classes = [line.strip() for line in text.splitlines() if line.strip()], None
    else:
        raise DataError(f"{source} is neither a folder of images nor a list of them (.csv or .txt)")
    if not names:
        raise DataError(f"{source} is empty, but one image a line is needed")
    _check(source, names)
    return Listing(source.parent, tuple(names), None if classes is None else tuple(classes))


def _of_folder(folder: Path) -> Listing:
    paths = sorted(
        (path.relative_to(folder).as_posix(), path)
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file()
    )
    names = [name for name, _ in paths]
    if not names:
        raise DataError(f"{folder} holds no images ({', '.join(SUFFIXES)})")
    for name in names:
        if not name.isprintable():
            raise DataError(f"{folder} has the image {name!r}, whose name cannot stand in a list")
    depths = {name.count("/") > 0 for name in names}
    if len(depths) > 1:
        loose = next(name for name in names if "/" not in name)
        raise DataError(
            f"{folder} has images in folders, one a class, but {loose} lies beside them; put it"
            " into the folder of its class"
        )
    classes = tuple(name.rpartition("/")[0] for name in names) if depths == {True} else None
    return Listing(folder, tuple(names), classes)


def _of_table(source: Path, text: str) -> tuple[list[str], list[str] | None]:
    rows = csv.DictReader(text.splitlines())
    heads = rows.fieldnames or []
    if "file" not in heads:
        raise DataError(
            f"{source}:1: the heading is {', '.join(heads) or 'empty'}, but a column `file` is"
            " needed, and `class` where classes are known"
        )
    names, classes = [], []
    for row in rows:
        name, of = (row["file"] or "").strip(), (row.get("class") or "").strip()
        if not name or ("class" in heads and not of):
            lacks = "class" if name else "file"
            raise DataError(f"{source}:{rows.line_num}: this line has no {lacks}")
        names.append(name)
        classes.append(of)
    return names, classes if "class" in heads else None


def _check(source: Path, names: list[str]) -> None:
    met: set[str] = set()
    for name in names:
        if name in met:
            raise DataError(f"{source} lists {name} twice, but each image is one row")
        met.add(name)
        if not (source.parent / name).is_file():
            raise DataError(f"{source} lists {name}, which is not in {source.parent}")
