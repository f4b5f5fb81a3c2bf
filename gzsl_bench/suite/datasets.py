"""The data sets of a suite with their content, and what of that each method is handed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gzsl_bench.data.checks import check_data
from gzsl_bench.data.description import DESCRIPTION_FILE
from gzsl_bench.data.folds import Fold, validation_folds
from gzsl_bench.data.identity import extras, identify
from gzsl_bench.errors import DataError, PluginError, SuiteError, unknown_name
from gzsl_bench.hooks.asked import asking
from gzsl_bench.hooks.dataset import DatasetInfo, DatasetRequest, DatasetSpec, MissingFile
from gzsl_bench.suite.load import LoadedSuite
from gzsl_bench.suite.schema import DatasetEntry, MethodEntry

if TYPE_CHECKING:
    from gzsl_bench.data.gzsl import GZSLData
    from gzsl_bench.hooks.manager import Registry
    from gzsl_bench.hooks.method import MethodSpec

#: What methods may need, in words.
NAMES = {
    "regions": "region maps",
    "second": "a second feature set",
    "words": "word vectors of the attributes",
    "groups": "groups of the attributes",
    "class_names": "class names",
}


@dataclass(frozen=True)
class Place:
    """Where data come from on this machine; no part of any identity."""

    root: Path | None
    cache: Path | None


@dataclass(frozen=True)
class Filter:
    """The part of a suite a command is limited to; empty means all of it."""

    datasets: frozenset[str] = frozenset()
    methods: frozenset[str] = frozenset()


def runs_on(method: MethodEntry, entry: DatasetEntry) -> bool:
    """Whether a method of a suite runs on one of its data sets."""
    return method.datasets is None or entry.name in method.datasets


def find_data(
    loaded: LoadedSuite, registry: Registry, place: Place, only: Filter | None = None
) -> Iterator[Found]:
    """The suite's data sets with their content, one after the other.

    Raises:
        DataError: data are missing (all missing files are listed) or damaged.
        SuiteError: the filter names nothing in the suite.
    """
    datasets, methods = wanted(loaded, only or Filter())
    requests = [
        request(
            entry,
            dataset_spec(registry, entry.use, place.root),
            place,
            [registry.methods[method.use] for method in methods if runs_on(method, entry)],
        )
        for entry in datasets
    ]
    _refuse_missing(registry, datasets, requests)
    numbers = range(1, loaded.suite.folds + 1) if loaded.suite.needs_folds else ()
    for entry, asked in zip(datasets, requests, strict=True):
        data = load_data(dataset_spec(registry, entry.use), asked)
        yield Found(entry, asked, data, validation_folds(data, numbers) if numbers else ())


def request(
    entry: DatasetEntry, spec: DatasetSpec, place: Place, methods: Sequence[MethodSpec] = ()
) -> DatasetRequest:
    """The variant of a data set that a suite's entry asks for.

    Args:
        entry: the entry.
        spec: the data set.
        place: where data are.
        methods: those that run on it: region maps and a second feature set are only asked for
            where one of them takes such.

    Raises:
        SuiteError: one needs region maps, or a second feature set, and nobody says which.
    """
    taken = {name for method in methods for name in (*method.needs, *method.wants)}
    regions = entry.regions or (spec.regions[0] if len(spec.regions) == 1 else None)
    for method in methods:
        if "regions" in method.needs and regions is None:
            hint = "none; name those that have as `datasets` of the method's entry"
            if spec.regions:
                hint = f"several; name one as `regions` of its entry: {', '.join(spec.regions)}"
            raise SuiteError(
                f"method {method.name!r} needs region maps, and the data set {entry.name} has"
                f" {hint}"
            )
        if "second" in method.needs and entry.second is None:
            raise SuiteError(
                f"method {method.name!r} needs a second feature set, so the entry of the data set"
                f" {entry.name} must name one: `second: NAME`"
            )
    return DatasetRequest(
        name=entry.use,
        root=place.root,
        features=entry.features or spec.features,
        attributes=entry.attributes or spec.attributes,
        cache=place.cache,
        regions=regions if "regions" in taken else None,
        second=entry.second if "second" in taken else None,
    )


def info(entry: DatasetEntry, asked: DatasetRequest) -> DatasetInfo:
    """What methods may know for their defaults: of a recipe the name of its data set."""
    return DatasetInfo(entry.recipe or entry.use, asked.features, asked.attributes)


def dataset_spec(registry: Registry, name: str, root: Path | None = None) -> DatasetSpec:
    """The registered data set, or a folder of that name.

    Args:
        registry: what is installed.
        name: how the suite calls it.
        root: the data folder, where the default variant matters: a description there names it.
    """
    from gzsl_bench.builtin.datasets import current_spec, folder_spec

    registered = registry.datasets.get(name)
    return current_spec(registered, root) if registered else folder_spec(name, root)


def load_data(spec: DatasetSpec, asked: DatasetRequest) -> GZSLData:
    """Load, check and identify data, whoever provides them.

    Only readers that come along identify what they read: a plugin that hands on what one of them
    read, with other features or region maps say, hands on the digests of what it was.

    Raises:
        DataError: the data are not what they should be.
        PluginError: a plugin fails to load them, or gives something else.
    """
    from gzsl_bench.builtin.datasets import reads
    from gzsl_bench.data.gzsl import GZSLData

    if reads(spec):
        return spec.load(asked)
    with asking(f"data set {spec.name!r}: its load"):
        data = spec.load(asked)
    if not isinstance(data, GZSLData):
        raise PluginError(
            f"data set {spec.name!r}: its load gives a {type(data).__name__};"
            " gzsl_bench.GZSLData is expected"
        )
    with asking(f"data set {spec.name!r}: the check of what it loads"):
        maps = None if data.regions is None else replace(data.regions, digest="")
        return identify(check_data(replace(data, fingerprint="", regions=maps)))


def missing_files(spec: DatasetSpec, asked: DatasetRequest) -> list[MissingFile]:
    """What a data set says it lacks.

    Raises:
        DataError: in its own words.
        PluginError: it cannot say.
    """
    with asking(f"data set {spec.name!r}: its missing"):
        found = list(spec.missing(asked))
    for entry in found:
        if not isinstance(entry, MissingFile):
            raise PluginError(
                f"data set {spec.name!r}: its missing gives a {type(entry).__name__};"
                " gzsl_bench.MissingFile is expected"
            )
    return found


def wanted(loaded: LoadedSuite, only: Filter) -> tuple[list[DatasetEntry], list[MethodEntry]]:
    """The entries that a command is limited to.

    Raises:
        SuiteError: the filter names nothing in the suite.
    """
    for asked, entries, kind in (
        (only.datasets, loaded.suite.datasets, "data set"),
        (only.methods, loaded.suite.methods, "method"),
    ):
        there = {entry.name for entry in entries}
        for name in sorted(asked - there):
            raise SuiteError(unknown_name(f"{kind} of this suite", name, there))
    return (
        [e for e in loaded.suite.datasets if not only.datasets or e.name in only.datasets],
        [e for e in loaded.suite.methods if not only.methods or e.name in only.methods],
    )


def refuse_twins(loaded: LoadedSuite, only: Filter, why: str) -> None:
    """For whoever names data sets by their labels alone.

    Args:
        loaded: the suite.
        only: the part of it that is wanted.
        why: labels have to differ.

    Raises:
        SuiteError: two data sets share one.
    """
    labels = [entry.name for entry in wanted(loaded, only)[0]]
    for index, entry in enumerate(loaded.suite.datasets):
        if labels.count(entry.name) > 1:
            raise loaded.file.error(
                ("datasets", index),
                f"two data sets are called {entry.name!r}, so {why}; give each a `label` of its"
                " own",
            )


def _refuse_missing(
    registry: Registry, entries: Sequence[DatasetEntry], requests: Sequence[DatasetRequest]
) -> None:
    found: dict[str, MissingFile] = {}
    for entry, asked in zip(entries, requests, strict=True):
        for file in missing_files(dataset_spec(registry, entry.use), asked):
            found.setdefault(file.path, file)
    if not found:
        return
    lines = [f"  {file.path}: {file.hint}" for file in found.values()]
    number = f"{len(lines)} data file{'s are' if len(lines) > 1 else ' is'}"
    raise DataError("\n".join([f"{number} missing, so nothing was run:", *lines]))


@dataclass(frozen=True, eq=False)
class Found:
    """A data set of the suite with its content and its validation folds.

    Attributes:
        entry: what the suite says of it.
        asked: the variant.
        data: its content.
        folds: none where the suite needs none.
    """

    entry: DatasetEntry
    asked: DatasetRequest
    data: GZSLData
    folds: Sequence[Fold]

    @cached_property
    def tasks(self) -> list[dict[str, Any]]:
        """What keys say of the validation folds."""
        return [fold.describe() for fold in self.folds]

    @cached_property
    def extras(self) -> dict[str, str]:
        """What it has besides features and class embedding."""
        return extras(self.data)

    def given(self, method: MethodSpec) -> dict[str, str]:
        """What of that a method is handed.

        Raises:
            SuiteError: it lacks what the method needs.
        """
        for name in method.needs:
            if name not in self.extras:
                raise SuiteError(
                    f"method {method.name!r} needs {NAMES[name]}, and the data set"
                    f" {self.entry.name} has none; a {DESCRIPTION_FILE} can name them, or leave the"
                    " data set out of the `datasets` of the method's entry"
                )
        taken = {*method.needs, *method.wants}
        return {name: digest for name, digest in self.extras.items() if name in taken}

    def identity(self, method: MethodSpec | None = None) -> dict[str, str]:
        """What of it fixes the numbers of a method's cells; without one, features and embedding."""
        return {
            "fingerprint": self.data.fingerprint,
            "trainval_order": str(self.data.provenance.get("trainval_order", "")),
            "features": self.data.feature_set,
            "attributes": self.data.attribute_set,
            **(self.given(method) if method else {}),
        }

    def describe(self) -> dict[str, Any]:
        """What the resolved suite keeps of it."""
        data = self.data
        maps = {} if data.regions is None else {"regions": self.extras["regions"]}
        return {
            "label": self.entry.name,
            "name": self.entry.use,
            "features": data.feature_set,
            "attributes": data.attribute_set,
            "fingerprint": data.fingerprint,
            "preprocessing": self.entry.preprocessing,
            "sizes": {
                "feature_dim": int(data.features.shape[1]),
                "attribute_dim": int(data.attributes.shape[1]),
                "seen_classes": int(data.seen.size),
                "unseen_classes": int(data.unseen.size),
                "trainval": int(data.trainval.size),
                "test_seen": int(data.test_seen.size),
                "test_unseen": int(data.test_unseen.size),
            },
            **maps,
            "provenance": dict(data.provenance),
            "classes": list(data.class_names or ()),
            "folds": [
                task
                | {
                    "source": fold.source,
                    "hidden": fold.unseen.tolist(),
                    "trainval": int(fold.train.size),
                    "test_seen": int(fold.test_seen.size),
                    "test_unseen": int(fold.test_unseen.size),
                }
                for fold, task in zip(self.folds, self.tasks, strict=True)
            ],
        }
