"""Whether a plugin was written for these hook specifications, said before anything else fails."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from gzsl_bench.hooks.specs import HOOKS_VERSION, OLDEST_HOOKS_VERSION
from gzsl_bench.version import __version__

#: What a plugin's module may call the version it was written for.
DECLARATION = "gzsl_bench_hooks"


def obstacle(plugin: Any) -> str | None:
    """Why a loaded plugin cannot be used with this version of the hooks, or None."""
    declared = getattr(plugin, DECLARATION, HOOKS_VERSION)
    if isinstance(declared, bool) or not isinstance(declared, int):
        return f"its {DECLARATION} is {declared!r}; the number of a hook version is expected"
    if declared > HOOKS_VERSION:
        return (
            f"it is written for version {declared} of the hooks and this gzsl-bench {__version__}"
            f" has version {HOOKS_VERSION}; upgrade gzsl-bench"
        )
    if declared < OLDEST_HOOKS_VERSION:
        return (
            f"it is written for version {declared} of the hooks and this gzsl-bench {__version__}"
            f" works with {OLDEST_HOOKS_VERSION} to {HOOKS_VERSION}; upgrade the plugin"
        )
    return None


def unmet_requirement(dist: metadata.Distribution | None) -> str | None:
    """The gzsl-bench a distribution asks for where this one does not meet it, else None."""
    from packaging.requirements import InvalidRequirement, Requirement

    for text in (dist.requires if dist is not None else None) or ():
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            continue
        plain = wanted.name.lower().replace("_", "-") == "gzsl-bench"
        if plain and not wanted.specifier.contains(__version__, prereleases=True):
            return f"it needs gzsl-bench {wanted.specifier}, and this is {__version__}"
    return None
