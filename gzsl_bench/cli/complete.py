"""What a shell may complete: suites, data sets, methods, executors, rules, kept models."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TypeAlias

import click
from click.shell_completion import CompletionItem

Completions: TypeAlias = "list[CompletionItem]"


def _beginning(names: object, incomplete: str) -> Completions:
    found = sorted({str(name) for name in names})  # type: ignore[attr-defined]
    return [CompletionItem(name) for name in found if name.startswith(incomplete)]


def suites(ctx: click.Context, param: click.Parameter, incomplete: str) -> Completions:
    """Suites that come along, and files."""
    from gzsl_bench.suite.shipped import shipped

    return [*_beginning(shipped(), incomplete), CompletionItem(incomplete, type="file")]


def stored(ctx: click.Context, param: click.Parameter, incomplete: str) -> Completions:
    """Suites that the results folder knows, and files."""
    from gzsl_bench.records.layout import Layout

    out = Path(ctx.params.get("out") or "gzsl-results")
    names = [path.stem for path in Layout(out).suite("x").parent.glob("*.json")]
    return [*_beginning(names, incomplete), CompletionItem(incomplete, type="file")]


def known_suites(ctx: click.Context, param: click.Parameter, incomplete: str) -> Completions:
    """Suites that the results folder knows, suites that come along, and files."""
    from gzsl_bench.suite.shipped import shipped

    return [*_beginning(shipped(), incomplete), *stored(ctx, param, incomplete)]


def models(ctx: click.Context, param: click.Parameter, incomplete: str) -> Completions:
    """Keys of the records whose models the results folder keeps."""
    from gzsl_bench.records.layout import Layout

    folder = Layout(Path(ctx.params.get("out") or "gzsl-results")).model("x").parent
    return _beginning((path.stem for path in folder.glob("*.safetensors")), incomplete)


def datasets(ctx: click.Context, param: click.Parameter, incomplete: str) -> Completions:
    """Data sets: those that come along, and what lies in the data folder; no plugin is loaded."""
    from gzsl_bench.builtin.datasets import gzsl_bench_datasets
    from gzsl_bench.data.places import present, resolve_root
    from gzsl_bench.errors import DataError

    names = {spec.name for spec in gzsl_bench_datasets()}
    given = ctx.params.get("data")
    with contextlib.suppress(DataError):  # there is no such folder, as the command will say
        names |= {*present(resolve_root(Path(given) if given else None))}
    return _beginning(names, incomplete)


def methods(ctx: click.Context, param: click.Parameter, incomplete: str) -> Completions:
    """Methods that are installed: their plugins are loaded for it, which takes a moment."""
    from gzsl_bench.hooks.manager import load_plugins

    return _beginning(load_plugins(strict=False).methods, incomplete)


def executors(ctx: click.Context, param: click.Parameter, incomplete: str) -> Completions:
    """Ways to run units."""
    from gzsl_bench.executors import executors as known

    return _beginning(known(), incomplete)


def rules(ctx: click.Context, param: click.Parameter, incomplete: str) -> Completions:
    """Selection rules."""
    from gzsl_bench.scoring.rules import RULES

    return _beginning(RULES, incomplete)
