"""Cells: one training each, of the real task or of a validation fold, and the key that says which.

A key is the hash of a plain-data description.  Order, host, suite name, labels and selection rules
are no part of it, so the same training serves every suite that asks for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NotRequired, TypeAlias

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict  # Python 3.11's own says too little for pydantic

from gzsl_bench.data.tasks import PREPROCESSING
from gzsl_bench.hooks import streams
from gzsl_bench.hooks import task as tasks
from gzsl_bench.scoring import predict

#: Grows when the meaning of a description changes, so that old records never answer for new cells.
IDENTITY_VERSION = 2
#: What ``task`` says of cells that are scored on the test rows; of a fold it is a mapping.
REAL = "real"
#: Fidelity, and preprocessing, of predictions that were made elsewhere: nobody here saw how.
EXTERNAL = "external"
#: Strict in what is read by name; whatever else a description says is kept, for it is hashed.
_OPEN = ConfigDict(strict=True, allow_inf_nan=False, extra="allow")


@with_config(_OPEN)
class DatasetIdentity(TypedDict):
    """What fixes the data of a cell."""

    fingerprint: str
    trainval_order: str
    features: str
    attributes: str
    regions: NotRequired[str]
    second: NotRequired[str]
    words: NotRequired[str]
    groups: NotRequired[str]
    class_names: NotRequired[str]


@with_config(_OPEN)
class MethodIdentity(TypedDict):
    """What fixes the method of a cell."""

    name: str
    version: str
    source: str | None
    config: dict[str, Any]


@with_config(_OPEN)
class FoldIdentity(TypedDict):
    """What fixes the classes and rows of a validation fold."""

    fold: int
    content: str


@with_config(_OPEN)
class Identity(TypedDict):
    """What fixes a cell's numbers, as :func:`identity` makes it."""

    dataset: DatasetIdentity
    preprocessing: str
    setting: str
    task: str | FoldIdentity
    method: MethodIdentity
    seed: int
    precision: str
    code: dict[str, int]


@with_config(_OPEN)
class Request(TypedDict):
    """Which variant of a data set was asked for."""

    use: str
    features: str
    attributes: str
    regions: NotRequired[str]
    second: NotRequired[str]


@with_config(_OPEN)
class Swept(TypedDict):
    """Which point of a sweep a cell belongs to."""

    of: str
    field: str
    value: Any
    description: NotRequired[str]


@with_config(_OPEN)
class About(TypedDict):
    """What is shown of a method."""

    fidelity: str
    citation: NotRequired[str | None]
    deterministic: NotRequired[bool]
    distribution: NotRequired[str]
    sweep: NotRequired[Swept]
    family: NotRequired[str]


if not TYPE_CHECKING:  # what is checked when a cell is read; plain mappings to whoever uses one
    _Identity, _Request, _About = Identity, Request, About
    _Key = Annotated[str, Field(pattern="^[0-9a-f]{24}$")]
else:
    _Key: TypeAlias = str
    _Identity: TypeAlias = Mapping[str, Any]
    _Request: TypeAlias = Mapping[str, str]
    _About: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """One data set x method configuration x seed.

    Attributes:
        key: hash of ``identity``.
        identity: what fixes the result: data content, method, configuration, seed, precision.
        dataset: the data set's label in the suite.
        method: the method's name.
        label: the method's label in the suite.
        seed: the run's seed.
        request: how to load the data: ``use``, ``features``, ``attributes``.
        about: what is shown but changes nothing: fidelity, citation, provenance.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(strict=True, allow_inf_nan=False)

    key: _Key
    identity: _Identity
    dataset: str
    method: str
    label: str
    seed: int
    request: _Request
    about: _About

    @property
    def group(self) -> str:
        """Hash of the identity without the seed: cells that share a row of the table."""
        rest = {name: value for name, value in self.identity.items() if name != "seed"}
        return digest(rest)

    @property
    def fold(self) -> int:
        """The number of the validation fold, from 1; 0 for a cell of the real task."""
        return fold_number(self.identity)

    @property
    def family(self) -> str:
        """Hash of the identity without seed and task: folds share it with the real task."""
        rest = {n: value for n, value in self.identity.items() if n not in ("seed", "task")}
        return digest(rest)

    @property
    def title(self) -> str:
        """``CUB · ACMR · seed 0`` or ``CUB · ACMR · fold 1 · seed 0``."""
        return " · ".join([*self.place, f"seed {self.seed}"])

    @property
    def place(self) -> tuple[str, ...]:
        """Everything of the title but the seed."""
        return (self.dataset, self.label, *((f"fold {self.fold}",) if self.fold else ()))

    def to_json(self) -> dict[str, Any]:
        """Plain data, for the resolved suite and for worker processes."""
        return asdict(self)


def digest(description: Mapping[str, Any]) -> str:
    """Hash of plain data, whatever the order of its keys: 24 hex digits (96 bits)."""
    text = json.dumps(description, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def fold_number(identity: Mapping[str, Any]) -> int:
    """The validation fold that an identity is about, 0 where it is the real task."""
    task = identity.get("task")
    return int(task["fold"]) if isinstance(task, Mapping) else 0


def code_numbers(preprocessing: str, precision: str, *, toolkit: bool) -> dict[str, int]:
    """Numbers of the program's own code that fixes a cell's numbers, whatever the method.

    Whoever changes what such code computes raises its number, and the cells that it touches get new
    keys; ``tests/golden`` says so where somebody forgets.  What only reads predictions (metrics,
    selection rules, calibration) is no part of a key: it is computed again without training.  Nor
    is the reading of data, for a fingerprint is taken of what was read.  A fold has its number in
    ``task``, see :meth:`gzsl_bench.data.folds.Fold.describe`.

    Args:
        preprocessing: what the harness does to the features; each way has a number of its own.
        precision: arithmetic of training; each has a number of its own.
        toolkit: the method imports ``gzsl_bench.stacked``.
    """
    from gzsl_bench.stacked import precision as arithmetics  # imports torch

    found = {
        "precision": arithmetics.NUMERICS[precision],
        "predictions": predict.NUMERICS,
        "preprocessing": PREPROCESSING[preprocessing].numerics,
        "streams": streams.NUMERICS,
        "task": tasks.NUMERICS,
    }
    if toolkit:
        from gzsl_bench import stacked

        found["stacked"] = stacked.NUMERICS
    return found


def identity(
    *,
    dataset: Mapping[str, str],
    preprocessing: str,
    setting: str,
    method: Mapping[str, Any],
    seed: int,
    precision: str,
    toolkit: bool = False,
    task: str | Mapping[str, Any] = REAL,
) -> dict[str, Any]:
    """The description a key is the hash of.

    Args:
        dataset: ``fingerprint``, ``trainval_order``, ``features``, ``attributes``, and what the
            method is handed besides.
        preprocessing: what the harness does to the features.
        setting: ``inductive`` or ``transductive``.
        method: ``name``, ``version``, ``source`` (digest) and the full ``config``.
        seed: the run's seed.
        precision: arithmetic of training.
        toolkit: the method imports ``gzsl_bench.stacked``.
        task: ``real``, or what ``data.folds`` says of a validation fold.
    """
    return {
        "identity_version": IDENTITY_VERSION,
        "dataset": dict(dataset),
        "preprocessing": preprocessing,
        "setting": setting,
        "task": task if isinstance(task, str) else dict(task),
        "method": dict(method),
        "seed": seed,
        "precision": precision,
        "code": code_numbers(preprocessing, precision, toolkit=toolkit),
    }
