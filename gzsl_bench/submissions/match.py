"""Whether a record is of the data and the method that it names, as they are here."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gzsl_bench.data.folds import validation_folds
from gzsl_bench.engine.bench import ready_method
from gzsl_bench.engine.outside.question import questions
from gzsl_bench.engine.taskdata import asked
from gzsl_bench.errors import DataError, PluginError, RecordError, SuiteError, in_one_line
from gzsl_bench.hooks.dataset import DatasetInfo
from gzsl_bench.hooks.images import EXTRAS
from gzsl_bench.suite.cells import EXTERNAL, fold_number
from gzsl_bench.suite.datasets import Found, dataset_spec, load_data, missing_files
from gzsl_bench.suite.resolve import about_method, resolve_config
from gzsl_bench.suite.schema import DatasetEntry

if TYPE_CHECKING:
    from gzsl_bench.data.gzsl import GZSLData
    from gzsl_bench.engine.events import WorkerSettings
    from gzsl_bench.hooks.dataset import DatasetRequest
    from gzsl_bench.hooks.manager import Registry
    from gzsl_bench.hooks.method import MethodSpec
    from gzsl_bench.records.record import Record


class NotHere(DataError):
    """Data that this machine does not have."""


@dataclass
class DataHere:
    """Data sets of this machine; the last one is kept, for records come sorted by them.

    Attributes:
        registry: the plugins.
        settings: paths.
    """

    registry: Registry
    settings: WorkerSettings
    _request: Mapping[str, str] | None = None
    _data: GZSLData | str = ""
    _found: dict[int, Found] = field(default_factory=dict)

    def found(self, record: Record) -> Found:
        """The data set that a record names, with the fold that it is of.

        Raises:
            NotHere: it is not here, or cannot be read.
            RecordError: it has no such fold.
        """
        request, number = asked(record.request, self.settings), fold_number(record.identity)
        if self._request != record.request:
            self._request, self._data = record.request, ""  # one at a time: they are large
            self._found = {}
            self._data = self._load(request)
        if isinstance(self._data, str):
            raise NotHere(
                f"the data set {request.name} ({request.features}, {request.attributes}) is not"
                f" here, so neither its fingerprint nor the test labels were compared: {self._data}"
            )
        if number not in self._found:
            try:
                folds = validation_folds(self._data, [number]) if number else ()
            except DataError as error:
                raise RecordError(f"fold {number} cannot be made of these data: {error}") from None
            entry = DatasetEntry.model_validate({"use": request.name})
            self._found[number] = Found(entry, request, self._data, folds)
        return self._found[number]

    def _load(self, request: DatasetRequest) -> GZSLData | str:
        """The data, or why there are none."""
        try:
            spec = dataset_spec(self.registry, request.name, request.root)
            if missing := missing_files(spec, request):
                return f"{Path(missing[0].path).name} is missing"
            return load_data(spec, request)
        except Exception as error:  # plugins fail as they like
            return in_one_line(error)


def refuse_other_data(record: Record, found: Found) -> None:
    """A record is of these data, this fold, and its predictions are of these test rows.

    Raises:
        RecordError: they are others.
    """
    said: Mapping[str, Any] = dict(record.identity["dataset"])
    here = {**found.identity(), **found.extras}
    for name in ("fingerprint", "trainval_order", "features", "attributes", *EXTRAS):
        if name in said and said[name] != here.get(name):
            raise RecordError(
                f"it is not of the data set {found.asked.name} as it is here: its {name} is"
                f" {said[name]!r}, here {here.get(name)!r}; other data need another name"
            )
    (question,) = questions(found)[-1:]
    task: Any = record.identity["task"]
    if question.fold and found.folds[0].content != task["content"]:
        raise RecordError(
            f"fold {question.fold} of {found.asked.name} has other classes or rows here"
        )
    arrays = record.predictions()
    for name in ("labels", "seen", "unseen"):
        if not np.array_equal(arrays[name], getattr(question, name)):
            raise RecordError(
                f"the {name} beside its predictions are not those of the test rows of"
                f" {question.title}"
            )


def refuse_other_name(record: Record, registry: Registry) -> None:
    """No record is called by the name of a method, or of a data set, that it is not of.

    Raises:
        RecordError: it is.
    """
    elsewhere = record.about["fidelity"] == EXTERNAL
    for called, of, names in (
        (record.label, "outside" if elsewhere else record.method, registry.methods),
        (record.dataset, record.request["use"], registry.datasets),
    ):
        others = {name.casefold() for name in names} - {of.casefold()}
        if _looks(called) in others:
            raise RecordError(f"it is called {called!r} and is of {of!r}")


def _looks(text: str) -> str:
    """A name as it looks: wide letters, blanks and what is not seen at all make no other one."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return "".join(sign for sign in plain if unicodedata.category(sign)[0] not in "CZ")


def why_not_trainable(record: Record, found: Found, registry: Registry, device: str) -> str:
    """Why the cell of a record cannot be trained again here; "" where it can.

    Args:
        record: the record.
        found: its data, as they are here.
        registry: the plugins.
        device: where it would be trained.

    Raises:
        RecordError: the method is here, and the record says of it what is not so.
    """
    if record.about["fidelity"] == EXTERNAL:
        return "it was trained elsewhere, by no plugin"
    if record.method not in registry.methods:
        return f"the method {record.method!r} is not installed here"
    try:
        ready_method(registry, record.cell)
    except PluginError as error:
        return str(error).partition("; ")[0]
    except Exception as error:
        raise RecordError(f"its key names what nobody has: {in_one_line(error)}") from None
    _refuse_other_method(record, found, registry.methods[record.method], registry)
    if found.folds and found.folds[0].describe() != record.identity["task"]:
        return "the program makes folds in another way here"
    then = str(record.provenance.hardware.get("device") or device).partition(":")[0]
    if then != device.partition(":")[0]:
        return f"it was trained on {then}, which rounds otherwise than {device} here"
    return ""


def _refuse_other_method(
    record: Record, found: Found, spec: MethodSpec, registry: Registry
) -> None:
    """What follows from plugin, data and configuration is in the key as it would be here."""
    said = record.identity
    config = said["method"]["config"]
    info = DatasetInfo(found.asked.name, found.asked.features, found.asked.attributes)
    try:
        whole = resolve_config(spec.name, spec.factory, info, config)
        here: dict[str, Any] = {"dataset": found.identity(spec)}
    except SuiteError as error:
        raise RecordError(str(error)) from None
    here |= {"setting": spec.setting, "configuration": whole}
    about = about_method(registry, record.method, config)
    del about["distribution_version"]  # a release may leave a method as it was
    here |= about
    shown: dict[str, Any] = {
        "dataset": said["dataset"],
        "setting": said["setting"],
        "configuration": config,
    }
    shown |= {name: record.about.get(name) for name in about}
    for name, value in here.items():
        if shown[name] != value:
            raise RecordError(
                f"its {name} is {shown[name]!r}, and of {record.method!r} on these data it is"
                f" {value!r}"
            )
