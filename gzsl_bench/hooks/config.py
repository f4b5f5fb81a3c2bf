"""The configuration of a method: a checked, documented, immutable set of hyper-parameters."""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator


class Config(BaseModel):
    """Base class of a method's hyper-parameters.

    Subclass it inside the method, give every field a type, a default and a description.  Unknown
    keys and wrong types in a suite are refused with the name of the offending key.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_number_is_true(cls, value: Any, asked: ValidationInfo) -> Any:
        """Pydantic takes ``true`` for 1."""
        field = cls.model_fields[asked.field_name or ""]
        if isinstance(value, bool) and not _takes_truth(field.annotation):
            raise ValueError("true and false are no value of it")
        return value


def _takes_truth(annotation: Any) -> bool:
    """Whether a field of this type may be true or false."""
    if annotation in (bool, Any, object):
        return True
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return any(isinstance(part, bool) for part in parts)
    if origin is Annotated:
        return _takes_truth(parts[0])
    if origin in (Union, UnionType):
        return any(map(_takes_truth, parts))
    named = getattr(annotation, "__value__", None)  # of a type alias
    return named is not None and _takes_truth(named)


def stackable(default: Any, description: str, **constraints: Any) -> Any:
    """A field that may differ between runs trained together: it changes no tensor's shape.

    Loss weights and learning rates qualify; layer sizes, batch sizes and step counts do not.
    """
    return Field(
        default=default,
        description=description,
        json_schema_extra={"stackable": True},
        **constraints,
    )


def stackable_fields(config: type[BaseModel]) -> frozenset[str]:
    """Names of the fields declared with :func:`stackable`."""
    names = set()
    for name, field in config.model_fields.items():
        extra = cast("dict[str, Any]", field.json_schema_extra or {})
        if isinstance(extra, dict) and extra.get("stackable"):
            names.add(name)
    return frozenset(names)
