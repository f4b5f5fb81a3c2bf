"""Plugins that are not packaged yet: a Python file, or a package folder, loaded from its place."""

from __future__ import annotations

import re
import sys
from importlib import util
from pathlib import Path
from types import ModuleType

from gzsl_bench.errors import PluginError

#: Before the names of modules that are plugin files.
_PREFIX = "gzsl_bench_inline_"


def inline_name(path: Path) -> str:
    """How a plugin file is called: the name of the file or of the package's folder."""
    return path.stem if path.suffix == ".py" else path.name


def find_inline(path: Path, base: Path | None = None) -> Path:
    """The absolute path of a plugin file.

    Args:
        path: a ``.py`` file, or a folder with an ``__init__.py``.
        base: what relative paths start from; the current folder by default.

    Raises:
        PluginError: there is no such file, or it is no Python.
    """
    place = ((base or Path.cwd()) / path.expanduser()).resolve()
    if place.is_dir():
        if not (place / "__init__.py").is_file():
            raise PluginError(
                f"plugin {path}: the folder {place} has no __init__.py; a .py file or a package"
                " folder is expected"
            )
    elif not place.is_file():
        raise PluginError(f"plugin {path}: there is no file {place}")
    elif place.suffix != ".py":
        raise PluginError(f"plugin {path}: a .py file or a package folder is expected")
    return place


def inline_place(module: str) -> Path | None:
    """The plugin file that a module came from, by the module's name; None if from none."""
    root = sys.modules.get(module.partition(".")[0])
    if root is None or not root.__name__.startswith(_PREFIX) or root.__file__ is None:
        return None
    file = Path(root.__file__)
    return file.parent if file.name == "__init__.py" else file


def load_inline(place: Path) -> ModuleType:
    """Import a plugin file under a name of its own; every call runs it anew.

    Its folder is not put on the import path: files beside it are no part of what is fingerprinted.

    Raises:
        PluginError: another plugin file has its name.
        Exception: whatever the file raises.
    """
    name = _PREFIX + re.sub(r"\W", "_", inline_name(place))
    other = sys.modules.get(name)
    if other is not None and Path(other.__file__ or "") not in (place, place / "__init__.py"):
        raise PluginError(f"another plugin file is called {inline_name(place)}, too; rename one")
    file, inner = (place / "__init__.py", [str(place)]) if place.is_dir() else (place, None)
    spec = util.spec_from_file_location(name, file, submodule_search_locations=inner)
    assert spec is not None
    assert spec.loader is not None
    for loaded in [m for m in sys.modules if m == name or m.startswith(name + ".")]:
        del sys.modules[loaded]
    module = util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module
