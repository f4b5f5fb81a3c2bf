"""The contract of a data set plugin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gzsl_bench.data.gzsl import GZSLData


@dataclass(frozen=True)
class DatasetInfo:
    """All that ``Method.defaults`` may know: names, nothing measured on the data.

    Attributes:
        name: the data set's name.
        features: the feature set.
        attributes: the class embedding.
    """

    name: str
    features: str
    attributes: str


@dataclass(frozen=True)
class DatasetRequest:
    """Which variant of a data set a suite asks for.

    Attributes:
        name: the data set's name.
        root: the folder that holds one folder per data set; None where no data folder was given.
        features: the feature set: the stem of a feature file for data sets read from disk.
        attributes: the class embedding: a key of att_splits.mat, ``FILE.mat:KEY`` or ``FILE.npy``.
        cache: folder for converted copies; None turns the cache off.
        regions: the region maps that a method needs, or None where none does.
        second: the second feature set, or None where no method needs one.
    """

    name: str
    root: Path | None
    features: str
    attributes: str
    cache: Path | None = None
    regions: str | None = None
    second: str | None = None


@dataclass(frozen=True)
class MissingFile:
    """A file that a data set needs and that is not there.

    Attributes:
        path: where it should be.
        hint: where to get it, as a clause.
    """

    path: str
    hint: str


@dataclass(frozen=True)
class DatasetSpec:
    """What a plugin says about a data set it offers.

    Attributes:
        name: how suites call it.
        load: reads the variant asked for; raises ``DataError`` in one sentence.
        missing: files that ``load`` would not find; empty for data that needs none.
        features: the feature set used where the suite names none.
        attributes: the class embedding used where the suite names none.
        citation: the publication, in one line.
        summary: one sentence: what the images are, where to get them.
        regions: names of the region maps it has; a suite that names none gets the only one.
    """

    name: str
    load: Callable[[DatasetRequest], GZSLData]
    missing: Callable[[DatasetRequest], Sequence[MissingFile]] = lambda request: ()
    features: str = "res101"
    attributes: str = "att"
    citation: str = ""
    summary: str = ""
    regions: tuple[str, ...] = ()
