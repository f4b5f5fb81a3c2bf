"""Latents kept beside the records, ``<out>/latents/<key>.npz``: drawn again without training.

They come from a training made again for the picture.  No record is touched, and nothing but
``gzsl-bench visualize`` reads them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from gzsl_bench import atomic
from gzsl_bench.errors import RecordError
from gzsl_bench.hooks.metric import FloatArray, IntArray
from gzsl_bench.records.layout import Layout

#: Grows when the meaning of a file changes, so that earlier ones no longer count.
LATENTS_VERSION = 1


@dataclass(frozen=True, eq=False)
class KeptLatents:
    """What one checkpoint of a cell offered to be drawn, and how it predicted.

    Attributes:
        key: the cell's.
        checkpoint: its number.
        last: whether it is the run's last one.
        visual: [N, K] latents of the test images: of seen classes, then of unseen ones.
        labels: [N] their classes.
        semantic: [N, K] samples of classes, as many of each class as it has test images.
        classes: [N] the samples' classes, ascending.
        seen: [S] ids of seen classes.
        unseen: [U] ids of unseen classes.
        predicted: [N] classes that the checkpoint gave the test images.
        digest: hash of all predictions and scores of all checkpoints of this training.
    """

    key: str
    checkpoint: int
    last: bool
    visual: FloatArray
    labels: IntArray
    semantic: FloatArray
    classes: IntArray
    seen: IntArray
    unseen: IntArray
    predicted: IntArray
    digest: str

    def part(self, name: str) -> tuple[FloatArray, IntArray, FloatArray, IntArray]:
        """``visual, labels, semantic, classes`` of the ``seen`` or the ``unseen`` classes."""
        ids = self.seen if name == "seen" else self.unseen
        images, samples = np.isin(self.labels, ids), np.isin(self.classes, ids)
        return (
            self.visual[images],
            self.labels[images],
            self.semantic[samples],
            self.classes[samples],
        )


def predictions_digest(arrays: Mapping[str, np.ndarray]) -> str:
    """A hash of a record's arrays: names, kinds, shapes and bytes."""
    hasher = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        hasher.update(f"{name} {array.dtype.str} {array.shape}".encode())
        hasher.update(array.tobytes())
    return hasher.hexdigest()


def read(layout: Layout, key: str, checkpoint: int | None) -> KeptLatents | None:
    """What is kept of a cell at a checkpoint (None: at its last one), or None.

    A file that cannot be read, or is of another checkpoint, counts as absent.
    """
    try:
        with np.load(layout.latents(key), allow_pickle=False) as arrays:
            if int(arrays["version"]) != LATENTS_VERSION or str(arrays["key"]) != key:
                return None
            found = KeptLatents(
                **{f.name: _value(f.type, arrays[f.name]) for f in fields(KeptLatents)}
            )
            wanted = found.last if checkpoint is None else found.checkpoint == checkpoint
            return found if wanted and _whole(found) else None
    except Exception:  # a damaged archive raises whatever it likes
        return None


def write(layout: Layout, kept: KeptLatents) -> None:
    """Put latents in their place, in one rename.

    Raises:
        RecordError: the disk is full or the folder cannot be written.
    """
    path = layout.latents(kept.key)
    content: dict[str, Any] = {f.name: np.asarray(getattr(kept, f.name)) for f in fields(kept)}
    try:
        with atomic.writing(path) as file:
            np.savez_compressed(file, version=np.asarray(LATENTS_VERSION), **content)
    except OSError as error:
        raise RecordError(f"the latents {path} cannot be written: {error}") from error


def _value(kind: Any, array: np.ndarray) -> Any:
    """A field as it was: numbers and texts are kept as arrays without axes."""
    plain = {"str": str, "int": int, "bool": bool}.get(str(kind))
    return array if plain is None else plain(array)


def _whole(kept: KeptLatents) -> bool:
    rows = len(kept.labels)
    flat = (kept.labels, kept.classes, kept.seen, kept.unseen, kept.predicted)
    return (
        all(array.ndim == 1 and array.dtype.kind in "iu" for array in flat)
        and kept.visual.ndim == 2
        and kept.visual.shape == kept.semantic.shape
        and len(kept.visual) == len(kept.classes) == len(kept.predicted) == rows
        and bool(np.isfinite(kept.visual).all() and np.isfinite(kept.semantic).all())
    )
