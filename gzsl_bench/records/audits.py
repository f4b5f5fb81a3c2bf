"""Outcomes of audits, kept beside the records: ``<out>/audits/<key>.json``.

A record is never changed by an audit.  An outcome, good or bad, stays; where an audit could not be
made, the next one takes its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, NotRequired

from pydantic import TypeAdapter, with_config
from typing_extensions import TypedDict

from gzsl_bench import atomic
from gzsl_bench.errors import RecordError
from gzsl_bench.records import strict
from gzsl_bench.records.layout import Layout

#: Grows when an audit looks for more, so that earlier outcomes no longer count.
AUDIT_VERSION = 1
OK, FAILED, NOT_AUDITED = "ok", "failed", "not audited"


@with_config(strict.OPEN)
class Audit(TypedDict):
    """The outcome of an audit; what was measured stands beside what is read here."""

    audit_version: int
    key: str
    outcome: Literal["ok", "failed", "not audited"]
    reason: str
    notes: NotRequired[list[str]]
    seconds: NotRequired[float]


@cache
def _adapter() -> TypeAdapter[Audit]:
    return TypeAdapter(Audit)


def parsed(raw: bytes) -> Audit:
    """An audit from the bytes of its file.

    Raises:
        RecordError: it is none, or one of another version.
    """
    found = strict.parse(_adapter(), raw)
    if found["audit_version"] != AUDIT_VERSION:
        raise RecordError(f"it is of version {found['audit_version']}, not {AUDIT_VERSION}")
    return found


class AuditStore:
    """Reads and writes the audits of one results folder."""

    def __init__(self, out: Path) -> None:
        self.folder = Layout(out).audits

    def read(self, key: str) -> Audit | None:
        """The audit of a cell, or None; one that does not fit is skipped."""
        path = self.folder / f"{key}.json"
        found = strict.read(_adapter(), path)
        if found is None or found["audit_version"] != AUDIT_VERSION:
            return None
        if found["key"] != key:
            strict.skip(path, RecordError(f"it has the key {found['key']!r}"))
            return None
        return found

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

    def verdict(self, keys: Iterable[str]) -> Audit | None:
        """The audit that speaks for cells that differ in the seed alone: a failed one if any."""
        rank = (FAILED, OK, NOT_AUDITED)
        found = [audit for audit in map(self.read, keys) if audit is not None]
        return min(found, key=lambda audit: rank.index(audit["outcome"]), default=None)


def in_words(audit: Audit | None) -> str:
    """``ok``, ``FAILED: reason``, or nothing where there was no audit."""
    if audit is None or audit["outcome"] == NOT_AUDITED:
        return ""
    return OK if audit["outcome"] == OK else f"FAILED: {audit['reason']}"
