"""YAML with a memory for lines, so that every complaint can name the line it is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gzsl_bench.errors import SuiteError

KeyPath = tuple[str | int, ...]

#: Keys and items of a file with its aliases unfolded; real suites have a few hundred.
_MOST_PLACES = 100_000


@dataclass
class YamlFile:
    """A parsed YAML file.

    Attributes:
        path: as the user wrote it.
        text: the file's content.
        content: plain data.
        lines: line number (from 1) of every key and item, by its path.
    """

    path: Path
    text: str
    content: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def line(self, path: Sequence[str | int]) -> int:
        """Line of the deepest known part of ``path``."""
        for end in range(len(path), 0, -1):
            if tuple(path[:end]) in self.lines:
                return self.lines[tuple(path[:end])]
        return 1

    def error(self, path: Sequence[str | int], message: str) -> SuiteError:
        """An error that names file and line."""
        return SuiteError(f"{self.path}:{self.line(path)}: {message}")


def read_yaml(path: Path) -> YamlFile:
    """Read a YAML file of plain data (safe loader, no duplicate keys).

    Raises:
        SuiteError: the file cannot be read or is no YAML mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SuiteError(f"there is no suite file {path}") from None
    except IsADirectoryError:
        raise SuiteError(f"{path} is a folder where a suite file is expected") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"the suite file {path} cannot be read: {error}") from None
    file = YamlFile(path, text, None)
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is not None:
                _walk(file, node, ())
                file.content = loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SuiteError(f"{path}:{line}: this is no valid YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SuiteError(f"{path}: this is no valid YAML: {first}") from None
    except (KeyError, AttributeError, IndexError, TypeError):
        # What PyYAML raises for `!!bool maybe` and the like.
        raise SuiteError(f"{path}: this is no valid YAML: a value does not fit its tag") from None
    if not isinstance(file.content, dict):
        raise SuiteError(f"{path}:1: a suite is a mapping with the keys name, datasets and methods")
    return file


def _walk(file: YamlFile, node: yaml.Node, path: KeyPath) -> None:
    if len(file.lines) > _MOST_PLACES:  # aliases of aliases grow without bound
        raise SuiteError(f"{file.path}: this file unfolds to too many entries to be a suite")
    file.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        names: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag != "tag:yaml.org,2002:str":
                raise SuiteError(f"{file.path}:{line}: keys are texts, not {key.value!r}")
            name = str(key.value)
            if name in names:
                raise SuiteError(f"{file.path}:{line}: the key {name!r} stands here twice")
            names.add(name)
            file.lines[(*path, name)] = line
            _walk(file, value, (*path, name))
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            file.lines[(*path, index)] = item.start_mark.line + 1
            _walk(file, item, (*path, index))
