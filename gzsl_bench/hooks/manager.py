"""Finding plugins and asking them what they offer; one broken plugin never takes the program down.

Every entry point of the group ``gzsl_bench`` is loaded by itself, then the plugin files asked for.
What goes wrong is kept as a :class:`BrokenPlugin` and the rest works on;
``GZSL_BENCH_STRICT_PLUGINS=1`` makes it fatal.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import pluggy

from gzsl_bench.errors import PluginError, in_one_line, unknown_name
from gzsl_bench.hooks import specs
from gzsl_bench.hooks.checks import check_spec
from gzsl_bench.hooks.compatible import obstacle, unmet_requirement
from gzsl_bench.hooks.dataset import DatasetSpec
from gzsl_bench.hooks.inline import inline_name, load_inline
from gzsl_bench.hooks.method import MethodSpec
from gzsl_bench.hooks.metric import MetricSpec
from gzsl_bench.hooks.source import Source, Sources, distribution_roots
from gzsl_bench.version import __version__

STRICT_VARIABLE = "GZSL_BENCH_STRICT_PLUGINS"

_HOOKS = {"datasets": DatasetSpec, "methods": MethodSpec, "metrics": MetricSpec}


@dataclass(frozen=True)
class BrokenPlugin:
    """A plugin, or a part of one, that cannot be used, and why in one line."""

    name: str
    distribution: str
    cause: str

    def __str__(self) -> str:
        return f"plugin {self.name!r} ({self.distribution}): {self.cause}"


@dataclass
class PluginInfo:
    """A plugin that was loaded.

    Attributes:
        name: the entry point's name.
        distribution: the installed package it came with.
        version: that package's version.
        hooks: the hooks it implements.
        provides: names it provides, by hook.
        plugin: the module or object that was loaded.
    """

    name: str
    distribution: str
    version: str
    hooks: list[str] = field(default_factory=list)
    provides: dict[str, list[str]] = field(default_factory=dict)
    plugin: Any = field(default=None, repr=False, compare=False)


@dataclass
class Registry:
    """Everything plugins offer, by name, with the plugin it came from."""

    datasets: dict[str, DatasetSpec] = field(default_factory=dict)
    methods: dict[str, MethodSpec] = field(default_factory=dict)
    metrics: dict[str, MetricSpec] = field(default_factory=dict)
    plugins: list[PluginInfo] = field(default_factory=list)
    broken: list[BrokenPlugin] = field(default_factory=list)
    owners: dict[tuple[str, str], PluginInfo] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    _reader: Sources = field(default_factory=Sources)

    def owner(self, kind: str, name: str) -> PluginInfo:
        """The plugin behind ``name``; ``kind`` is ``datasets``, ``methods`` or ``metrics``."""
        return self.owners[kind, name]

    def version_of(self, method: str) -> str:
        """What the author says pins the method's numbers; else its distribution's version."""
        return self.methods[method].version or self.owner("methods", method).version

    def source_of(self, method: str) -> Source:
        """The source of the modules that a method imports, as it was when first asked for."""
        if method not in self.sources:
            plugin = self.owner("methods", method).plugin
            self.sources[method] = self._reader.of(self.methods[method].factory, plugin)
        return self.sources[method]


def installed(kind: str, given: Any, registry: Registry | None = None) -> Any:
    """A spec as it is; that of a name among the installed ones.

    Args:
        kind: ``datasets``, ``methods`` or ``metrics``.
        given: a spec, or the name of an installed one.
        registry: the plugins, where they are loaded already.

    Raises:
        PluginError: nothing has that name.
    """
    if not isinstance(given, str):
        return given
    known = getattr(registry or load_plugins(), kind)
    if given not in known:
        what = {"datasets": "data set", "methods": "method", "metrics": "metric"}[kind]
        raise PluginError(unknown_name(what, given, known))
    return known[given]


def load_plugins(strict: bool | None = None, files: Sequence[Path] = ()) -> Registry:
    """Load every installed plugin, then plugin files, and collect what they offer.

    Args:
        strict: raise at the first broken plugin; by default where the environment variable
            ``GZSL_BENCH_STRICT_PLUGINS`` is set to 1.
        files: absolute paths of plugin files or package folders.

    Raises:
        PluginError: a plugin is broken and ``strict`` holds.
    """
    if strict is None:
        strict = os.environ.get(STRICT_VARIABLE, "") not in ("", "0")
    manager = pluggy.PluginManager(specs.PROJECT)
    manager.add_hookspecs(specs)
    entries = _entry_points()
    roots = [{entry.module.partition(".")[0]} | distribution_roots(entry.dist) for entry in entries]
    registry = Registry(_reader=Sources(frozenset().union(*roots)))
    sought = [(_info(entry), _loader(entry)) for entry in entries]
    for file in files:
        info = PluginInfo(inline_name(file), f"file {file.name}", "0")
        sought.append((info, partial(load_inline, file)))
    for info, load in sought:
        problems = list(_load(manager, registry, info, load))
        registry.broken += [BrokenPlugin(info.name, info.distribution, text) for text in problems]
    if strict and registry.broken:
        raise PluginError(str(registry.broken[0]))
    return registry


def _entry_points() -> list[metadata.EntryPoint]:
    """Entry points, built-in ones first so that nobody can take their names."""
    found = metadata.entry_points(group=specs.PROJECT)
    return sorted(found, key=lambda e: (not e.value.startswith("gzsl_bench."), e.name, e.value))


def _info(entry: metadata.EntryPoint) -> PluginInfo:
    dist = entry.dist
    if dist is None:
        return PluginInfo(entry.name, "unknown distribution", "0")
    return PluginInfo(entry.name, dist.name, dist.version)


def _loader(entry: metadata.EntryPoint) -> Callable[[], Any]:
    """Loads an entry point unless its distribution says that it needs another gzsl-bench."""

    def load() -> Any:
        if unmet := unmet_requirement(entry.dist):
            raise PluginError(unmet)
        return entry.load()

    return load


def _load(
    manager: pluggy.PluginManager,
    registry: Registry,
    info: PluginInfo,
    load: Callable[[], Any],
) -> Iterator[str]:
    """Load one plugin into the registry; yields what is wrong with it."""
    try:
        plugin = load()
        if problem := obstacle(plugin):
            raise PluginError(problem)
        # Third parties usually point at a module; an instance of a class is as good.
        manager.register(plugin, name=f"{info.distribution}:{info.name}")
    # A plugin may fail in any way at import, `sys.exit` included, and must not take us along.
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):  # the user's, as far as anybody can tell
            raise
        yield f"cannot be loaded: {in_one_line(error)}{_other_version(error)}"
        return
    info.plugin = plugin
    registry.plugins.append(info)
    yield from _misspelt(manager, plugin)
    others = [other for other in manager.get_plugins() if other is not plugin]
    for kind, spec_type in _HOOKS.items():
        hook = f"gzsl_bench_{kind}"
        caller = manager.subset_hook_caller(hook, remove_plugins=others)
        if not caller.get_hookimpls():
            continue
        info.hooks.append(hook)
        try:
            offered = [spec for answer in caller() for spec in _listed(answer)]
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            yield f"its hook {hook} fails: {in_one_line(error)}"
            continue
        for spec in offered:
            problem = check_spec(spec, spec_type, hook)
            names: dict[str, Any] = getattr(registry, kind)
            if problem is None and spec.name in names:
                owner = registry.owner(kind, spec.name)
                problem = (
                    f"its {kind[:-1]} {spec.name!r} is ignored, since that name is already taken by"
                    f" plugin {owner.name!r} ({owner.distribution}); give it another one"
                )
            if problem is not None:
                yield problem
                continue
            names[spec.name] = spec
            registry.owners[kind, spec.name] = info
            info.provides.setdefault(kind, []).append(spec.name)
    if not info.hooks:
        yield f"it implements no hook; there are {', '.join(sorted(_known_hooks()))}"


def _listed(answer: Any) -> list[Any]:
    """What one implementation offers: a list or generator of specs, or a single one."""
    if isinstance(answer, Iterable) and not isinstance(answer, str | bytes):
        return list(answer)
    return [answer]


def _known_hooks() -> set[str]:
    return {f"gzsl_bench_{kind}" for kind in _HOOKS}


def _misspelt(manager: pluggy.PluginManager, plugin: Any) -> Iterator[str]:
    """Hooks nobody calls: a wrong name under the marker, or a right one without it."""
    marked = {caller.name for caller in manager.get_hookcallers(plugin) or ()}
    for name in sorted(marked - _known_hooks()):
        close = difflib.get_close_matches(name, _known_hooks(), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        yield f"it implements {name!r}, which is no hook of gzsl-bench{hint}"
    for name in sorted(_known_hooks() - marked):
        if callable(getattr(plugin, name, None)):
            yield f"its function {name!r} is not marked with @hookimpl, so it is never called"


def _other_version(error: BaseException) -> str:
    """A hint where a plugin asks for names that gzsl-bench does not have."""
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] == specs.PROJECT:
        return f"; it seems to be written for another gzsl-bench than this {__version__}"
    return ""
