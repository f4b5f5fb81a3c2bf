"""What a data set *is*: digests of its content that no order, file format or machine can change.

The fingerprint covers features, labels, class embedding and the three index sets.  The order of the
training rows, the shipped ``train_loc``/``val_loc`` lists and all names stay outside: they are
recorded as provenance.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gzsl_bench.data.gzsl import GZSLData

_DOMAIN = b"gzsl-bench/data/1"
#: Hex digits of a fingerprint and of a split hash.
SHORT = 16
#: Bytes hashed at a time: a memory-mapped matrix never has to fit into memory.
_CHUNK = 1 << 24


def row_chunks(rows: int, bytes_per_row: int, chunk: int = _CHUNK) -> list[slice]:
    """Slices that cover ``range(rows)`` in blocks of about ``chunk`` bytes."""
    step = max(1, chunk // max(1, bytes_per_row))
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


def array_digest(array: NDArray[Any], dtype: str) -> str:
    """64 hex digits over the values of ``array`` as ``dtype`` (``float32``, say) and its shape.

    SHA-256 over type, shape and little-endian row-major bytes, read a block of rows at a time.
    """
    kind = np.dtype(dtype).newbyteorder("<")
    hasher = hashlib.sha256(f"{dtype} {'x'.join(map(str, array.shape))}\n".encode())
    width = int(np.prod(array.shape[1:], dtype=np.int64)) * kind.itemsize
    for part in row_chunks(array.shape[0], width):
        block = np.ascontiguousarray(array[part], dtype=kind)
        hasher.update(block.reshape(-1).view(np.uint8).data)
    return hasher.hexdigest()


def index_set_digest(rows: NDArray[np.int64]) -> str:
    """64 hex digits of a *set* of 0-based row numbers [n]; the first 16 are the sheet's split hash.

    The sheet hashes the numbers as the files hold them, so they are counted from 1 here, too.

    Raises:
        ValueError: a number is negative, or too large for uint32.
    """
    one_based = np.sort(np.asarray(rows, dtype=np.int64)) + 1
    if one_based.size and (one_based[0] < 1 or one_based[-1] >= 2**32):
        raise ValueError("row numbers must lie in 0 .. 2**32 - 2")
    return hashlib.sha256(one_based.astype("<u4").tobytes()).hexdigest()


def split_hash(rows: NDArray[np.int64]) -> str:
    """The short hash of a split's 0-based row numbers [n]: protocol sheet, section 2."""
    return index_set_digest(rows)[:SHORT]


def order_digest(rows: NDArray[np.int64]) -> str:
    """A short digest of row numbers [n] in their order: shuffled batches depend on it."""
    values = (np.asarray(rows, dtype=np.int64) + 1).astype("<u4")
    return hashlib.sha256(values.tobytes()).hexdigest()[:SHORT]


def file_facts(folder: Path, names: Iterable[str], features: str) -> dict[str, dict[str, Any]]:
    """Sizes of files in ``folder``, and md5 of all but ``features``: the fingerprint covers it."""
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        path = folder / name
        found[name] = {"bytes": path.stat().st_size}
        if name != features:
            content = path.read_bytes()
            found[name]["md5"] = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return found


def digests(data: GZSLData, features_digest: str | None = None) -> dict[str, str]:
    """The digest of each part by itself, so that a difference between two data sets can be named.

    Args:
        data: any data object.
        features_digest: ``array_digest(data.features, "float32")`` where it is known already (a
            cache knows it); the big matrix is then not read.
    """
    return {
        "features": features_digest or array_digest(data.features, "float32"),
        "labels": array_digest(data.labels, "int64"),
        "attributes": array_digest(data.attributes, "float64"),
        "trainval": index_set_digest(data.trainval),
        "test_seen": index_set_digest(data.test_seen),
        "test_unseen": index_set_digest(data.test_unseen),
    }


def combine(parts: dict[str, str]) -> str:
    """The fingerprint of a set of digests: 16 hex digits, independent of their order."""
    hasher = hashlib.sha256(_DOMAIN)
    for name in sorted(parts):
        hasher.update(f"\n{name}={parts[name]}".encode())
    return hasher.hexdigest()[:SHORT]


def compute_fingerprint(data: GZSLData) -> str:
    """The fingerprint of any data object, whoever made it."""
    return combine(digests(data))


def extras(data: GZSLData) -> dict[str, str]:
    """What a data set has besides features and class embedding: names and short digests.

    They are no part of the fingerprint: what a method is not handed plays no part in its numbers.
    """
    found = {}
    if data.regions is not None:
        found["regions"] = f"{data.regions.name} {data.regions.digest[:SHORT]}"
    if data.second is not None:
        found["second"] = f"{data.second_set} {array_digest(data.second, 'float32')[:SHORT]}"
    if data.words is not None:
        found["words"] = array_digest(data.words, "float64")[:SHORT]
    if data.groups is not None:
        found["groups"] = array_digest(data.groups, "int64")[:SHORT]
    if data.class_names is not None:
        text = "\n".join(data.class_names)
        found["class_names"] = hashlib.sha256(text.encode()).hexdigest()[:SHORT]
    return found


def identify(data: GZSLData, features_digest: str | None = None) -> GZSLData:
    """``data`` with its fingerprint, and with digests and split hashes among its provenance.

    A fingerprint that is there already is kept: it was computed where the data was loaded.
    """
    if data.fingerprint:
        return data
    parts = digests(data, features_digest)
    splits = {name: parts[name][:SHORT] for name in ("trainval", "test_seen", "test_unseen")}
    provenance = {
        **data.provenance,
        "digests": {name: digest[:SHORT] for name, digest in parts.items()},
        "split_hashes": splits,
        "trainval_order": order_digest(data.trainval),
    }
    return dataclasses.replace(data, fingerprint=combine(parts), provenance=provenance)
