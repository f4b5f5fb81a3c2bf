"""Search spaces: which values of a method's hyper-parameters ``gzsl-bench tune`` tries.

A list names the values themselves, a range their limits.  Whether a range means whole numbers is
the method's to say: a field that refuses fractions gets none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from gzsl_bench.data.yamlfile import KeyPath, YamlFile
from gzsl_bench.errors import unknown_name

if TYPE_CHECKING:
    from gzsl_bench.hooks.config import Config

SearchKind: TypeAlias = Literal["grid", "random"]
#: More candidates than this are a slip of the keyboard, or need another kind of search.
MOST_TRIALS = 2000
#: Stand in pydantic's paths where a file has no key.
TAGS = ("<list>", "<range>")

Number = Annotated[float, Field(allow_inf_nan=False)]


class Range(BaseModel):
    """Numbers from ``low`` to ``high``, both included."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: Number = Field(description="the smallest value tried")
    high: Number = Field(description="the largest value tried")
    log: bool = Field(
        False, strict=True, description="draw the logarithm evenly: for values of many magnitudes"
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low must be smaller than high, but {self.low:g} is not")
        if math.isinf(self.high - self.low):
            raise ValueError(f"{self.low:g} to {self.high:g} is wider than numbers go")
        if self.log and self.low <= 0:
            raise ValueError(f"a range with log: true must begin above 0, not at {self.low:g}")
        return self


def different(values: list[Any]) -> list[Any]:
    """A value listed twice is a slip: it would be trained once and shown twice."""
    if len({json.dumps(value, sort_keys=True, default=str) for value in values}) < len(values):
        raise ValueError("the same value is listed twice")
    return values


def _form(value: Any) -> str | None:
    if isinstance(value, list):
        return TAGS[0]
    return TAGS[1] if isinstance(value, Mapping | Range) else None


#: What may stand beside a field under ``tune``.
Dimension = Annotated[
    Annotated[list[Any], Field(min_length=1), AfterValidator(different), Tag(TAGS[0])]
    | Annotated[Range, Tag(TAGS[1])],
    Discriminator(
        _form,
        custom_error_type="dimension",
        custom_error_message="a list of values or a range with low and high is expected",
    ),
]
Space = Annotated[dict[str, Dimension], Field(min_length=1)]
Trials = Annotated[int, Field(strict=True, ge=1, le=MOST_TRIALS)]


@dataclass(frozen=True)
class Interval:
    """Limits of a number, both included; ``whole`` numbers have no fraction."""

    low: float
    high: float
    log: bool
    whole: bool


def dimensions(
    space: Mapping[str, list[Any] | Range], config: type[Config], given: Mapping[str, Any]
) -> dict[str, list[Any] | Interval]:
    """The space as candidates are drawn from it.

    Args:
        space: a checked search space.
        config: the method's configuration.
        given: the suite's fixed values.
    """
    return {
        name: Interval(part.low, part.high, part.log, _refuses_fractions(config, given, name, part))
        if isinstance(part, Range)
        else part
        for name, part in space.items()
    }


def size(parts: Mapping[str, list[Any] | Interval]) -> float:
    """How many combinations there are; infinite where a range has fractions."""
    count = 1.0
    for part in parts.values():
        if isinstance(part, list):
            count *= len(part)
        else:
            count *= part.high - part.low + 1 if part.whole else math.inf
    return count


def contradiction(
    space: Mapping[str, list[Any] | Range],
    given: Mapping[str, Any],
    search: SearchKind,
    trials: int | None,
) -> tuple[KeyPath, str] | None:
    """What is wrong with a search space whatever the method, and where within its entry."""
    for name, part in space.items():
        if name in given:
            return (
                ("tune", name),
                f"{name!r} is fixed under `config` and tuned; it can be only one of them",
            )
        if search == "grid" and isinstance(part, Range):
            return (
                ("tune", name),
                f"{name!r} is a range, and a grid is made of lists; list its values, or write"
                " `search: random` and a number of `trials`",
            )
    if search == "random" and trials is None:
        return ("tune",), "a random search needs a number of `trials`"
    # Without ranges only; whether a range is finite is not known here.
    combinations = math.prod(len(part) for part in space.values() if isinstance(part, list))
    if search == "grid" and combinations > MOST_TRIALS:
        return (
            ("tune",),
            f"this grid has {combinations} combinations, and {MOST_TRIALS} are the most; list fewer"
            " values, or write `search: random` and a number of `trials`",
        )
    return None


def check_space(
    file: YamlFile,
    path: KeyPath,
    space: Mapping[str, list[Any] | Range],
    config: type[Config],
    given: Mapping[str, Any],
) -> None:
    """Check a space, or a sweep, against the method's configuration.

    Args:
        file: where it stands.
        path: the key ``tune`` or ``sweep`` of the method's entry.
        space: the space.
        config: the method's configuration.
        given: the suite's fixed values, which were checked.

    Raises:
        SuiteError: with file, line and what would be right.
    """
    for name, part in space.items():
        if name not in config.model_fields:
            message = unknown_name("hyper-parameter", name, config.model_fields)
            raise file.error((*path, name), message)
        if isinstance(part, Range):
            whole = _refuses_fractions(config, given, name, part)
            for key in ("low", "high"):
                value = getattr(part, key)
                if whole and not float(value).is_integer():
                    raise file.error(
                        (*path, name, key),
                        f"{name!r} takes whole numbers only, so {key!r} cannot be {value:g}",
                    )
                value = int(value) if whole else value
                _check_value(file, (*path, name, key), config, given, name, value)
        else:
            for index, value in enumerate(part):
                _check_value(file, (*path, name, index), config, given, name, value)


def _check_value(
    file: YamlFile,
    path: KeyPath,
    config: type[Config],
    given: Mapping[str, Any],
    name: str,
    value: Any,
) -> None:
    complaint = _complaint(config, {**given, name: value}, name)
    if complaint is not None:
        message = f"{complaint['msg'][0].lower()}{complaint['msg'][1:]}"
        raise file.error(path, f"{name!r} cannot be {value!r}: {message}")


def _complaint(config: type[Config], values: Mapping[str, Any], name: str) -> Any:
    """What the configuration has against one field; combinations are judged where they are made."""
    try:
        config.model_validate(values)
    except ValidationError as error:
        return next((e for e in error.errors() if e["loc"][:1] == (name,)), None)
    return None


def _refuses_fractions(
    config: type[Config], given: Mapping[str, Any], name: str, part: Range
) -> bool:
    middle = math.floor((part.low + part.high) / 2) + 0.5
    complaint = _complaint(config, {**given, name: middle}, name)
    return complaint is not None and complaint["type"] == "int_from_float"
