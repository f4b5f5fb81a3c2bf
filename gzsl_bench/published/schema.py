"""What a line of the registry's CSV files may say; every file is checked where it is read."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Percent = Annotated[str, Field(pattern=r"^(\d{1,3}(\.\d{1,2})?)?$")]
YesNo = Literal["yes", "no"]
Commit = Annotated[str, Field(pattern=r"^([0-9a-f]{40})?$")]
Text = Annotated[str, Field(min_length=1)]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PrintedRow(_Line):
    """One printed row of ``data/papers/*.csv``; what is not known is empty.

    Attributes:
        method: the method as the source calls it.
        dataset: the data set as gzsl-bench calls it.
        U: accuracy on unseen classes in percent, as printed; likewise S, H and T1.
        S: accuracy on seen classes.
        H: harmonic mean.
        T1: accuracy where only unseen classes may be predicted.
        features: feature set, by the registry's names (``res101`` is the published one).
        backbone: the network behind the features.
        fine_tuned: whether the backbone was trained on the data set.
        image_size: side of the images in pixels.
        embedding: class embedding.
        selection: on which data the epoch was chosen, where it is not what the release does.
        secondary: ``no`` where the method's authors print it, ``quoted`` in somebody else's table,
            ``rerun`` where others trained it.
        source: where it can be read.
        checked: whether the row was held against its source a second time.
        note: what stands beside it.
    """

    method: Text
    dataset: Literal["CUB", "SUN", "AWA1", "AWA2", "APY", "FLO"]
    U: Percent
    S: Percent
    H: Percent
    T1: Percent
    features: str
    backbone: str
    fine_tuned: Literal["yes", "no", ""]
    image_size: Literal["224", "448", ""]
    embedding: str
    selection: Literal["test", "val", "last", ""]
    secondary: Literal["no", "quoted", "rerun"]
    source: Text
    checked: YesNo
    note: str

    @model_validator(mode="after")
    def _a_number_at_least(self) -> PrintedRow:
        if not (self.H or self.T1 or (self.U and self.S)):
            raise ValueError(f"{self.method} on {self.dataset} has neither H nor T1 nor U and S")
        return self


class Release(_Line):
    """One public code release of ``data/releases.csv``: how it chose what was reported.

    Attributes:
        method: its name.
        printed_as: what tables call it, separated by ``; ``, where that differs; ``-`` for a
            release that no printed number comes from.
        year: of the paper; empty where not known.
        venue: of the paper; empty where not known.
        repository: owner and name on GitHub.
        commit: the one that lines of ``where`` are of.
        licence: of the repository, ``none`` where its tree has none, empty where not looked up.
        selection: on which data the epoch was chosen that is reported: ``test``, ``val``, ``last``
            for the last or a fixed one, ``unknown`` where the code does not say.
        calibration: likewise a bias or gate between seen and unseen classes.
        where: files, with lines or functions.
        read: ``context`` where the lines were read with what is around them, else ``cited``.
        read_commit: the version in which they were read; other versions may say otherwise.
        backbone: the network behind the features.
        fine_tuned: whether it was trained on the data sets.
        image_size: side of the images in pixels.
        embedding: class embeddings.
        setting: ``inductive``, or ``transductive`` where unlabelled test images are used.
        note: what else was seen.
    """

    method: Text
    printed_as: str
    year: Annotated[str, Field(pattern=r"^(20\d\d)?$")]
    venue: str
    repository: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    commit: Commit
    licence: str
    selection: Literal["test", "val", "last", "unknown"]
    calibration: Literal["none", "fixed", "val", "test", "unknown"]
    where: str
    read: Literal["context", "cited"]
    read_commit: Commit
    backbone: str
    fine_tuned: Literal["yes", "no", "both", "prompts", ""]
    image_size: Literal["224", "448", "224 and 448", ""]
    embedding: str
    setting: Literal["inductive", "transductive"]
    note: str

    @model_validator(mode="after")
    def _what_was_read_has_a_place(self) -> Release:
        if (self.read == "context") != bool(self.read_commit):
            raise ValueError(f"{self.method}: lines read in context name the commit, others do not")
        if self.selection != "unknown" and not self.where:
            raise ValueError(f"{self.method}: says how the epoch was chosen, but not where")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """What tables call the method."""
        return tuple(self.printed_as.split("; ")) if self.printed_as else (self.method,)
