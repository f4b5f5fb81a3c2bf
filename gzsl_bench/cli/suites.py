"""``gzsl-bench suites``: what comes with the program, to be run by name or copied and edited."""

from __future__ import annotations

from pathlib import Path

import click

from gzsl_bench.cli.group import Group
from gzsl_bench.cli.options import debug_option, json_option
from gzsl_bench.terminal.streams import put


@click.group("suites", cls=Group)
def suites_group() -> None:
    """List, print and copy the suites that come with the program: `gzsl-bench run NAME`."""


@suites_group.command("list")
@json_option
@debug_option
def list_command(as_json: bool) -> None:
    """Name, data sets and methods of each."""
    import json

    from gzsl_bench.suite.load import load_suite
    from gzsl_bench.suite.shipped import shipped

    found = {name: load_suite(file).suite for name, file in shipped().items()}
    if as_json:
        content = [
            {
                "name": name,
                "description": suite.description,
                "datasets": [entry.name for entry in suite.datasets],
                "methods": [entry.name for entry in suite.methods],
                "seeds": list(suite.seeds),
                "selection": list(suite.selection),
            }
            for name, suite in found.items()
        ]
        put(json.dumps(content, indent=2))
        return
    listed = click.HelpFormatter(max_width=100)
    listed.write_dl([(name, suite.description) for name, suite in found.items()])
    put(listed.getvalue(), nl=False)


@suites_group.command("show")
@click.argument("name")
@debug_option
def show_command(name: str) -> None:
    """Print the file of the shipped suite NAME."""
    from gzsl_bench.suite.shipped import named

    put(named(name).read_text(encoding="utf-8"), nl=False)


@suites_group.command("copy")
@click.argument("name")
@click.argument("into", type=click.Path(path_type=Path), default=Path())
@debug_option
def copy_command(name: str, into: Path) -> None:
    """Write the shipped suite NAME to INTO, a folder (the current one by default) or a new file."""
    from gzsl_bench import atomic
    from gzsl_bench.errors import SuiteError
    from gzsl_bench.suite.shipped import named

    file = named(name)
    target = into / file.name if into.is_dir() else into
    if target.exists():
        raise SuiteError(f"{target} is there already; name another file, or remove it")
    atomic.write_text(target, file.read_text(encoding="utf-8"))
    put(target)
