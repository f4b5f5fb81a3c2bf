"""The reference pages hold everything there is, and a word of description for each thing."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import sys
import tomllib
import types
from pathlib import Path
from typing import Any

import click
import pluggy
import pytest
from pydantic import BaseModel, Field

import gzsl_bench
import gzsl_bench.stacked
import gzsl_bench.testing
from gzsl_bench.hooks import specs

ROOT = Path(__file__).parents[2]

sys.path.insert(0, str(ROOT / "docs"))
try:
    import _reference as reference
finally:
    sys.path.pop(0)

PAGES = reference.pages()
MODULES = {
    "reference/api.md": gzsl_bench,
    "reference/stacked.md": gzsl_bench.stacked,
    "reference/testing.md": gzsl_bench.testing,
}
NAMES = [(page, name) for page, module in MODULES.items() for name in module.__all__]
COMMANDS = dict(reference.commands())
MODELS = {**reference.SUITE_MODELS, **reference.DESCRIPTION_MODELS}


def plugin_modules() -> list[tuple[str, str]]:
    """Folder and module of every plugin of this repository, installed or not."""
    found = []
    for path in sorted((ROOT / "plugins").glob("*/pyproject.toml")):
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        for module in content["project"]["entry-points"]["gzsl_bench"].values():
            found.append((path.parent.name, module))
    return found


def undescribed(model: type[BaseModel]) -> list[str]:
    return [name for name, field in model.model_fields.items() if not field.description]


# --- hooks ----------------------------------------------------------------------------------------


def test_every_hook_is_on_its_page_and_described() -> None:
    manager = pluggy.PluginManager(specs.PROJECT)
    manager.add_hookspecs(specs)
    hooks = [name for name in vars(manager.hook) if not name.startswith("_")]
    assert len(hooks) >= 3
    for name in hooks:
        assert f"::: gzsl_bench.hooks.specs.{name}\n" in PAGES["reference/hooks.md"]
        assert inspect.getdoc(getattr(specs, name)), f"the hook {name} has no docstring"


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("page", "name"), NAMES)
def test_every_public_name_is_on_its_page_and_described(page: str, name: str) -> None:
    module = MODULES[page]
    path = reference.where(module, name)
    assert f"::: {path}\n" in PAGES[page] or f"{{ #{path} }}" in PAGES[page]
    value = getattr(module, name)
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        assert reference.comment(path), f"{name} has no comment above it"
        return
    owner, _, attribute = path.rpartition(".")
    assert getattr(importlib.import_module(owner), attribute) is value
    # An inherited docstring, or one that dataclasses made, says nothing about this name.
    text = value.__dict__.get("__doc__") if inspect.isclass(value) else value.__doc__
    assert text, f"{name} has no docstring"
    assert not text.startswith(f"{name}("), f"{name} has no docstring"


@pytest.mark.parametrize(("page", "name"), NAMES)
def test_public_methods_and_fields_are_described(page: str, name: str) -> None:
    value = getattr(MODULES[page], name)
    if not inspect.isclass(value):
        return
    declared = (
        {f.name for f in dataclasses.fields(value)} if dataclasses.is_dataclass(value) else {}
    )
    for member, content in vars(value).items():
        function = content.__func__ if isinstance(content, classmethod | staticmethod) else content
        if (
            not member.startswith("_")
            and member not in declared
            and (inspect.isfunction(function) or isinstance(function, property))
        ):
            assert inspect.getdoc(function), f"{name}.{member} has no docstring"
    if dataclasses.is_dataclass(value):
        described = re.findall(r"^ +(\w+): \S", value.__doc__ or "", re.M)
        fields = [f.name for f in dataclasses.fields(value) if not f.name.startswith("_")]
        assert set(fields) <= set(described), f"{name} does not describe all of its fields"


# --- commands -------------------------------------------------------------------------------------


def test_every_command_is_known() -> None:
    from gzsl_bench.cli.main import _COMMANDS

    assert {name.split()[1] for name in COMMANDS} == set(_COMMANDS)
    assert "gzsl-bench data check" in COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_option_and_argument_is_described(name: str) -> None:
    command, page = COMMANDS[name], PAGES["reference/cli.md"]
    assert f"\n## {name}\n" in page
    assert command.help, f"{name} has no help"
    shown = page.split(f"\n## {name}\n")[1].split("\n## ")[0]
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            assert option.help, f"{name} {option.opts[0]} has no help"
            assert re.search(rf"^  (-\w, )?{option.opts[-1]}\b", shown, re.M)
    for argument in command.params:
        if isinstance(argument, click.Argument):
            metavar = argument.make_metavar(click.Context(command))
            words = re.findall(r"[A-Z]+", metavar)
            assert all(word in command.help for word in words), f"{name} is silent about {metavar}"


# --- fields ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("heading", MODELS)
def test_every_field_of_a_suite_and_of_a_description_is_described(heading: str) -> None:
    model = MODELS[heading]
    assert undescribed(model) == []
    pages = PAGES["reference/suite.md"] + PAGES["reference/dataset-yaml.md"]
    assert f"\n## {heading}\n" in pages
    section = pages.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    for name in model.model_fields:
        assert re.search(rf"^\| `{name}` \| .+ \| .+ \| .+ \|$", section, re.M), name


def models_in(model: type[BaseModel]) -> set[type[BaseModel]]:
    """Models reached from the fields of a model."""
    found: set[type[BaseModel]] = set()
    todo: list[Any] = [field.annotation for field in model.model_fields.values()]
    while todo:
        kind = todo.pop()
        todo += getattr(kind, "__args__", ())
        todo += [kind.__value__] if hasattr(kind, "__value__") else []
        if inspect.isclass(kind) and issubclass(kind, BaseModel) and kind not in found:
            found |= {kind, *models_in(kind)}
    return found


def test_no_model_of_a_file_is_left_out() -> None:
    from gzsl_bench.data.description import Description, NamedLabels
    from gzsl_bench.suite.schema import Suite

    assert models_in(Suite) | {Suite} == set(reference.SUITE_MODELS.values())
    # Labels by name are written as the name of their file, so they have no fields to describe.
    described = models_in(Description) | {Description}
    assert described - {NamedLabels} == set(reference.DESCRIPTION_MODELS.values())


@pytest.mark.parametrize(("folder", "module"), plugin_modules())
def test_every_configuration_field_of_a_shipped_method_is_described(
    folder: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "plugins" / folder))
    plugin = importlib.import_module(module)
    hook = getattr(plugin, "gzsl_bench_methods", None)
    for spec in list(hook()) if hook is not None else []:
        config = spec.factory.Config
        assert undescribed(config) == [], f"fields of {spec.name} without a description"
        table = reference.fields_table(config)
        assert all(f"| `{name}` | " in table for name in config.model_fields)


def test_every_installed_method_is_on_the_page() -> None:
    from gzsl_bench.hooks.manager import load_plugins

    page = PAGES["reference/methods.md"]
    methods = load_plugins().methods
    assert {"acmr", "cada_vae", "eszsl"} <= set(methods)
    for name, spec in methods.items():
        assert f"\n## {name}\n" in page
        assert all(f"| `{field}` | " in page for field in spec.factory.Config.model_fields)


# --- what would be missed -------------------------------------------------------------------------


def test_types_and_defaults_are_put_in_words() -> None:
    class Model(BaseModel):
        count: int = Field(3, ge=1, lt=9, description="how | many")
        share: float | None = Field(None, gt=0, description="of what")
        kinds: list[str] = Field(default_factory=lambda: ["a"], description="of them")
        silent: bool

    assert reference.fields_table(Model).splitlines()[2:] == [
        "| `count` | whole number ≥ 1 < 9 | `3` | how \\| many |",
        "| `share` | number > 0 | - | of what |",
        '| `kinds` | list of: text | `["a"]` | of them |',
        "| `silent` | true or false | required |  |",
    ]
    assert undescribed(Model) == ["silent"]


def test_a_constant_is_described_by_the_comment_above_it() -> None:
    assert reference.comment("gzsl_bench.hooks.specs.PROJECT") == (
        "Name of the pluggy project and of the entry-point group."
    )
    assert reference.comment("gzsl_bench.hooks.specs.hookspec") == ""


def test_links_become_links_between_pages() -> None:
    pytest.importorskip("mkdocs")
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        site: types.ModuleType = importlib.import_module("_site")
    finally:
        sys.path.pop(0)
    places = site.sources()
    for text, path, expected in (
        ("[a](docs/suites.md#x)", "README.md", "[a](suites.md#x)"),
        ("[a](plugins/eszsl)", "README.md", "[a](shipped/eszsl.md)"),
        ("[a](../benchmarks/README.md)", "docs/fast-methods.md", "[a](benchmarks.md)"),
        ("[a](../../docs/audit.md)", "plugins/acmr/README.md", "[a](../audit.md)"),
        ("[a](docs/table2/report.html)", "README.md", "[a](table2/report.html)"),
        ("[a](table2/report.html)", "docs/report.md", "[a](table2/report.html)"),
        ("[a](#here) [b](https://x.org)", "README.md", "[a](#here) [b](https://x.org)"),
        ("[a](nowhere.md)", "docs/audit.md", "[a](nowhere.md)"),  # for --strict to find
    ):
        assert site.relink(text, path, places) == expected
