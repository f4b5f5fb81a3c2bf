"""The reference pages of the site, made from the program itself: hooks, API, commands, fields.

Nothing on them is typed by hand, so nothing on them can be out of date.  ``tests/docs`` holds these
pages against the program: whatever they lack, or lists without a word of description, fails.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import gzsl_bench
import gzsl_bench.stacked
import gzsl_bench.testing
from gzsl_bench.cli.main import cli
from gzsl_bench.data import description
from gzsl_bench.hooks import specs
from gzsl_bench.hooks.config import stackable_fields
from gzsl_bench.hooks.dataset import DatasetInfo
from gzsl_bench.hooks.manager import Registry, load_plugins
from gzsl_bench.suite import schema, space

#: Models of a suite file: heading, model.
SUITE_MODELS: Mapping[str, type[BaseModel]] = {
    "A suite": schema.Suite,
    "An entry of `datasets`": schema.DatasetEntry,
    "An entry of `methods`": schema.MethodEntry,
    "A range under `tune`": space.Range,
}
#: Models of a dataset.yaml.
DESCRIPTION_MODELS: Mapping[str, type[BaseModel]] = {
    "dataset.yaml": description.Description,
    "`labels`": description.LabelPart,
    "An entry of `features`": description.FeaturePart,
    "An entry of `attributes`": description.EmbeddingPart,
    "An entry of `regions`": description.RegionPart,
    "`source` of either": description.Source,
    "`transform` of a source": description.TransformPart,
    "`split`": description.Split,
    "`trainval`, `test_seen` and `test_unseen` of a split": description.ArrayPart,
    "An entry of `folds`": description.FoldPart,
}
#: Data sets that a method may have defaults of its own for.
_DATASETS = ("CUB", "SUN", "AWA1", "AWA2", "APY", "FLO", "digits")


def pages() -> dict[str, str]:
    """Every reference page: its place in the site and its Markdown."""
    return {
        "reference/hooks.md": hooks_page(),
        "reference/api.md": _names_page(
            gzsl_bench,
            "Public API",
            "What `gzsl_bench.__all__` lists: all that a plugin needs, and"
            " [a script](../python.md).",
        ),
        "reference/stacked.md": _names_page(
            gzsl_bench.stacked,
            "gzsl_bench.stacked",
            "The toolkit that trains many runs as one; [fast methods](../fast-methods.md) shows it"
            " at work.",
        ),
        "reference/testing.md": _names_page(
            gzsl_bench.testing,
            "gzsl_bench.testing",
            "What a plugin must do, as tests: subclass one of these in a test module. `gzsl-bench"
            " check-plugin` runs the same checks.",
        ),
        "reference/cli.md": cli_page(),
        "reference/suite.md": models_page(
            "Suite files",
            "What a suite file may say; [suites](../suites.md) explains it. `gzsl-bench schema`"
            " prints the same as a JSON schema for editors.",
            SUITE_MODELS,
        ),
        "reference/dataset-yaml.md": models_page(
            "dataset.yaml",
            "What the description of [a folder of features](../dataset-plugins.md) may say.",
            DESCRIPTION_MODELS,
        ),
        "reference/methods.md": methods_page(load_plugins()),
    }


# --- Python ---------------------------------------------------------------------------------------


def hook_names() -> list[str]:
    """Names of the hook specifications."""
    return sorted(name for name in vars(specs) if name.startswith("gzsl_bench_"))


def where(module: Any, name: str) -> str:
    """The dotted path at which a name of a package's ``__all__`` is defined."""
    value = getattr(module, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        return f"{value.__module__}.{value.__qualname__}"
    places: Mapping[str, str] = getattr(module, "_WHERE", {})
    if name in places:
        return f"{module.__name__}.{places[name]}.{name}"
    for node in ast.parse(inspect.getsource(module)).body:
        # A constant does not know its module: the package says where it has it from.
        if isinstance(node, ast.ImportFrom) and name in (alias.name for alias in node.names):
            return f"{node.module}.{name}"
    return f"{module.__name__}.{name}"


def comment(path: str) -> str:
    """The ``#:`` comment above the definition of a constant."""
    module, _, name = path.rpartition(".")
    source = inspect.getsource(importlib.import_module(module))
    found = re.search(rf"((?:^#: ?.*\n|^# ?.*\n)+)^{name}\b.*=", source, re.M)
    if found is None:
        return ""
    return " ".join(line.lstrip("#: ").strip() for line in found.group(1).splitlines())


def _entry(module: Any, name: str) -> str:
    path, value = where(module, name), getattr(module, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        return f"::: {path}\n    options:\n      heading_level: 2\n"
    shown = f"`{value!r}`\n\n" if isinstance(value, int | str) else ""
    return f"## `{name}` {{ #{path} }}\n\n{shown}{comment(path)}\n"


def hooks_page() -> str:
    """Every hook specification, with the specs that it yields."""
    entries = [
        f"::: gzsl_bench.hooks.specs.{name}\n    options:\n      heading_level: 2\n"
        for name in hook_names()
    ]
    intro = (
        "# Hook specifications\n\nVersion"
        f" {specs.HOOKS_VERSION}. A plugin's module implements any of these functions, marked with"
        " [`hookimpl`](api.md#gzsl_bench.hooks.specs.hookimpl); see [plugins](../plugins.md).\n"
    )
    return "\n".join([intro, *entries])


def _names_page(module: Any, title: str, intro: str) -> str:
    """Every name of a package's ``__all__``."""
    return "\n".join(
        [f"# {title}\n\n{intro}\n", *(_entry(module, name) for name in module.__all__)]
    )


# --- The command line -----------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command and subcommand, with its full name."""

    def walk(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
        yield name, command
        if isinstance(command, click.Group):
            for inner in command.list_commands(click.Context(command)):
                found = command.get_command(click.Context(command), inner)
                assert found is not None
                yield from walk(f"{name} {inner}", found)

    return (item for item in walk("gzsl-bench", cli) if item[1] is not cli)


def cli_page() -> str:
    """The help of every command, as click prints it."""
    parts = ["# Command line", inspect.cleandoc(cli.help or "").replace("\b\n", "")]
    for name, command in commands():
        context = click.Context(command, info_name=name, terminal_width=96)
        parts += [f"## {name}", f"```text\n{command.get_help(context)}\n```"]
    return "\n\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


# --- Fields ---------------------------------------------------------------------------------------


def models_page(title: str, intro: str, models: Mapping[str, type[BaseModel]]) -> str:
    """One table of fields for each model."""
    parts = [f"# {title}", intro]
    for heading, model in models.items():
        parts += [f"## {heading}", inspect.getdoc(model) or "", fields_table(model)]
    return "\n\n".join(parts) + "\n"


def methods_page(registry: Registry) -> str:
    """The configuration fields of every installed method."""
    parts = [
        "# Methods and their configuration",
        "What `config` of a suite's method may say. Defaults for single data sets come from the"
        " method itself and are part of every key.",
    ]
    for name, spec in registry.methods.items():
        owner = registry.owner("methods", name)
        parts += [
            f"## {name}",
            f"{spec.summary or inspect.getdoc(spec.factory) or ''}",
            f"{spec.citation}. Fidelity: {spec.fidelity}. Preprocessing: {spec.preprocessing}."
            f" Distribution: {owner.distribution}.",
        ]
        if spec.factory.Config.model_fields:
            parts.append(fields_table(spec.factory.Config))
        own = _own_defaults(spec.factory)
        if own:
            parts.append("\n".join(["| data set | defaults of its own |", "|---|---|", *own]))
    return "\n\n".join(parts) + "\n"


def _own_defaults(factory: Any) -> list[str]:
    rows = []
    for dataset in _DATASETS:
        given = dict(factory.defaults(DatasetInfo(dataset, "res101", "att")))
        if given:
            text = ", ".join(f"`{key}`: {_plain(value)}" for key, value in given.items())
            rows.append(f"| {dataset} | {text} |")
    return rows


def fields_table(model: type[BaseModel]) -> str:
    """Name, type, default and description of every field."""
    stackable = stackable_fields(model)
    rows = []
    for name, field in model.model_fields.items():
        text = " ".join((field.description or "").split())
        text += " (stackable)" if name in stackable else ""
        rows.append(
            f"| `{name}` | {_cell(field_type(model, name))} | {_default(field)} | {_cell(text)} |"
        )
    return "\n".join(["| key | type | default | meaning |", "|---|---|---|---|", *rows])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    return "-" if value is None else _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, tuple | list):
        value = list(value)
    return f"`{json.dumps(value, default=str)}`"


def field_type(model: type[BaseModel], name: str) -> str:
    """The type of a field in words, from the JSON schema, with its bounds."""
    whole = _schema(model)
    return _in_words(whole["properties"][name], whole.get("$defs", {}))


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    """A model's schema, made once for all its fields."""
    return model.model_json_schema(mode="validation")


_WORDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "null": "nothing",
    "object": "mapping",
}


def _in_words(part: Mapping[str, Any], models: Mapping[str, Any]) -> str:
    if "$ref" in part:
        return _in_words(models[part["$ref"].rpartition("/")[2]], models)
    for key in ("anyOf", "oneOf"):
        if key in part:
            inner = [_in_words(item, models) for item in part[key] if item.get("type") != "null"]
            return " or ".join(dict.fromkeys(inner))
    if "enum" in part:
        return " or ".join(f"`{json.dumps(value)}`" for value in part["enum"])
    if "const" in part:
        return f"`{json.dumps(part['const'])}`"
    if part.get("type") == "array":
        return f"list of: {_in_words(part['items'], models)}" if part.get("items") else "list"
    words = _WORDS.get(str(part.get("type")), "anything")
    bounds = [
        f"{sign} {part[key]:g}"
        for key, sign in (
            ("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<")
        )
        if key in part
    ]  # fmt: skip
    return " ".join([words, *bounds])
