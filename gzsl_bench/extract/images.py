"""Which images, in which order, and of which classes: a folder, or a list of files."""

from __future__ import annotations

import csv
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gzsl_bench.errors import DataError

#: Files of a folder that are taken for images.
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
#: Folders of what macOS puts into an archive beside the images.
_APPLE = "__MACOSX"
#: Folders of a part of a split, each of which has all classes.
_PARTS = frozenset(
    ("train", "training", "trainval", "val", "valid", "validation", "dev", "test", "testing")
)


@dataclass(frozen=True)
class Listing:
    """Images in the order of the rows they become.

    Attributes:
        root: the folder that names are relative to.
        names: [N] paths, with ``/``.
        classes: [N] class names, or None where nothing says them.
        notes: what of a folder was passed over, in sentences.
    """

    root: Path
    names: tuple[str, ...]
    classes: tuple[str, ...] | None
    notes: tuple[str, ...] = ()

    def changed_since(self, file: Path) -> Iterator[int]:
        """Rows of the images that were written after ``file`` was, in order; none without it."""
        with suppress(FileNotFoundError):
            moment = file.stat().st_mtime_ns
            for row, name in enumerate(self.names):
                if (self.root / name).stat().st_mtime_ns > moment:
                    yield row


def listing(source: Path) -> Listing:
    """The images of a folder or a list.

    A folder of folders has a class in each of them and is read in the order of paths; links are
    followed, hidden files and folders are passed over.  A .csv file
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
    _refuse_alike(source, classes or ())
    return Listing(source.parent, tuple(names), None if classes is None else tuple(classes))


def _of_folder(folder: Path) -> Listing:
    files, folders = _walked(folder)
    names = sorted(name for name in files if Path(name).suffix.lower() in SUFFIXES)
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
    if classes is not None:
        _refuse_parts(folder, set(classes))
        _refuse_alike(folder, classes)
    return Listing(folder, tuple(names), classes, tuple(_passed_over(folder, files, folders)))


def _walked(folder: Path) -> tuple[list[str], list[str]]:
    """Files, and folders with nothing below them but files, relative to ``folder``."""
    files, folders = [], []
    for at, below, here in _walk(folder, frozenset()):
        place = at.relative_to(folder).as_posix()
        before = "" if place == "." else f"{place}/"
        if before and not below:
            folders.append(place)
        files += [f"{before}{name}" for name in here]
    return files, folders


def _walk(at: Path, above: frozenset[str]) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Folders, what they hold by name; a link to a folder that it lies in is not followed."""
    above |= {os.path.realpath(at)}
    below, here = [], []
    with os.scandir(at) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name == _APPLE:
                continue
            if entry.is_dir():
                if os.path.realpath(entry.path) not in above:
                    below.append(entry.name)
            elif entry.is_file():
                here.append(entry.name)
    yield at, below, here
    for name in below:
        yield from _walk(at / name, above)


def _passed_over(folder: Path, files: Iterable[str], folders: Iterable[str]) -> Iterator[str]:
    """What a user may have taken for images, or for a class."""
    kinds = Counter(Path(name).suffix.lower() for name in files)
    for kind in SUFFIXES:
        kinds.pop(kind, None)
    if kinds:
        some = ", ".join(sorted(kind or "none" for kind in kinds))
        count = kinds.total()
        them = "1 file is no image" if count == 1 else f"{count} files are no images"
        yield f"{folder}: {them} by the ending of the name ({some})"
    full = {name.rpartition("/")[0] for name in files if Path(name).suffix.lower() in SUFFIXES}
    bare = sorted(place for place in folders if place not in full)
    if bare:
        more = f" and {len(bare) - 5} more" if len(bare) > 5 else ""
        yield f"{folder}: no class is made of {', '.join(bare[:5])}{more}, without an image"


def _refuse_parts(folder: Path, classes: set[str]) -> None:
    """``train/fox`` and ``test/fox`` are one class."""
    met: dict[str, str] = {}
    for name in sorted(classes):
        part, _, rest = name.partition("/")
        if not rest or part.lower() not in _PARTS:
            continue
        other = met.setdefault(rest, name)
        if other != name:
            raise DataError(
                f"{folder} has the class {rest} in {other} and in {name}, but a class is one"
                " folder; put its images together, or list them in a .csv file with the columns"
                " file and class"
            )


def _refuse_alike(where: Path, classes: Iterable[str]) -> None:
    """Names that are written or read as one."""
    met: dict[str, str] = {}
    for name in dict.fromkeys(classes):
        if name != name.strip():
            raise DataError(
                f"{where} has the class {name!r}, whose name begins or ends with a space, which is"
                " lost in a list; rename it"
            )
        other = met.setdefault(unicodedata.normalize("NFC", name), name)
        if other != name:
            raise DataError(
                f"{where} has two classes {name!r} that look the same but are written with other"
                f" Unicode characters ({other!a}, {name!a}); rename one of them"
            )


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
