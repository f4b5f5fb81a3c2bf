"""What pins a plugin's behaviour when its version number does not: a digest of its source."""

from __future__ import annotations

import hashlib
import inspect
import json
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
    """Digest over the .py files of the plugin's package or module; None if they are unknown."""
    module = plugin if inspect.ismodule(plugin) else inspect.getmodule(type(plugin))
    file = getattr(module, "__file__", None)
    if module is None or file is None:
        return None
    here = Path(file)
    package = here.parent
    # A module inside a package is pinned by the whole package, which it may import.
    while (package.parent / "__init__.py").is_file():
        package = package.parent
    files = sorted(package.rglob("*.py")) if (package / "__init__.py").is_file() else [here]
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(package).as_posix().encode() + b"\0")
        digest.update(path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()[:16]
