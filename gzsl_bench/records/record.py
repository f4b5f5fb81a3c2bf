"""The record of a cell: what it says, how it is built, and the one place where it is read.

``record.json`` holds these fields and no others count: a new one is a field here, with a default,
and whoever measures it gives it a value (:func:`gzsl_bench.engine.environment.provenance`).  What
is written was read back first, so nothing is committed that no command could show.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import AwareDatetime, ConfigDict, Field, JsonValue, TypeAdapter, with_config
from typing_extensions import TypedDict

from gzsl_bench.errors import RecordError
from gzsl_bench.masking import masked
from gzsl_bench.records.strict import OPEN, STRICT, parse
from gzsl_bench.scoring import packed
from gzsl_bench.scoring.axes import Axes, fault
from gzsl_bench.suite.cells import Cell, Identity, digest

#: Grows when the meaning of a field changes; records of another version are not read.
RECORD_VERSION = 3
#: Versions that say the same and less.
_READABLE = (2, RECORD_VERSION)
COMPLETE = "complete"
FAILED = "failed"
#: The method says that it cannot work on this kind of data: final, and no failure.
NOT_APPLICABLE = "not applicable"
#: The metric that every checkpoint has, for rules choose by it.
MAIN = "harmonic_mean"
#: The arrays of a record.
PREDICTIONS = "predictions.npz"
#: Most bytes that they may take once they are unpacked.
MOST_UNPACKED = 4 * 2**30

#: What fits into the integers of numpy, MLflow and everybody else.
Count = Annotated[int, Field(ge=-(2**53), le=2**53)]
#: Means and squares of it are finite, too.
Value = Annotated[float, Field(ge=-1e100, le=1e100)]
Seconds = Annotated[float, Field(ge=0, le=1e12)]


@with_config(OPEN)
class AboutMetric(TypedDict, total=False):
    """How to read a metric, and whose version computed it."""

    percent: bool
    higher_is_better: bool
    unit: str
    summary: str
    in_table: bool
    distribution: str
    version: str


@dataclass(frozen=True)
class Checkpoint:
    """What was measured at one point of a training.

    Attributes:
        number: the method's own count, an epoch say.
        metrics: by name; shares are times 100.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    number: Count
    metrics: Mapping[str, Value]


@dataclass(frozen=True)
class Program:
    """A build of gzsl-bench.

    Attributes:
        version: its version.
        commit: the commit that it was checked out or installed from; None where nobody knows, as of
            a release.
        dirty: files of the program differ from that commit.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    version: str
    commit: str | None = None
    dirty: bool = False

    def __str__(self) -> str:
        if self.commit is None:
            return self.version
        return f"{self.version} at {self.commit[:12]}{', changed' if self.dirty else ''}"


@dataclass(frozen=True)
class Provenance:
    """How a record came about: when, where, and from which code.

    Attributes:
        started: when the training began.
        seconds: what it took, for all cells that were trained together.
        unit: name of the unit of work.
        trained: keys of the cells that were trained together, this one among them.
        peak_memory: bytes; the most that was held, None where nobody looked.
        versions: of gzsl-bench, Python and the libraries that compute.
        hardware: ``device``, ``processor``, the ``instructions`` that torch computes with,
            ``cores``, ``threads``, ``system``; of a GPU its name as ``accelerator`` and the version
            of ``cuda``.
        command: the command line.
        program: the build of gzsl-bench at work.
        started_in: commit of the repository that the command was started in, with ``+`` where its
            files differ: it belongs to the user's project, not to the program.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    started: AwareDatetime
    seconds: Seconds
    unit: str = ""
    trained: tuple[str, ...] = ()
    peak_memory: Count | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    hardware: Mapping[str, str | Count | None] = field(default_factory=dict)
    command: str = ""
    program: Program | None = None
    started_in: str | None = None

    @property
    def threads(self) -> int | None:
        """CPU threads of the training, which may change how sums are rounded."""
        found = self.hardware.get("threads")
        return found if isinstance(found, int) else None


@dataclass(frozen=True)
class Record:
    """A finished, failed or inapplicable cell.

    Attributes:
        key: the cell's key, the hash of ``identity``.
        status: :data:`COMPLETE`, :data:`FAILED` or :data:`NOT_APPLICABLE`.
        identity: what fixes the numbers.
        dataset: the data set's label; ``method``, ``label``, ``seed``, ``request`` and ``about``
            are the cell's, too.
        provenance: how it came about.
        cause: why there are no numbers, in one sentence.
        traceback: where it failed.
        checkpoints: in the order they came.
        axes: names and lengths of what their numbers count (:mod:`gzsl_bench.scoring.axes`).
        curves: values by step, for each name that the method logged.
        not_finite: names of logged values that end as NaN or infinite, and the step since when.
        metrics: how to read each metric, and whose version computed it.
        predictions_sha256: hash of ``predictions.npz``.
        path: its folder; that of no record until it was read from one.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    key: str
    status: Literal["complete", "failed", "not applicable"]
    identity: Identity
    dataset: str
    method: str
    label: str
    seed: Count
    request: Mapping[str, str]
    about: Mapping[str, JsonValue]
    provenance: Provenance
    cause: str = ""
    traceback: str = ""
    checkpoints: tuple[Checkpoint, ...] = ()
    axes: tuple[tuple[str, Count], ...] = ()
    curves: Mapping[str, tuple[tuple[Count, float], ...]] = field(default_factory=dict)
    not_finite: Mapping[str, Count] = field(default_factory=dict)
    metrics: Mapping[str, AboutMetric] = field(default_factory=dict)
    predictions_sha256: str | None = None
    record_version: int = RECORD_VERSION
    path: Annotated[Path, Field(exclude=True)] = Path()

    @classmethod
    def of(
        cls,
        cell: Cell,
        status: str,
        provenance: Provenance,
        *,
        cause: str = "",
        traceback: str = "",
        checkpoints: Iterable[Checkpoint] = (),
        axes: Axes = (),
        curves: Mapping[str, Iterable[tuple[int, float]]] | None = None,
        not_finite: Mapping[str, int] | None = None,
        metrics: Mapping[str, Any] | None = None,
    ) -> Record:
        """The record of a cell, whatever became of it.

        What people wrote or a plugin said may hold a password, which is masked, or what is no text.
        """
        return cls(
            key=cell.key,
            status=status,  # type: ignore[arg-type]  # looked at when it is committed
            identity=cell.identity,  # type: ignore[arg-type]
            dataset=cell.dataset,
            method=cell.method,
            label=cell.label,
            seed=cell.seed,
            request=cell.request,
            about=cell.about,
            provenance=replace(provenance, command=_shown(provenance.command)),
            cause=_shown(cause),
            traceback=_shown(traceback),
            checkpoints=tuple(checkpoints),
            axes=tuple(axes),
            curves={name: tuple(points) for name, points in (curves or {}).items()},
            not_finite=not_finite or {},
            metrics=metrics or {},
        )

    def as_failed(self, cause: str) -> Record:
        """The same cell with its numbers gone, because they could not be kept."""
        return replace(
            self,
            status="failed",
            cause=_shown(cause),
            traceback="",
            checkpoints=(),
            axes=(),
            curves={},
            not_finite={},
        )

    @property
    def cell(self) -> Cell:
        """What it is of."""
        return Cell(
            self.key, self.identity, self.dataset, self.method, self.label, self.seed,
            self.request, self.about,
        )  # fmt: skip

    @property
    def complete(self) -> bool:
        """Whether there are numbers."""
        return self.status == COMPLETE

    @property
    def not_applicable(self) -> bool:
        """Whether the method said that it cannot work on these data."""
        return self.status == NOT_APPLICABLE

    @property
    def final(self) -> bool:
        """Whether there is nothing left to try: numbers, or no way to have any."""
        return self.complete or self.not_applicable

    @property
    def seconds_each(self) -> float:
        """What one run took: time of runs that were trained as one is shared out among them."""
        return self.provenance.seconds / (len(self.provenance.trained) or 1)

    def predictions(self) -> dict[str, np.ndarray]:
        """The arrays of ``predictions.npz``.

        Raises:
            RecordError: the file is missing, damaged or another one than was recorded.
        """
        try:
            raw = (self.path / PREDICTIONS).read_bytes()
            if hashlib.sha256(raw).hexdigest() != self.predictions_sha256:
                raise RecordError(
                    "they are not those that were recorded"
                    f" (their SHA-256 is not {self.predictions_sha256})"
                )
            return packed.read(raw, MOST_UNPACKED)
        except FileNotFoundError:
            why = "the file is missing"
        # zipfile, zlib and numpy raise many things at what is no file of ours.
        except Exception as error:
            why = " ".join(str(error).split()) or type(error).__name__
        raise RecordError(f"{PREDICTIONS} of cell {self.key} cannot be read: {why}")

    def to_json(self) -> bytes:
        """``record.json``: the same record gives the same bytes.

        Raises:
            RecordError: it holds what no reader would take.
        """
        try:
            plain = adapter().dump_python(self, mode="json", warnings=False)
            raw = json.dumps(plain, indent=1, sort_keys=True, allow_nan=False).encode()
        except (ValueError, TypeError, RecursionError) as error:
            raise RecordError(f"the record holds what cannot be written: {error}") from error
        parsed(raw, self.key)
        return raw


def parsed(raw: bytes, key: str, path: Path = Path()) -> Record:
    """A record from the bytes of its ``record.json``.

    Args:
        raw: the file.
        key: of the cell it should be of.
        path: its folder.

    Raises:
        OtherVersion: an earlier or a later version of the program wrote it.
        RecordError: it is no record, or one of another cell; the message begins with what is wrong.
    """
    try:
        record = parse(adapter(), raw)
    except RecordError:
        _refuse_other_version(raw)
        raise
    if record.record_version not in _READABLE:
        raise OtherVersion(record.record_version)
    if record.key != key:
        raise RecordError(f"it has the key {record.key!r}")
    try:
        hashed = digest(record.identity)
    except (TypeError, ValueError, RecursionError):
        hashed = "nothing"
    if hashed != key:
        raise RecordError(f"its identity hashes to {hashed}: the key is not of this cell")
    if record.complete and not record.checkpoints:
        raise RecordError("it has no checkpoints")
    if any(MAIN not in checkpoint.metrics for checkpoint in record.checkpoints):
        raise RecordError(f"a checkpoint has no {MAIN}")
    if len({checkpoint.number for checkpoint in record.checkpoints}) < len(record.checkpoints):
        raise RecordError("two of its checkpoints have one number")
    if why := fault(record.axes, (checkpoint.number for checkpoint in record.checkpoints)):
        raise RecordError(why)
    return replace(record, path=path)


class OtherVersion(RecordError):
    """A record that another version of the program wrote.

    Args:
        version: the record's.
    """

    def __init__(self, version: int) -> None:
        self.version = version
        self.newer = version > RECORD_VERSION
        writer = "a newer gzsl-bench, so upgrade" if self.newer else "an earlier version"
        super().__init__(f"it was written by {writer} (record version {version})")


def _shown(text: str) -> str:
    return masked(text.encode("utf-8", "replace").decode())


def _refuse_other_version(raw: bytes) -> None:
    """Say so where what does not fit is of another version; what it looks like is unknown."""
    try:
        version = parse(TypeAdapter(_Versioned), raw).record_version
    except RecordError:
        return
    if version not in _READABLE:
        raise OtherVersion(version)


@dataclass(frozen=True)
class _Versioned:
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    record_version: Count


@cache
def adapter() -> TypeAdapter[Record]:
    """Reads and writes records; made once in a process, which takes longer than a small cell."""
    return TypeAdapter(Record)
