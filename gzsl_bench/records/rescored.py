"""Metrics computed again from a record's predictions, beside the record that stays as it is.

``<out>/rescored/<key>.json`` holds the metrics of every checkpoint as they count now.  It names the
very record it was made from (by hash), so it never speaks for another one, and may be written anew
at any time: everything in it follows from the record and the metric plugins.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter

from gzsl_bench import atomic
from gzsl_bench.errors import RecordError
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.record import MAIN, AboutMetric, Checkpoint, Record
from gzsl_bench.records.strict import STRICT, parse, plain, skip

RESCORED_VERSION = 1


def fingerprint(record: bytes) -> str:
    """Which record a rescoring belongs to: the hash of its ``record.json``."""
    return hashlib.sha256(record).hexdigest()


@dataclass(frozen=True)
class _Rescored:
    """The file: metrics of every checkpoint as they count now, and how to read them."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    key: str
    record_sha256: str
    rescored_version: Literal[1]
    time: str
    checkpoints: tuple[Checkpoint, ...]
    metrics: Mapping[str, AboutMetric]


def parsed(raw: bytes, record: Record, bytes_of_record: bytes) -> Record | None:
    """A record with the metrics that a rescoring computed; None if that is of another record.

    Args:
        raw: the rescoring.
        record: the record as it was written.
        bytes_of_record: its ``record.json``.

    Raises:
        RecordError: it is no rescoring.
    """
    found = parse(_adapter(), raw)
    if found.record_sha256 != fingerprint(bytes_of_record):
        return None
    numbers = [checkpoint.number for checkpoint in found.checkpoints]
    if found.key != record.key or numbers != [c.number for c in record.checkpoints]:
        raise RecordError("it has not the record's key or checkpoints")
    if any(MAIN not in checkpoint.metrics for checkpoint in found.checkpoints):
        raise RecordError(f"a checkpoint has no {MAIN}")
    return replace(record, checkpoints=found.checkpoints, metrics=found.metrics)


def overlaid(layout: Layout, record: Record, raw: bytes) -> Record:
    """A record with the metrics that a rescoring computed, if there was one.

    Args:
        layout: the results folder.
        record: as it was written.
        raw: its ``record.json``.
    """
    path = layout.rescoring(record.key)
    try:
        return parsed(plain(path), record, raw) or record
    except FileNotFoundError:
        return record
    except (OSError, RecordError) as error:
        skip(path, error)
        return record  # it speaks for itself


def counting(layout: Layout, record: Record, raw: bytes) -> bytes | None:
    """The rescoring that :func:`overlaid` takes; None where there is none that counts.

    Args:
        layout: the results folder.
        record: the record.
        raw: its ``record.json``.
    """
    try:
        found = plain(layout.rescoring(record.key))
        return None if parsed(found, record, raw) is None else found
    except (OSError, RecordError):
        return None


def write(
    layout: Layout,
    key: str,
    record_sha256: str,
    checkpoints: Iterable[Checkpoint],
    metrics: Mapping[str, Mapping[str, Any]],
) -> None:
    """Put a rescoring in place of an earlier one, atomically.

    Args:
        layout: the results folder.
        key: the cell's key.
        record_sha256: :func:`fingerprint` of the record it was computed from.
        checkpoints: all of them.
        metrics: how to read each metric, and whose version computed it.

    Raises:
        RecordError: the folder cannot be written.
    """
    path = layout.rescoring(key)
    content = {
        "rescored_version": RESCORED_VERSION,
        "key": key,
        "record_sha256": record_sha256,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "checkpoints": [asdict(checkpoint) for checkpoint in checkpoints],
        "metrics": dict(metrics),
    }
    try:
        atomic.write_json(path, content)
    except (OSError, ValueError) as error:
        raise RecordError(f"the rescoring {path} cannot be written: {error}") from error


@cache
def _adapter() -> TypeAdapter[_Rescored]:
    return TypeAdapter(_Rescored)
