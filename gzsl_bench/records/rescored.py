"""Metrics computed again from a record's predictions, beside the record that stays as it is.

``<out>/rescored/<key>.json`` holds the metrics of every checkpoint as they count now.  It names the
very record it was made from (by hash), so it never speaks for another one, and may be written anew
at any time: everything in it follows from the record and the metric plugins.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from gzsl_bench import atomic
from gzsl_bench.errors import RecordError
from gzsl_bench.records.layout import Layout

RESCORED_VERSION = 1


def fingerprint(record: bytes) -> str:
    """Which record a rescoring belongs to: the hash of its ``record.json``."""
    return hashlib.sha256(record).hexdigest()


def overlaid(layout: Layout, content: Mapping[str, Any], record: bytes) -> Mapping[str, Any]:
    """A record's content with the metrics that a rescoring computed, if there was one.

    Args:
        layout: the results folder.
        content: the parsed record.
        record: its bytes.

    Raises:
        RecordError: the rescoring was written by a newer version of the program.
    """
    path = layout.rescoring(content["key"])
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return content  # none, or not whole: the record speaks for itself
    if not isinstance(found, dict) or found.get("record_sha256") != fingerprint(record):
        return content
    version = found.get("rescored_version")
    if not isinstance(version, int):
        return content
    if version > RESCORED_VERSION:
        raise RecordError(
            f"{path} was written by a newer gzsl-bench (version {version}, this one reads up to"
            f" {RESCORED_VERSION}); upgrade, or remove it to see the record's own metrics"
        )
    return {**content, "checkpoints": found["checkpoints"], "metrics": found["metrics"]}


def write(
    layout: Layout,
    key: str,
    record: bytes,
    checkpoints: Sequence[Mapping[str, Any]],
    metrics: Mapping[str, Mapping[str, Any]],
) -> None:
    """Put a rescoring in place of an earlier one, atomically.

    Args:
        layout: the results folder.
        key: the cell's key.
        record: bytes of the record it was computed from.
        checkpoints: ``number`` and ``metrics`` of every checkpoint.
        metrics: how to read each metric, and whose version computed it.

    Raises:
        RecordError: the folder cannot be written.
    """
    path = layout.rescoring(key)
    content = {
        "rescored_version": RESCORED_VERSION,
        "key": key,
        "record_sha256": fingerprint(record),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "checkpoints": list(checkpoints),
        "metrics": dict(metrics),
    }
    try:
        atomic.write_json(path, content)
    except (OSError, ValueError) as error:
        raise RecordError(f"the rescoring {path} cannot be written: {error}") from error
