"""Cells: one training each, and the key that says which.

A key is the hash of a plain-data description.  Order, host, suite name, labels and selection rules
are no part of it, so the same training serves every suite that asks for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

#: Grows when the meaning of a description changes, so that old records never answer for new cells.
IDENTITY_VERSION = 1


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

    key: str
    identity: Mapping[str, Any]
    dataset: str
    method: str
    label: str
    seed: int
    request: Mapping[str, str]
    about: Mapping[str, Any]

    @property
    def group(self) -> str:
        """Hash of the identity without the seed: cells that share a row of the table."""
        rest = {name: value for name, value in self.identity.items() if name != "seed"}
        return digest(rest)

    @property
    def title(self) -> str:
        """``CUB · ACMR · seed 0``."""
        return f"{self.dataset} · {self.label} · seed {self.seed}"

    def to_json(self) -> dict[str, Any]:
        """Plain data, for the resolved suite and for worker processes."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Cell:
        """The inverse of :meth:`to_json`."""
        return cls(**data)


def digest(description: Mapping[str, Any]) -> str:
    """Hash of plain data, whatever the order of its keys: 24 hex digits (96 bits)."""
    text = json.dumps(description, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def identity(
    *,
    dataset: Mapping[str, str],
    preprocessing: str,
    setting: str,
    method: Mapping[str, Any],
    seed: int,
    precision: str,
) -> dict[str, Any]:
    """The description a key is the hash of.

    Args:
        dataset: ``fingerprint``, ``trainval_order``, ``features``, ``attributes``.
        preprocessing: what the harness does to the features.
        setting: ``inductive`` or ``transductive``.
        method: ``name``, ``version``, ``source`` and the full ``config``.
        seed: the run's seed.
        precision: arithmetic of training.
    """
    return {
        "identity_version": IDENTITY_VERSION,
        "dataset": dict(dataset),
        "preprocessing": preprocessing,
        "setting": setting,
        # Validation folds will be tasks of their own; the test task is "real".
        "task": "real",
        "method": dict(method),
        "seed": seed,
        "precision": precision,
    }
