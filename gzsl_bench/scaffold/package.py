"""Writing a plugin's package from templates: one folder, ready to install, test and run."""

from __future__ import annotations

import re
import shutil
import tempfile
from importlib import resources
from pathlib import Path
from typing import Literal, TypeAlias

from gzsl_bench.errors import PluginError
from gzsl_bench.hooks.specs import HOOKS_VERSION
from gzsl_bench.version import __version__

Kind: TypeAlias = Literal["method", "dataset", "metric"]
KINDS: tuple[Kind, ...] = ("method", "dataset", "metric")

_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")


def write_package(name: str, kind: Kind, parent: Path) -> Path:
    """Write ``parent/gzsl-bench-NAME`` and return its path.

    Args:
        name: what suites will call it: lower case letters, digits, ``-`` or ``_``.
        kind: what the plugin offers.
        parent: the folder to write into.

    Raises:
        PluginError: the name cannot be used, or the folder is there already or cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise PluginError(
            f"the name {name!r} cannot be used; lower case letters and digits, with - or _ between"
            " them, would do"
        )
    folder = parent / f"gzsl-bench-{name.replace('_', '-')}"
    if folder.exists():
        raise PluginError(f"{folder} is there already; choose another name, or another --into")
    try:
        # Written aside and moved, so that a failure leaves no half a package.
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parent, prefix=".gzsl-bench-new-") as aside:
            draft = Path(aside) / folder.name
            for place, text in _files(name, kind):
                (draft / place).parent.mkdir(parents=True, exist_ok=True)
                (draft / place).write_text(text, encoding="utf-8")
            shutil.move(draft, folder)
    except OSError as error:
        raise PluginError(f"{folder} cannot be written: {error.strerror or error}") from None
    return folder


def _files(name: str, kind: Kind) -> list[tuple[Path, str]]:
    """Places and texts of a package's files."""
    from jinja2 import Environment, StrictUndefined

    plain = name.replace("-", "_")
    low, high = __version__.split(".")[:2]
    words = {
        "kind": kind,
        "name": plain,
        "distribution": f"gzsl-bench-{name.replace('_', '-')}",
        "module": f"gzsl_bench_{plain}",
        "Class": "".join(part.capitalize() for part in plain.split("_")),
        "title": plain.replace("_", " ").capitalize(),
        "hooks": HOOKS_VERSION,
        "low": f"{low}.{high}",
        "high": f"{low}.{int(high) + 1}",
    }
    places = {"plugin.py": f"{words['module']}.py", "test_plugin.py": f"tests/test_{plain}.py"}
    # It writes Python and TOML, no HTML: nothing is to be escaped.
    engine = Environment(
        undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
    )
    root = resources.files("gzsl_bench.scaffold") / "templates"
    found = []
    for part in ("common", kind):
        for file in sorted((root / part).iterdir(), key=lambda f: f.name):
            target = file.name.removesuffix(".j2")
            text = engine.from_string(file.read_text(encoding="utf-8")).render(words)
            found.append((Path(places.get(target, target)), text))
    return found
