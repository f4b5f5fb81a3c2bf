"""Sweeps: one hyper-parameter after the other takes other values, all else stays as it is.

What comes out shows how much a result depends on a value.  It is no search: whoever picks the best
point of a sweep by its test results has selected on the test set, so its points are never ranked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from gzsl_bench.suite.space import different

if TYPE_CHECKING:
    from gzsl_bench.hooks.config import Config

#: What may stand under ``sweep``: for each hyper-parameter the values it takes.
Sweep = Annotated[
    dict[str, Annotated[list[Any], Field(min_length=1), AfterValidator(different)]],
    Field(min_length=1),
]
#: Key of a cell's ``about`` that says which point of a sweep it is.
ABOUT = "sweep"


@dataclass(frozen=True)
class Variant:
    """One row that an entry of a suite stands for.

    Attributes:
        label: how tables call it: ``ACMR``, ``ACMR kl_factor=1``.
        config: hyper-parameters that differ from the method's defaults.
        about: which point of which sweep it is; empty for the entry itself.
    """

    label: str
    config: Mapping[str, Any]
    about: Mapping[str, Any]


def variants(
    label: str,
    config: Mapping[str, Any],
    sweep: Mapping[str, Sequence[Any]] | None,
    model: type[Config] | None = None,
) -> list[Variant]:
    """The entry itself, then one variant for each value of each swept hyper-parameter.

    Args:
        label: the entry's label.
        config: its fixed values.
        sweep: what it sweeps.
        model: the method's configuration, for what it says of a hyper-parameter.
    """
    found = [Variant(label, config, {})]
    for name, values in (sweep or {}).items():
        field = None if model is None else model.model_fields.get(name)
        words = (field.description if field is not None else None) or ""
        for value in values:
            about = {"of": label, "field": name, "value": value, "description": words}
            found.append(
                Variant(point(label, name, value), {**config, name: value}, {ABOUT: about})
            )
    return found


def point(label: str, name: str, value: Any) -> str:
    """How tables call one point of a sweep; ``1`` and ``1.0`` are one value."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"{label} {name}={text}"
