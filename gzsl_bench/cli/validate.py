"""``gzsl-bench validate`` and ``gzsl-bench schema``: suite files, checked before anything runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gzsl_bench.cli.options import data_option, debug_option

if TYPE_CHECKING:
    from gzsl_bench.hooks.manager import Registry
    from gzsl_bench.suite.load import LoadedSuite


@click.command("validate")
@click.argument("suites", nargs=-1, required=True, type=click.Path(path_type=Path))
@data_option
@debug_option
def validate_command(suites: tuple[Path, ...], data: Path | None, debug: bool) -> None:
    """Check suite files: structure, names, configurations.  Data need not be there."""
    from gzsl_bench.data.places import resolve_root
    from gzsl_bench.hooks.manager import load_plugins

    registry = load_plugins()
    report_broken(registry)
    for path in suites:
        loaded = checked_suite(path, registry, resolve_root(data))
        click.echo(
            f"{path}: {loaded.suite.name}: {len(loaded.suite.datasets)} data sets,"
            f" {len(loaded.suite.methods)} methods, {len(loaded.suite.seeds)} seeds: right",
            err=True,
        )


@click.command("schema")
def schema_command() -> None:
    """Print the JSON schema of a suite file, for editors."""
    from gzsl_bench.suite.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


def checked_suite(path: Path, registry: Registry, root: Path | None) -> LoadedSuite:
    """Load a suite and check its names against what is installed and what lies in ``root``."""
    from gzsl_bench.data.places import present
    from gzsl_bench.suite.load import check_names, load_suite

    loaded = load_suite(path)
    check_names(loaded, registry, present(root))
    return loaded


def report_broken(registry: Registry) -> None:
    """One line on standard error for every plugin that cannot be used."""
    for broken in registry.broken:
        click.echo(f"warning: {broken}", err=True)
