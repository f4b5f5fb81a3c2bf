"""A task as those see it who answer it elsewhere: rows to name, in an order that tells nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gzsl_bench import atomic
from gzsl_bench.data.gzsl import GZSLData
from gzsl_bench.data.tasks import prepare
from gzsl_bench.hooks.metric import IntArray
from gzsl_bench.suite.cells import REAL, digest
from gzsl_bench.suite.datasets import Found

#: Hex digits of a task's name.
_NAME = 16


@dataclass(frozen=True, eq=False)
class Question:
    """The test rows of a task.

    Attributes:
        name: hash of data set, split and fold: answers that name it are answers to this one.
        dataset: the data set's label.
        fold: number of the validation fold; 0 for the real task.
        images: [N] numbers of the test rows in the data set's features, counted from 0; those of
            seen classes, then those of unseen ones.
        labels: [N] their classes, in the task's own numbers.
        seen: [S] ascending ids of its seen classes.
        unseen: [U] ascending ids of its unseen ones.
        data: the task's rows and embeddings.
    """

    name: str
    dataset: str
    fold: int
    images: IntArray
    labels: IntArray
    seen: IntArray
    unseen: IntArray
    data: GZSLData

    @property
    def title(self) -> str:
        """``CUB`` or ``fold 1 of CUB``."""
        return f"fold {self.fold} of {self.dataset}" if self.fold else self.dataset

    @property
    def classes(self) -> int:
        """C, seen and unseen classes together."""
        return int(self.seen.size + self.unseen.size)

    @property
    def order(self) -> IntArray:
        """[N] the order in which test rows are shown elsewhere: the n-th shown one is this one.

        Drawn by hashes, so that it is the same with every version of every library.
        """
        marks = [
            hashlib.blake2b(f"{self.name}/{row}".encode(), digest_size=8).digest()
            for row in range(len(self.images))
        ]
        return np.array(sorted(range(len(marks)), key=marks.__getitem__), dtype=np.int64)

    def export(self, path: Path, preprocessing: str) -> None:
        """Write the training side, and the test rows without their labels.

        Args:
            path: an .npz.
            preprocessing: what is done to features, fitted on the training rows.

        Raises:
            SuiteError: no preprocessing is called so.
        """
        ready = prepare(self.data, preprocessing)
        with atomic.writing(path) as file:
            np.savez_compressed(
                file,
                task=np.array(self.name),
                features=ready.train_features,
                labels=ready.train_labels,
                attributes=ready.attributes,
                seen=ready.seen,
                unseen=ready.unseen,
                test_features=ready.test_features[self.order],
            )


def questions(found: Found) -> Sequence[Question]:
    """The real task of a data set, then its validation folds."""
    asked = []
    for fold in (None, *found.folds):
        data = found.data if fold is None else fold.split(found.data)
        described = {
            "dataset": found.identity(),
            "task": REAL if fold is None else fold.describe(),
        }
        images = np.concatenate([data.test_seen, data.test_unseen])
        asked.append(
            Question(
                name=digest(described)[:_NAME],
                dataset=found.entry.name,
                fold=0 if fold is None else fold.number,
                images=images,
                labels=data.labels[images],
                seen=data.seen,
                unseen=data.unseen,
                data=data,
            )
        )
    return asked
