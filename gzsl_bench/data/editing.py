"""Writing into a ``dataset.yaml``: parts are added or replaced, what else stands there stays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from gzsl_bench.atomic import write_text
from gzsl_bench.data.description import DESCRIPTION_FILE, Description
from gzsl_bench.data.yamlfile import DATASET, read_yaml


class _Plain(yaml.SafeDumper):
    """Lists of numbers in one line, no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def content(folder: Path) -> dict[str, Any]:
    """What a description says, unchecked: it may lack its split yet; empty where there is none.

    Raises:
        DataError: it is no YAML.
    """
    path = folder / DESCRIPTION_FILE
    return dict(read_yaml(path, DATASET).content) if path.exists() else {}


def add(folder: Path, parts: Mapping[str, Any]) -> Path:
    """Put parts into a description: mappings by name are joined, everything else is replaced.

    Comments above the first key stay; others are lost, for the file is written anew.

    Args:
        folder: of the data set.
        parts: as in the file; ``features``, ``attributes`` and ``regions`` by name, where None
            takes one away.

    Returns:
        The description's path.

    Raises:
        DataError: what is there is no YAML.
        OSError: it cannot be written.
    """
    path = folder / DESCRIPTION_FILE
    joined = content(folder)
    for key, value in parts.items():
        old = joined.get(key)
        if key in ("features", "attributes", "regions"):
            both = {**(old if isinstance(old, dict) else {}), **value}
            value = {name: part for name, part in both.items() if part is not None}
        joined[key] = value
        if value == {}:
            del joined[key]
    order = list(Description.model_fields)
    known = [key for key in order if key in joined]
    joined = {key: joined[key] for key in [*known, *(k for k in joined if k not in order)]}
    text = yaml.dump(
        joined, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=100,
        default_flow_style=None,
    )  # fmt: skip
    write_text(path, _heading(path) + text)
    return path


def _heading(path: Path) -> str:
    """The comments above the first key."""
    if not path.exists():
        return ""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.strip() and not line.startswith("#"):
            break
        lines.append(line)
    return "".join(lines)
