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
from gzsl_bench.wording import counted

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
            f"{path}: {loaded.suite.name}: {counted(len(loaded.suite.datasets), 'data set')},"
            f" {counted(len(loaded.suite.methods), 'method')},"
            f" {counted(len(loaded.suite.seeds), 'seed')}: right"
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
    from gzsl_bench.suite.load import load_suite
    from gzsl_bench.suite.shipped import find_suite

    return _with_plugins(load_suite(find_suite(path)), root, files)


def open_stored_suite(
    given: str | None, out: Path, root: Path | None, files: Sequence[Path] = ()
) -> tuple[LoadedSuite, Registry]:
    """As :func:`open_suite`; of a suite in the results folder the name will do, or none.

    Args:
        given: a file, the name of a suite in the results folder or of one that comes with the
            program; None for the only one in the folder.
        out: the results folder.
        root: the data folder.
        files: plugin files besides those the suite lists.
    """
    from gzsl_bench.errors import SuiteError
    from gzsl_bench.records.layout import Layout
    from gzsl_bench.records.suites import known, recall
    from gzsl_bench.suite.load import load_suite
    from gzsl_bench.suite.shipped import shipped

    layout = Layout(out)
    if given is not None:
        path = Path(given)
        named = not path.is_file() and path.suffix not in (".yaml", ".yml") and "/" not in given
        stored = named and layout.suite(given).is_file()
        if not stored and (not named or given in shipped() or not known(layout)):
            return open_suite(path, root, files)
    suite = recall(layout, given)
    try:
        loaded = load_suite(Path(suite.name), suite.text)
    except SuiteError as error:  # paths of its plugins are relative to where its file was
        raise SuiteError(f"{error}; give the suite's file in place of its name") from None
    return _with_plugins(loaded, root, files)


def _with_plugins(
    loaded: LoadedSuite, root: Path | None, files: Sequence[Path]
) -> tuple[LoadedSuite, Registry]:
    from gzsl_bench.data.places import present
    from gzsl_bench.suite.load import check_names

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
