"""Suite files by the ten thousand: a suite, or one sentence with file and line.

Mutations of valid suites, random YAML trees and damaged text go through ``gzsl-bench validate``,
and those that are suites through ``run --dry-run``, too.
"""

from __future__ import annotations

import contextlib
import copy
import io
import re
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

LONG, SHORT = 10_000, 300
SHELL_LONG, SHELL_SHORT = 50, 2

#: Valid suites that between them use every key.
VALID: tuple[dict[str, Any], ...] = (
    {"name": "one", "datasets": ["digits"], "methods": ["eszsl"]},
    {
        "name": "two",
        "description": "all the keys of a suite",
        "datasets": [
            "digits",
            {"use": "digits", "label": "other", "preprocessing": "l2", "seeds": [4]},
        ],
        "methods": [
            {"use": "eszsl", "label": "ESZSL", "config": {"feature_penalty": 10.0}},
            {"use": "eszsl", "label": "b", "datasets": ["other"], "precision": "float32"},
        ],
        "seeds": 2,
        "selection": ["last", "val", "best_test"],
        "folds": 2,
        "val_seeds": [0],
        "calibration": True,
        "precision": "float32",
    },
    {
        "name": "three",
        "datasets": [{"use": "digits", "features": "pixels", "attributes": "strokes"}],
        "methods": [
            {
                "use": "eszsl",
                "tune": {"feature_penalty": [1, 10], "class_penalty": {"low": 0.1, "high": 9}},
                "search": "random",
                "trials": 3,
                "preprocessing": "none",
            }
        ],
        "seeds": [0, 7],
        "plugins": [],
        "search": "grid",
    },
)
_WORDS = [
    "name", "datasets", "methods", "seeds", "selection", "use", "label", "config", "tune", "search",
    "trials", "folds", "plugins", "last", "val", "best_test", "digits", "eszsl", "float32", "none",
    "minmax", "low", "high", "log", "../x", "/etc/passwd", "~", ".", "..", "*a",
]  # fmt: skip

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 12),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=12),
    st.text(st.characters(), max_size=4),
    st.dates(),
    st.datetimes(),
    st.binary(max_size=4),
    st.sampled_from(_WORDS),
)
keys = st.one_of(st.sampled_from(_WORDS), st.text(max_size=6), st.integers(), st.none())
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=4), st.sets(scalars)
    ),
    max_leaves=12,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += _places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += _places(inner, (*path, index))
    return found


@st.composite
def mutated(draw: Callable[[Any], Any]) -> Any:
    """A valid suite with one to three changes."""
    suite: Any = copy.deepcopy(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(_places(suite)[1:] or [()]))
        if not path:
            break
        parent = suite
        for step in path[:-1]:
            parent = parent[step]
        last = path[-1]
        change = draw(st.sampled_from(["put", "put", "drop", "rename", "wrap", "repeat", "add"]))
        if change == "put":
            parent[last] = draw(st.one_of(scalars, trees))
        elif change == "drop":
            del parent[last]
        elif change == "rename" and isinstance(parent, dict):
            parent[draw(keys)] = parent.pop(last)
        elif change == "wrap":
            parent[last] = draw(st.sampled_from([[parent[last]], {"use": parent[last]}]))
        elif change == "repeat" and isinstance(parent, list):
            parent.append(copy.deepcopy(parent[last]))
        elif change == "add" and isinstance(parent[last], dict):
            parent[last][draw(keys)] = draw(trees)
    return suite


_INSERTS = [
    ":", "-", "\t", "\n", "  ", "{", "}", "[", "]", "'", '"', "#", "&a ", "*a", "<<: *a", "!!int ",
    "!!python/object/apply:os.system ", "!!binary ", "!!timestamp ", "!x ", "? ", "| ", "> ", "%",
    "@", "\0", "\ufeff", "\u2028", "\x85", "---\n", "...\n", "0x", "1e999", "1_000", "=", "~",
    "2026-13-45", "!!set ", "!!omap ", "!!float ", "!!bool ", "!!null ", "!!map ", "!!seq ",
    "%YAML 9.9\n---\n", '"\\ud800"',
]  # fmt: skip


@st.composite
def damaged(draw: Callable[[Any], Any]) -> str:
    """The text of a suite with pieces put in, taken out or moved."""
    flow = draw(st.sampled_from([None, True, False]))
    text = yaml.safe_dump(draw(st.sampled_from(VALID)), sort_keys=False, default_flow_style=flow)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        end = min(len(text), at + draw(st.integers(0, 12)))
        change = draw(st.sampled_from(["insert", "insert", "remove", "double", "line"]))
        if change == "insert":
            piece = draw(st.one_of(st.sampled_from(_INSERTS), st.text(max_size=3)))
            text = text[:at] + piece + text[at:]
        elif change == "remove":
            text = text[:at] + text[end:]
        elif change == "double":
            text = text[:end] + text[at:end] + text[end:]
        else:
            lines = text.splitlines(keepends=True)
            if lines:
                line = lines.pop(draw(st.integers(0, len(lines) - 1)))
                lines.insert(draw(st.integers(0, len(lines))), line)
                text = "".join(lines)
    return text


def _dumped(tree: Any) -> str:
    return yaml.safe_dump(tree, allow_unicode=True, sort_keys=False)


texts = st.one_of(mutated().map(_dumped), mutated().map(_dumped), damaged(), trees.map(_dumped))

#: The sentence of a bad suite: file, line, what is wrong.
_SENTENCE = r"gzsl-bench: {path}:\d+: .+"


def judge(path: Path, code: int, said: str) -> str:
    """What became of a suite file.

    Raises:
        AssertionError: it is not what a user may expect.
    """
    lines = [line for line in said.splitlines() if not line.startswith("warning: ")]
    assert "Traceback" not in said, said
    said.encode()  # a lone surrogate could not be printed
    assert code in (0, 2), f"exit code {code}: {said}"
    if code == 0:
        return "a suite"
    assert len(lines) == 1, f"more than a sentence: {said}"
    assert re.fullmatch(_SENTENCE.format(path=re.escape(str(path))), lines[0]), lines[0]
    return "a sentence"


def call(*arguments: object) -> tuple[int, str]:
    """Run the command line in this process: its exit code and what it said beside results."""
    from gzsl_bench.cli.main import run

    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = run([str(a) for a in arguments])
    return code, said.getvalue()


def fuzz(count: int, folder: Path, fresh: bool = False) -> tuple[Counter[str], list[str]]:
    """Judge ``count`` suites, always the same ones unless ``fresh``; counts, and the texts."""
    found: Counter[str] = Counter()
    kept: list[str] = []
    path = folder / "suite.yaml"

    @settings(
        max_examples=count, database=None, derandomize=not fresh,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(texts)
    def one(text: str) -> None:
        path.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
        verdict = judge(path, *call("validate", path))
        if verdict == "a suite":
            options = ("--dry-run", "--device", "cpu", "--out", folder / "out")
            code, said = call("run", path, *options, "--tracking-uri", "none")
            lines = [line for line in said.splitlines() if not line.startswith("warning: ")]
            assert code in (0, 2), said
            assert "Traceback" not in said, said
            assert code == 0 or len(lines) == 1, said
            verdict = "cells" if code == 0 else "a suite without its data"
        found[verdict] += 1
        kept.append(text)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one()
    return found, kept


def shell(texts: Sequence[str], folder: Path) -> Counter[str]:
    """Judge suites as a user's shell sees them."""
    found: Counter[str] = Counter()
    program = "from gzsl_bench.cli.main import main; main()"
    for number, text in enumerate(texts):
        path = folder / f"suite {number}.yaml"
        path.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
        done = subprocess.run(
            [sys.executable, "-c", program, "validate", str(path)],
            capture_output=True, text=True, timeout=120, errors="replace",
        )  # fmt: skip
        found[judge(path, done.returncode, done.stderr)] += 1
        assert done.stdout == "", done.stdout
    return found


def spread(texts: Sequence[str], count: int) -> list[str]:
    """``count`` of the texts, from the first to the last."""
    return [texts[i * len(texts) // count] for i in range(count)]


def short() -> str:
    """The short form; what it found, for the terminal."""
    with tempfile.TemporaryDirectory() as name:
        return str(dict(fuzz(SHORT, Path(name))[0]))


def long() -> str:
    """The long form; what it found, for the terminal."""
    with tempfile.TemporaryDirectory() as name:
        found, kept = fuzz(LONG, Path(name), fresh=True)
        outside = shell(spread(kept, SHELL_LONG), Path(name))
    lines = [f"{count:6d}  {kind}" for kind, count in found.items()]
    lines += [f"{count:6d}  {kind}, through the shell" for kind, count in outside.items()]
    return "\n".join([f"{sum(found.values())} suites: never a traceback", *lines])
