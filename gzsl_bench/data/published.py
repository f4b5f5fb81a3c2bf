"""Holding data that bear the name of a public benchmark against what is published about it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from gzsl_bench.data.checks import PARTS
from gzsl_bench.data.gzsl import GZSLData
from gzsl_bench.data.identity import split_hash
from gzsl_bench.data.known import (
    KNOWN,
    PUBLISHED_ATTRIBUTES,
    PUBLISHED_FEATURES,
    KnownDataset,
)
from gzsl_bench.errors import DataError


def compare_with_published(data: GZSLData, folder: Path) -> GZSLData:
    """Hold a known data set against its published counts and splits.

    The published feature set must agree; another one may differ and is then marked by a warning.

    Args:
        data: the data as read.
        folder: where from, for the messages.

    Raises:
        DataError: the published feature set with other counts or splits.
    """
    known = KNOWN.get(data.name)
    if known is None:
        return data
    published = data.feature_set == PUBLISHED_FEATURES
    found = contradictions(data, known)
    if found and published:
        raise DataError(
            f"{folder} {found[0]}; these are not the published files, so give the folder another "
            "name or download them again"
        )
    notes = tuple(f"{folder} {text}" for text in found)
    return dataclasses.replace(data, warnings=(*data.warnings, *notes))


def contradictions(data: GZSLData, known: KnownDataset) -> list[str]:
    """Clauses about everything in which ``data`` differs from what is published."""
    counts = [
        ("images", len(data.labels), known.rows),
        ("classes", data.num_classes, known.classes),
        ("seen classes", data.seen.size, known.seen),
        ("unseen classes", data.unseen.size, known.unseen),
        ("training rows", data.trainval.size, known.trainval),
        ("test rows of seen classes", data.test_seen.size, known.test_seen),
        ("test rows of unseen classes", data.test_unseen.size, known.test_unseen),
    ]
    if data.feature_set == PUBLISHED_FEATURES:
        counts.append(("feature dimensions", data.features.shape[1], known.dimensions))
    if data.attribute_set == PUBLISHED_ATTRIBUTES:
        counts.append(("attributes", data.attributes.shape[1], known.attributes))
    found = [
        f"has {here} {what}, but {there} are published for {known.name}"
        for what, here, there in counts
        if here != there
    ]
    for part, expected in zip(PARTS, known.hashes, strict=True):
        actual = split_hash(getattr(data, part))
        if actual != expected and not found:
            found.append(
                f"has the split hash {actual} for {part}_loc, but {expected} is published for "
                f"{known.name}"
            )
    return found
