"""Plugin files on their way to other machines: by content, checked on arrival.

A path means nothing on another node.  What is installed there is used as it is; a version or source
that differs from what the keys say is refused by the worker, as everywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gzsl_bench.errors import PluginError

#: Bytes of a plugin that are sent; data belong into a data set, weights into a package.
MOST = 64 << 20
_LEFT_OUT = ("__pycache__", ".git")


@dataclass(frozen=True)
class PluginFiles:
    """A plugin file, or the files of a package folder.

    Attributes:
        name: of the file or folder, from which the plugin has its name.
        files: content by path below the folder; "" for a single file.
        digest: SHA-256 of names and contents.
    """

    name: str
    files: Mapping[str, bytes]
    digest: str


def pack(places: Sequence[Path]) -> tuple[PluginFiles, ...]:
    """Read plugin files and package folders.

    Raises:
        PluginError: one cannot be read, or is too large to be sent.
    """
    return tuple(_pack(place) for place in places)


def _pack(place: Path) -> PluginFiles:
    files: dict[str, bytes] = {}
    try:
        found = sorted(place.rglob("*")) if place.is_dir() else [place]
        size = 0
        for path in found:
            inside = path.relative_to(place)
            if set(inside.parts) & set(_LEFT_OUT) or not path.is_file():
                continue
            size += path.stat().st_size
            if size > MOST:
                raise PluginError(
                    f"plugin {place} has more than {MOST >> 20} MiB of files, which is too much to"
                    " send to the nodes of a cluster; install it there"
                )
            files["" if path == place else inside.as_posix()] = path.read_bytes()
    except OSError as error:
        raise PluginError(f"plugin {place} cannot be read: {error}") from None
    return PluginFiles(place.name, files, _digest(place.name, files))


def unpack(plugins: Sequence[PluginFiles], folder: Path) -> tuple[Path, ...]:
    """Write plugin files below ``folder``; returns their places, in the same order.

    Raises:
        PluginError: they are not what was sent.
    """
    return tuple(_unpack(plugin, folder / str(i)) for i, plugin in enumerate(plugins))


def _unpack(plugin: PluginFiles, folder: Path) -> Path:
    if _digest(plugin.name, plugin.files) != plugin.digest:
        raise PluginError(f"the plugin {plugin.name} did not arrive as it was sent")
    place = folder / _inside(plugin.name)
    for name, content in plugin.files.items():
        path = place / _inside(name) if name else place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return place


def _inside(name: str) -> PurePosixPath:
    """A relative path that stays below the folder it is joined to."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise PluginError(f"a plugin file is called {name!r}, which leads out of its folder")
    return path


def _digest(name: str, files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256(name.encode() + b"\0")
    for path, content in sorted(files.items()):
        digest.update(f"{path}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
