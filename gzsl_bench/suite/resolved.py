"""A suite as it runs: its cells, and what is kept of its data, without data or plugins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NotRequired, TypeAlias

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from gzsl_bench.scoring.rules import forms, lead, rule_of
from gzsl_bench.suite.cells import Cell

_OPEN = ConfigDict(strict=True, allow_inf_nan=False, extra="allow")


@with_config(_OPEN)
class AboutFold(TypedDict):
    """What a suite keeps of a validation fold."""

    fold: int
    seen_classes: int
    unseen_classes: int
    content: NotRequired[str]
    source: NotRequired[str]


@with_config(_OPEN)
class AboutSource(TypedDict, total=False):
    """Where data came from."""

    files: dict[str, dict[str, Any]]
    split_hashes: dict[str, Any]
    notes: list[str]
    exposure: str


@with_config(_OPEN)
class AboutDataset(TypedDict):
    """What a suite keeps of a data set variant."""

    label: str
    features: str
    attributes: str
    fingerprint: str
    sizes: NotRequired[dict[str, int]]
    provenance: NotRequired[AboutSource]
    folds: NotRequired[list[AboutFold]]
    classes: NotRequired[list[str]]


if not TYPE_CHECKING:  # what is checked when a suite is read; plain mappings to whoever uses one
    _Dataset = AboutDataset
    _Rules = Annotated[tuple[str, ...], Field(min_length=1)]
else:
    _Dataset: TypeAlias = Mapping[str, Any]
    _Rules: TypeAlias = tuple[str, ...]


@dataclass(frozen=True)
class ResolvedSuite:
    """A suite as it runs: everything a later command needs, without data or plugins.

    Attributes:
        name: the suite's name.
        description: what it is for.
        selection: the selection rules, in the order of tables.
        cells: in the suite's order; those of validation folds follow those of the real task.
        datasets: what is known of each data set variant: label, sizes, fingerprint, provenance.
        text: the suite file as written.
        warnings: sentences that the user should read, most of them about data.
        calibration: whether calibrated stacking is shown, too.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(strict=True, allow_inf_nan=False)

    name: str
    description: str
    selection: _Rules
    cells: tuple[Cell, ...]
    datasets: tuple[_Dataset, ...]
    text: str
    warnings: tuple[str, ...] = field(default=())
    calibration: bool = False

    @property
    def rules(self) -> list[str]:
        """The selection rules, each followed by its calibrated form where that is shown."""
        return forms(self.selection, self.calibration)

    @property
    def calibrates_by_folds(self) -> bool:
        """Whether validation folds choose checkpoint and bias together."""
        rules = (rule_of(name) for name in self.selection)
        return self.calibration and any(rule.needs_folds and rule.calibrates for rule in rules)

    @property
    def lead(self) -> str:
        """The rule to lead with: the honest one, whatever the suite names first."""
        return lead(self.selection)

    def to_json(self) -> dict[str, Any]:
        """Plain data, as stored in the results folder."""
        return asdict(self)
