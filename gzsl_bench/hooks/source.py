"""What pins a plugin's behaviour when its version number does not: a digest of its source."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any


def installed_editable(dist: metadata.Distribution | None) -> bool:
    """Whether a distribution was installed with ``pip install -e`` (PEP 610)."""
    if dist is None:
        return False
    try:
        text = dist.read_text("direct_url.json")
        return bool(text and json.loads(text).get("dir_info", {}).get("editable"))
    except (OSError, ValueError):
        return False


def source_digest(plugin: Any) -> str | None:
    """Digest over the .py files of the plugin's package or module; None if they are unknown.

    Modules and packages beside it that it imports are part of it, and what those import in turn.
    """
    module = plugin if inspect.ismodule(plugin) else inspect.getmodule(type(plugin))
    file = getattr(module, "__file__", None)
    if module is None or file is None:
        return None
    here = Path(file)
    package = here.parent
    # A module inside a package is pinned by the whole package, which it may import.
    while (package.parent / "__init__.py").is_file():
        package = package.parent
    whole = (package / "__init__.py").is_file()
    files = sorted(package.rglob("*.py")) if whole else [here]
    place = package.parent if whole else package
    digest = hashlib.sha256()
    for path in _beside(files, place):
        digest.update(b"beside " + path.relative_to(place).as_posix().encode() + b"\0")
        digest.update(path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    for path in files:
        digest.update(path.relative_to(package).as_posix().encode() + b"\0")
        digest.update(path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()[:16]


def _beside(files: Sequence[Path], folder: Path) -> list[Path]:
    """Files of ``folder`` that ``files`` import, directly or through one another."""
    if folder.name in ("site-packages", "dist-packages"):
        return []  # what is installed there has a version
    known, found = set(files), []
    waiting = list(files)
    while waiting:
        for name in _imported(waiting.pop()):
            # The program is no part of its plugins, though a checkout may lie beside one.
            if name == __name__.partition(".")[0]:
                continue
            if (folder / name / "__init__.py").is_file():
                there = sorted((folder / name).rglob("*.py"))
            else:
                there = [path for path in [folder / f"{name}.py"] if path.is_file()]
            new = [path for path in there if path not in known]
            known.update(new)
            found += new
            waiting += new
    return sorted(found)


def _imported(path: Path) -> set[str]:
    """First names of what a file imports, wherever in it; nothing if it is no Python."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names
