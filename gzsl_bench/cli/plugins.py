"""``gzsl-bench plugins``: what is installed, and what is broken."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gzsl_bench import markdown
from gzsl_bench.cli.options import debug_option, json_option, plugin_option
from gzsl_bench.terminal.streams import put, say

if TYPE_CHECKING:
    from gzsl_bench.hooks.manager import PluginInfo, Registry

#: Columns from which on every column of the list is shown.
_WIDE = 120
#: Where data comes from, which `gzsl-bench data get` knows.
_URL = re.compile(r"\s*https?://\S+")


@click.command("plugins")
@json_option
@plugin_option
@debug_option
def plugins_command(as_json: bool, plugin: tuple[Path, ...]) -> None:
    """List installed plugins with what they provide; broken ones are named with their cause."""
    from gzsl_bench.cli.validate import found_files
    from gzsl_bench.hooks.manager import load_plugins
    from gzsl_bench.terminal.width import columns

    registry = load_plugins(files=found_files(plugin))
    if as_json:
        put(json.dumps(_plain(registry), indent=2))
        return
    lines = [
        [kind[:-1], name, info.distribution, info.version, _mark(registry, kind, name)]
        for (kind, name), info in registry.owners.items()
    ]
    headings = ["provides", "name", "distribution", "version", "about"]
    width = columns()
    if width is not None and width < _WIDE:  # whence it is stands in --json and in wider terminals
        headings = ["provides", "name", "about"]
        lines = [[kind, name, _URL.sub("", about)] for kind, name, _, _, about in lines]
    put(markdown.fitted(headings, lines, width))
    for broken in registry.broken:
        say(f"broken: {broken}")


def _mark(registry: Registry, kind: str, name: str) -> str:
    if kind == "methods":
        spec = registry.methods[name]
        return f"{spec.fidelity}; {spec.citation}"
    return str(getattr(registry, kind)[name].summary)


def _facts(info: PluginInfo) -> dict[str, Any]:
    """All that is said of a plugin, without the module itself."""
    facts = asdict(replace(info, plugin=None))
    del facts["plugin"]
    return facts


def _plain(registry: Registry) -> dict[str, Any]:
    """One entry per plugin, one per method and metric, and the broken ones."""
    return {
        "plugins": [_facts(info) for info in registry.plugins],
        "methods": [
            {
                "name": spec.name,
                "plugin": registry.owner("methods", spec.name).name,
                "distribution": registry.owner("methods", spec.name).distribution,
                "version": registry.version_of(spec.name),
                "source": registry.source_of(spec.name).digest,
                "fidelity": spec.fidelity,
                "citation": spec.citation,
                "preprocessing": spec.preprocessing,
                "deterministic": spec.deterministic,
                "setting": spec.setting,
                "summary": spec.summary,
            }
            for spec in registry.methods.values()
        ],
        "metrics": [
            {
                "name": spec.name,
                "plugin": registry.owner("metrics", spec.name).name,
                **spec.about(),
                "needs_scores": spec.needs_scores,
            }
            for spec in registry.metrics.values()
        ],
        "broken": [asdict(broken) for broken in registry.broken],
    }
