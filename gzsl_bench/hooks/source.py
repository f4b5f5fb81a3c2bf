"""What pins a method's numbers whatever its version says: the source of the modules it imports.

The graph of imports is read from the source, nothing is executed.  It begins at the modules of the
method's class, of its ``Config`` and of all that these inherit from, and follows imports wherever
in a module they stand.  Libraries, the standard library and gzsl-bench itself are no part of it: a
record names the versions of the first two, and what of the last fixes numbers has a number of its
own in the key (:func:`gzsl_bench.suite.cells.code_numbers`).
"""

from __future__ import annotations

import ast
import hashlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

_PROGRAM = __name__.partition(".")[0]
_TOOLKIT = f"{_PROGRAM}.stacked"
#: Never followed, even where somebody built one of them from a checkout.
_LIBRARIES = {_PROGRAM, "numpy", "pydantic", "scipy", "sklearn", "torch", *sys.stdlib_module_names}
#: Folders of what has a version.
_INSTALLED = {"site-packages", "dist-packages"}
#: Who asks for one of these may load any file of its package.
_LOADERS = {"importlib", "pkgutil", "runpy"}
_LOADING_NAMES = {"__import__", "exec", "eval", "__file__", "__path__"}
_SUFFIXES = (".py", *importlib.machinery.EXTENSION_SUFFIXES)


@dataclass(frozen=True)
class Source:
    """The source behind one method.

    Attributes:
        digest: 16 hex digits over the modules it imports; None where they cannot be read, in a zip
            archive say.
        toolkit: one of them imports ``gzsl_bench.stacked``, or nobody knows.
    """

    digest: str | None
    toolkit: bool


def distribution_roots(dist: metadata.Distribution | None) -> set[str]:
    """First names of all modules that a distribution holds."""
    if dist is None:
        return set()
    listed = (dist.read_text("top_level.txt") or "").split()
    held = [file.parts[0] for file in dist.files or () if file.suffix == ".py"]
    return {*listed, *(name.removesuffix(".py") for name in held)}


@dataclass
class Sources:
    """Reads the sources of methods, every file once.

    Attributes:
        roots: first names of the modules of plugin distributions.  They are followed wherever they
            lie; other modules only where no release pins them, outside of ``site-packages``.
    """

    roots: frozenset[str] = frozenset()
    _tops: dict[str, list[Path]] = field(default_factory=dict)
    _modules: dict[str, _Module | None] = field(default_factory=dict)

    def of(self, factory: type[Any], plugin: Any = None) -> Source:
        """The source of a method.

        Args:
            factory: its class.
            plugin: the module or object that offers it; a class made within a function gets values
                from there.
        """
        classes = {*factory.__mro__, *getattr(factory, "Config", object).__mro__}
        names = {cls.__module__ for cls in classes}
        if any("<locals>" in cls.__qualname__ for cls in classes) and plugin is not None:
            names.add(getattr(plugin, "__name__", type(plugin).__module__))
        walk = _Walk(self)
        for name in sorted(names):
            walk.toolkit |= _of_toolkit(name)
            walk.use(name)
        if self.module(factory.__module__) is None:
            return Source(None, toolkit=True)
        digest = hashlib.sha256()
        for name, content in sorted(walk.contents.items()):
            digest.update(name.encode() + b"\0" + content.replace(b"\r\n", b"\n") + b"\0")
        return Source(digest.hexdigest()[:16], walk.toolkit)

    def module(self, name: str) -> _Module | None:
        """A module that is followed, by its full name; None for all others."""
        if name not in self._modules:
            self._modules[name] = self._read(name)
        return self._modules[name]

    def _read(self, name: str) -> _Module | None:
        top, _, rest = name.partition(".")
        for place in self._top(top):
            path = place.joinpath(*rest.split(".")) if rest else place
            candidates = [path / "__init__.py"] + [Path(f"{path}{s}") for s in _SUFFIXES]
            for file in [place] if place.is_file() and not rest else candidates:
                if file.is_file():
                    return _Module(name, file, file.name == "__init__.py")
        return None

    def _top(self, name: str) -> list[Path]:
        """Package folders or the file behind a first name, if it is one to be followed."""
        if name not in self._tops:
            self._tops[name] = [] if name in _LIBRARIES else list(self._places(name))
        return self._tops[name]

    def _places(self, name: str) -> Iterator[Path]:
        loaded = sys.modules.get(name)
        try:
            # Of a first name alone the specification is found without executing anything.
            found = getattr(loaded, "__spec__", None) or importlib.util.find_spec(name)
        except (ImportError, ValueError, AttributeError):
            return
        if found is None:
            return
        places = found.submodule_search_locations or [found.origin or ""]
        for place in map(Path, places):
            if name in self.roots or not _INSTALLED & set(place.parts):
                yield place


class _Module:
    """One file of Python, or of a compiled extension, and what it imports."""

    def __init__(self, name: str, file: Path, package: bool) -> None:
        self.name, self.file, self.package = name, file, package
        self.content = file.read_bytes()
        try:
            tree = ast.parse(self.content if file.suffix == ".py" else b"")
        except (SyntaxError, ValueError):
            tree = ast.parse("")
        self.imports = list(_imports(tree, name if package else name.rpartition(".")[0]))
        self.loads_any = any(map(_loads_any, ast.walk(tree)))
        self.only_declares = _only_declares(tree.body)


@dataclass
class _Walk:
    """The modules that one method depends on."""

    sources: Sources
    contents: dict[str, bytes] = field(default_factory=dict)
    toolkit: bool = False

    def use(self, name: str) -> None:
        """Everything of a module counts, and what it imports."""
        self._pass_by(name)
        module = self.sources.module(name)
        if module is None or name in self.contents:
            return
        self.contents[name] = module.content
        for target, names in module.imports:
            self._follow(target, names)
        if module.loads_any:
            self._whole_package(name)

    def _follow(self, target: str, names: Sequence[str]) -> None:
        """One import: of a module (no names), or of names from it."""
        written = [target, *(f"{target}.{name}" for name in names)]
        self.toolkit |= any(map(_of_toolkit, written))
        inner = [text for text in written[1:] if self.sources.module(text) is not None]
        for text in inner:
            self.use(text)
        if not names or len(inner) < len(names):
            self.use(target)

    def _pass_by(self, name: str) -> None:
        """The packages around a module are executed first: they count if they do anything."""
        while name := name.rpartition(".")[0]:
            package = self.sources.module(name)
            if package is not None and not package.only_declares:
                self.use(name)

    def _whole_package(self, name: str) -> None:
        """Every file of the package that a module lies in: it may read or import any of them."""
        top = name.partition(".")[0]
        root = self.sources.module(top)
        if root is None or not root.package:
            return
        folder = root.file.parent
        for file in sorted(folder.rglob("*")):
            inner = file.relative_to(folder)
            hidden = any(part.startswith((".", "__pycache__")) for part in inner.parts)
            if hidden or not file.is_file():
                continue
            self.contents[f"{top}/{inner.as_posix()}"] = file.read_bytes()
            if file.suffix == ".py":
                parts = [top, *inner.with_suffix("").parts]
                self.use(".".join(parts[:-1] if parts[-1] == "__init__" else parts))


def _of_toolkit(name: str) -> bool:
    return f"{name}.".startswith(f"{_TOOLKIT}.")


def _imports(tree: ast.Module, package: str) -> Iterator[tuple[str, list[str]]]:
    """(module, names from it) for each import; ``package`` is what relative ones start from."""
    bound: dict[str, str] = {}
    used: set[tuple[str, str]] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, []
                top = alias.name.partition(".")[0]
                bound[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom):
            around = package.split(".")[: len(package.split(".")) - node.level + 1]
            parts = [*(around if node.level else []), *([node.module] if node.module else [])]
            yield ".".join(parts), [alias.name for alias in node.names]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used.add((node.value.id, node.attr))
    for name, attribute in sorted(used):
        if name in bound:  # `import pkg.one`, then `pkg.other`
            yield bound[name], [attribute]


def _loads_any(node: ast.AST) -> bool:
    """Whether a statement may load or read files that no import names."""
    if isinstance(node, ast.Name):
        return node.id in _LOADING_NAMES
    names = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    return any(
        name.partition(".")[0] in _LOADERS and not f"{name}.".startswith("importlib.metadata.")
        for name in names
    )


def _only_declares(body: Iterable[ast.stmt]) -> bool:
    """Whether statements only import and define: nothing that another module could notice."""
    return all(map(_declares, body))


def _declares(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Assign):
        return all(isinstance(target, ast.Name) for target in node.targets)
    if isinstance(node, ast.AnnAssign):
        return isinstance(node.target, ast.Name)
    if isinstance(node, ast.If):
        return _only_declares([*node.body, *node.orelse])
    if isinstance(node, ast.Try):
        handlers = [statement for handler in node.handlers for statement in handler.body]
        return _only_declares([*node.body, *handlers, *node.orelse, *node.finalbody])
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return isinstance(node, (*kinds, ast.Pass))
