"""Checking a data set plugin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gzsl_bench.data.checks import check_data
from gzsl_bench.data.gzsl import GZSLData
from gzsl_bench.data.identity import compute_fingerprint
from gzsl_bench.engine.audit.leftovers import GlobalRandomStates
from gzsl_bench.errors import DataError, GzslBenchError, in_one_line
from gzsl_bench.hooks.asked import FAULTS
from gzsl_bench.hooks.checks import check_spec
from gzsl_bench.hooks.dataset import DatasetRequest, DatasetSpec, MissingFile
from gzsl_bench.hooks.manager import installed
from gzsl_bench.testing.report import Broken, Check, Checks, Report, Skipped, ends_in, make
from gzsl_bench.testing.trials import scratch
from gzsl_bench.wording import counted

if TYPE_CHECKING:
    from gzsl_bench.hooks.manager import Registry

check: Checks[Loads] = Checks()


@dataclass
class Loads:
    """A data set, and what loading it gave.

    Attributes:
        spec: the data set.
        root: the data folder, or None.
        features: the feature set, by default the spec's.
        attributes: the class embedding, by default the spec's.
    """

    spec: DatasetSpec
    root: Path | None = None
    features: str | None = None
    attributes: str | None = None
    _loaded: dict[int, GZSLData] = field(default_factory=dict)
    _moved: list[str] = field(default_factory=list)

    def request(self, root: Path | None) -> DatasetRequest:
        """The variant that is checked, below ``root``; without a cache."""
        return DatasetRequest(
            self.spec.name,
            root,
            self.features or self.spec.features,
            self.attributes or self.spec.attributes,
        )

    def missing(self, request: DatasetRequest) -> list[MissingFile]:
        """What the plugin says is missing."""
        with ends_in(Broken, "missing fails: {error}; it must list files and no more"):
            found = list(self.spec.missing(request))
        for entry in found:
            if not isinstance(entry, MissingFile):
                raise Broken(
                    f"missing gives a {type(entry).__name__}; gzsl_bench.MissingFile is expected"
                )
        return found

    def load(self, time: int = 0) -> GZSLData:
        """The data, loaded for the first or the second time.

        Raises:
            Broken: it fails though no file is missing.
            Skipped: files are missing.
        """
        if time not in self._loaded:
            unknown = "nobody knows what is missing: see missing_files_are_listed"
            with ends_in(Skipped, unknown, Broken):
                missing = self.missing(self.request(self.root))
            if missing:
                raise Skipped(
                    f"{len(missing)} of its files are not here ({missing[0].path}); give the data"
                    " folder with --data"
                )
            before = GlobalRandomStates.now()
            try:
                with ends_in(Broken, "load fails though missing lists no file: {error}"):
                    data = self.spec.load(self.request(self.root))
            finally:
                self._moved = before.moved(GlobalRandomStates.now())
                before.restore()
            self._loaded[time] = data
        return self._loaded[time]

    def loaded(self) -> GZSLData:
        """The data, whatever they are worth; skips where there are none."""
        with ends_in(Skipped, "there is nothing to look at: see loads", Broken):
            data = self.load()
        if not isinstance(data, GZSLData):
            raise Skipped("there is nothing to look at: see loads")
        return data

    def sound(self) -> GZSLData:
        """The data, where they are what they should be."""
        data = self.loaded()
        with ends_in(Skipped, "there is nothing to look at: see is_a_valid_split"):
            return check_data(data)


@check
def described(d: Loads) -> str | None:
    """The DatasetSpec is complete: it says what the images are and where they come from."""
    problem = check_spec(d.spec, DatasetSpec, "gzsl_bench_datasets")
    if problem is not None:
        raise Broken(problem)
    empty = [name for name in ("citation", "summary") if not getattr(d.spec, name).strip()]
    if empty:
        raise Broken(f"its {' and '.join(empty)} must not be empty")
    return d.spec.citation


@check
def missing_files_are_listed(d: Loads) -> str | None:
    """Where its files are not there, all of them are listed, with a hint where to get them."""
    with scratch() as folder:
        request = d.request(Path(folder))
        missing = d.missing(request)
        for entry in missing:
            if not entry.path.strip() or not entry.hint.strip():
                raise Broken(
                    "a MissingFile has no path or no hint; say which file, and where to get it"
                )
        try:
            d.spec.load(request)
        except GzslBenchError as error:
            if not missing:
                raise Broken(
                    f"in an empty data folder load says '{error}' but missing lists no file; list"
                    " every file that load needs"
                ) from error
            return counted(len(missing), "file")
        except FAULTS as error:
            raise Broken(
                f"in an empty data folder load raises {in_one_line(error)}; list what is needed in"
                " missing, and raise gzsl_bench.DataError in one sentence"
            ) from error
    if missing:
        raise Broken("missing lists files in an empty data folder, yet load needs none")
    return "it needs no files"


@check
def loads(d: Loads) -> str | None:
    """What load gives is a GZSLData."""
    data = d.load()
    if not isinstance(data, GZSLData):
        raise Broken(f"load gives a {type(data).__name__}; gzsl_bench.GZSLData is expected")
    return None


@check
def is_a_valid_split(d: Loads) -> str | None:
    """Types, shapes and the split are what every method relies on."""
    data = d.loaded()
    try:
        check_data(data)
    except DataError as error:
        raise Broken(str(error)) from error
    except FAULTS as error:
        raise Broken(f"its content cannot be looked at: {in_one_line(error)}") from error
    return (
        f"{data.labels.size} images, {data.seen.size} seen and"
        f" {counted(data.unseen.size, 'unseen class')}"
    )


@check
def is_what_was_asked_for(d: Loads) -> str | None:
    """The data name the data set, the feature set and the class embedding of the request."""
    data, asked = d.sound(), d.request(None)
    found = (
        ("name", data.name, asked.name),
        ("feature_set", data.feature_set, asked.features),
        ("attribute_set", data.attribute_set, asked.attributes),
    )
    for name, got, wanted in found:
        if got != wanted:
            raise Broken(
                f"{name} is {got!r} where the request says {wanted!r}; tables would name the wrong"
                " data"
            )
    return None


@check
def unknown_variants_are_refused(d: Loads) -> str | None:
    """A feature set that does not exist is refused in one sentence, or listed as missing."""
    d.sound()
    request = replace(d.request(d.root), features="no_such_features")
    if d.missing(request):
        return None
    try:
        d.spec.load(request)
    except GzslBenchError:
        return None
    except FAULTS as error:
        raise Broken(
            f"asked for features that do not exist, load raises {in_one_line(error)}; raise"
            " gzsl_bench.DataError in one sentence"
        ) from error
    raise Broken(
        "asked for features that do not exist, load gives data all the same; look at"
        " request.features and refuse what is not there"
    )


@check
def fingerprint_is_stable(d: Loads) -> str | None:
    """Two loads give the same content."""
    first = d.sound()
    second = d.load(1)
    one, other = compute_fingerprint(first), compute_fingerprint(second)
    if one != other:
        raise Broken(
            f"two loads give other contents (fingerprints {one} and {other}); draw from a generator"
            " with a fixed seed, and sort what the file system lists"
        )
    return one


@check
def no_global_random_state(d: Loads) -> str | None:
    """Loading leaves Python's, numpy's and torch's random states alone."""
    d.loaded()
    if d._moved:
        raise Broken(
            f"loading moves the global random state of {' and '.join(d._moved)}; draw from a"
            " generator of its own with a fixed seed"
        )
    return None


#: Every check of a data set, in the order of the report.
DATASET_CHECKS: Sequence[Check[Loads]] = tuple(check.all)


def check_dataset(
    dataset: DatasetSpec | str,
    *,
    root: Path | None = None,
    features: str | None = None,
    attributes: str | None = None,
    registry: Registry | None = None,
    on_check: Callable[[str], None] = lambda name: None,
) -> Report:
    """Check a data set.

    Args:
        dataset: the name of an installed one, or a spec.
        root: the data folder; what needs files that are not there is skipped.
        features: the feature set, by default the spec's.
        attributes: the class embedding, by default the spec's.
        registry: the plugins, where they are loaded already.
        on_check: told the name of each check as it begins.

    Raises:
        PluginError: no data set is called ``dataset``.
    """
    subject = Loads(installed("datasets", dataset, registry), root, features, attributes)
    asked = subject.request(root)
    results = make(DATASET_CHECKS, subject, on_check)
    variant = f"{asked.features}, {asked.attributes}"
    return Report("dataset", subject.spec.name, results, {"variant": variant})
