"""Names and values in the form MLflow accepts."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

#: MLflow's limits on what it stores (3.17; earlier 3.x allow no less).
KEY_LENGTH = 250
PARAM_LENGTH = 6000
TAG_LENGTH = 5000
#: Of an experiment's description: MLflow 3.0 takes no more, later ones do.
NOTE_LENGTH = 5000

#: Stands for what is not known: a tag that some runs lack misleads grouping.
UNKNOWN = "none"


def safe_names(names: Iterable[str]) -> dict[str, str]:
    """Each name as MLflow may call it; two names never become one.

    MLflow allows letters, digits and ``/ _ - . space`` (and a colon, but not on Windows), and no
    name that is another path when read as a path.
    """
    found: dict[str, str] = {}
    for name in names:
        kept = re.sub(r"[^/\w.\- ]", "_", name)
        parts = [part for part in kept.split("/") if part not in ("", ".", "..")]
        base = "/".join(parts)[: KEY_LENGTH - 5] or "_"
        safe, number = base, 2
        while safe in found.values():
            safe, number = f"{base}_{number}", number + 1
        found[name] = safe
    return found


def text(value: Any, limit: int = TAG_LENGTH) -> str:
    """A tag's or param's value: never empty, never too long."""
    if value is None or value == "":
        return UNKNOWN
    plain = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"


def plain_markdown(value: str) -> str:
    """Text for a page that reads Markdown: what looks like HTML is shown, not obeyed."""
    return html.escape(value, quote=False)


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined with dots."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat
