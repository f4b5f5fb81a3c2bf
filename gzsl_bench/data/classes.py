"""The class side of an xlsa17 folder: names, class text files, validation folds, embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gzsl_bench.data.arrays import read_array
from gzsl_bench.data.checks import embedding_notes
from gzsl_bench.data.gzsl import ClassFold
from gzsl_bench.data.matfile import numeric, read_mat, texts, variables
from gzsl_bench.data.places import SPLITS_FILE, embedding_source, embeddings
from gzsl_bench.errors import DataError, unknown_name

#: The numbers that trainclasses and valclasses files carry in the public archive.
FOLDS = (1, 2, 3)


def read_class_file(path: Path) -> tuple[str, ...] | None:
    """Names in a class text file, one a line; None where there is no such file.

    Raises:
        DataError: the file is no text, is empty, or lists a name twice.
    """
    lines = read_lines(path)
    if lines is None:
        return None
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise DataError(f"{path} is empty, but one class name a line is needed")
    refuse_twice(names, path)
    return names


def read_lines(path: Path) -> list[str] | None:
    """The lines of a text file; None where there is no such file.

    Raises:
        DataError: the file is no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as UTF-8 text ({error})") from None


def read_labels(path: Path, names: Sequence[str]) -> NDArray[np.int64]:
    """[N] class numbers of a file with one class name an image, one a line.

    Raises:
        DataError: it is missing, no text or empty, or a line is no class name.
    """
    lines = read_lines(path)
    if not lines:
        what = "does not exist" if lines is None else "is empty"
        raise DataError(f"{path} {what}, but one class name an image is needed")
    ids = {name: number for number, name in enumerate(names)}
    found = np.empty(len(lines), np.int64)
    for number, line in enumerate(lines):
        name = line.strip()
        if name not in ids:
            said = unknown_name("class", name, names, 20) if name else "no class stands here"
            raise DataError(f"{path}:{number + 1}: {said}")
        found[number] = ids[name]
    return found


def refuse_twice(names: Sequence[str], where: Path | str) -> None:
    """Refuse a list of names in which one stands twice.

    Raises:
        DataError: with the name.
    """
    met: set[str] = set()
    for name in names:
        if name in met:
            raise DataError(f"{where} lists the class {name!r} twice, but names must be unique")
        met.add(name)


def class_names(folder: Path, cell: NDArray[Any] | None) -> tuple[str, ...] | None:
    """[C] class names from ``allclasses_names`` or allclasses.txt; None where there is neither.

    Raises:
        DataError: both exist and differ; class ids would then mean two things.
    """
    path = folder / "allclasses.txt"
    listed = read_class_file(path)
    if cell is None:
        return listed
    names = texts(cell, "allclasses_names", folder / SPLITS_FILE)
    refuse_twice(names, folder / SPLITS_FILE)
    if listed is not None and listed != names:
        if len(listed) != len(names):
            what = f"has {len(listed)} classes but allclasses_names has {len(names)}"
        else:
            at = next(i for i, (a, b) in enumerate(zip(listed, names, strict=True)) if a != b)
            what = f"calls class {at + 1} {listed[at]!r} but allclasses_names says {names[at]!r}"
        raise DataError(
            f"{path} {what} in {folder / SPLITS_FILE}; both must list the same classes in one order"
        )
    return names


def read_folds(
    folder: Path, names: Sequence[str] | None, seen: NDArray[np.int64], unseen: NDArray[np.int64]
) -> tuple[tuple[ClassFold, ...], tuple[str, ...]]:
    """Check the class text files against the splits and read the validation folds.

    Args:
        folder: the data set's folder.
        names: [C] class names, or None.
        seen: ids of the classes with training rows.
        unseen: ids of the other classes.

    Returns:
        The folds that the folder ships, and warnings.

    Raises:
        DataError: a file contradicts the splits or another file.
    """
    stems = ["trainvalclasses", "testclasses"]
    stems += [f"{side}classes{number}" for number in FOLDS for side in ("train", "val")]
    lists = {stem: read_class_file(folder / f"{stem}.txt") for stem in stems}
    there = {stem: listed for stem, listed in lists.items() if listed is not None}
    if not there:
        return (), ()
    if names is None:
        return (), (
            f"{folder} has class text files but neither allclasses_names nor allclasses.txt, so "
            "they cannot be matched to class numbers and its validation folds are not used",
        )
    ids = {name: number for number, name in enumerate(names)}
    sets = {stem: class_ids(folder / f"{stem}.txt", listed, ids) for stem, listed in there.items()}
    for stem, classes, what in (
        ("trainvalclasses", seen, "has training rows"),
        ("testclasses", unseen, "has no training rows"),
    ):
        if stem in sets:
            _same(folder / f"{stem}.txt", sets[stem], classes, names, what)
    folds = []
    for number in FOLDS:
        pair = [f"trainclasses{number}", f"valclasses{number}"]
        have = [stem for stem in pair if stem in sets]
        if len(have) == 1:
            lacks = next(stem for stem in pair if stem not in sets)
            raise DataError(
                f"{folder} has {have[0]}.txt but no {lacks}.txt, but a fold needs both files"
            )
        if have:
            files = f"{pair[0]}.txt and {pair[1]}.txt in {folder}"
            folds.append(class_fold(files, sets[pair[0]], sets[pair[1]], names, seen))
    return tuple(folds), ()


def class_ids(path: Path | str, listed: Sequence[str], ids: Mapping[str, int]) -> NDArray[np.int64]:
    """Class numbers of listed names.

    Raises:
        DataError: a name is none of the classes'.
    """
    for name in listed:
        if name not in ids:
            raise DataError(
                f"{path} lists {name!r}, which is none of the {len(ids)} classes of the data set"
            )
    return np.array([ids[name] for name in listed], dtype=np.int64)


def _same(
    path: Path,
    listed: NDArray[np.int64],
    classes: NDArray[np.int64],
    names: Sequence[str],
    what: str,
) -> None:
    for c in np.setdiff1d(listed, classes)[:1]:
        raise DataError(
            f"{path} contradicts the splits in {SPLITS_FILE}: it lists {names[int(c)]!r}, of which "
            f"it is not true that it {what}"
        )
    for c in np.setdiff1d(classes, listed)[:1]:
        raise DataError(
            f"{path} contradicts the splits in {SPLITS_FILE}: it lacks {names[int(c)]!r}, "
            f"which {what}"
        )


def class_fold(
    files: str,
    train: NDArray[np.int64],
    val: NDArray[np.int64],
    names: Sequence[str],
    seen: NDArray[np.int64],
) -> ClassFold:
    """A validation fold of two sets of class ids, checked.

    Args:
        files: what lists them, for the messages.
        train: ids of the classes that train.
        val: ids of the classes that play the unseen ones.
        names: [C] class names.
        seen: ids of the classes with training rows.

    Raises:
        DataError: the sets overlap or hold an unseen class.
    """
    for c in np.intersect1d(train, val)[:1]:
        raise DataError(f"{files} both list {names[int(c)]!r}, but must be disjoint")
    for c in np.setdiff1d(np.concatenate([train, val]), seen)[:1]:
        raise DataError(
            f"{files} list {names[int(c)]!r}, which has no training rows, but a validation fold "
            "may consist of seen classes only"
        )
    return ClassFold(train=np.sort(train), val=np.sort(val))


def read_embedding(
    folder: Path,
    attributes: str,
    num_classes: int | None,
    call: Callable[[int], str] | None = None,
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The class embedding [C, A] as float64, and warnings.

    Args:
        folder: the data set's folder.
        attributes: a key of att_splits.mat (classes are columns), ``FILE.mat:KEY`` or ``FILE.npy``
            (the side as long as C is the classes).
        num_classes: C, or None where only the columns of att_splits.mat can tell.
        call: how to call a class.

    Raises:
        DataError: missing, unreadable, in the wrong orientation, or with NaN or Inf.
    """
    path, key = embedding_source(folder, attributes)
    if key is None:
        raw, what = read_array(path, None), str(path)
    else:
        others = embeddings(folder)
        if others and attributes not in others and key not in (v.name for v in variables(path)):
            raise DataError(
                f"{path} has no key {key!r}; the class embeddings there are {', '.join(others)}:"
                f" write `attributes: {others[0]}`"
            )
        raw, what = numeric(read_mat(path, [key])[key], key, path), f"{key} in {path}"
    if raw.ndim != 2 or 0 in raw.shape:
        raise DataError(
            f"{what} has shape {raw.shape}, but a matrix with one vector a class is needed"
        )
    return check_embedding(
        _class_rows(raw, what, num_classes, in_splits=path.name == SPLITS_FILE), what, call
    )


def check_embedding(
    rows: NDArray[Any], what: str, call: Callable[[int], str] | None = None
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The class embedding [C, A] as float64, and warnings about vectors that say nothing.

    Raises:
        DataError: it holds NaN or Inf.
    """
    call = call or (lambda c: f"class {c + 1}")
    matrix = np.ascontiguousarray(rows, dtype=np.float64)
    if not np.isfinite(matrix).all():
        c = int(np.argmax(~np.isfinite(matrix).all(axis=1)))
        raise DataError(f"{what} holds NaN or Inf (first for {call(c)}), but must be finite")
    return matrix, embedding_notes(matrix, what, call)


def _class_rows(
    raw: NDArray[Any], what: str, num_classes: int | None, *, in_splits: bool
) -> NDArray[Any]:
    rows, columns = raw.shape
    if in_splits:
        if num_classes is None or columns == num_classes:
            return raw.T
        if rows == num_classes:
            raise DataError(
                f"{what} has shape {raw.shape} with one class a row, but the file format has one "
                "class a column; save the transposed matrix"
            )
        raise DataError(
            f"{what} has {columns} columns but there are {num_classes} classes, "
            "but each column is the vector of one class"
        )
    if rows == columns == num_classes:
        raise DataError(
            f"{what} has shape {raw.shape} for {num_classes} classes, so rows and columns cannot "
            f"be told apart; put it into {SPLITS_FILE} under a key of its own, where columns are "
            "classes"
        )
    if rows == num_classes:
        return raw
    if columns == num_classes:
        return raw.T
    raise DataError(f"{what} has shape {raw.shape}, but one side must be the {num_classes} classes")
