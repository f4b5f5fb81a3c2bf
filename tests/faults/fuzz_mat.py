"""Damaged .mat files by the thousand: data, or one sentence, and never other data unnoticed.

``python -m tests.faults.fuzz --long mat`` runs the long form; a mutant is made from its number.
"""

from __future__ import annotations

import importlib.util
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from scipy.io import loadmat, savemat

from gzsl_bench.data.gzsl import GZSLData
from gzsl_bench.data.xlsa17 import load
from gzsl_bench.errors import DataError
from gzsl_bench.hooks.dataset import DatasetRequest

LONG, SHORT = 1000, 100
_NAME = "TINY"
#: What makes the fingerprint, and how it is compared: index lists are sets, the rest is in order.
_ARRAYS = {"features": np.float32, "labels": np.int64, "att": np.float64}
_SETS = ("trainval_loc", "test_seen_loc", "test_unseen_loc")


def _factory() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "gzsl_fuzz_factory", Path(__file__).parents[1] / "data" / "factory.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Disagreement(AssertionError):
    """A mutant was taken for something it is not, or raised what a user should not see."""


def fuzz(count: int, folder: Path, first: int = 0) -> Counter[str]:
    """Load ``count`` mutants; how often each kind was refused, harmless or other data.

    Raises:
        Disagreement: with the mutant's number.
    """
    made = _factory()
    found: Counter[str] = Counter()
    for number in range(first, first + count):
        rng = random.Random(number)
        root = folder / "data"
        shutil.rmtree(root, ignore_errors=True)
        made.write_xlsa17(root / _NAME)
        packed = rng.random() < 0.5
        for stem, content in made.tiny_content().items():
            savemat(root / _NAME / f"{stem}.mat", content, do_compression=packed)
        sound = _load(root, None)
        assert isinstance(sound, GZSLData)
        before = _content(root)
        stem = rng.choice(["res101", "att_splits"])
        kind = rng.choice([*_BYTES, *_VALUES])
        path = root / _NAME / f"{stem}.mat"
        if kind in _BYTES:
            path.write_bytes(bytes(_BYTES[kind](bytearray(path.read_bytes()), rng)))
        else:
            content = made.tiny_content()
            content[stem] = _VALUES[kind](content[stem], rng)
            savemat(path, content[stem], do_compression=packed)
        try:
            found[f"{kind}: {_judge(root, kind, packed, sound, before)}"] += 1
        except Exception as error:
            kept = folder / f"mutant-{number}.mat"
            shutil.copy(path, kept)
            raise Disagreement(f"mutant {number} ({kind} of {stem}, {kept}): {error!r}") from error
    return found


def _load(root: Path, cache: Path | None) -> GZSLData | DataError:
    try:
        return load(DatasetRequest(_NAME, root, "res101", "att", cache))
    except DataError as error:
        assert "\n" not in str(error), f"more than a sentence: {error}"
        assert str(root) in str(error), f"no file is named: {error}"
        return error


def _judge(
    root: Path, kind: str, packed: bool, sound: GZSLData, before: dict[str, Any] | None
) -> str:
    data = _load(root, None)
    again = _load(root, root.parent / "cache")  # through a cache: the same fate
    if isinstance(data, DataError) or isinstance(again, DataError):
        assert str(data) == str(again), "another fate with a cache"
        return "refused"
    assert data.fingerprint == again.fingerprint
    assert kind != "truncated", "a truncated file was read"
    same = _same(before, _content(root))
    assert same == (data.fingerprint == sound.fingerprint), "the fingerprint does not tell"
    # A packed variable ends with a checksum.
    assert same or kind in _VALUES or not packed, "damage was taken for data"
    assert kind != "value" or not same, "a changed value went unnoticed"
    return "harmless" if same else "other data"


def _content(root: Path) -> dict[str, Any] | None:
    """What an independent reader finds."""
    try:
        found = loadmat(root / _NAME / "res101.mat", appendmat=False)
        found |= loadmat(root / _NAME / "att_splits.mat", appendmat=False)
        content: dict[str, Any] = {
            name: np.asarray(found[name]).astype(kind) for name, kind in _ARRAYS.items()
        }
        content["labels"] = content["labels"].reshape(-1)
        return content | {n: np.unique(np.asarray(found[n]).astype(np.int64)) for n in _SETS}
    except Exception:
        return None


def _same(one: dict[str, Any] | None, other: dict[str, Any] | None) -> bool:
    if one is None or other is None:
        return False
    return all(np.array_equal(one[name], other[name]) for name in one)


# bytes -------------------------------------------------------------------------------------------


def _flip(data: bytearray, rng: random.Random) -> bytearray:
    for _ in range(rng.choice([1, 1, 1, 2, 8])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def _flip_a_tag(data: bytearray, rng: random.Random) -> bytearray:
    """The first bytes say how many there are of what."""
    data[rng.randrange(124, 220)] = rng.randrange(256)
    return data


def _overwrite(data: bytearray, rng: random.Random) -> bytearray:
    start = rng.randrange(len(data))
    length = rng.randrange(1, 64)
    filling = rng.choice([bytes(length), b"\xff" * length])
    data[start : start + length] = filling[: len(data) - start]
    return data


def _cut_out(data: bytearray, rng: random.Random) -> bytearray:
    start = rng.randrange(len(data))
    del data[start : start + rng.randrange(1, 64)]
    return data


def _put_in(data: bytearray, rng: random.Random) -> bytearray:
    start = rng.randrange(len(data))
    data[start:start] = rng.randbytes(rng.randrange(1, 64))
    return data


def _truncate(data: bytearray, rng: random.Random) -> bytearray:
    return data[: rng.randrange(len(data))]


_BYTES: dict[str, Callable[[bytearray, random.Random], bytearray]] = {
    "flipped": _flip,
    "flipped tag": _flip_a_tag,
    "overwritten": _overwrite,
    "cut out": _cut_out,
    "put in": _put_in,
    "truncated": _truncate,
}

# variables ---------------------------------------------------------------------------------------


def _value(content: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """One number changes, by the least that float32 shows."""
    name = rng.choice([n for n in ("features", "labels", "att", *_SETS) if n in content])
    values = np.array(content[name])
    flat = values.reshape(-1)
    place = rng.randrange(flat.size)
    if name in ("features", "att"):
        flat[place] = np.nextafter(np.float32(flat[place]), np.float32(2))
    else:
        flat[place] = flat[place] % 6 + 1 if name == "labels" else flat[place] % 30 + 1
    return content | {name: values}


def _shape(content: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    name = rng.choice(sorted(content))
    values = np.asarray(content[name])
    axis = rng.randrange(values.ndim)
    changed: list[Callable[[], Any]] = [
        lambda: values.T,
        lambda: values.take(range(values.shape[axis] - 1), axis),
        lambda: np.concatenate([values, values.take([0], axis)], axis),
        lambda: values.reshape(-1),
        lambda: values[None],
        lambda: values.take([], axis),
        lambda: values.reshape(-1)[0],
    ]
    return content | {name: rng.choice(changed)()}


def _type(content: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    from scipy.sparse import csc_matrix

    name = rng.choice(sorted(content))
    values = np.asarray(content[name])
    if values.dtype.kind == "O":
        return content | {name: rng.choice([np.arange(6), "text", np.array(["a", "b"])])}
    cell = np.empty(values.shape, dtype=object)
    cell[...] = values
    changed: list[Callable[[], Any]] = [
        *(lambda t=t: values.astype(t) for t in ("i1", "u1", "i2", "u4", "i8", "f4", "f8")),
        lambda: values.astype(bool),
        lambda: values + 1j,
        lambda: cell,
        lambda: csc_matrix(values.astype(float)),
        lambda: {"a": values},
        lambda: "text",
        lambda: np.where(values == values.flat[0], np.nan, values),
        lambda: np.where(values == values.flat[0], np.inf, values),
        lambda: -values.astype(float),
        lambda: values + 0.5,
    ]
    return content | {name: rng.choice(changed)()}


def _keys(content: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    one, other = rng.sample(sorted(content), 2)
    if rng.random() < 0.6:
        return content | {one: content[other], other: content[one]}
    if rng.random() < 0.5:
        return {name: value for name, value in content.items() if name != one}
    return {f"{n}x" if n == one else n: value for n, value in content.items()}


_VALUES: dict[str, Callable[[dict[str, Any], random.Random], dict[str, Any]]] = {
    "value": _value,
    "shape": _shape,
    "type": _type,
    "keys": _keys,
}


def short() -> str:
    """The short form; what it found, for the terminal."""
    with tempfile.TemporaryDirectory() as folder:
        return str(dict(fuzz(SHORT, Path(folder))))


def long() -> str:
    """The long form; what it found, for the terminal."""
    with tempfile.TemporaryDirectory() as folder:
        found = fuzz(LONG, Path(folder))
    lines = [f"{count:5d}  {kind}" for kind, count in sorted(found.items())]
    return "\n".join([f"{sum(found.values())} mutated .mat files: never a traceback", *lines])
