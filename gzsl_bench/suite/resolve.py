"""From a checked suite to its cells: data are identified, defaults filled in, keys computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NotRequired, TypeAlias

from pydantic import ConfigDict, Field, ValidationError, with_config
from typing_extensions import TypedDict

from gzsl_bench.data.checks import check_data
from gzsl_bench.data.description import DESCRIPTION_FILE
from gzsl_bench.data.folds import Fold, validation_folds
from gzsl_bench.data.identity import extras, identify
from gzsl_bench.errors import DataError, PluginError, SuiteError, in_one_line, unknown_name
from gzsl_bench.hooks.dataset import DatasetInfo, DatasetRequest, DatasetSpec, MissingFile
from gzsl_bench.scoring.rules import forms, lead, rule_of
from gzsl_bench.suite.cells import REAL, Cell, digest, identity
from gzsl_bench.suite.load import LoadedSuite
from gzsl_bench.suite.schema import DatasetEntry, MethodEntry, Suite
from gzsl_bench.suite.sweep import variants

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
_OPEN = ConfigDict(strict=True, allow_inf_nan=False, extra="allow")


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


def resolve(
    loaded: LoadedSuite,
    registry: Registry,
    place: Place,
    *,
    seeds: Sequence[int] | None = None,
    only: Filter | None = None,
) -> ResolvedSuite:
    """Load and identify the data and compute every cell.

    Args:
        loaded: a suite whose names were checked.
        registry: what is installed.
        place: where data are.
        seeds: replaces every list of seeds in the suite.
        only: the part of the suite that is wanted.

    Raises:
        DataError: data are missing (all missing files are listed) or damaged.
        SuiteError: the filter names nothing in the suite.
    """
    _, methods = wanted(loaded, only or Filter())
    cells: list[Cell] = []
    shown: list[dict[str, Any]] = []
    warnings = [
        f"the search space of {method.name} is left aside: `gzsl-bench tune` follows"
        " it and writes a suite to run"
        for method in methods
        if method.tune is not None
    ]
    for found in find_data(loaded, registry, place, only):
        warnings += [f"{found.entry.name}: {text}" for text in found.data.warnings]
        shown.append(found.describe())
        for method in methods:
            if _runs_on(method, found.entry):
                cells += _cells(loaded.suite, registry, found, method, seeds)
    return ResolvedSuite(
        name=loaded.suite.name,
        description=loaded.suite.description,
        selection=tuple(loaded.suite.selection),
        cells=tuple(_once(cells)),
        datasets=tuple(shown),
        text=loaded.file.text,
        warnings=tuple(dict.fromkeys(warnings)),
        calibration=loaded.suite.calibration,
    )


def _runs_on(method: MethodEntry, entry: DatasetEntry) -> bool:
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
            [registry.methods[method.use] for method in methods if _runs_on(method, entry)],
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
    read, with other features say, hands on the fingerprint of what it was.
    """
    from gzsl_bench.builtin.datasets import reads

    data = spec.load(asked)
    if reads(spec):
        return data
    return identify(check_data(replace(data, fingerprint="")))


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
            raise SuiteError(f"--only: {unknown_name(f'{kind} of this suite', name, there)}")
    return (
        [e for e in loaded.suite.datasets if not only.datasets or e.name in only.datasets],
        [e for e in loaded.suite.methods if not only.methods or e.name in only.methods],
    )


def _refuse_missing(
    registry: Registry, entries: Sequence[DatasetEntry], requests: Sequence[DatasetRequest]
) -> None:
    found: dict[str, MissingFile] = {}
    for entry, asked in zip(entries, requests, strict=True):
        for file in dataset_spec(registry, entry.use).missing(asked):
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


def _cells(
    suite: Suite,
    registry: Registry,
    found: Found,
    method: MethodEntry,
    seeds: Sequence[int] | None,
) -> Iterator[Cell]:
    """The cells of one method on one data set, its swept variants among them."""
    spec = registry.methods[method.use]
    source = registry.source_of(method.use)
    asked = found.asked
    info = DatasetInfo(found.entry.use, asked.features, asked.attributes)
    given = found.given(spec)
    more = {
        name: value
        for name, value in (("regions", asked.regions), ("second", asked.second))
        if value is not None and name in given
    }
    for variant in variants(method.name, method.config, method.sweep, spec.factory.Config):
        config = resolve_config(spec.name, spec.factory, info, variant.config)
        about = {**about_method(registry, spec.name, config), **variant.about}
        own = method.sweep_seeds if variant.about else None
        chosen = list(seeds or own or method.seeds or found.entry.seeds or suite.seeds)
        # A seed changes nothing for a deterministic method: one cell, always the same, says it all.
        chosen = [0] if spec.deterministic else chosen
        tried = [0] if spec.deterministic else suite.val_seeds
        runs: list[tuple[str | Mapping[str, Any], int]] = [(REAL, seed) for seed in chosen]
        runs += [(task, seed) for task in found.tasks for seed in tried]
        for task, seed in runs:
            described = identity(
                dataset=found.identity(spec),
                preprocessing=method.preprocessing
                or found.entry.preprocessing
                or spec.preprocessing,
                setting=spec.setting,
                method={
                    "name": spec.name,
                    "version": registry.version_of(spec.name),
                    "source": source.digest,
                    "config": config,
                },
                seed=seed,
                precision=method.precision or suite.precision,
                toolkit=source.toolkit,
                task=task,
            )
            yield Cell(
                key=digest(described),
                identity=described,
                dataset=found.entry.name,
                method=spec.name,
                label=variant.label,
                seed=seed,
                request={
                    "use": asked.name,
                    "features": asked.features,
                    "attributes": asked.attributes,
                    **more,
                },
                about=about,
            )


def about_method(registry: Registry, name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What a record shows of an installed method, and changes nothing.

    Args:
        registry: has the method.
        name: its name.
        config: the full configuration, as plain data.
    """
    spec, plugin = registry.methods[name], registry.owner("methods", name)
    lacks = spec.factory.differs(spec.factory.Config.model_validate(config))
    return {
        "fidelity": spec.fidelity,
        "citation": spec.citation,
        "deterministic": spec.deterministic,
        "distribution": plugin.distribution,
        "distribution_version": plugin.version,
        **({"family": spec.family} if spec.family else {}),
        **({"differs": lacks} if lacks else {}),
    }


def resolve_config(
    name: str, factory: type[Any], info: DatasetInfo, given: Mapping[str, Any]
) -> dict[str, Any]:
    """The full configuration as plain data: the method's defaults, then the suite's values.

    Raises:
        PluginError: the method's own defaults do not fit its configuration.
        SuiteError: the suite's values do not fit in the company of the defaults.
    """
    try:
        defaults = dict(factory.defaults(info))
        factory.Config.model_validate(defaults)
    except Exception as error:
        raise PluginError(
            f"method {name!r}: its defaults for {info.name} fail: {in_one_line(error)}"
        ) from error
    try:
        config = factory.Config.model_validate({**defaults, **given})
    except ValidationError as error:
        complaint = error.errors()[0]
        where = ".".join(map(str, complaint["loc"])) or "its values"
        raise SuiteError(
            f"method {name!r} on {info.name}: the configuration cannot be used: {where}:"
            f" {complaint['msg']}"
        ) from None
    plain: dict[str, Any] = config.model_dump(mode="json")
    return plain


def _once(cells: Sequence[Cell]) -> list[Cell]:
    """Cells without repetition; two labels for one training are kept as rows of their own."""
    kept: dict[tuple[str, str, str], Cell] = {}
    for cell in cells:
        kept.setdefault((cell.key, cell.dataset, cell.label), cell)
    return list(kept.values())
