"""YAML with a memory for lines, so that every complaint can name the line it is about.

Words and dates are read as YAML 1.2 has them: ``no``, ``on`` and ``2026-01-31`` are texts.  A
number that YAML 1.1, and so PyYAML, takes for another one (``010``, ``1:30``, ``1_000``) is
refused.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gzsl_bench.errors import (
    DataError,
    GzslBenchError,
    SuiteError,
    in_one_line,
    nearest,
    unknown_name,
)

KeyPath = tuple[str | int, ...]

#: Keys and items of a file with its aliases unfolded; real suites have a few hundred.
_MOST_PLACES = 100_000

#: Kinds of pydantic errors that get a sentence of our own.
_SENTENCES = {
    "missing": "the key {key!r} is missing",
    "int_type": "{key!r} should be a whole number, not {input!r}",
    "int_parsing": "{key!r} should be a whole number, not {input!r}",
    "int_from_float": "{key!r} should be a whole number, not {input!r}",
    "float_type": "{key!r} should be a number, not {input!r}",
    "float_parsing": "{key!r} should be a number, not {input!r}",
    "bool_type": "{key!r} should be true or false, not {input!r}",
    "bool_parsing": "{key!r} should be true or false, not {input!r}",
    "string_type": "{key!r} should be a text, not {input!r}",
    "list_type": "{key!r} should be a list, not {input!r}",
    "model_type": "{key!r} should be a mapping, not {input!r}",
    "dict_type": "{key!r} should be a mapping, not {input!r}",
    "too_short": "{key!r} is empty and needs at least one entry",
}


@dataclass(frozen=True)
class Kind:
    """What a file is supposed to be, for the messages.

    Attributes:
        name: ``suite file``.
        shape: what its content is, as a clause.
        error: the class of its errors.
    """

    name: str
    shape: str
    error: type[GzslBenchError]


SUITE = Kind(
    "suite file", "a suite is a mapping with the keys name, datasets and methods", SuiteError
)
DATASET = Kind(
    "description of a data set",
    "a description is a mapping with the keys labels, features, attributes and split",
    DataError,
)


@dataclass
class YamlFile:
    """A parsed YAML file.

    Attributes:
        path: as the user wrote it.
        text: the file's content.
        content: plain data.
        kind: what it is supposed to be.
        lines: line number (from 1) of every key and item, by its path.
    """

    path: Path
    text: str
    content: Any
    kind: Kind = SUITE
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def line(self, path: Sequence[str | int]) -> int:
        """Line of the deepest known part of ``path``."""
        for end in range(len(path), 0, -1):
            if tuple(path[:end]) in self.lines:
                return self.lines[tuple(path[:end])]
        return 1

    def error(self, path: Sequence[str | int], message: str) -> GzslBenchError:
        """An error that names file and line."""
        return self.kind.error(f"{self.path}:{self.line(path)}: {message}")


def _meant(path: Path) -> str:
    """A file beside it whose name is close."""
    with contextlib.suppress(OSError):
        there = [each for each in path.parent.iterdir() if each.suffix in (".yaml", ".yml")]
        if found := nearest(path.stem, (each.stem for each in there)):
            meant = next(each for each in sorted(there) if each.stem == found)
            return f"; did you mean {meant}?"
    return ""


def read_yaml(path: Path, kind: Kind = SUITE, text: str | None = None) -> YamlFile:
    """Read a YAML file of plain data (safe loader, no duplicate keys).

    Args:
        path: the file.
        kind: what it should be.
        text: its content, where that is known and the file may be gone.

    Raises:
        GzslBenchError: the file cannot be read or is no YAML mapping; of the class that ``kind``
            names.
    """
    try:
        text = path.read_text(encoding="utf-8") if text is None else text
    except FileNotFoundError:
        raise kind.error(f"there is no {kind.name} {path}{_meant(path)}") from None
    except IsADirectoryError:
        raise kind.error(f"{path} is a folder where a {kind.name} is expected") from None
    except (OSError, UnicodeDecodeError) as error:
        raise kind.error(f"the {kind.name} {path} cannot be read: {error}") from None
    file = YamlFile(path, text, None, kind)
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is not None:
                _walk(file, loader, node, ())
                file.content = loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise kind.error(f"{path}:{line}: this is no valid YAML: {error.problem}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise kind.error(
            f"{path}:{line}: this is no valid YAML: the character {chr(error.character)!r} may not"
            " stand there"
        ) from None
    except RecursionError:
        raise kind.error(f"{path}:1: this is no {kind.name}: it is nested too deep") from None
    except (yaml.YAMLError, *_MISFITS) as error:
        raise kind.error(f"{path}:1: this is no valid YAML: {in_one_line(error)}") from None
    if not isinstance(file.content, dict):
        raise kind.error(f"{path}:1: {kind.shape}")
    return file


#: What PyYAML raises for `!!bool maybe`, `2026-13-45` and the like.
_MISFITS = (ValueError, KeyError, AttributeError, IndexError, TypeError, OverflowError)


class _Loader(yaml.SafeLoader):
    """The safe loader, which knows the line of a value that does not fit its tag."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except yaml.YAMLError:
            raise
        except _MISFITS:
            raise yaml.constructor.ConstructorError(
                None, None, "a value does not fit its tag", node.start_mark
            ) from None


_TAG = "tag:yaml.org,2002:"
_BOOL = f"{_TAG}bool"
_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] not in {_BOOL, f"{_TAG}timestamp", f"{_TAG}value"}]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile("true|True|TRUE|false|False|FALSE"), list("tTfF"))


def _odd_number(loader: _Loader, node: yaml.Node | None) -> str | None:
    """What is wrong with a number that YAML takes for another one."""
    if not isinstance(node, yaml.ScalarNode) or node.style is not None:
        return None
    number = node.tag in (f"{_TAG}int", f"{_TAG}float")
    for odd, why in (
        (re.fullmatch(r"[-+]?0_*\d[\d_]*", node.value), "a leading zero asks for base 8"),
        (number and ":" in node.value, "colons mean base 60"),
        (number and "_" in node.value, "underscores are passed over"),
    ):
        if odd:
            return (
                f"{node.value} would be read as {loader.construct_object(node)!r}, for in YAML"
                f" {why}; write the number plainly, or quote it ('{node.value}') if it is a text"
            )
    return None


def yaml_value(text: str) -> Any:
    """A value of the command line, read as one in a file is.

    Raises:
        SuiteError: it holds a number that YAML takes for another one.
        yaml.YAMLError: it is no YAML.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        waiting, met = [node], set()
        while waiting:
            item = waiting.pop()
            if id(item) in met:  # an alias
                continue
            met.add(id(item))
            if said := _odd_number(loader, item):
                raise SuiteError(said)
            if isinstance(item, yaml.CollectionNode):
                waiting += [n for v in item.value for n in (v if isinstance(v, tuple) else (v,))]
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _walk(file: YamlFile, loader: _Loader, node: yaml.Node, path: KeyPath) -> None:
    name = file.kind.name
    if len(file.lines) > _MOST_PLACES:  # aliases of aliases grow without bound
        line = node.start_mark.line + 1
        raise file.kind.error(
            f"{file.path}:{line}: this file unfolds to too many entries to be a {name}"
        )
    file.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        names: set[str] = set()
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if key.tag == f"{_TAG}merge":
                continue
            if key.tag != f"{_TAG}str":
                raise file.kind.error(
                    f"{file.path}:{line}: keys are texts, not {key.value!r}; quote it"
                )
            text = str(key.value)
            if text in names:
                raise file.kind.error(f"{file.path}:{line}: the key {text!r} stands here twice")
            names.add(text)
        loader.flatten_mapping(node)  # merge keys (<<), whose entries come first
        node.value = list({key.value: (key, value) for key, value in node.value}.values())
        for key, value in node.value:
            file.lines[(*path, key.value)] = key.start_mark.line + 1
            _walk(file, loader, value, (*path, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            file.lines[(*path, index)] = item.start_mark.line + 1
            _walk(file, loader, item, (*path, index))
    elif said := _odd_number(loader, node):
        raise file.kind.error(f"{file.path}:{node.start_mark.line + 1}: {said}")


def quote_it(value: Any) -> str:
    """What to do about a number, or true or false, that is to be a text."""
    return "; quote it if it is a name" if isinstance(value, bool | int | float) else ""


def first_of(error: ValidationError) -> ErrorDetails:
    """The complaint to show: an unknown key first, for it explains a missing one (`metods:`)."""
    errors = error.errors()
    return next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])


def complaint(error: ErrorDetails, path: Sequence[str | int], known: Iterable[str]) -> str:
    """A complaint of pydantic in the words of this program.

    Args:
        error: the complaint.
        path: where in the file it is.
        known: keys that may stand where an unknown one was found.
    """
    key = path[-1] if path else "suite"
    if isinstance(key, int) and len(path) > 1:
        key = f"{path[-2]}[{key}]"
    if error["type"] == "extra_forbidden":
        return unknown_name("key", str(key), known)
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    shown: Any = error["input"]
    if error["type"] in _SENTENCES:
        text = _SENTENCES[error["type"]].format(key=key, input=shown)
        return text + (quote_it(shown) if error["type"] == "string_type" else "")
    if error["type"] == "string_pattern_mismatch":
        return (
            f"{key!r} is {shown!r}, but only the letters a to z and A to Z, digits, '_', '-' and"
            " '.' may stand there, one of the letters or digits first"
        )
    if error["type"] == "string_too_long":
        most = error["ctx"]["max_length"]
        return f"{key!r} has {len(shown)} letters, {shown[:20]!r}..., but {most} are the most"
    if error["type"] == "literal_error":
        return f"{key!r} is {shown!r}, but {error['ctx']['expected']} is expected"
    return f"{key!r} is {shown!r}: {error['msg'][0].lower()}{error['msg'][1:]}"
