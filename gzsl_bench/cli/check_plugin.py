"""``gzsl-bench check-plugin``: does a plugin do what the harness relies on?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gzsl_bench.cli.compose import pair
from gzsl_bench.cli.options import (
    choose_device,
    data_option,
    debug_option,
    json_option,
    plugin_option,
)
from gzsl_bench.terminal.streams import put, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from gzsl_bench.hooks.manager import Registry
    from gzsl_bench.testing.report import Report

_KINDS = ("method", "dataset", "metric")


@click.command("check-plugin")
@click.argument("name")
@json_option
@click.option(
    "--config",
    "settings",
    metavar="KEY=VALUE",
    multiple=True,
    help="Of a method, in place of its default, to shorten the training, say; may be repeated.",
)
@click.option(
    "--budget",
    metavar="SECONDS[,MB]",
    help="What one training of a method on a tiny task may take [default: 60,1024].",
)
@click.option(
    "--kind",
    type=click.Choice(_KINDS),
    help="What NAME is, where several plugins share it.",
)
@click.option(
    "--device",
    default="cpu",
    show_default=True,
    metavar="auto|cpu|cuda[:N]",
    help="Where to train; from the CPU a GPU is tried as well, where there is one.",
)
@data_option
@plugin_option
@debug_option
def check_plugin_command(
    name: str,
    as_json: bool,
    settings: tuple[str, ...],
    budget: str | None,
    kind: str | None,
    device: str,
    data: Path | None,
    plugin: tuple[Path, ...],
) -> int:
    """Check the method, data set or metric NAME on tiny generated tasks.

    One line per check, with the reason where it fails; docs/check-plugin.md says what each means.
    Exit code 0 if none fails, 1 otherwise, 2 if nothing is called NAME.
    """
    import contextlib
    import sys

    from gzsl_bench.cli.validate import open_plugins

    values, limits = dict(pair(text, "--config") for text in settings), _budget(budget)
    registry = open_plugins(plugin)
    kind = kind or _kind(name, registry)
    if kind != "method" and (settings or budget):
        raise click.UsageError(f"--config and --budget are for methods, and {name!r} is a {kind}")
    shown = sys.stderr.isatty()

    def tell(check: str) -> None:
        if shown:
            say(f"checking {check}")

    with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints is no part of the report
        report = _check(kind, name, registry, values, limits, device, data, tell)
    put(json.dumps(report.to_json(), indent=2) if as_json else report.text())
    return 0 if report.passed else 1


def _check(
    kind: str,
    name: str,
    registry: Registry,
    values: dict[str, Any],
    limits: tuple[float, float] | None,
    device: str,
    data: Path | None,
    tell: Callable[[str], None],
) -> Report:
    from gzsl_bench.testing import Budget, check_dataset, check_method, check_metric

    if kind == "dataset":
        from gzsl_bench.data.places import resolve_root

        return check_dataset(name, root=resolve_root(data), registry=registry, on_check=tell)
    if kind == "metric":
        return check_metric(name, registry=registry, on_check=tell)

    return check_method(
        name,
        values,
        device=choose_device(device),
        budget=Budget(*limits) if limits else None,
        registry=registry,
        on_check=tell,
    )


def _kind(name: str, registry: Registry) -> str:
    """Which kind of plugin has this name."""
    from gzsl_bench.errors import PluginError, unknown_name

    found = [kind for kind in _KINDS if name in getattr(registry, f"{kind}s")]
    if len(found) > 1:
        raise click.UsageError(f"{name!r} is a {' and a '.join(found)}; say which with --kind")
    if not found:
        if Path(name).suffix == ".py":
            raise PluginError(f"{name} is a file: give the name of what it offers, --plugin {name}")
        everything = {*registry.methods, *registry.datasets, *registry.metrics}
        raise PluginError(unknown_name("method, data set or metric", name, everything))
    return found[0]


def _budget(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    from gzsl_bench.testing.trials import Budget

    parts = text.split(",")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if not 1 <= len(numbers) <= 2 or not all(0 < number < float("inf") for number in numbers):
        raise click.UsageError(f"--budget {text!r} is neither SECONDS nor SECONDS,MB")
    return numbers[0], numbers[1] if len(numbers) == 2 else Budget().megabytes
