"""Outcomes of audits, kept beside the records: ``<out>/audits/<key>.json``.

A record is never changed by an audit.  An outcome, good or bad, stays; where an audit could not be
made, the next one takes its place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gzsl_bench import atomic
from gzsl_bench.errors import RecordError
from gzsl_bench.records.layout import Layout

#: Grows when an audit looks for more, so that earlier outcomes no longer count.
AUDIT_VERSION = 1
OK, FAILED, NOT_AUDITED = "ok", "failed", "not audited"


class AuditStore:
    """Reads and writes the audits of one results folder."""

    def __init__(self, out: Path) -> None:
        self.folder = Layout(out).audits

    def read(self, key: str) -> Mapping[str, Any] | None:
        """The audit of a cell, or None; one that cannot be read counts as absent."""
        try:
            content = json.loads((self.folder / f"{key}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        known = (
            isinstance(content, dict)
            and content.get("key") == key
            and content.get("audit_version") == AUDIT_VERSION
            and content.get("outcome") in (OK, FAILED, NOT_AUDITED)
        )
        return content if known else None

    def settled(self, key: str) -> bool:
        """Whether a cell has an outcome that stays."""
        there = self.read(key)
        return there is not None and there["outcome"] != NOT_AUDITED

    def write(self, key: str, content: Mapping[str, Any]) -> bool:
        """Write an audit in one rename; returns whether it is the one that counts.

        Args:
            key: the cell's key.
            content: has an ``outcome`` and a ``reason``.

        Raises:
            RecordError: the disk is full or the folder cannot be written.
        """
        if self.settled(key):
            return False
        full = {"audit_version": AUDIT_VERSION, "key": key, **content}
        try:
            atomic.write_json(self.folder / f"{key}.json", full)
        except (OSError, ValueError, TypeError) as error:
            raise RecordError(
                f"the audit of cell {key} cannot be written to {self.folder}: {error}"
            ) from error
        return True

    def verdict(self, keys: Iterable[str]) -> Mapping[str, Any] | None:
        """The audit that speaks for cells that differ in the seed alone: a failed one if any."""
        rank = (FAILED, OK, NOT_AUDITED)
        found = [audit for audit in map(self.read, keys) if audit is not None]
        return min(found, key=lambda audit: rank.index(audit["outcome"]), default=None)


def in_words(audit: Mapping[str, Any] | None) -> str:
    """``ok``, ``FAILED: reason``, or nothing where there was no audit."""
    if audit is None or audit["outcome"] == NOT_AUDITED:
        return ""
    return OK if audit["outcome"] == OK else f"FAILED: {audit['reason']}"
