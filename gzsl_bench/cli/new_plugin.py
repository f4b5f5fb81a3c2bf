"""``gzsl-bench new-plugin``: the package to begin a plugin with."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from gzsl_bench.cli.options import debug_option
from gzsl_bench.terminal.streams import put, say


@click.command("new-plugin")
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(["method", "dataset", "metric"]),
    default="method",
    show_default=True,
    help="What the plugin offers.",
)
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Folder to write into [default: the current one].",
)
@debug_option
def new_plugin_command(name: str, kind: str, into: Path) -> None:
    """Write ./gzsl-bench-NAME: an installable package with a small working plugin, a test, a suite.

    It installs, passes its own tests and runs as it is; replace its inside by yours.
    """
    from typing import cast

    from gzsl_bench.errors import PluginError
    from gzsl_bench.hooks.manager import load_plugins
    from gzsl_bench.scaffold.package import Kind, write_package

    registry = load_plugins(strict=False)
    taken = registry.owners.get((f"{kind}s", name.replace("-", "_")))
    if taken is not None:
        raise PluginError(
            f"there is a {kind} {name!r} already, in {taken.distribution}; choose another name"
        )
    folder = write_package(name, cast("Kind", kind), into)
    put(folder)
    enter = f"cd {shlex.quote(str(folder))}"
    say(f"next: {enter} && pip install -e '.[test]' && pytest && gzsl-bench run suite.yaml")
