"""A file of predictions that were made elsewhere: read, and held against the task it is about."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gzsl_bench import atomic
from gzsl_bench.data.arrays import read_archive
from gzsl_bench.engine.outside.question import Question
from gzsl_bench.errors import DataError
from gzsl_bench.hooks.metric import FloatArray, IntArray
from gzsl_bench.scoring.axes import fault
from gzsl_bench.scoring.packed import unpacked

_CLASSES = ("predicted", "predicted_seen", "predicted_unseen")
_BEST = ("best_seen", "best_unseen")
#: What ``predictions.npz`` of a record holds besides: a file may be one with ``images`` added.
_OF_RECORDS = ("labels", "seen", "unseen", "scored", "rounded")
_KNOWN = {
    "task",
    "seed",
    "rows",
    "images",
    "checkpoints",
    "axes",
    "lengths",
    "scores",
    *_CLASSES,
    *_BEST,
    *_OF_RECORDS,
}


@dataclass(frozen=True, eq=False)
class Sheet:
    """One method's answers to one task, with one seed.

    Attributes:
        question: the task.
        seed: of the training.
        numbers: [K] of its checkpoints.
        axes: names and lengths of what these count.
        digest: SHA-256 of all that the file holds.
        scored: whether there are scores, not only classes.
    """

    question: Question
    seed: int
    numbers: tuple[int, ...]
    axes: tuple[tuple[str, int], ...]
    digest: str
    scored: bool
    _arrays: Mapping[str, np.ndarray]
    _back: IntArray

    def scores(self, index: int) -> FloatArray:
        """[N, C] scores at one checkpoint, rows as ``question.images``.

        Of a sheet that has only the best ones, or only classes, any that give the same predictions.
        """
        arrays, rows = self._arrays, np.arange(len(self._back))
        if "scores" in arrays:
            return np.asarray(arrays["scores"][index][self._back])
        chosen, among_seen, among_unseen = (arrays[n][index][self._back] for n in _CLASSES)
        if self.scored:
            best = [arrays[name][index][self._back].astype(np.float64) for name in _BEST]
        else:
            best = [(chosen == among).astype(np.float64) for among in (among_seen, among_unseen)]
        below = np.nextafter(np.minimum(*best), -np.inf)
        found = np.repeat(below[:, None], self.question.classes, axis=1)
        found[rows, among_seen], found[rows, among_unseen] = best
        return found

    def contradicted(self, index: int, predicted: IntArray) -> int:
        """How many rows' scores say another class than the sheet does."""
        if "predicted" not in self._arrays:
            return 0
        said = self._arrays["predicted"][index][self._back]
        return int((said != predicted).sum())


def read_sheet(path: Path, asked: Sequence[Question], dataset: str | None, fold: int) -> Sheet:
    """Read a file and find the task that it answers.

    Args:
        path: an .npz.
        asked: all tasks there are.
        dataset: whose real task, or ``fold``, it answers if it does not say so itself.
        fold: of that.

    Raises:
        DataError: it is no such file, or not of any of these tasks, in a sentence.
    """
    arrays = unpacked(read_archive(path))
    if unknown := sorted(set(arrays) - _KNOWN):
        raise DataError(
            f"{path} holds {unknown[0]!r}, which means nothing here; it may hold"
            f" {', '.join(sorted(_KNOWN))}"
        )
    question = _question(path, arrays, asked, dataset, fold)
    back = _back(path, arrays, question)
    labels = arrays.get("labels")
    if labels is not None and not np.array_equal(labels[back], question.labels):
        raise DataError(
            f"{path}: its labels are not those of the test rows of {question.title}; leave them out"
            " if they are numbered otherwise"
        )
    seed = arrays.get("seed", np.array(0))
    if seed.size != 1 or seed.dtype.kind not in "iu" or not 0 <= int(seed.reshape(())) < 2**31:
        raise DataError(f"{path}: seed has to be one number from 0 on")
    axes = _axes(path, arrays)
    number, arrays = _numbers(path, dict(arrays), question)
    if why := fault(axes, number):
        raise DataError(f"{path}: {why}")
    return Sheet(
        question=question,
        seed=int(seed.reshape(())),
        numbers=number,
        axes=axes,
        digest=_digest(arrays, question, back),
        scored="scores" in arrays or "best_seen" in arrays,
        _arrays=arrays,
        _back=back,
    )


def template(path: Path, question: Question) -> None:
    """Write a file that lacks nothing but the scores, which are NaN and have to be filled in.

    Raises:
        DataError: there is one, which may have been filled in.
    """
    if path.exists():
        raise DataError(f"{path} is there already; name another file, or take it away")
    with atomic.writing(path) as file:
        np.savez_compressed(
            file,
            task=np.array(question.name),
            images=question.images,
            seed=np.array(0),
            checkpoints=np.array([1]),
            scores=np.full((1, len(question.images), question.classes), np.nan, dtype=np.float32),
        )


def _question(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    asked: Sequence[Question],
    dataset: str | None,
    fold: int,
) -> Question:
    if "task" in arrays:
        name = str(arrays["task"].reshape(-1)[0]) if arrays["task"].size else ""
        for question in asked:
            if question.name == name:
                return question
        raise DataError(
            f"{path} answers the task {name!r}, which is none of this suite: it is of another data"
            f" set, feature set, split or fold than {', '.join(q.title for q in asked)}"
        )
    if "images" not in arrays:
        raise DataError(
            f"{path} says neither which task it answers (`task`, as export-task has it) nor which"
            " images its rows are (`images`)"
        )
    names = list(dict.fromkeys(question.dataset for question in asked))
    if dataset is None and len(names) > 1:
        raise DataError(f"{path} does not say its task; name its data set with --dataset")
    for question in asked:
        if question.dataset == (dataset or names[0]) and question.fold == fold:
            return question
    raise DataError(f"this suite has no fold {fold} of {dataset or names[0]}")


def _back(path: Path, arrays: Mapping[str, np.ndarray], question: Question) -> IntArray:
    """[N] Where the file has the rows of the task; every one once and no other.

    Raises:
        DataError: a row is missing, doubled, or none of the task's.
    """
    total = len(question.images)
    kind = "images" if "images" in arrays else "rows"
    wanted = question.images if kind == "images" else np.arange(total)
    given = arrays.get(kind, np.arange(_rows(arrays)))
    if given.ndim != 1 or given.dtype.kind not in "iu":
        raise DataError(f"{path}: {kind} has to be a list of whole numbers")
    given = given.astype(np.int64)
    names, counts = np.unique(given, return_counts=True)
    if others := np.setdiff1d(names, wanted).tolist():
        raise DataError(
            f"{path}: {len(others)} of its {kind} are no test rows of {question.title} (the first"
            f" is {others[0]}): it is of another split, or of other rows"
        )
    wrong = []
    if missing := np.setdiff1d(wanted, names).tolist():
        wrong.append(f"lacks {len(missing)} (the first is {kind[:-1]} {missing[0]})")
    if doubled := names[counts > 1].tolist():
        wrong.append(f"has {len(doubled)} more than once (the first is {kind[:-1]} {doubled[0]})")
    if wrong:
        raise DataError(
            f"{path}: of the {total} test rows of {question.title} it {' and '.join(wrong)}"
        )
    place = np.empty(total, dtype=np.int64)
    place[np.argsort(wanted)] = np.argsort(given)
    if kind == "images":
        return place
    # Rows are numbered as they were shown.
    shown = np.empty(total, dtype=np.int64)
    shown[question.order] = place
    return shown


def _rows(arrays: Mapping[str, np.ndarray]) -> int:
    """How many rows a file answers that does not number them."""
    if "scores" in arrays:
        return arrays["scores"].shape[-2] if arrays["scores"].ndim in (2, 3) else 0
    found = arrays.get("predicted")
    return 0 if found is None or found.ndim not in (1, 2) else found.shape[-1]


def _numbers(
    path: Path, arrays: dict[str, np.ndarray], question: Question
) -> tuple[tuple[int, ...], dict[str, np.ndarray]]:
    """The checkpoints' numbers; the arrays, checked, with an axis of checkpoints each."""
    names = _answers(path, arrays)
    kept: dict[str, np.ndarray] = {}
    for name in names:
        array = arrays[name]
        own = 2 if name == "scores" else 1
        kept[name] = array[None] if array.ndim == own else array
        if kept[name].ndim != own + 1:
            raise DataError(f"{path}: {name} has {array.ndim} axes")
    count = len(kept[names[0]])
    numbers = arrays.get("checkpoints", np.arange(1, count + 1))
    if numbers.shape != (count,) or numbers.dtype.kind not in "iu" or not count:
        raise DataError(f"{path}: checkpoints has to be a list of {count} whole numbers")
    if len(set(numbers.tolist())) < count:
        raise DataError(f"{path}: two of its checkpoints have one number")
    if numbers[0] < 0 or (numbers[1:] < numbers[:-1]).any():
        raise DataError(
            f"{path}: checkpoints has to ascend from 0 or more, as `last` takes the last one; put"
            " them, and the answers with them, in order"
        )
    rows, classes = len(question.images), question.classes
    for name, array in kept.items():
        shape = (count, rows, classes) if name == "scores" else (count, rows)
        if array.shape != shape:
            raise DataError(
                f"{path}: {name} has the shape {array.shape} where {shape} is expected"
                " (checkpoints, test rows" + (", classes)" if name == "scores" else ")")
            )
        _check_values(path, name, array, question)
    return tuple(int(n) for n in numbers), kept


def _axes(path: Path, arrays: Mapping[str, np.ndarray]) -> tuple[tuple[str, int], ...]:
    """What the checkpoints' numbers count, the slowest first."""
    names, lengths = (arrays.get(name, np.zeros(0, "U1")) for name in ("axes", "lengths"))
    if names.ndim != 1 or names.shape != lengths.shape:
        raise DataError(f"{path}: axes and lengths have to be lists that are equally long")
    if names.size and (names.dtype.kind != "U" or lengths.dtype.kind not in "iu"):
        raise DataError(f"{path}: axes has to hold names and lengths whole numbers")
    return tuple((str(name), int(length)) for name, length in zip(names, lengths, strict=True))


def _answers(path: Path, arrays: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """Names of the arrays that say what was predicted."""
    if "scores" in arrays:
        if extra := [name for name in (*_CLASSES, *_BEST) if name in arrays]:
            raise DataError(f"{path} has scores of all classes; leave {extra[0]!r} out")
        return ("scores",)
    if lacking := [name for name in _CLASSES if name not in arrays]:
        raise DataError(
            f"{path} has no {lacking[0]!r}: it needs scores of all classes (`scores`), or the best"
            f" class of all, among seen and among unseen ones ({', '.join(_CLASSES)})"
        )
    there = [name for name in _BEST if name in arrays]
    if len(there) == 1:
        raise DataError(f"{path} has {there[0]!r} alone; give both of {', '.join(_BEST)} or none")
    return (*_CLASSES, *there)


def _check_values(path: Path, name: str, array: np.ndarray, question: Question) -> None:
    if name in _CLASSES:
        both = np.concatenate([question.seen, question.unseen])
        known = {"predicted_seen": question.seen, "predicted_unseen": question.unseen}
        if array.dtype.kind not in "iu" or not np.isin(array, known.get(name, both)).all():
            what = {"predicted_seen": " seen", "predicted_unseen": " unseen"}.get(name, "")
            raise DataError(f"{path}: {name} holds what is no id of the{what} classes")
    elif array.dtype.kind != "f":
        raise DataError(f"{path}: {name} holds {array.dtype}; floats are expected")
    elif not np.isfinite(array).all():
        raise DataError(f"{path}: {name} holds NaN or infinite values: every one has to be filled")


def _digest(arrays: Mapping[str, Any], question: Question, back: IntArray) -> str:
    """Hash of the answers, whatever the order of the file's rows."""
    found = hashlib.sha256(question.name.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name][:, back])
        found.update(f"{name} {array.dtype.str} {array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()
