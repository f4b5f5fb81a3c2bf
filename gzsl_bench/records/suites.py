"""Resolved suites kept with their records, so that tables need neither data nor plugins."""

from __future__ import annotations

import json
import os
from pathlib import Path

from gzsl_bench.data.yamlfile import read_yaml
from gzsl_bench.errors import RecordError
from gzsl_bench.records.layout import Layout
from gzsl_bench.suite.resolve import ResolvedSuite, merge


def remember(layout: Layout, suite: ResolvedSuite) -> ResolvedSuite:
    """Store a resolved suite, merged with what an earlier run of the same file resolved."""
    merged = merge(_read(layout.suite(suite.name)), suite)
    path = layout.suite(suite.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}.tmp")
        draft.write_text(json.dumps(merged.to_json(), indent=1), encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise RecordError(f"the results folder {layout.out} cannot be written: {error}") from None
    return merged


def recall(layout: Layout, suite: str) -> ResolvedSuite:
    """The stored suite that ``suite`` (a YAML file or a suite's name) stands for.

    Raises:
        RecordError: nothing of that suite is stored.
    """
    path = Path(suite)
    name = suite
    if path.suffix in (".yaml", ".yml") or path.is_file():
        name = str(read_yaml(path).content.get("name"))
    stored = _read(layout.suite(name)) if "/" not in name else None
    if stored is None:
        there = sorted(p.stem for p in layout.suite("x").parent.glob("*.json"))
        known = f"it knows {', '.join(there)}" if there else "it holds no suite yet"
        raise RecordError(
            f"the results folder {layout.out} holds nothing of the suite {name!r}; {known}"
        )
    return stored


def _read(path: Path) -> ResolvedSuite | None:
    try:
        return ResolvedSuite.from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
