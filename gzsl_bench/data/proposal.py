"""A proposed split of classes and images, made of their names alone, and written to disk.

After Xian et al. (TPAMI 2019, section 3.1): unseen classes are none that a backbone was trained on,
and images of seen classes are held out for the test.  Names are ranked by a hash, so a split
depends on names and a seed, neither on the order of classes or images nor on a library's generator.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from gzsl_bench.atomic import write_text, writing
from gzsl_bench.data import editing
from gzsl_bench.data.arrays import read_array
from gzsl_bench.data.classes import read_class_file, read_labels, read_lines
from gzsl_bench.data.description import DESCRIPTION_FILE, LabelPart
from gzsl_bench.data.exposure import Exposure
from gzsl_bench.data.matfile import vector
from gzsl_bench.errors import DataError

_DOMAIN = "gzsl-bench/split/1"
#: One class in that many is unseen, and one image of a seen class in that many is a test image.
_PART = 5
#: At most this part of the seen classes is hidden by a fold.
_HIDDEN = 3
#: Where names of images are kept.
IMAGES = "images.txt"


@dataclass(frozen=True, eq=False)
class Proposal:
    """A split.

    Attributes:
        seen: names of the seen classes, in the order of the class numbers.
        unseen: names of the unseen ones.
        test_seen: [n] ascending row numbers, from 0, of the test images of seen classes.
        folds: names of the classes that train, and that play the unseen ones, of each fold.
        doubtful: unseen classes that the backbone may have seen.
    """

    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    test_seen: NDArray[np.int64]
    folds: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    doubtful: tuple[str, ...] = ()


def propose(
    names: Sequence[str],
    labels: NDArray[np.int64],
    images: Sequence[str],
    unseen: int | None = None,
    seen_before: Exposure | None = None,
    folds: int = 3,
    seed: int = 0,
) -> Proposal:
    """Draw a split.

    Args:
        names: [C] class names.
        labels: [N] class numbers from 0.
        images: [N] names of the images.
        unseen: number of unseen classes; a fifth of all if None.
        seen_before: classes that a backbone was trained on: those that surely are become seen
            ones, those that may be are taken for unseen ones last.
        folds: number of validation folds.
        seed: another one gives another split.

    Raises:
        DataError: there are too few classes or images.
    """
    known = seen_before or Exposure((), ())
    sure, doubtful = {n for n, _ in known.sure}, {n for n, _ in known.doubtful}
    count = max(1, round(len(names) / _PART)) if unseen is None else unseen
    free = [name for name in names if name not in sure]
    if count > len(free) or count >= len(names):
        raise DataError(
            f"{count} unseen classes cannot be drawn: there are {len(names)} classes, of which the"
            f" backbone has seen {len(sure)}, and one at least must be seen"
        )
    order = sorted(free, key=lambda name: (name in doubtful, _rank(seed, "unseen", name)))
    hidden = set(order[:count])
    kept = [name for name in names if name not in hidden]
    tested: list[int] = []
    for number, name in enumerate(names):
        rows = np.flatnonzero(labels == number).tolist()
        if len(rows) < (1 if name in hidden else 2):
            raise DataError(
                f"class {name!r} has {len(rows)} images, but an unseen class needs one, and a seen"
                " class two: one to train and one to test"
            )
        if name not in hidden:
            rows.sort(key=lambda row: _rank(seed, "image", images[row]))
            share = max(1, (len(rows) + _PART // 2) // _PART)
            tested += rows[: min(share, len(rows) - 1)]
    return Proposal(
        tuple(kept),
        tuple(name for name in names if name in hidden),
        np.array(sorted(tested), dtype=np.int64),
        tuple(_folds(kept, min(count, len(kept) // _HIDDEN), folds, seed)),
        tuple(name for name in names if name in hidden & doubtful),
    )


def _folds(
    seen: Sequence[str], count: int, folds: int, seed: int
) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """The first three hide different classes; none where there are fewer than three."""
    found = []
    for number in range(folds if count else 0):
        turn, piece = divmod(number, len(seen) // count)
        order = sorted(seen, key=lambda name: _rank(seed, f"fold {turn}", name))
        val = set(order[piece * count : (piece + 1) * count])
        found.append((tuple(n for n in seen if n not in val), tuple(n for n in seen if n in val)))
    return found


def _rank(seed: int, purpose: str, name: str) -> bytes:
    text = f"{_DOMAIN}\n{seed}\n{purpose}\n{name}"
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def read(folder: Path) -> tuple[tuple[str, ...], NDArray[np.int64], list[str]]:
    """Class names, labels and names of images of a folder whose description may lack a split.

    Images without names are called by their row numbers.

    Raises:
        DataError: classes or labels are missing or contradict one another.
    """
    said, where = editing.content(folder), folder / DESCRIPTION_FILE
    if not said:
        raise DataError(
            f"{where} does not exist; `gzsl-bench extract` writes one, and docs/dataset-plugins.md"
            " says what it holds"
        )
    file, part = said.get("classes"), said.get("labels")
    names = read_class_file(folder / file) if isinstance(file, str) else None
    if names is None:
        raise DataError(f"{where} names no file of `classes` that exists, but a split needs names")
    if isinstance(part, str):
        labels = read_labels(folder / part, names)
    else:
        try:
            numbers = LabelPart.model_validate(part)
        except ValidationError:
            raise DataError(f"{where}: `labels` needs `file`, `key` and `count_from`") from None
        what = f"labels in {folder / numbers.file}"
        raw = vector(read_array(folder / numbers.file, numbers.key), "labels", folder)
        labels = raw - numbers.count_from
        if labels.size and not 0 <= labels.min() <= labels.max() < len(names):
            raise DataError(f"{what} do not fit the {len(names)} classes in {file}")
    images = read_lines(folder / IMAGES)
    if images is None:
        images = [str(row) for row in range(len(labels))]
    if len(images) != len(labels):
        raise DataError(
            f"{folder / IMAGES} lists {len(images)} images, but there are {len(labels)} labels"
        )
    return names, labels, images


def write(folder: Path, found: Proposal) -> Path:
    """Write a split into ``split/`` and name it in the description, whose path is returned.

    Raises:
        OSError: it cannot be written.
    """
    lists = {"seen": found.seen, "unseen": found.unseen}
    folds = []
    for number, (train, val) in enumerate(found.folds, start=1):
        lists |= {f"train{number}": train, f"val{number}": val}
        folds.append({"train": f"split/train{number}.txt", "val": f"split/val{number}.txt"})
    for stem, listed in lists.items():
        write_text(folder / "split" / f"{stem}.txt", "".join(f"{name}\n" for name in listed))
    with writing(folder / "split" / "test_seen.npy") as file:
        np.save(file, found.test_seen)
    split: dict[str, Any] = {
        "count_from": 0,
        "seen": "split/seen.txt",
        "unseen": "split/unseen.txt",
        "test_seen": {"file": "split/test_seen.npy"},
    }
    return editing.add(folder, {"split": split, "folds": folds})
