"""A results repository: what others submitted, and what was found when it was checked.

``submissions/NAME/`` is an unpacked archive of records (:mod:`gzsl_bench.records.unpacked`) with a
``submission.json``; ``checked/NAME.json`` says of each record what a check of the repository found
(:mod:`gzsl_bench.submissions`).  Only the repository's own checks write there.  A verdict
names the very bytes that it is about, so it never speaks for what came later.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from pydantic import ConfigDict, Field, TypeAdapter

from gzsl_bench import atomic
from gzsl_bench.errors import RecordError
from gzsl_bench.records import strict
from gzsl_bench.records.layout import Layout
from gzsl_bench.records.record import Provenance, Seconds
from gzsl_bench.records.unpacked import ABOUT
from gzsl_bench.version import __version__

#: The file that says of a folder that it is a results repository.
MARK = "repository.json"
FORMAT: Final = "gzsl-bench results repository"
NAME = re.compile(r"[a-z0-9]+([-_.][a-z0-9]+)*")
LONGEST_NAME = 60

Status: TypeAlias = Literal["reproduced", "recomputed", "as submitted", "not reproduced", "refused"]
#: Trained again: every predicted class is that of the record, and its scores but for rounding.
REPRODUCED: Status = "reproduced"
#: Every metric follows from the predictions, and these are of the data and the key they claim.
RECOMPUTED: Status = "recomputed"
#: Its files agree with each other; of the rest nothing could be checked.
AS_SUBMITTED: Status = "as submitted"
#: Trained again: it gave other predictions.
NOT_REPRODUCED: Status = "not reproduced"
#: It contradicts itself, the data or the plugins, and counts for nothing.
REFUSED: Status = "refused"
#: Best first.
STATUSES: tuple[Status, ...] = (REPRODUCED, RECOMPUTED, AS_SUBMITTED, NOT_REPRODUCED, REFUSED)

_Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
#: Where each file of a new repository lies, and its template.
_TEMPLATE = {"README.md": "README.md", "check.yml": ".github/workflows/check.yml"}


@dataclass(frozen=True)
class Submission:
    """``submission.json``: who submits, and what.

    Attributes:
        who: whose results these are.
        contact: an address that answers.
        text: whatever else is to be said.
        records: how many there are.
        when: the day (UTC) of the last training.
        programs: builds of gzsl-bench that wrote the records.
        suites: names of the suites that come along.
    """

    __pydantic_config__: ClassVar[ConfigDict] = strict.STRICT

    who: _Line
    contact: _Line
    records: int
    when: str
    programs: tuple[str, ...]
    suites: tuple[str, ...]
    text: Annotated[str, Field(max_length=10_000)] = ""
    submission_version: Literal[1] = 1

    @classmethod
    def of(
        cls,
        trainings: Iterable[Provenance],
        suites: Iterable[str],
        who: str,
        contact: str,
        text: str = "",
    ) -> Submission:
        """What is to be said of some records.

        Raises:
            RecordError: it is not said by whom, or in more than a line.
        """
        found = list(trainings)
        days = [one.started.astimezone(UTC).date().isoformat() for one in found]
        made = cls(
            who,
            contact,
            len(found),
            max(days, default=""),
            tuple(sorted({str(one.program or "unknown") for one in found})),
            tuple(sorted(suites)),
            text,
        )
        strict.parse(_submissions(), made.to_json())
        return made

    def to_json(self) -> bytes:
        """The file."""
        return _submissions().dump_json(self, indent=1) + b"\n"


@dataclass(frozen=True)
class Verdict:
    """What a check found of one record.

    Attributes:
        status: one of :data:`STATUSES`.
        why: what was found, in a sentence.
        record_sha256: of of the ``record.json`` it is about, which names its predictions'.
        rescored_sha256: of the rescoring over it, if there is one.
        predictions: digest of the predicted classes and scores, however their file is packed.
        method: whose they are.
        seconds: what a training took where it was made again, in two digits.
    """

    __pydantic_config__: ClassVar[ConfigDict] = strict.STRICT

    status: Status
    why: str = ""
    record_sha256: str | None = None
    rescored_sha256: str | None = None
    predictions: str | None = None
    method: str = ""
    seconds: Seconds | None = None


@dataclass(frozen=True)
class Checked:
    """``checked/NAME.json``: what a check found of one submission.

    Attributes:
        records: a verdict for each record that the submission names, by key.
        refused: what else in it is wrong; where no record is named, why it is refused as a whole.
        program: the build of gzsl-bench that checked it.
    """

    __pydantic_config__: ClassVar[ConfigDict] = strict.STRICT

    records: Mapping[str, Verdict] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    program: str = ""
    checked_version: Literal[1] = 1

    def count(self, status: Status) -> int:
        """How many records have a status."""
        return sum(one.status == status for one in self.records.values())

    @property
    def sound(self) -> bool:
        """Whether nothing was refused, and nothing came out otherwise when it was made again."""
        return not (self.refused or self.count(REFUSED) or self.count(NOT_REPRODUCED))


@dataclass(frozen=True)
class Repository:
    """The files of a results repository.

    Attributes:
        root: its folder.
    """

    root: Path

    @classmethod
    def at(cls, root: Path) -> Repository:
        """The results repository in a folder.

        Raises:
            RecordError: there is none, or one of another version.
        """
        try:
            strict.parse(TypeAdapter(_Mark), strict.plain(root / MARK))
        except FileNotFoundError:
            raise RecordError(
                f"{root} is no results repository: it has no {MARK}; `gzsl-bench records init"
                f" {root}` makes one"
            ) from None
        except (OSError, RecordError) as error:
            raise RecordError(f"{root / MARK} cannot be read: {error}") from None
        for part in ("submissions", "checked"):
            if (root / part).is_symlink():
                raise RecordError(f"{root / part} is a link and leads elsewhere")
        return cls(root)

    @classmethod
    def create(cls, root: Path) -> Repository:
        """Write the files of a new results repository.

        Raises:
            RecordError: a file is there already, or the folder cannot be written.
        """
        source = resources.files("gzsl_bench.records") / "template"
        texts = {
            place: (source / name).read_text(encoding="utf-8") for name, place in _TEMPLATE.items()
        }
        texts["requirements.txt"] = f"gzsl-bench[methods]=={__version__}\n"
        if Layout(root).cells.is_dir():
            raise RecordError(
                f"{root} is a results folder; a results repository is a folder of its own, to which"
                " `gzsl-bench records submit` adds records"
            )
        for place in (*texts, MARK):
            if (root / place).exists():
                raise RecordError(f"{root / place} is there already and is not replaced")
        try:
            for place, text in texts.items():
                atomic.write_text(root / place, text)
            atomic.write_json(root / MARK, asdict(_Mark(FORMAT, 1)))
        except OSError as error:
            raise RecordError(f"{root} cannot be written: {error.strerror or error}") from None
        return cls(root)

    @property
    def names(self) -> list[str]:
        """The submissions that have a name as they should."""
        return sorted(filter(_is_name, self._there()))

    @property
    def misnamed(self) -> list[str]:
        """What else lies beside them, and counts for nothing."""
        return sorted(name for name in self._there() if not _is_name(name))

    def _there(self) -> list[str]:
        folder = self.root / "submissions"
        there = folder.iterdir() if folder.is_dir() else ()
        return [place.name for place in there if not place.name.startswith(".")]

    def submission(self, name: str) -> Path:
        """The folder of a submission: a results folder of its records, too.

        Raises:
            RecordError: the name is none that a submission may have.
        """
        if not _is_name(name):
            raise RecordError(
                f"{name!r} is no name of a submission: lower case letters and digits, at most"
                f" {LONGEST_NAME}, with a hyphen, underscore or point between them, would do"
            )
        return self.root / "submissions" / name

    def about(self, name: str) -> Submission:
        """What a submission says of itself.

        Raises:
            RecordError: it says nothing that can be read.
        """
        place = self.submission(name) / ABOUT
        try:
            return strict.parse(_submissions(), strict.plain(place))
        except (OSError, RecordError) as error:
            why = (error.strerror or str(error)) if isinstance(error, OSError) else error
            raise RecordError(f"submissions/{name}/{ABOUT} cannot be read: {why}") from None

    def checked_file(self, name: str) -> Path:
        """What a check found of a submission."""
        return self.root / "checked" / f"{name}.json"

    def checked(self, name: str) -> Checked | None:
        """What a check found, as far as it is about what lies there now; None where there was none.

        A record without a verdict was never checked, or has changed since.
        """
        found = strict.read(_checks(), self.checked_file(name))
        if found is None:
            return None
        layout = Layout(self.submission(name))
        standing = {
            key: verdict
            for key, verdict in found.records.items()
            if fingerprints(layout, key) == (verdict.record_sha256, verdict.rescored_sha256)
        }
        return Checked(standing, found.refused, found.program)

    def write_checked(self, name: str, found: Checked) -> None:
        """Keep what a check found.

        Raises:
            RecordError: it cannot be written.
        """
        place = self.checked_file(name)
        try:
            atomic.write_text(place, _checks().dump_json(found, indent=1).decode() + "\n")
        except OSError as error:
            raise RecordError(f"{place} cannot be written: {error.strerror or error}") from None

    def forget_gone(self) -> None:
        """Remove what was found of submissions that are no longer there."""
        folder, there = self.checked_file("x").parent, self.names
        for place in folder.glob("*.json") if folder.is_dir() else ():
            if place.stem not in there:
                place.unlink()


def _is_name(name: str) -> bool:
    return NAME.fullmatch(name) is not None and len(name) <= LONGEST_NAME


def fingerprints(layout: Layout, key: str) -> tuple[str | None, str | None]:
    """SHA-256 of a record and of the rescoring over it; None for what is no file there."""

    def hashed(path: Path) -> str | None:
        try:
            return hashlib.sha256(strict.plain(path)).hexdigest()
        except OSError:
            return None

    return hashed(layout.cell(key) / "record.json"), hashed(layout.rescoring(key))


@dataclass(frozen=True)
class _Mark:
    __pydantic_config__: ClassVar[ConfigDict] = strict.STRICT

    format: Literal["gzsl-bench results repository"]
    version: Literal[1]


@cache
def _submissions() -> TypeAdapter[Submission]:
    return TypeAdapter(Submission)


@cache
def _checks() -> TypeAdapter[Checked]:
    return TypeAdapter(Checked)
