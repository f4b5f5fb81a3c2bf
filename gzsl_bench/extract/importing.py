"""``package.module:name`` and ``file.py:name``: what is found there."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from functools import reduce
from pathlib import Path
from typing import Any

from gzsl_bench.errors import DataError, in_one_line


def imported(address: str, what: str) -> Any:
    """The object at an address; the name may have dots (``EfficientNet.from_name``).

    Raises:
        DataError: there is no such module or name, or importing it fails.
    """
    place, _, name = address.rpartition(":")
    try:
        module = _from_file(Path(place)) if is_file(place) else importlib.import_module(place)
    except ImportError as error:
        raise DataError(
            f"{what} {address}: {place or 'a module'} cannot be imported ({error}); install the"
            " package, or name a Python file"
        ) from None
    except Exception as error:
        raise DataError(f"{what} {address}: importing it fails: {in_one_line(error)}") from None
    try:
        return reduce(getattr, name.split("."), module)
    except AttributeError:
        raise DataError(f"{what} {address}: {place} has no {name}") from None


def is_file(place: str) -> bool:
    """Whether the part of an address before the colon is a Python file."""
    return place.endswith(".py")


def version(place: str) -> dict[str, str]:
    """The distribution that has a module and its version, or a file's name and digest."""
    from importlib import metadata

    if is_file(place):
        content = Path(place).read_bytes()
        return {Path(place).name: f"sha256 {hashlib.sha256(content).hexdigest()[:12]}"}
    package = place.partition(".")[0]
    for name in metadata.packages_distributions().get(package, ()):
        return {name: metadata.version(name)}
    return {package: "unknown"}


def _from_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"gzsl_bench_backbone_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ImportError("there is no such file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
