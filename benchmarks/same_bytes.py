"""``python -m benchmarks.same_bytes A B``: are the predictions of two results folders the same?

Compares the arrays of ``predictions.npz`` byte by byte, cell by cell, however they are packed and
whatever the cells' keys are: both change with the program.  For a change that must not move a
number, before and after it::

    gzsl-bench run benchmarks/same_bytes.yaml --out before --jobs 2 --threads 1 --tracking-uri none
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from gzsl_bench.scoring.packed import unpacked

#: Data content, data set features, method, its configuration, seed, task.
Name: TypeAlias = "tuple[str, ...]"


def predictions(out: Path) -> dict[Name, str]:
    """SHA-256 of each cell's predictions, or what became of it instead.

    Reads the few fields that records of every version have.
    """
    found = {}
    for folder in sorted((out / "cells").iterdir()):
        record = json.loads((folder / "record.json").read_bytes())
        file = folder / "predictions.npz"
        found[_name(record["identity"])] = (
            _digest(file) if file.is_file() else str(record["status"])
        )
    return found


def _digest(file: Path) -> str:
    with np.load(file, allow_pickle=False) as stored:
        arrays = unpacked({name: stored[name] for name in stored.files})
    hasher = hashlib.sha256()
    for name in sorted(arrays.keys() - {"rounded"}):  # which says how they were made
        array = np.ascontiguousarray(arrays[name])
        hasher.update(f"{name} {array.dtype} {array.shape}".encode())
        hasher.update(array.tobytes())
    return hasher.hexdigest()


def _name(identity: dict[str, Any]) -> Name:
    task = identity["task"]
    return (
        identity["dataset"]["fingerprint"][:12],
        identity["dataset"]["features"],
        identity["method"]["name"],
        json.dumps(identity["method"]["config"], sort_keys=True),
        str(identity["seed"]),
        task if isinstance(task, str) else f"fold {task['fold']}",
    )


def main(arguments: list[str] | None = None) -> int:
    """Print what differs; 1 where anything does."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.same_bytes", description=__doc__)
    parser.add_argument("folders", nargs=2, type=Path, metavar="OUT")
    one, other = (predictions(folder) for folder in parser.parse_args(arguments).folders)
    differing = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
    for name in differing:
        kinds = [found.get(name, "missing")[:12] for found in (one, other)]
        print(" · ".join((*name[:3], f"seed {name[4]}", name[5])), *kinds, sep="  ")
    print(f"{len(one)} and {len(other)} cells, {len(differing)} of them differ")
    return int(bool(differing) or not one)


if __name__ == "__main__":
    sys.exit(main())
