"""``gzsl-bench validate`` and ``gzsl-bench schema``: suite files, checked before anything runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gzsl_bench.cli.options import data_option, debug_option, plugin_option
from gzsl_bench.errors import GzslBenchError
from gzsl_bench.terminal.streams import put, refuse, say

if TYPE_CHECKING:
    from gzsl_bench.hooks.manager import Registry
    from gzsl_bench.suite.load import LoadedSuite


@click.command("validate")
@click.argument("suites", nargs=-1, required=True, type=click.Path(path_type=Path))
@data_option
@plugin_option
@debug_option
def validate_command(suites: tuple[Path, ...], data: Path | None, plugin: tuple[Path, ...]) -> None:
    """Check the suite files SUITES: structure, names, configurations.  Data need not be there."""
    from gzsl_bench.data.places import resolve_root

    failures: list[GzslBenchError] = []
    for path in suites:
        try:
            loaded, _ = open_suite(path, resolve_root(data), plugin)
        except GzslBenchError as error:
            failures.append(error)
            continue
        say(
            f"{path}: {loaded.suite.name}: {len(loaded.suite.datasets)} data sets,"
            f" {len(loaded.suite.methods)} methods, {len(loaded.suite.seeds)} seeds: right"
        )
    refuse(failures)


@click.command("schema")
def schema_command() -> None:
    """Print the JSON schema of a suite file, for editors."""
    from gzsl_bench.suite.schema import json_schema

    put(json.dumps(json_schema(), indent=2))


def open_suite(
    path: Path, root: Path | None, files: Sequence[Path] = ()
) -> tuple[LoadedSuite, Registry]:
    """Load a suite and the plugins, and check the suite's names against them.

    Args:
        path: the suite's file, or the name of one that comes with the program.
        root: the data folder; what lies there is a data set, too.
        files: plugin files besides those the suite lists.
    """
    from gzsl_bench.data.places import present
    from gzsl_bench.suite.load import check_names, load_suite
    from gzsl_bench.suite.shipped import find_suite

    loaded = load_suite(find_suite(path))
    loaded = replace(loaded, plugins=tuple(dict.fromkeys([*loaded.plugins, *found_files(files)])))
    registry = open_plugins(loaded.plugins)
    check_names(loaded, registry, present(root), root)
    return loaded, registry


def open_plugins(files: Sequence[Path] = ()) -> Registry:
    """Load what is installed and the plugin files ``files``, and name what cannot be used.

    An installed plugin that is broken costs a warning; a file was asked for, so it must work.

    Raises:
        PluginError: a plugin file cannot be used.
    """
    from gzsl_bench.errors import PluginError
    from gzsl_bench.hooks.manager import load_plugins

    places = found_files(files)
    registry = load_plugins(files=places)
    asked = {f"file {place.name}" for place in places}
    for broken in registry.broken:
        if broken.distribution in asked:
            raise PluginError(str(broken))
        say(f"warning: {broken}")
    return registry


def found_files(files: Sequence[Path]) -> list[Path]:
    """Absolute paths of plugin files.

    Raises:
        PluginError: one is not there, or is no Python.
    """
    from gzsl_bench.hooks.inline import find_inline

    return [find_inline(path) for path in files]
